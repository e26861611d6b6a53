"""The PostgreSQL endpoint against a real server: what only PostgreSQL has, beyond the common contract."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from syncline.endpoints.base import (
    Comparison,
    DeltaBy,
    Fetched,
    Mode,
    Range,
    Read,
    ReadSpec,
    TargetSpec,
    Transaction,
)
from syncline.endpoints.postgres import PostgresEndpoint
from syncline.endpoints.postgres_ledger import ledger_name
from syncline.errors import (
    CheckpointVoid,
    CredentialsRefused,
    GuardStopped,
    InputError,
    Transient,
    Unreachable,
)
from syncline.record import Type, parse_type


@pytest.fixture
def endpoint(postgres_url: str) -> Iterator[PostgresEndpoint]:
    made = PostgresEndpoint(postgres_url)
    yield made
    made.close()


@pytest.fixture
def database(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


def spec_of(
    endpoint: PostgresEndpoint,
    table: str,
    key: Sequence[str] = ("id",),
    *,
    by: DeltaBy = "xmin",
    cursor: str | None = None,
    batch_rows: int = 50_000,
    filters: tuple[Comparison, ...] = (),
    types: Mapping[str, str] | None = None,
) -> ReadSpec:
    info = endpoint.describe(table)
    assert info is not None
    columns = {name: column.type for name, column in info.columns.items()}
    columns |= {name: parse_type(text) for name, text in (types or {}).items()}
    return ReadSpec(table, tuple(key), columns, by, cursor, batch_rows, filters=filters)


def rows_of(read: Read) -> list[dict[str, Any]]:
    return [row for batch in read.batches() for row in batch.records.to_pylist()]


def read_all(
    endpoint: PostgresEndpoint,
    spec: ReadSpec,
    mode: Mode = "full",
    *,
    since: str | None = None,
    after: str | None = None,
    window: Range | None = None,
) -> tuple[list[dict[str, Any]], str]:
    with endpoint.read(spec, mode=mode, since=since, after=after, window=window) as read:
        return rows_of(read), read.horizon


# --- values ---------------------------------------------------------------------------------------


EXACT = [
    ("boolean", "true", True),
    ("smallint", "-32768", -32768),
    ("integer", "2147483647", 2147483647),
    ("bigint", "-9223372036854775808", -9223372036854775808),
    ("oid", "4294967295", 4294967295),
    ("real", "'1.5'", 1.5),
    ("double precision", "'0.1'", 0.1),
    ("numeric(14,2)", "'-12.50'", "-12.50"),
    ("numeric(5,-3)", "12345", "12000"),
    ("numeric(3,5)", "0.00123", "0.00123"),
    (
        "numeric(40,2)",
        "'1234567890123456789012345678901234567.50'",
        "1234567890123456789012345678901234567.5",
    ),
    ("numeric", "'1.500'", "1.5"),
    ("numeric", "'100'", "100"),
    ("numeric", "'0.000'", "0"),
    ("money", "'-12.34'", "-12.34"),
    ("text", "'naïve \U0001f600'", "naïve \U0001f600"),
    ("varchar(3)", "'abc'", "abc"),
    ("char(5)", "'ab'", "ab"),
    ("name", "'n'", "n"),
    ("bytea", "'\\x00ff'", b"\x00\xff"),
    ("date", "'0001-01-01'", "0001-01-01"),
    ("date", "'9999-12-31'", "9999-12-31"),
    ("time", "'23:59:59.999999'", "23:59:59.999999"),
    ("timestamp", "'2024-02-29 12:00:00.000001'", "2024-02-29 12:00:00.000001"),
    ("timestamptz", "'2024-02-29 12:00:00+05'", "2024-02-29 07:00:00+00:00"),
    ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("jsonb", """'{"a": 12345678901234567890.10}'""", '{"a": 12345678901234567890.10}'),
    ("json", """'{"b":1, "a":2}'""", '{"b":1, "a":2}'),
    ("interval", "'1 day 2 hours'", "P1DT2H"),
    ("int[]", "'{{1,2},{3,4}}'", "[[1, 2], [3, 4]]"),
    ("numeric[]", "'{12345678901234567890.10,NULL}'", "[12345678901234567890.10, null]"),
    ("int[]", "'{}'", "[]"),
    ("mood", "'glad'", "glad"),
    ("mood[]", "'{glad,sad}'", '["glad", "sad"]'),
    ("short_text", "'x'", "x"),
    ("inet", "'10.0.0.1/8'", "10.0.0.1/8"),
    ("inet", "'10.0.0.1'", "10.0.0.1"),
    ("timetz", "'12:00:00+02'", "12:00:00+02"),
    ("bit(5)", "B'10101'", "10101"),
    ("int4range", "'[1,5)'", "[1,5)"),
    ("point", "'(1,2)'", "(1,2)"),
    ("pair", "ROW(1,'a')", "(1,a)"),
]

OUTSIDE = [
    ("date", "'infinity'", "infinity"),
    ("date", "'-infinity'", "-infinity"),
    ("date", "'0044-03-15 BC'", "0044-03-15 BC"),
    ("date", "'12000-01-01'", "12000-01-01"),
    ("timestamp", "'infinity'", "infinity"),
    ("timestamptz", "'-infinity'", "-infinity"),
    ("timestamp", "'0044-03-15 12:00:00 BC'", "0044-03-15 12:00:00.000000 BC"),
    ("timestamptz", "'10000-01-01 00:00:00+00'", "10000-01-01 00:00:00.000000"),
    ("time", "'24:00:00'", "24:00:00"),
    ("numeric(5,2)", "'NaN'", "NaN"),
    ("numeric", "'Infinity'", "Infinity"),
    ("int[]", "'[0:1]={1,2}'", "[0:1]={1,2}"),
]


@pytest.fixture
def own_types(database: psycopg.Connection[Any]) -> None:
    database.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    database.execute("CREATE DOMAIN short_text AS varchar(10) NOT NULL")
    database.execute("CREATE TYPE pair AS (a int, b text)")


@pytest.mark.usefixtures("own_types")
def test_every_type_is_read_as_its_canonical_value(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A value of every built-in type crosses exactly, in the canonical type that the catalogue names."""
    database.execute("CREATE TABLE v (id int PRIMARY KEY)")
    for place, (native, _, _) in enumerate(EXACT):
        database.execute(f"ALTER TABLE v ADD c{place} {native}")
    values = ", ".join(value for _, value, _ in EXACT)
    database.execute(f"INSERT INTO v VALUES (1, {values})")
    with endpoint.read(spec_of(endpoint, "v"), mode="full") as read:
        (batch,) = read.batches()
    assert batch.misfits == ()
    row = batch.records.to_pylist()[0]
    for place, (native, _, wanted) in enumerate(EXACT):
        found = row[f"c{place}"]
        found = found if isinstance(wanted, bool | int | float | bytes) else str(found)
        assert found == wanted, native


@pytest.mark.parametrize(("native", "value", "told"), OUTSIDE)
def test_a_value_outside_its_type_is_a_misfit(
    endpoint: PostgresEndpoint,
    database: psycopg.Connection[Any],
    native: str,
    value: str,
    told: str,
) -> None:
    """What the canonical type can't hold is NULL beside a misfit with the value as PostgreSQL writes it."""
    database.execute(f"CREATE TABLE v (id int PRIMARY KEY, c {native})")
    database.execute(f"INSERT INTO v VALUES (1, NULL), (2, {value})")
    with endpoint.read(spec_of(endpoint, "v"), mode="full") as read:
        (batch,) = read.batches()
    assert batch.records.column("c").to_pylist() == [None, None]
    assert [(m.row, m.field, m.value) for m in batch.misfits] == [(1, "c", told)]


