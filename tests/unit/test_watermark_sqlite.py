"""SQLite's watermark: the largest cursor value seen, inclusive, in the file that it was seen in."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncline.endpoints.base import ReadSpec
from syncline.endpoints.sqlite import SqliteEndpoint
from syncline.errors import CheckpointVoid, GuardStopped
from syncline.record import Type
from syncline.watermark import went_back


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, at TIMESTAMP, n INTEGER, s TEXT, d"
            " DECIMALTEXT)"
        )
        yield connection


@pytest.fixture
def endpoint(tmp_path: Path, file: sqlite3.Connection) -> Iterator[SqliteEndpoint]:
    assert file
    made = SqliteEndpoint(f"sqlite:///{tmp_path / 'a.db'}")
    yield made
    made.close()


def spec_of(endpoint: SqliteEndpoint, cursor: str) -> ReadSpec:
    info = endpoint.describe("t")
    assert info is not None
    types = {"id": Type("bigint"), cursor: info.columns[cursor].type}
    return ReadSpec("t", ("id",), types, by="timestamp", cursor=cursor)


def horizon(endpoint: SqliteEndpoint, spec: ReadSpec) -> str:
    with endpoint.read(spec, mode="full") as read:
        assert read.guarantee.level == "bounded"
        return read.horizon


def delta(endpoint: SqliteEndpoint, spec: ReadSpec, since: str) -> list[int]:
    with endpoint.read(spec, mode="delta", since=since) as read:
        return [i for b in read.batches() for i in b.records.column("id").to_pylist()]


@pytest.mark.parametrize(
    ("cursor", "values", "largest"),
    [
        (
            "at",
            ["2024-01-01", "2024-01-01T00:00:00.5Z", "2023-12-31 23:00:00-05:00"],
            "2024-01-01 04:00:00.000000",
        ),
        ("n", [3, 12, 5], 12),
        ("s", ["a", "b", "B"], "b"),
        ("at", [], None),
        ("at", ["garbage", 5, None, "2024-99-99"], None),
    ],
)
def test_the_horizon_is_the_largest_value_seen(
    endpoint: SqliteEndpoint,
    file: sqlite3.Connection,
    cursor: str,
    values: list[object],
    largest: object,
) -> None:
    """The largest that is a value of the cursor's type.

    What is none can't push it beyond all others.
    """
    file.executemany(f"INSERT INTO t ({cursor}) VALUES (?)", [(v,) for v in values])
    assert json.loads(horizon(endpoint, spec_of(endpoint, cursor)))["at"] == largest


def test_a_delta_is_inclusive_and_an_empty_table_begins_with_every_row(
    endpoint: SqliteEndpoint, file: sqlite3.Connection
) -> None:
    """A second record of the very instant that was seen last is delivered.

    Nothing seen means all.
    """
    spec = spec_of(endpoint, "at")
    nothing = horizon(endpoint, spec)
    file.execute("INSERT INTO t (id, at) VALUES (1, '2024-01-01'), (2, '2024-01-02 00:00:00')")
    assert delta(endpoint, spec, nothing) == [1, 2]
    since = horizon(endpoint, spec)
    file.execute("INSERT INTO t (id, at) VALUES (3, '2024-01-02'), (4, '2024-01-01')")
    assert sorted(delta(endpoint, spec, since)) == [2, 3]


def test_a_value_of_another_class_is_delivered_every_time(
    endpoint: SqliteEndpoint, file: sqlite3.Connection
) -> None:
    """What can't be ordered as the cursor's type comes with each delta, rather than never."""
    file.execute("INSERT INTO t (id, n) VALUES (1, 5), (2, 'x'), (3, NULL), (4, 1.5)")
    spec = spec_of(endpoint, "n")
    assert sorted(delta(endpoint, spec, horizon(endpoint, spec))) == [1, 2, 3]


def test_a_checkpoint_of_another_cursor_or_an_altered_table_is_void(
    endpoint: SqliteEndpoint, file: sqlite3.Connection
) -> None:
    """A position says nothing of another column, nor of a table that is not what it was."""
    since = horizon(endpoint, spec_of(endpoint, "at"))
    with pytest.raises(CheckpointVoid, match="cursor at"):
        delta(endpoint, spec_of(endpoint, "n"), since)
    file.execute("ALTER TABLE t ADD COLUMN late TEXT DEFAULT 'x'")
    with pytest.raises(CheckpointVoid, match="catalogue"):
        delta(endpoint, spec_of(endpoint, "at"), since)


def test_f23_another_file_behind_the_url_stops_the_run(
    endpoint: SqliteEndpoint, file: sqlite3.Connection, tmp_path: Path
) -> None:
    """A file put in the place of the one that was read is another database."""
    spec = spec_of(endpoint, "at")
    since = horizon(endpoint, spec)
    with closing(sqlite3.connect(tmp_path / "b.db")) as copy:
        file.backup(copy)
    (tmp_path / "b.db").replace(tmp_path / "a.db")
    endpoint.close()
    with pytest.raises(GuardStopped) as stopped:
        delta(endpoint, spec, since)
    assert stopped.value.reason == "other-database"


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("how", ["copied over", "restored by SQLite"])
def test_f55_a_backup_put_back_in_place_stops_the_run(
    how: str, mode: str, endpoint: SqliteEndpoint, file: sqlite3.Connection, tmp_path: Path
) -> None:
    """What the checkpoint saw is not there any more, though it is the same file."""
    file.execute(f"PRAGMA journal_mode = {mode}")
    file.execute("INSERT INTO t (id, at) VALUES (1, '2024-01-01')")
    with closing(sqlite3.connect(tmp_path / "backup.db")) as backup:
        file.backup(backup)
        for key in range(2, 200):
            file.execute("INSERT INTO t (id, at, s) VALUES (?, '2024-01-02', ?)", (key, "x" * 99))
        if mode == "wal":
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        spec = spec_of(endpoint, "at")
        since = horizon(endpoint, spec)
        endpoint.close()
        if how == "restored by SQLite":
            backup.backup(file)
    if how == "copied over":
        file.close()
        (tmp_path / "a.db").write_bytes((tmp_path / "backup.db").read_bytes())
    with pytest.raises(GuardStopped, match="went back in time") as stopped:
        delta(endpoint, spec, since)
    assert stopped.value.reason == "other-database"


def test_f53_a_table_made_again_under_its_name_voids_the_checkpoint(
    endpoint: SqliteEndpoint, file: sqlite3.Connection
) -> None:
    """It may hold what the other held, at clocks that a delta does not look at."""
    file.execute("INSERT INTO t (id, at, n) VALUES (1, '2024-01-01', 1), (2, '2024-01-02', 1)")
    spec = spec_of(endpoint, "at")
    since = horizon(endpoint, spec)
    (ddl,) = file.execute("SELECT sql FROM sqlite_master WHERE name = 't'").fetchone()
    file.execute("DROP TABLE t")
    file.execute(ddl)
    file.execute("INSERT INTO t (id, at, n) VALUES (1, '2024-01-01', 2), (2, '2024-01-02', 2)")
    with pytest.raises(CheckpointVoid, match="schema"):
        delta(endpoint, spec, since)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_what_a_file_goes_through_from_day_to_day_is_no_restore(
    mode: str, endpoint: SqliteEndpoint, file: sqlite3.Connection, tmp_path: Path
) -> None:
    """Writes, the newest record deleted, another journal mode, another process: the delta goes on;
    after VACUUM the next run is full.
    """
    file.execute(f"PRAGMA journal_mode = {mode}")
    file.execute("INSERT INTO t (id, at) VALUES (1, '2024-01-01'), (2, '2024-01-02')")
    spec = spec_of(endpoint, "at")
    since = horizon(endpoint, spec)
    file.execute("DELETE FROM t WHERE id = 2")
    assert delta(endpoint, spec, since) == []
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("INSERT INTO t (id, at) VALUES (3, '2024-01-03')")
    assert delta(endpoint, spec, since) == [3]
    endpoint.close()
    file.close()
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute(f"PRAGMA journal_mode = {'delete' if mode == 'wal' else 'wal'}").fetchall()
        other.execute("INSERT INTO t (id, at) VALUES (4, '2024-01-04')")
        assert delta(endpoint, spec, since) == [3, 4]
        other.execute("VACUUM")
    with pytest.raises(CheckpointVoid, match="schema"):
        delta(endpoint, spec, since)


def test_a_writer_that_crashed_in_the_middle_is_no_restore(
    endpoint: SqliteEndpoint, file: sqlite3.Connection, tmp_path: Path
) -> None:
    """The header that it wrote and that SQLite rolls back is never looked at."""
    path, journal = tmp_path / "a.db", tmp_path / "a.db-journal"
    file.execute("INSERT INTO t (id, at) VALUES (1, '2024-01-01')")
    header = path.read_bytes()[24:28]
    file.execute("PRAGMA synchronous = OFF")  # the journal counts from its first byte on
    file.execute("BEGIN")
    for key in range(2, 200):
        file.execute("INSERT INTO t (id, at, s) VALUES (?, '2024-01-02', ?)", (key, "x" * 99))
    hot = journal.read_bytes()
    file.execute("COMMIT")
    file.close()
    assert path.read_bytes()[24:28] != header
    journal.write_bytes(hot)  # as it is left where the commit's last step never came
    told = json.loads(horizon(endpoint, spec_of(endpoint, "at")))
    assert told["at"] == "2024-01-01 00:00:00.000000"
    assert told["identity"]["changes"] == str(int.from_bytes(header, "big"))


@pytest.mark.parametrize(
    ("was", "now", "back"),
    [
        ("7", "7", False), ("7", "8", False), ("8", "7", True), ("4294967295", "3", False),
        ("3", "4294967295", True), ("", "7", False), ("7", "", False),
    ],
)  # fmt: skip
def test_a_count_of_32_bits_may_begin_again(was: str, now: str, back: bool) -> None:
    """Behind is what is nearer backwards than forwards; what is not told is not behind."""
    assert went_back(was, now) is back


def test_a_cursor_that_sqlite_can_not_order_is_none(endpoint: SqliteEndpoint) -> None:
    """Decimals kept as text are in the order of text, which is not theirs."""
    info = endpoint.describe("t")
    assert info is not None
    told = {name: endpoint.best_delta(info, name) for name in ("at", "n", "s", "d")}
    assert told == {"at": "timestamp", "n": "timestamp", "s": "timestamp", "d": "none"}
    assert endpoint.best_delta(info, None) == "none"
