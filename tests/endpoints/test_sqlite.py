"""What is SQLite's own: keys in many forms, one lock for the file, and what its catalogue tells."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from syncline.endpoints.base import ReadSpec, TargetSpec
from syncline.endpoints.sqlite import SqliteEndpoint, path_of
from syncline.errors import InputError, Transient, Unreachable
from syncline.record import Type
from tests.endpoints.sqlite_bench import (
    delta,
    horizon,
    info_of,
    insert,
    read_spec,
    table_of,
    target_spec,
)


@pytest.fixture
def endpoint(sqlite_url: str) -> Iterator[SqliteEndpoint]:
    made = SqliteEndpoint(sqlite_url, connect_timeout=0.2)
    yield made
    made.close()


@pytest.fixture
def other(endpoint: SqliteEndpoint) -> Iterator[sqlite3.Connection]:
    """Somebody else's connection to the same file."""
    with closing(sqlite3.connect(endpoint.path, isolation_level=None, timeout=0.2)) as connection:
        yield connection


def test_keys_that_a_collation_holds_equal_are_read_one_by_one_and_never_skipped(
    endpoint: SqliteEndpoint, other: sqlite3.Connection
) -> None:
    """Pages of one record go by the bytes of a NOCASE key, and a read resumes past any of them."""
    endpoint.create_table("made", {"id": Type("bigint")}, {})
    other.execute("CREATE TABLE t (k TEXT COLLATE NOCASE NOT NULL, n INTEGER NOT NULL)")
    keys = ["a", "A", "á", "a ", "B", "b", ""]
    other.executemany("INSERT INTO t VALUES (?, ?)", [(k, n) for k in keys for n in (2, 1)])
    spec = read_spec(info_of(endpoint), "k", "n")
    with endpoint.read(spec, mode="full") as read:
        batches = list(read.batches())
    found = [tuple(b.records.to_pylist()[0].values()) for b in batches]
    assert found == sorted((k, n) for k in keys for n in (1, 2))
    for place, batch in enumerate(batches):
        with endpoint.read(spec, mode="full", after=batch.position) as read:
            assert sum(b.records.num_rows for b in read.batches()) == len(found) - place - 1


def test_a_null_in_a_key_does_not_end_the_read(
    endpoint: SqliteEndpoint, other: sqlite3.Connection
) -> None:
    """SQLite lets NULL into a primary key: such records are read first, and told as duplicates."""
    endpoint.create_table("made", {"id": Type("bigint")}, {})
    other.execute("CREATE TABLE t (a TEXT, b TEXT, PRIMARY KEY (a, b))")
    other.executemany(
        "INSERT INTO t VALUES (?, ?)", [(None, "x"), (None, "y"), ("p", None), ("p", "q")]
    )
    info = info_of(endpoint)
    assert info.unique == ()
    assert set(endpoint.duplicate_keys("t", ["a", "b"])) == {(None, "x"), (None, "y"), ("p", None)}
    spec = read_spec(info, "a", "b")
    with endpoint.read(spec, mode="full") as read:
        batches = list(read.batches())
    assert len(batches) == 4
    with endpoint.read(spec, mode="full", after=batches[1].position) as read:
        assert sum(b.records.num_rows for b in read.batches()) == 2


def test_instants_are_found_by_key_in_every_usual_form(
    endpoint: SqliteEndpoint, other: sqlite3.Connection
) -> None:
    """A key that an application wrote as ISO text is found.

    One in a form of its own is a misfit.
    """
    endpoint.create_table("made", {"id": Type("bigint")}, {})
    other.execute("CREATE TABLE t (at TIMESTAMP NOT NULL PRIMARY KEY, v TEXT)")
    forms = [
        "2024-01-01 10:00:00",
        "2024-01-02T10:00:00Z",
        "2024-01-03 10:00:00.500",
        "2024-01-04 10:00",
    ]
    other.executemany("INSERT INTO t VALUES (?, 'v')", [(form,) for form in forms])
    spec = read_spec(info_of(endpoint), "at", rows=10)
    with endpoint.read(spec, mode="full") as read:
        (batch,) = read.batches()
    assert [(m.row, m.reason) for m in batch.misfits] == [
        (3, "a key in this form can't be looked up")
    ]
    rows, _ = endpoint.fetch(spec, batch.records.select(["at"]))
    assert sorted(rows.column("__row").to_pylist()) == [0, 1, 2]
    target = target_spec(info_of(endpoint), "at")
    with endpoint.begin(target) as tx:
        keys = batch.records.select(["at"]).slice(0, 3)
        new = keys.append_column("v", pa.array(["new"] * 3))
        assert tx.update(new, {"v": np.ones(3, np.bool_)}, tx.fetch(keys)).landed.all()
        assert tx.delete(keys, tx.fetch(keys)).landed.all()
        tx.commit()
    assert other.execute("SELECT at FROM t").fetchall() == [(forms[3],)]