def test_a_column_can_be_read_as_another_type(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A declared type other than the column's own is filled where the value is the same, else a misfit."""
    database.execute(
        "CREATE TABLE v (id int PRIMARY KEY, n numeric, t timestamptz, d date, s text)"
    )
    database.execute(
        "INSERT INTO v VALUES (1, 1.25, '2024-01-01 00:00:00.001+00', 'infinity', 'abc'),"
        " (2, 1.255, '2024-01-01 00:00:00.000001+00', '2024-01-01', 'abcd')"
    )
    types = {"n": "decimal(5,2)", "t": "timestamptz(3)", "d": "text", "s": "text(3)"}
    with endpoint.read(spec_of(endpoint, "v", types=types), mode="full") as read:
        (batch,) = read.batches()
    assert {(m.row, m.field) for m in batch.misfits} == {(1, "n"), (1, "t"), (1, "s")}
    assert batch.records.column("d").to_pylist() == ["infinity", "2024-01-01"]


# --- the catalogue --------------------------------------------------------------------------------


def test_describe_tells_keys_columns_and_what_rewrites(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Keys, foreign keys, generated and identity columns, triggers and views are told as the catalogue has them."""
    database.execute("CREATE TABLE parent (a int, b text, PRIMARY KEY (a, b))")
    database.execute(
        """CREATE TABLE child (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text NOT NULL UNIQUE, maybe text UNIQUE,
        a int, b text, double_a int GENERATED ALWAYS AS (a * 2) STORED, since timestamptz DEFAULT now(),
        FOREIGN KEY (a, b) REFERENCES parent)"""
    )
    database.execute("CREATE VIEW seen AS SELECT * FROM parent")
    child = endpoint.describe("child")
    parent = endpoint.describe("public.parent")
    view = endpoint.describe("seen")
    assert child and parent and view
    assert child.primary_key == ("id",)
    assert child.unique == (("id",), ("code",))
    assert [(f.columns, f.table, f.referred) for f in child.foreign_keys] == [
        (("a", "b"), "public.parent", ("a", "b"))
    ]
    assert child.columns["id"].has_default and not child.columns["id"].generated
    assert child.columns["double_a"].generated and child.columns["since"].has_default
    assert not parent.rewrites  # its foreign key's own triggers change nothing
    assert view.is_view
    assert endpoint.best_delta(view, None) == "none"
    assert endpoint.best_delta(parent, None) == "xmin"
    assert endpoint.describe("nowhere") is None
    assert endpoint.tables() == ["public.child", "public.parent", "public.seen"]
    database.execute(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
    )
    database.execute("CREATE TRIGGER g BEFORE UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION f()")
    changed = endpoint.describe("parent")
    assert changed and changed.rewrites


def test_hostile_identifiers_are_quoted(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """f36: names with quotes and semicolons are only names, read and written."""
    name, column = 'x"; DROP TABLE y; --', "a'b\"c\\ {0}"
    quoted = '"' + name.replace('"', '""') + '"'
    quoted_column = '"' + column.replace('"', '""') + '"'
    database.execute("CREATE TABLE y (id int)")
    database.execute(f"CREATE TABLE {quoted} (id int PRIMARY KEY, {quoted_column} text)".encode())
    database.execute(f"INSERT INTO {quoted} VALUES (1, 'v')".encode())
    rows, _ = read_all(endpoint, spec_of(endpoint, name))
    assert rows == [{"id": 1, column: "v"}]
    spec = target(endpoint, name, {"id": "integer"}, {column: "text"})
    with endpoint.begin(spec) as tx:
        assert tx.insert(pa.table({"id": pa.array([2], pa.int32()), column: ["w"]})).landed.all()
        tx.commit()
    assert [r[column] for r in read_all(endpoint, spec_of(endpoint, name))[0]] == ["v", "w"]
    assert "public.y" in endpoint.tables()


def test_duplicate_keys_finds_repeats_and_nulls(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A key that repeats or has a NULL is told; a unique NOT NULL one is not even looked at."""
    database.execute("CREATE TABLE d (id int PRIMARY KEY, a text, b int)")
    database.execute("INSERT INTO d VALUES (1,'x',1), (2,'x',1), (3,'y',NULL), (4,'z',1)")
    assert endpoint.duplicate_keys("d", ["id"]) == []
    assert sorted(endpoint.duplicate_keys("d", ["a", "b"]), key=str) == [("x", 1), ("y", None)]


# --- paging ---------------------------------------------------------------------------------------


def paged(
    endpoint: PostgresEndpoint, spec: ReadSpec, mode: Mode = "full", **more: Any
) -> list[dict[str, Any]]:
    """All records, each batch by a read of its own that goes on after the last."""
    rows: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        with endpoint.read(spec, mode=mode, after=after, **more) as read:
            batch = next(read.batches(), None)
        if batch is None:
            return rows
        assert batch.records.num_rows <= spec.batch_rows
        rows += batch.records.to_pylist()
        after = batch.position


def a_locale(database: psycopg.Connection[Any]) -> str:
    """A collation that this server has and that orders `a` before `B`, as no comparison of bytes does."""
    for name in ("en-x-icu", "unicode", "en_US.utf8", "en_US"):
        try:
            row = database.execute(
                f"SELECT 'a' COLLATE \"{name}\" < 'B' COLLATE \"{name}\"".encode()
            ).fetchone()
        except psycopg.Error:
            continue
        if row == (True,):
            return name
    pytest.skip("this server was built without ICU, and the system has no locale but C")


def test_f33_text_keys_of_a_locale_are_paged_one_by_one(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Keys that a locale orders otherwise than their bytes are read once each, at page size 1."""
    database.execute(
        f'CREATE TABLE w (id text COLLATE "{a_locale(database)}" PRIMARY KEY)'.encode()
    )
    words = ["a", "A", "á", "b", "B", "a b", "ab", "a-b", "'", '"', "\\", "", "ß", "ss", "zz", "Z"]
    with database.cursor() as cursor:
        cursor.executemany("INSERT INTO w VALUES (%s)", [(word,) for word in words])
    found = [row["id"] for row in paged(endpoint, spec_of(endpoint, "w", batch_rows=1))]
    assert sorted(found) == sorted(words)
    assert found == [word for (word,) in database.execute("SELECT id FROM w ORDER BY id")]


def test_f33_keys_in_no_byte_order_are_paged_one_by_one(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Keys whose order in the database is neither that of their text nor their bytes are read once each."""
    words = ["zulu", "Alpha", "alpha", "Zulu", "mike", "ß", "0", ""]
    database.execute(f"CREATE TYPE callsign AS ENUM ({', '.join(repr(w) for w in words)})".encode())
    database.execute("CREATE TABLE w (id callsign, n int, PRIMARY KEY (id, n))")
    database.execute(
        "INSERT INTO w SELECT c, n FROM unnest(enum_range(NULL::callsign)) c, generate_series(1, 3) n"
    )
    rows = paged(endpoint, spec_of(endpoint, "w", ("id", "n"), batch_rows=1))
    assert [(row["id"], row["n"]) for row in rows] == [(w, n) for w in words for n in (1, 2, 3)]


KEY_TYPES = [
    "numeric",
    "uuid",
    "timestamptz",
    "date",
    "bytea",
    "mood",
    "double precision",
    "char(3)",
    "time",
]


@pytest.mark.usefixtures("own_types")
@pytest.mark.parametrize("native", KEY_TYPES)
def test_keys_of_every_type_are_paged(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], native: str
) -> None:
    """The last key's text form, cast back in the database, goes on exactly after it; also past a misfit."""
    made = {
        "numeric": ["-1.50", "0", "10", "9", "1e30"],
        "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"],
        "timestamptz": [
            "-infinity",
            "2024-01-01 00:00:00.000001+00",
            "2024-01-01 00:00:00+00",
            "infinity",
        ],
        "date": ["0044-03-15 BC", "2024-01-01", "infinity"],
        "bytea": ["\\x00", "\\xff00", "\\x"],
        "mood": ["sad", "glad"],
        "double precision": ["0.1", "-1e300", "NaN", "1e-300"],
        "char(3)": ["a", "ab", "b"],
        "time": ["00:00:00", "23:59:59.999999", "24:00:00"],
    }[native]
    database.execute(f"CREATE TABLE w (id {native} PRIMARY KEY)")
    for value in made:
        database.execute(f"INSERT INTO w VALUES ('{value}')")
    assert len(paged(endpoint, spec_of(endpoint, "w", batch_rows=1))) == len(made)


def test_composite_keys_are_paged_with_ties(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A composite key whose first column repeats is read exactly, whatever the page size."""
    database.execute("CREATE TABLE w (a int, b text, PRIMARY KEY (a, b))")
    database.execute("INSERT INTO w SELECT i % 3, i::text FROM generate_series(1, 40) i")
    for size in (1, 7):
        rows = paged(endpoint, spec_of(endpoint, "w", ("a", "b"), batch_rows=size))
        assert len(rows) == len({(r["a"], r["b"]) for r in rows}) == 40


def test_batches_keep_to_rows_and_bytes(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A batch ends at `batch_rows`, or at about `batch_bytes`, whichever comes first."""
    database.execute(
        "CREATE TABLE w AS SELECT i AS id, repeat('x', 1000) AS t FROM generate_series(1, 3000) i"
    )
    info = endpoint.describe("w")
    assert info
    columns = {name: column.type for name, column in info.columns.items()}
    with endpoint.read(ReadSpec("w", ("id",), columns, batch_rows=700), mode="full") as read:
        assert [b.records.num_rows for b in read.batches()] == [700, 700, 700, 700, 200]
    small = ReadSpec("w", ("id",), columns, batch_rows=700, batch_bytes=200_000)
    with endpoint.read(small, mode="full") as read:
        sizes = [b.records.num_rows for b in read.batches()]
    assert sum(sizes) == 3000
    assert 150 < max(sizes) < 250


def test_filters_and_windows_are_applied_in_the_database(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A backfill reads `[start, end)` of key or cursor; whole-number filters are applied, others left to the engine."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY, at timestamptz, r text)")
    database.execute(
        "INSERT INTO w SELECT i, timestamptz '2024-01-01 00:00+00' + i * interval '1 hour', i::text"
        " FROM generate_series(1, 48) i"
    )
    database.execute("INSERT INTO w VALUES (99, NULL, 'x')")
    spec = spec_of(
        endpoint,
        "w",
        cursor="at",
        batch_rows=5,
        filters=(Comparison("id", "<>", 12), Comparison("r", "<", 3)),
    )
    by_key = read_all(endpoint, spec, "backfill", window=Range("key", "10", "20"))[0]
    assert [r["id"] for r in by_key] == [10, 11, *range(13, 20)]
    window = Range("cursor", "2024-01-02", "2024-01-02 05:00")
    assert [r["id"] for r in paged(endpoint, spec, "backfill", window=window)] == [
        24,
        25,
        26,
        27,
        28,
    ]
    everything = paged(endpoint, spec, "backfill", window=Range("cursor", None, None))
    assert [r["id"] for r in everything] == [*range(1, 12), *range(13, 49), 99]
    with pytest.raises(InputError, match="invalid input syntax"):
        read_all(endpoint, spec, "backfill", window=Range("key", "ten", None))


def test_a_full_read_is_one_snapshot(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Rows committed after the read was opened are not in it, even where no row was read yet."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY)")
    database.execute("INSERT INTO w SELECT generate_series(1, 10)")
    with endpoint.read(spec_of(endpoint, "w", batch_rows=2), mode="full") as read:
        database.execute("INSERT INTO w VALUES (11)")
        database.execute("DELETE FROM w WHERE id = 3")
        assert [row["id"] for row in rows_of(read)] == list(range(1, 11))


def test_a_read_left_early_gives_its_connection_up(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Leaving a read in the middle cancels its query at once, and the endpoint goes on working."""
    database.execute(
        "CREATE TABLE w AS SELECT i AS id, repeat('x', 500) AS t FROM generate_series(1, 200000) i"
    )
    columns = {"id": Type("integer"), "t": Type("text")}
    with endpoint.read(ReadSpec("w", ("id",), columns, batch_rows=10), mode="full") as read:
        assert next(read.batches()).records.num_rows == 10
    assert endpoint.version()
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'syncline' AND state = 'active'"
    row = database.execute(query).fetchone()
    assert row == (0,)


def test_fetch_answers_keys_by_their_place(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Each found record says which of the asked keys it answers; quotes and backslashes in keys are values."""
    database.execute("CREATE TABLE w (id text, n int, PRIMARY KEY (id, n))")
    keys = ['a"b', "a\\b", "a'b", "NULL", "{}", "a,b", ""]
    with database.cursor() as cursor:
        cursor.executemany("INSERT INTO w VALUES (%s, 1)", [(key,) for key in keys])
    asked = pa.table({"id": ["missing", *keys], "n": pa.array([1] * 8, pa.int32())})
    rows, misfits = endpoint.fetch(spec_of(endpoint, "w", ("id", "n")), asked)
    assert misfits == ()
    assert rows.schema.field("__row").type == pa.int32()
    assert {r["__row"]: r["id"] for r in rows.to_pylist()} == dict(enumerate(keys, 1))
    assert sum(k.num_rows for k in endpoint.keys(spec_of(endpoint, "w", ("id", "n")))) == 7


# --- delta by xmin --------------------------------------------------------------------------------


def changed(endpoint: PostgresEndpoint, since: str, table: str = "w") -> tuple[set[int], str]:
    rows, horizon = read_all(endpoint, spec_of(endpoint, table), "delta", since=since)
    return {row["id"] for row in rows}, horizon


def test_f01_a_late_commit_is_delivered(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], postgres_url: str
) -> None:
    """A transaction open across several deltas is delivered by the one after its commit; savepoints and all."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY, v int)")
    database.execute("INSERT INTO w VALUES (1, 0)")
    with psycopg.connect(postgres_url) as late:
        late.execute("INSERT INTO w VALUES (2, 0)")
        with late.transaction():  # a savepoint: a subtransaction's xid
            late.execute("UPDATE w SET v = 1 WHERE id = 1")
        _, horizon = read_all(endpoint, spec_of(endpoint, "w"))
        for number in (3, 4):
            database.execute("INSERT INTO w VALUES (%s, 0)", [number])
            ids, horizon = changed(endpoint, horizon)
            assert number in ids
            assert 2 not in ids
        late.commit()
    ids, horizon = changed(endpoint, horizon)
    assert {1, 2} <= ids
    assert changed(endpoint, horizon)[0] == set()


@pytest.mark.parametrize("rewrite", ["VACUUM FULL w", "VACUUM FREEZE w", "ANALYZE w"])
def test_maintenance_is_no_change(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], rewrite: str
) -> None:
    """Vacuuming, freezing and rewriting a table neither voids the checkpoint nor reads its rows again."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY)")
    database.execute("INSERT INTO w SELECT generate_series(1, 10)")
    database.execute("ALTER TABLE w ADD d int DEFAULT 7")
    _, horizon = read_all(endpoint, spec_of(endpoint, "w"))
    database.execute(rewrite)
    assert changed(endpoint, horizon)[0] == set()


F53 = {
    "a partition attached": (
        "CREATE TABLE w (id int) PARTITION BY RANGE (id); CREATE TABLE w1 PARTITION OF w FOR VALUES FROM (0) TO (9);"
        "CREATE TABLE w2 (id int); INSERT INTO w2 VALUES (10)",
        "ALTER TABLE w ATTACH PARTITION w2 FOR VALUES FROM (9) TO (99)",
        "partition",
    ),
    "a table swapped by rename": (
        "CREATE TABLE w (id int); CREATE TABLE other (id int)",
        "ALTER TABLE w RENAME TO gone; ALTER TABLE other RENAME TO w",
        "replaced",
    ),
    "an enum value renamed": (
        "CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE w (id int, m mood)",
        "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
        "enum",
    ),
    "a column with a fast default": (
        "CREATE TABLE w (id int); INSERT INTO w VALUES (1)",
        "ALTER TABLE w ADD d text DEFAULT 'x'",
        "columns",
    ),
    "a composite type changed": (
        "CREATE TYPE pair AS (a int); CREATE TABLE w (id int, p pair)",
        "ALTER TYPE pair ADD ATTRIBUTE b int",
        "columns",
    ),
}


@pytest.mark.parametrize("case", F53)
def test_f53_values_that_move_without_xmin_void_the_checkpoint(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], case: str
) -> None:
    """Where rows or values change and no xmin moves, the delta says that a full sync is needed."""
    before, during, reason = F53[case]
    database.execute(before.encode())
    _, horizon = read_all(endpoint, spec_of(endpoint, "w"))
    changed(endpoint, horizon)
    database.execute(during.encode())
    with pytest.raises(CheckpointVoid, match=reason):
        changed(endpoint, horizon)


