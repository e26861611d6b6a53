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


def test_a_cursor_that_sqlite_can_not_order_is_none(endpoint: SqliteEndpoint) -> None:
    """Decimals kept as text are in the order of text, which is not theirs."""
    info = endpoint.describe("t")
    assert info is not None
    told = {name: endpoint.best_delta(info, name) for name in ("at", "n", "s", "d")}
    assert told == {"at": "timestamp", "n": "timestamp", "s": "timestamp", "d": "none"}
    assert endpoint.best_delta(info, None) == "none"