def test_a_delta_compares_instants_however_they_are_written(
    endpoint: SqliteEndpoint, other: sqlite3.Connection
) -> None:
    """Inclusive of the largest seen.

    `T`, blanks, `Z` and offsets mixed lose nothing, nor do NULLs.
    """
    endpoint.create_table("made", {"id": Type("bigint")}, {})
    other.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, at TIMESTAMPTZ)")
    other.execute("CREATE INDEX by_at ON t (at)")
    rows = {
        1: "2024-01-01 00:00:00", 2: "2024-01-02T09:00:00", 3: "2024-01-02 08:00:00Z",
        4: "2024-01-02 11:00:00+02:00", 5: None, 6: 1704189600, 7: "01/02/2024",
    }  # fmt: skip
    other.executemany("INSERT INTO t VALUES (?, ?)", rows.items())
    spec = read_spec(info_of(endpoint), "id", cursor="at")
    since = horizon(endpoint, spec)
    assert '"at":"2024-01-02 09:00:00.000000"' in since
    assert sorted(delta(endpoint, spec, since)) == [2, 4, 5, 6, 7]
    # Smaller as text than what was seen, but later: as CURRENT_TIMESTAMP after an isoformat().
    other.execute("INSERT INTO t VALUES (8, '2024-01-02 09:00:01')")
    other.execute("INSERT INTO t VALUES (9, '2024-01-01T23:30:00-10:00')")
    assert sorted(delta(endpoint, spec, since)) == [2, 4, 5, 6, 7, 8, 9]


def test_a_delta_resumes_among_ties(endpoint: SqliteEndpoint, other: sqlite3.Connection) -> None:
    """Five records of one timestamp, pages of one: each position continues just past its record."""
    endpoint.create_table("t", {"id": Type("bigint")}, {"n": Type("bigint")})
    other.executemany("INSERT INTO t VALUES (?, ?)", [(i, 7) for i in range(5)] + [(9, None)])
    spec = read_spec(info_of(endpoint), "id", cursor="n")
    since = horizon(endpoint, spec)
    with endpoint.read(spec, mode="delta", since=since) as read:
        positions = [b.position for b in read.batches()]
    assert len(positions) == 6
    for place, position in enumerate(positions):
        with endpoint.read(spec, mode="delta", since=since, after=position) as read:
            found = [b.records.column("id")[0].as_py() for b in read.batches()]
        assert found == [0, 1, 2, 3, 4, 9][place + 1 :]


def test_a_read_sees_one_snapshot_and_leaves_the_journal_as_it_is(
    endpoint: SqliteEndpoint, other: sqlite3.Connection
) -> None:
    """What commits while a read goes on is not in it, and the file's journal mode is the user's."""
    endpoint.create_table("t", {"id": Type("bigint")}, {})
    assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    other.execute("PRAGMA journal_mode=WAL")
    other.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(5)])
    with endpoint.read(read_spec(info_of(endpoint), "id"), mode="full") as read:
        other.execute("INSERT INTO t VALUES (99)")
        assert [b.records.column("id")[0].as_py() for b in read.batches()] == [0, 1, 2, 3, 4]
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_record_edited_since_it_was_fetched_is_not_written(
    endpoint: SqliteEndpoint, other: sqlite3.Connection
) -> None:
    """An edit between two transactions is seen by the second.

    So is a misfit that became another.
    """
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": Type("text"), "n": Type("bigint")})
    other.executemany(
        "INSERT INTO t VALUES (?, ?, ?)", [(1, "a", 1), (2, "b", 2), (3, "c", "x"), (4, "d", "x")]
    )
    spec = target_spec(info_of(endpoint), "id")
    keys = table_of(spec, [{"id": i} for i in (1, 2, 3, 4)]).select(["id"])
    with endpoint.begin(spec, write=False) as tx:
        seen = tx.fetch(keys)
    assert len(seen.misfits) == 2
    other.execute("UPDATE t SET v = 'edited' WHERE id = 2")
    other.execute("UPDATE t SET n = 'y' WHERE id = 3")
    new = table_of(spec, [{"id": i, "v": "new"} for i in (1, 2, 3, 4)])
    with endpoint.begin(spec) as tx:
        written = tx.update(new, {"v": np.ones(4, np.bool_)}, seen)
        tx.commit()
    assert written.landed.tolist() == [True, False, False, True]
    assert other.execute("SELECT v, n FROM t ORDER BY id").fetchall() == [
        ("new", 1), ("edited", 2), ("c", "y"), ("new", "x"),
    ]  # fmt: skip