def test_a_checkpoint_of_another_kind_or_timeline_is_void(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """No checkpoint, one of another watermark, another timeline, and 2^31 transactions each mean full."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY)")
    _, horizon = read_all(endpoint, spec_of(endpoint, "w"))
    facts = json.loads(horizon)
    for void in (
        "not json",
        json.dumps({**facts, "by": "timestamp"}),
        json.dumps({**facts, "timeline": "77"}),
        json.dumps({**facts, "x": facts["x"] - 2**31}),
    ):
        with pytest.raises(CheckpointVoid):
            changed(endpoint, void)


@pytest.mark.parametrize("change", [{"system": "1"}, {"database": "1"}, {"x": 2**40}])
def test_f23_f55_another_or_restored_database_stops(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], change: Mapping[str, Any]
) -> None:
    """Another system id or database, or a snapshot before the checkpoint's, stops the run by its guard."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY)")
    _, horizon = read_all(endpoint, spec_of(endpoint, "w"))
    with pytest.raises(GuardStopped) as stopped:
        changed(endpoint, json.dumps({**json.loads(horizon), **change}))
    assert stopped.value.reason == "other-database"


def test_a_delta_is_paged_by_key(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A delta goes on after a position, in the key's own order and not that of its text."""
    database.execute("CREATE TABLE w (id numeric PRIMARY KEY)")
    _, horizon = read_all(endpoint, spec_of(endpoint, "w"))
    database.execute("INSERT INTO w SELECT generate_series(1, 25)")
    rows = paged(endpoint, spec_of(endpoint, "w", batch_rows=4), "delta", since=horizon)
    assert [int(r["id"]) for r in rows] == list(range(1, 26))


def test_a_view_has_no_xmin(endpoint: PostgresEndpoint, database: psycopg.Connection[Any]) -> None:
    """Asking for xmin of a view is refused, with the way out."""
    database.execute("CREATE VIEW w AS SELECT 1 AS id")
    with pytest.raises(InputError, match="view"):
        read_all(endpoint, spec_of(endpoint, "w"))


# --- delta by timestamp ---------------------------------------------------------------------------


def timed(endpoint: PostgresEndpoint, **more: Any) -> ReadSpec:
    return spec_of(endpoint, "w", by="timestamp", cursor="at", **more)


@pytest.fixture
def stamped(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    database.execute("CREATE TABLE w (id int PRIMARY KEY, at timestamptz DEFAULT now())")
    database.execute("INSERT INTO w VALUES (1, now() - interval '1 day'), (2, NULL)")
    return database


def test_a_timestamp_delta_waits_for_open_transactions(
    endpoint: PostgresEndpoint, stamped: psycopg.Connection[Any], postgres_url: str
) -> None:
    """The horizon stays before the oldest open transaction, so that its rows come when it commits."""
    with psycopg.connect(postgres_url) as late:
        late.execute("INSERT INTO w (id) VALUES (3)")
        rows, horizon = read_all(endpoint, timed(endpoint))
        assert [r["id"] for r in rows] == [1, 2]
        stamped.execute("SELECT pg_sleep(1.2)")
        stamped.execute("INSERT INTO w (id) VALUES (4)")
        rows, horizon = read_all(endpoint, timed(endpoint), "delta", since=horizon)
        assert [r["id"] for r in rows] == [4, 2]  # and the row without a cursor, each time
        late.commit()
    rows, _ = read_all(endpoint, timed(endpoint), "delta", since=horizon)
    assert [r["id"] for r in rows] == [3, 4, 2]


def test_f08_many_rows_of_one_timestamp_are_paged(
    endpoint: PostgresEndpoint, stamped: psycopg.Connection[Any]
) -> None:
    """Rows of one instant, and those without, are read once each in pages of 7, in both passes."""
    _, horizon = read_all(endpoint, timed(endpoint))
    stamped.execute("INSERT INTO w SELECT i FROM generate_series(100, 199) i")
    stamped.execute("INSERT INTO w SELECT i, NULL FROM generate_series(200, 220) i")
    rows = paged(endpoint, timed(endpoint, batch_rows=7), "delta", since=horizon)
    assert [r["id"] for r in rows] == [*range(100, 200), 2, *range(200, 221)]


def test_f02_a_prepared_transaction_keeps_the_horizon(
    endpoint: PostgresEndpoint, stamped: psycopg.Connection[Any]
) -> None:
    """While a prepared transaction is open the horizon does not move, since nobody can tell when it began."""
    row = stamped.execute("SHOW max_prepared_transactions").fetchone()
    if row == ("0",):
        pytest.skip("this server allows no prepared transactions")
    _, horizon = read_all(endpoint, timed(endpoint))
    stamped.execute("BEGIN")
    stamped.execute("INSERT INTO w (id) VALUES (5)")
    stamped.execute("PREPARE TRANSACTION 'two'")
    try:
        _, held = read_all(endpoint, timed(endpoint), "delta", since=horizon)
        assert json.loads(held)["from"] == json.loads(horizon)["from"]
        assert json.loads(read_all(endpoint, timed(endpoint))[1])["from"] is None
    finally:
        stamped.execute("COMMIT PREPARED 'two'")
    assert 5 in {r["id"] for r in read_all(endpoint, timed(endpoint), "delta", since=held)[0]}


@pytest.fixture
def reader(postgres_url: str, database: psycopg.Connection[Any]) -> Iterator[PostgresEndpoint]:
    """The endpoint as a role that may only SELECT."""
    database.execute("DROP ROLE IF EXISTS syncline_reader")
    database.execute("CREATE ROLE syncline_reader LOGIN PASSWORD 'canary-secret'")
    database.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO syncline_reader")
    parts = psycopg.conninfo.conninfo_to_dict(postgres_url)
    where = f"{parts['host']}:{parts['port']}/{parts['dbname']}"
    made = PostgresEndpoint(f"postgresql://syncline_reader:canary-secret@{where}")
    yield made
    made.close()
    database.execute("DROP OWNED BY syncline_reader")
    database.execute("DROP ROLE syncline_reader")


def test_f05_f45_a_role_that_may_only_select_reads_by_xmin(
    reader: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """SELECT is enough for full, delta, fetch and keys by xmin; a timestamp cursor is refused with the GRANT."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY, at timestamptz)")
    database.execute("GRANT SELECT ON w TO syncline_reader")
    _, horizon = read_all(reader, spec_of(reader, "w"))
    database.execute("INSERT INTO w VALUES (1, now())")
    assert changed(reader, horizon)[0] == {1}
    assert (
        reader.fetch(spec_of(reader, "w"), pa.table({"id": pa.array([1], pa.int32())}))[0].num_rows
        == 1
    )
    with pytest.raises(InputError) as refused:
        read_all(reader, timed(reader))
    assert "GRANT pg_read_all_stats" in refused.value.hint
    assert "xmin" in refused.value.hint
    database.execute("GRANT pg_read_all_stats TO syncline_reader")
    assert len(read_all(reader, timed(reader))[0]) == 1
    database.execute("REVOKE SELECT ON w FROM syncline_reader")
    with pytest.raises(CredentialsRefused):
        read_all(reader, spec_of(reader, "w"))


def test_rights_on_some_columns_are_enough(
    reader: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A role that may read only some columns, and so may not lock the table, reads those."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY, secret text)")
    database.execute("REVOKE ALL ON w FROM syncline_reader")
    database.execute("GRANT SELECT (id) ON w TO syncline_reader")
    spec = ReadSpec("w", ("id",), {"id": Type("integer")}, "xmin")
    database.execute("INSERT INTO w VALUES (1, 'x')")
    rows, horizon = read_all(reader, spec)
    assert rows == [{"id": 1}]
    assert sum(keys.num_rows for keys in reader.keys(spec)) == 1
    with pytest.raises(CredentialsRefused, match="permission denied"):
        read_all(reader, spec, "delta", since=horizon)  # xmin is a column too


# --- writing --------------------------------------------------------------------------------------


def target(
    endpoint: PostgresEndpoint,
    table: str,
    key: Mapping[str, str],
    fields: Mapping[str, str],
    *,
    ledger: str | None = None,
    mapping: str = "m",
) -> TargetSpec:
    spec = TargetSpec(
        mapping,
        table,
        {name: parse_type(text) for name, text in key.items()},
        {name: parse_type(text) for name, text in fields.items()},
        ledger=ledger is not None,
        ledger_key=Type(ledger or "text"),
    )
    endpoint.prepare(spec)
    return spec


def ints(*values: int | None) -> pa.Array[Any]:
    return pa.array(values, pa.int64())


def seen(tx: Transaction, keys: pa.Table) -> Fetched:
    found = tx.fetch(keys)
    return Fetched(found.rows.sort_by("__row"), found.misfits)


def written(database: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return database.execute(query.encode()).fetchall()


@pytest.fixture
def things(endpoint: PostgresEndpoint, database: psycopg.Connection[Any]) -> TargetSpec:
    database.execute(
        "CREATE TABLE t (id bigint PRIMARY KEY, name varchar(5), n int CHECK (n < 100), code text UNIQUE)"
    )
    return target(
        endpoint, "t", {"id": "bigint"}, {"name": "text(5)", "n": "integer", "code": "text"}
    )


def a_batch(ids: Sequence[int], **fields: Sequence[Any]) -> pa.Table:
    types = {"name": pa.string(), "n": pa.int32(), "code": pa.string()}
    columns = {
        name: pa.array(fields.get(name, [None] * len(ids)), type_) for name, type_ in types.items()
    }
    return pa.table({"id": pa.array(ids, pa.int64()), **columns})


def test_insert_lands_what_is_new_and_leaves_what_is_taken(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec
) -> None:
    """Where a key is already taken the other rows land, and the taken one is neither landed nor refused."""
    database.execute("INSERT INTO t VALUES (2, 'own')")
    with endpoint.begin(things) as tx:
        result = tx.insert(a_batch([1, 2, 3, 3], name=["a", "b", "c", "d"]))
        assert result.landed.tolist() == [True, False, True, False]
        assert result.refused == ()
        tx.commit()
    assert written(database, "SELECT id, name FROM t ORDER BY id") == [
        (1, "a"),
        (2, "own"),
        (3, "c"),
    ]


def test_f25_one_bad_record_does_not_stop_the_others(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec
) -> None:
    """Each refused record is found among the rest and told by kind; all others land."""
    database.execute("INSERT INTO t (id, code) VALUES (500, 'taken')")
    rows = a_batch(
        range(300),
        name=["toolong" if i == 7 else "a\0b" if i == 8 else "ok" for i in range(300)],
        n=[100 if i == 150 else 1 for i in range(300)],
        code=["taken" if i == 299 else None for i in range(300)],
    )
    with endpoint.begin(things) as tx:
        result = tx.insert(rows)
        tx.commit()
    assert [(r.row, r.kind) for r in result.refused] == [
        (7, "value"), (8, "value"), (150, "constraint"), (299, "constraint"),
    ]  # fmt: skip
    assert result.landed.sum() == 296
    assert written(database, "SELECT count(*) FROM t") == [(297,)]


def test_update_writes_the_moved_fields_only(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec
) -> None:
    """Each row sets exactly its moved fields; columns that did not move are not named, so their triggers rest."""
    database.execute("INSERT INTO t VALUES (1, 'a', 1, 'x'), (2, 'b', 2, 'y'), (3, 'c', 3, 'z')")
    database.execute("CREATE TABLE fired (id bigint)")
    database.execute(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO fired VALUES (NEW.id); RETURN NEW; END'"
    )
    database.execute(
        "CREATE TRIGGER g BEFORE UPDATE OF code ON t FOR EACH ROW EXECUTE FUNCTION f()"
    )
    rows = a_batch([1, 2, 3], name=["A", "B", "C"], n=[10, None, 30], code=["X", "Y", "Z"])
    moved = {
        "name": np.array([True, False, False]),
        "n": np.array([True, True, False]),
        "code": np.array([False, False, True]),
    }
    with endpoint.begin(things) as tx:
        result = tx.update(rows, moved, seen(tx, rows.select(["id"])))
        assert result.landed.all()
        tx.commit()
    assert written(database, "SELECT * FROM t ORDER BY id") == [
        (1, "A", 10, "x"), (2, "b", None, "y"), (3, "c", 3, "Z"),
    ]  # fmt: skip
    assert written(database, "SELECT * FROM fired") == [(3,)]


@pytest.mark.parametrize("how", ["update", "delete"])
def test_f47_a_record_edited_since_it_was_fetched_is_left(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec, how: str
) -> None:
    """An edit committed between fetch and write is never overwritten: the row is told as not landed."""
    database.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    rows = a_batch([1, 2, 3], name=["A", "B", "C"])
    with endpoint.begin(things) as tx:
        current = seen(tx, rows.select(["id"]))
        database.execute("UPDATE t SET n = 7 WHERE id = 2")
        if how == "update":
            result = tx.update(rows, {"name": np.ones(3, np.bool_)}, current)
        else:
            result = tx.delete(rows.select(["id"]), current)
        assert result.landed.tolist() == [True, False, True]
        assert result.refused == ()
        tx.commit()
    assert (2, "b", 7) in written(database, "SELECT id, name, n FROM t")


def test_f47_an_edit_in_flight_is_waited_for_and_left(
    endpoint: PostgresEndpoint,
    database: psycopg.Connection[Any],
    things: TargetSpec,
    postgres_url: str,
) -> None:
    """Where another transaction holds the row when ours writes, its commit wins and ours is told as not landed."""
    database.execute("INSERT INTO t VALUES (1, 'a')")
    rows = a_batch([1], name=["A"])
    with endpoint.begin(things) as tx, psycopg.connect(postgres_url) as other:
        current = seen(tx, rows.select(["id"]))
        other.execute("UPDATE t SET name = 'their' WHERE id = 1")
        timer = threading.Timer(0.5, other.commit)
        timer.start()
        result = tx.update(rows, {"name": np.ones(1, np.bool_)}, current)
        timer.join()
        assert not result.landed.any()
        tx.commit()
    assert written(database, "SELECT name FROM t") == [("their",)]


def test_update_and_delete_bisect_to_the_refused_record(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec
) -> None:
    """A check or foreign key that refuses one row of an update or delete leaves the others written."""
    database.execute("INSERT INTO t SELECT i, 'a', 1 FROM generate_series(1, 20) i")
    database.execute("CREATE TABLE child (t bigint REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
    database.execute("INSERT INTO child VALUES (13)")
    rows = a_batch(range(1, 21), n=[100 if i == 5 else 2 for i in range(1, 21)])
    keys = rows.select(["id"])
    with endpoint.begin(things) as tx:
        result = tx.update(rows, {"n": np.ones(20, np.bool_)}, seen(tx, keys))
        assert [(r.row, r.kind) for r in result.refused] == [(4, "constraint")]
        assert result.landed.sum() == 19
        result = tx.delete(keys, seen(tx, keys))
        assert [(r.row, r.kind) for r in result.refused] == [(12, "constraint")]
        assert result.landed.sum() == 19
        tx.commit()
    assert written(database, "SELECT id FROM t") == [(13,)]


WRITABLE = [
    ("boolean", "bool", [True, False]),
    ("smallint", "smallint", [-5, 5]),
    ("numeric(14,2)", "decimal(14,2)", ["-1.50", "99.99"]),
    ("numeric", "decimal", ["1.5", "123456789012345678901234567890123456789012345.5"]),
    ("money", "decimal(19,2)", ["-1.50", "12.34"]),
    ("real", "real", [1.5, -2.5]),
    ("text", "text", ["a", ""]),
    ("char(4)", "text(4)", ["ab", "abcd"]),
    ("bytea", "bytes", [b"\x00", b""]),
    ("date", "date", ["0001-01-01", "9999-12-31"]),
    ("time", "time", [dt.time(0), dt.time(23, 59, 59, 999999)]),
    ("timestamp", "timestamp", ["0001-01-01 00:00:00", "2024-01-01 00:00:00.000001"]),
    ("timestamptz", "timestamptz", ["9999-12-31 23:59:59.999999Z", "2024-01-01 00:00:00Z"]),
    ("uuid", "uuid", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"] * 2),
    ("jsonb", "json", ['{"a": [1.50, null]}', '"x"']),
    ("json", "json", ['{"b":1,  "a":2}', "null"]),
    ("mood", "text", ["sad", "glad"]),
    ("mood[]", "json", ['["sad", "glad"]', "[]"]),
    ("int[]", "json", ["[[1, 2], [3, 4]]", "[1, null]"]),
    ("numeric[]", "json", ["[12345678901234567890.10]", "[1]"]),
    ("text[]", "json", ['["a,b", "{}", "\\""]', '["NULL", null]']),
    ("interval", "text", ["P1DT2H", "P1Y"]),
    ("inet", "text", ["10.0.0.1", "::1"]),
    ("bit(3)", "text", ["101", "000"]),
    ("int4range", "text", ["[1,5)", "empty"]),
    ("short_text", "text(10)", ["x", "y"]),
]


@pytest.mark.usefixtures("own_types")
@pytest.mark.parametrize(("native", "canonical", "values"), WRITABLE)
def test_every_type_is_written_and_read_back_the_same(
    endpoint: PostgresEndpoint,
    database: psycopg.Connection[Any],
    native: str,
    canonical: str,
    values: list[Any],
) -> None:
    """Inserted straight or cast on the way, then updated: what is read back is what was written."""
    database.execute(f"CREATE TABLE v (id bigint PRIMARY KEY, c {native})")
    spec = target(endpoint, "v", {"id": "bigint"}, {"c": canonical})
    arrow = spec.fields["c"].arrow
    text = pa.array([str(v) for v in values], pa.string())
    array = (
        pa.array(values, arrow)
        if isinstance(values[0], bool | int | float | bytes | dt.time)
        else text.cast(arrow)
    )
    with endpoint.begin(spec) as tx:
        result = tx.insert(pa.table({"id": ints(1, 2), "c": array}))
        assert result.refused == ()
        current = seen(tx, pa.table({"id": ints(1, 2)}))
        assert current.misfits == ()
        assert current.rows.column("c").combine_chunks() == array
        swapped = array.take(pa.array([1, 0]))
        result = tx.update(
            pa.table({"id": ints(1, 2), "c": swapped}), {"c": np.ones(2, np.bool_)}, current
        )
        assert result.landed.all()
        again = seen(tx, pa.table({"id": ints(1, 2)}))
        assert again.rows.column("c").combine_chunks() == swapped
        assert again.rows.schema.field("c").type == arrow


def test_values_that_a_column_would_cut_are_refused(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Nothing is cut on its way through a cast: too many bits, too long an element, no such label."""
    database.execute("CREATE TYPE mood AS ENUM ('sad')")
    database.execute(
        "CREATE TABLE v (id bigint PRIMARY KEY, b bit(3), a varchar(2)[], m mood, u uuid)"
    )
    fields = {"b": "text", "a": "json", "m": "text", "u": "uuid"}
    spec = target(endpoint, "v", {"id": "bigint"}, fields)
    rows = pa.table(
        {
            "id": ints(1, 2, 3, 4, 5),
            "b": ["101", "1010", None, None, None],
            "a": ['["ab"]', None, '["abc"]', None, None],
            "m": ["sad", None, None, "glad", None],
            "u": [None, None, None, None, "not-a-uuid"],
        }
    )
    with endpoint.begin(spec) as tx:
        result = tx.insert(rows)
        assert [(r.row, r.kind) for r in result.refused] == [(i, "value") for i in (1, 2, 3, 4)]
        assert result.landed.tolist() == [True, False, False, False, False]


def test_uuid_and_composite_keys_are_fetched_inserted_and_deleted(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Keys of other types and of several columns go through every operation, straight and past a collision."""
    database.execute("CREATE TABLE v (u uuid, d date, PRIMARY KEY (d, u))")
    spec = target(endpoint, "v", {"u": "uuid", "d": "date"}, {})
    uuids = [f"00000000-0000-0000-0000-{i:012d}" for i in range(4)]
    rows = pa.table({"u": uuids, "d": pa.array([19000 + i for i in range(4)], pa.date32())})
    with endpoint.begin(spec) as tx:
        assert tx.insert(rows.slice(0, 2)).landed.all()
        assert tx.insert(rows).landed.tolist() == [False, False, True, True]
        current = seen(tx, rows)
        assert current.rows.column("u").to_pylist() == uuids
        assert tx.delete(rows.slice(1, 2), Fetched(current.rows.slice(1, 2))).landed.all()
        assert sum(k.num_rows for k in tx.scan_keys()) == 2


def test_an_identity_key_and_a_key_without_index_are_written(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """GENERATED ALWAYS keys take the source's value; without a unique index a taken key is still left alone."""
    database.execute("CREATE TABLE a (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)")
    database.execute("CREATE TABLE b (id bigint, v text)")
    for table in ("a", "b"):
        spec = target(endpoint, table, {"id": "bigint"}, {"v": "text"})
        with endpoint.begin(spec) as tx:
            assert tx.is_empty()
            assert tx.insert(pa.table({"id": ints(7), "v": ["x"]})).landed.all()
            assert tx.insert(pa.table({"id": ints(7, 8), "v": ["y", "z"]})).landed.tolist() == [
                False,
                True,
            ]
            assert not tx.is_empty()
            tx.commit()
        assert written(database, f"SELECT * FROM {table} ORDER BY id") == [(7, "x"), (8, "z")]


def test_a_partitioned_target_is_updated_by_version(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Rows of two partitions at the same place in their files are told apart."""
    database.execute("CREATE TABLE v (id bigint PRIMARY KEY, n int) PARTITION BY RANGE (id)")
    database.execute("CREATE TABLE v1 PARTITION OF v FOR VALUES FROM (0) TO (10)")
    database.execute("CREATE TABLE v2 PARTITION OF v FOR VALUES FROM (10) TO (20)")
    database.execute("INSERT INTO v VALUES (1, 1), (11, 11)")
    spec = target(endpoint, "v", {"id": "bigint"}, {"n": "integer"})
    with endpoint.begin(spec) as tx:
        current = seen(tx, pa.table({"id": ints(1, 11)}))
        rows = pa.table({"id": ints(11), "n": pa.array([5], pa.int32())})
        assert tx.update(
            rows, {"n": np.ones(1, np.bool_)}, Fetched(current.rows.slice(1))
        ).landed.all()
        tx.commit()
    assert written(database, "SELECT * FROM v ORDER BY id") == [(1, 1), (11, 5)]


def test_f22_a_column_changed_between_batches_is_seen(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A column whose type changes to one of the same width is not filled with another type's bits."""
    database.execute("CREATE TABLE v (id bigint PRIMARY KEY, n bigint)")
    spec = target(endpoint, "v", {"id": "bigint"}, {"n": "bigint"})
    with endpoint.begin(spec) as tx:
        tx.insert(pa.table({"id": ints(1), "n": ints(1)}))
        tx.commit()
    database.execute("ALTER TABLE v ALTER n TYPE double precision")
    with endpoint.begin(spec) as tx:
        tx.insert(pa.table({"id": ints(2), "n": ints(2)}))
        tx.commit()
    assert written(database, "SELECT n FROM v ORDER BY id") == [(1.0,), (2.0,)]
    database.execute("ALTER TABLE v DROP n")
    with pytest.raises(InputError, match="no column 'n'"), endpoint.begin(spec):
        pass


def test_leaving_without_commit_rolls_back(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec
) -> None:
    """Rows, ledger and state of a transaction that did not commit are not there."""
    with endpoint.begin(things) as tx:
        tx.insert(a_batch([1]))
        tx.put_state(epoch=1, holder="h", lease_seconds=1, document="{}", expected_epoch=None)
    assert written(database, "SELECT count(*) FROM t") == [(0,)]
    with endpoint.begin(things) as tx:
        assert tx.state() is None


# --- ledger, state, errors ------------------------------------------------------------------------


def ledger_rows(keys: Sequence[Any], s: bytes = b"12345678", hold: int = 0) -> pa.Table:
    count = len(keys)
    return pa.table(
        {
            "k": pa.array(keys),
            "s": pa.array([s] * count, pa.binary()),
            "t": pa.nulls(count, pa.binary()),
            "held": pa.nulls(count, pa.binary()),
            "gone": pa.array([0] * count, pa.int16()),
            "hold": pa.array([hold] * count, pa.int16()),
            "layout": pa.array([1] * count, pa.int32()),
            "epoch": pa.array([3] * count, pa.int64()),
        }
    )


@pytest.mark.parametrize(("kind", "keys"), [("bigint", [1, 2, 3]), ("text", ["a", 'B"\\', "'á,"])])
def test_the_ledger_keeps_what_it_is_given(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], kind: str, keys: list[Any]
) -> None:
    """Fresh rows, replaced rows and rows whose freshness was a false promise all read back as last put."""
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
    spec = target(endpoint, "t", {"id": "bigint"}, {}, ledger=kind)
    arrow = spec.ledger_key.arrow
    with endpoint.begin(spec) as tx:
        assert tx.ledger_is_empty()
        tx.ledger_put(ledger_rows(keys[:2]), fresh=True)
        tx.ledger_put(ledger_rows(keys, s=b"x" * 8, hold=1), fresh=True)
        tx.ledger_put(ledger_rows(keys[2:], s=b"y" * 8), fresh=False)
        assert not tx.ledger_is_empty()
        tx.commit()
    with endpoint.begin(spec, write=False) as tx:
        found = tx.ledger_fetch(pa.array([keys[2], keys[0]], arrow)).sort_by("__row")
        assert found.column("k").to_pylist() == [keys[2], keys[0]]
        assert found.column("s").to_pylist() == [b"y" * 8, b"x" * 8]
        assert found.drop_columns(["__row"]).schema.equals(ledger_rows(keys).schema)
        assert sorted(tx.ledger_holds().column("k").to_pylist()) == sorted(keys[:2])
        assert sum(part.num_rows for part in tx.ledger_scan()) == 3


def test_scans_go_on_beside_other_statements(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Keys and ledger are scanned while rows are deleted in the same transaction."""
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
    database.execute("INSERT INTO t SELECT generate_series(1, 120000)")
    spec = target(endpoint, "t", {"id": "bigint"}, {}, ledger="bigint")
    with endpoint.begin(spec) as tx:
        total = 0
        for keys in tx.scan_keys():
            total += keys.num_rows
            assert tx.delete(keys, seen(tx, keys)).landed.all()
        assert total == 120_000
        assert tx.is_empty()


def test_the_state_row_is_written_only_at_its_epoch(
    endpoint: PostgresEndpoint, things: TargetSpec, postgres_url: str
) -> None:
    """The row is made once, moves only from the expected epoch, runs on the server's clock, and is locked."""
    with endpoint.begin(things) as tx:
        assert tx.state() is None
        assert tx.put_state(
            epoch=1, holder="a", lease_seconds=60, document='{"é": "\\\\"}', expected_epoch=None
        )
        assert not tx.put_state(
            epoch=1, holder="b", lease_seconds=60, document="{}", expected_epoch=None
        )
        assert not tx.put_state(
            epoch=2, holder="b", lease_seconds=60, document="{}", expected_epoch=7
        )
        tx.commit()
    with endpoint.begin(things) as tx:
        state = tx.state()
        assert state is not None
        assert (state.epoch, state.holder, state.document) == (1, "a", '{"é": "\\\\"}')
        assert state.lease_until is not None
        assert 55 < (state.lease_until - state.now).total_seconds() <= 60
        with psycopg.connect(postgres_url) as other, pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT FROM syncline_state FOR UPDATE NOWAIT")
        assert tx.put_state(epoch=2, holder="", lease_seconds=None, document="{}", expected_epoch=1)
        tx.commit()
    with endpoint.begin(things, write=False) as tx:
        state = tx.state()
    assert state is not None
    assert state.lease_until is None


def test_looking_needs_no_tables_and_writes_nothing(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Without state and ledger tables a look reads them as empty, and a write in it is refused."""
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
    spec = TargetSpec("m", "t", {"id": Type("bigint")}, {}, ledger=True, ledger_key=Type("bigint"))
    with endpoint.begin(spec, write=False) as tx:
        assert tx.state() is None
        assert tx.ledger_is_empty()
        assert tx.ledger_fetch(pa.array([1], pa.int64())).num_rows == 0
        assert tx.ledger_holds().num_rows == 0
        assert list(tx.ledger_scan()) == []
        with pytest.raises(CredentialsRefused):
            tx.insert(pa.table({"id": ints(1)}))


def test_a_ledger_is_made_under_concurrency_and_dropped(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Four prepare at once without an error; a long mapping name is cut to what PostgreSQL holds, and dropped alone."""
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
    mapping = "a_mapping_" * 9
    spec = TargetSpec(mapping, "t", {"id": Type("bigint")}, {}, ledger=True)
    failed: list[Exception] = []

    def prepare() -> None:
        try:
            endpoint.prepare(spec)
        except Exception as error:  # noqa: BLE001 - counted below
            failed.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(ledger_name(mapping)) == 63
    assert ledger_name(mapping) != ledger_name(mapping + "x")
    assert endpoint.tables() == ["public.t"]
    endpoint.drop_ledger(mapping)
    found = written(
        database, "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'syncline_ledger%'"
    )
    assert found == [(0,)]
    endpoint.drop_ledger(mapping)


def test_create_table_makes_the_types_that_it_describes(endpoint: PostgresEndpoint) -> None:
    """A created table has its key, and every column the canonical type it was asked for."""
    names = ["bool", "smallint", "integer", "bigint", "real", "double", "text", "text(7)", "bytes", "date", "time", "timestamp", "timestamp(3)", "timestamptz", "uuid", "json", "decimal", "decimal(14,2)"]
    fields = {f"c{i}": endpoint.fits(parse_type(name)) for i, name in enumerate(names)}
    endpoint.create_table("public.made", {"k": Type("bigint")}, fields)
    info = endpoint.describe("made")
    assert info is not None
    assert info.primary_key == ("k",)
    assert {n: c.type for n, c in info.columns.items()} == {"k": Type("bigint"), **fields}
    with pytest.raises(InputError, match="already exists"):
        endpoint.create_table("public.made", {"k": Type("bigint")}, {})


def test_f15_a_terminated_backend_is_unreachable_and_then_replaced(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec
) -> None:
    """A connection that is cut raises Unreachable in the middle of work, at COMMIT too; the next call has a new one."""
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'syncline'"
    )
    with pytest.raises(Unreachable), endpoint.begin(things) as tx:
        tx.insert(a_batch([1]))
        database.execute(kill)
        tx.commit()
    database.execute(kill)
    with endpoint.begin(things) as tx:
        assert tx.is_empty()
    with pytest.raises(Unreachable), endpoint.begin(things) as tx:
        database.execute(kill)
        tx.insert(a_batch([1]))


def test_f18_a_deadlock_is_transient(
    endpoint: PostgresEndpoint,
    database: psycopg.Connection[Any],
    things: TargetSpec,
    postgres_url: str,
) -> None:
    """Two transactions that wait for each other: the one PostgreSQL ends says that it may be retried whole."""
    database.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    rows = a_batch([1, 2], name=["x", "y"])
    moved = {"name": np.ones(1, np.bool_)}
    with psycopg.connect(postgres_url) as other:
        other.execute("SET deadlock_timeout = '30s'")
        other.execute("UPDATE t SET n = 1 WHERE id = 2")
        waiting = threading.Thread(target=other.execute, args=["UPDATE t SET n = 1 WHERE id = 1"])
        with pytest.raises(Transient), endpoint.begin(things) as tx:
            current = seen(tx, rows.select(["id"]))
            tx.update(rows.slice(0, 1), moved, Fetched(current.rows.slice(0, 1)))
            waiting.start()
            while written(database, "SELECT FROM pg_locks WHERE NOT granted") == []:
                time.sleep(0.01)
            tx.update(rows.slice(1, 1), moved, Fetched(current.rows.slice(1, 1)))
        waiting.join()


def test_bad_connections_are_told_apart_and_hide_the_password(postgres_url: str) -> None:
    """Unreachable, refused, and misnamed each raise their own error; no message or repr has the password."""
    parts = psycopg.conninfo.conninfo_to_dict(postgres_url)
    host, port, user = parts["host"], parts["port"], parts["user"]
    cases = [
        (f"postgresql://u:canary-secret@127.0.0.1:1/{'x'}", Unreachable),
        (f"postgresql://no_such_role:canary-secret@{host}:{port}/postgres", CredentialsRefused),
        (f"postgresql://{user}:canary-secret@{host}:{port}/no_such_database", InputError),
    ]
    for url, error in cases:
        endpoint = PostgresEndpoint(url, connect_timeout=3)
        with pytest.raises(error) as raised:
            endpoint.version()
        assert "canary" not in str(raised.value) + raised.value.hint + repr(endpoint)
    with pytest.raises(InputError) as raised:
        PostgresEndpoint("postgresql://u:canary-secret@[bad/x")
    assert "canary" not in str(raised.value)


def test_a_statement_timeout_is_unreachable(
    postgres_url: str, database: psycopg.Connection[Any]
) -> None:
    """A statement past its time raises Unreachable; a stream is not such a statement."""
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
    database.execute("INSERT INTO t VALUES (1)")
    endpoint = PostgresEndpoint(postgres_url, statement_timeout=0.5)
    spec = target(endpoint, "t", {"id": "bigint"}, {})
    with psycopg.connect(postgres_url) as other, endpoint.begin(spec) as tx:
        current = seen(tx, pa.table({"id": ints(1)}))
        other.execute("SELECT FROM t FOR UPDATE")
        with pytest.raises(Unreachable, match="statement timeout"):
            tx.delete(pa.table({"id": ints(1)}), current)
    endpoint.close()


def test_missing_tables_and_columns_are_input_errors(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A table or column that is not there is told by name, before anything is read or written."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY)")
    with pytest.raises(InputError, match="there is no table"):
        read_all(endpoint, ReadSpec("nowhere", ("id",), {"id": Type("integer")}))
    with pytest.raises(InputError, match="no column 'x'"):
        read_all(endpoint, ReadSpec("w", ("id",), {"id": Type("integer"), "x": Type("text")}))