def test_a_key_that_only_a_collation_holds_equal_is_a_collision(
    endpoint: SqliteEndpoint, other: sqlite3.Connection
) -> None:
    """`A` into a NOCASE key that has `a` is refused, not overwritten; `a` again is just taken."""
    endpoint.create_table("made", {"id": Type("bigint")}, {})
    other.execute("CREATE TABLE t (k TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, v TEXT)")
    spec = target_spec(info_of(endpoint), "k")
    rows = [{"k": k, "v": k} for k in ("a", "A", "á", "a ", "a", "b")]
    written = insert(endpoint, spec, rows)
    assert written.landed.tolist() == [True, False, True, True, False, True]
    assert [(r.row, r.kind) for r in written.refused] == [(1, "constraint")]
    with endpoint.begin(spec, write=False) as tx:
        found = tx.fetch(table_of(spec, rows).select(["k"])).rows
    assert found.column("__row").to_pylist() == [0, 2, 3, 4, 5]


def test_f25_one_poison_row_does_not_keep_the_others_out(
    endpoint: SqliteEndpoint, other: sqlite3.Connection
) -> None:
    """Of a thousand records the bad two are named, with why; the others land."""
    endpoint.create_table("parent", {"id": Type("bigint")}, {})
    other.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT CHECK (v <> 'bad'), p INTEGER REFERENCES"
        " parent (id))"
    )
    spec = target_spec(info_of(endpoint), "id")
    rows = [
        {"id": i, "v": "bad" if i == 500 else "ok", "p": 1 if i == 700 else None}
        for i in range(1000)
    ]
    written = insert(endpoint, spec, rows)
    assert [(r.row, r.kind) for r in written.refused] == [(500, "constraint"), (700, "constraint")]
    assert written.landed.sum() == 998
    assert other.execute("SELECT COUNT(*) FROM t").fetchone() == (998,)


def test_a_second_writer_is_told_to_try_again(
    endpoint: SqliteEndpoint, other: sqlite3.Connection
) -> None:
    """A file locked by another writer is a passing matter: the whole transaction may be retried."""
    endpoint.create_table("t", {"id": Type("bigint")}, {})
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Transient) as raised, endpoint.begin(target_spec(info_of(endpoint), "id")):
        pass
    assert "journal_mode=WAL" in raised.value.hint


def test_what_was_not_committed_is_gone(endpoint: SqliteEndpoint) -> None:
    """Leaving a transaction without commit takes back rows, ledger and state alike."""
    endpoint.create_table("t", {"id": Type("bigint")}, {})
    spec = TargetSpec("m", "t", {"id": Type("bigint")}, {}, ledger=True)
    endpoint.prepare(spec)
    with endpoint.begin(spec) as tx:
        assert tx.insert(table_of(spec, [{"id": 1}])).landed.all()
        assert tx.put_state(
            epoch=1, holder="h", lease_seconds=5, document="{}", expected_epoch=None
        )
    with endpoint.begin(spec, write=False) as tx:
        assert tx.is_empty()
        assert tx.state() is None


def test_a_file_that_is_not_there_has_no_tables_and_is_not_made_by_looking(
    endpoint: SqliteEndpoint,
) -> None:
    """A mistyped path reads as a missing table; it does not become an empty database."""
    assert endpoint.tables() == []
    assert endpoint.describe("t") is None
    with (
        pytest.raises(InputError, match="no table t"),
        endpoint.read(ReadSpec("t", ("id",), {}), mode="full"),
    ):
        pass
    assert not endpoint.path.exists()


def test_a_file_that_is_no_database_is_named_so(endpoint: SqliteEndpoint) -> None:
    """Any other file behind the URL is the user's mistake."""
    endpoint.path.write_text("not a database, but long enough to be looked at" * 50)
    with pytest.raises(InputError, match="not a database"):
        endpoint.tables()


def test_a_statement_that_runs_too_long_is_ended(sqlite_url: str) -> None:
    """The statement timeout ends an endless query as a matter that may pass."""
    endpoint = SqliteEndpoint(sqlite_url, statement_timeout=1)
    endpoint.create_table("made", {"id": Type("bigint")}, {})
    with closing(sqlite3.connect(endpoint.path)) as raw:
        raw.execute(
            "CREATE VIEW t AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)"
            " SELECT max(id) AS id"
            " FROM n"
        )
    spec = ReadSpec("t", ("id",), {"id": Type("bigint")})
    with pytest.raises(Unreachable), endpoint.read(spec, mode="full") as read:
        next(read.batches())
    assert endpoint.describe("t") is not None
    endpoint.close()


def test_the_catalogue_is_told_as_it_is(
    endpoint: SqliteEndpoint, other: sqlite3.Connection
) -> None:
    """Keys, unique sets of NOT NULL columns, foreign keys, generated columns, triggers, views."""
    endpoint.create_table("p", {"a": Type("text"), "b": Type("bigint")}, {})
    other.executescript("""
        CREATE TABLE t (
            id INTEGER PRIMARY KEY, a TEXT NOT NULL UNIQUE, b BIGINT UNIQUE, c TEXT NOT NULL,
            d INT DEFAULT 5,
            g INT GENERATED ALWAYS AS (b + 1) VIRTUAL, FOREIGN KEY (a, b) REFERENCES p);
        CREATE UNIQUE INDEX partial ON t (c) WHERE d > 1;
        CREATE UNIQUE INDEX computed ON t (lower(c));
        CREATE TRIGGER trg AFTER INSERT ON t BEGIN SELECT 1; END;
        CREATE VIEW v AS SELECT id, upper(a) AS up FROM t;
        CREATE TABLE syncline_state (x);
    """)
    assert endpoint.tables() == ["p", "t", "v"]
    info = info_of(endpoint)
    assert (info.primary_key, info.unique) == (("id",), (("id",), ("a",)))
    assert [(f.columns, f.table, f.referred) for f in info.foreign_keys] == [
        (("a", "b"), "p", ("a", "b"))
    ]
    assert info.columns["g"].generated
    assert info.columns["d"].has_default
    assert not info.columns["id"].nullable
    assert info.rewrites
    assert not info_of(endpoint, "p").rewrites
    view = info_of(endpoint, "v")
    assert view.is_view
    assert (view.columns["id"].type, view.columns["up"].opaque) == (Type("bigint"), True)


def test_vacuum_leaves_the_database_the_same_and_another_file_does_not(
    endpoint: SqliteEndpoint, other: sqlite3.Connection, tmp_path: Path
) -> None:
    """Writes and VACUUM keep `system`, and writes keep all but the count of changes; a file moved
    into its place has another.
    """
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": Type("text")})
    before = info_of(endpoint).identity
    other.execute("INSERT INTO t VALUES (1, 'x')")
    written = info_of(endpoint).identity
    assert int(written["changes"]) > int(before["changes"])
    assert written | {"changes": ""} == before | {"changes": ""}
    other.execute("VACUUM")
    vacuumed = info_of(endpoint).identity
    assert int(vacuumed["changes"]) > int(written["changes"])
    assert vacuumed["system"] == before["system"]
    assert vacuumed["schema"] != before["schema"]  # as by DDL: a table may be another now
    shutil.copy(endpoint.path, tmp_path / "copy")
    shutil.move(tmp_path / "copy", endpoint.path)
    endpoint.close()
    assert info_of(endpoint).identity["system"] != before["system"]


def test_f36_any_identifier_is_quoted(endpoint: SqliteEndpoint) -> None:
    """Names with quotes, blanks and SQL in them are only names."""
    table, column = 'x"; DROP TABLE y; --', 'c"%s %d?'
    endpoint.create_table(table, {column: Type("text")}, {'v"': Type("text")})
    spec = target_spec(info_of(endpoint, table), column)
    assert insert(endpoint, spec, [{column: "k", 'v"': "v"}]).landed.all()
    with endpoint.read(read_spec(info_of(endpoint, table), column), mode="full") as read:
        assert next(read.batches()).records.to_pylist() == [{column: "k", 'v"': "v"}]
    with (
        pytest.raises(InputError, match="no column"),
        endpoint.read(ReadSpec(table, (column,), {"nope": Type("text")}), mode="full"),
    ):
        pass


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///a/b.db", "/a/b.db"),
        ("sqlite:////a/b.db", "/a/b.db"),
        ("sqlite:///./b%20c.db", "b c.db"),
    ],
)
def test_a_url_names_a_file(url: str, path: str) -> None:
    """Three or four slashes are an absolute path; `./` is relative."""
    assert path_of(url) == Path(path)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite://host/a.db", "mysql:///a"]
)
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    """A database in memory can't be shared between a run's connections."""
    with pytest.raises(InputError):
        path_of(url)
