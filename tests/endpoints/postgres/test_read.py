"""Reads of PostgreSQL: one snapshot, paged in the database, resumed exactly."""

from __future__ import annotations

from typing import Any

import psycopg
import pyarrow as pa
import pytest

from syncline.endpoints.base import (
    Comparison,
    Range,
    ReadSpec,
)
from syncline.endpoints.postgres import PostgresEndpoint
from syncline.errors import (
    InputError,
)
from syncline.record import Type
from tests.endpoints.postgres.support import (
    paged,
    read_all,
    rows_of,
    spec_of,
)


def a_locale(database: psycopg.Connection[Any]) -> str:
    """A collation of this server that orders `a` before `B`, as no comparison of bytes does."""
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
    """Keys ordered neither as text nor as bytes, but by the database alone, are read once each."""
    words = ["zulu", "Alpha", "alpha", "Zulu", "mike", "ß", "0", ""]
    database.execute(f"CREATE TYPE callsign AS ENUM ({', '.join(repr(w) for w in words)})".encode())
    database.execute("CREATE TABLE w (id callsign, n int, PRIMARY KEY (id, n))")
    database.execute(
        "INSERT INTO w SELECT c, n"
        " FROM unnest(enum_range(NULL::callsign)) c, generate_series(1, 3) n"
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
    """A read goes on exactly after the last key, whatever its type, and past a misfit too."""
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
    """A backfill reads `[start, end)` of key or cursor; filters on whole numbers are applied."""
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
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'syncline' AND state = 'active'"
    )
    row = database.execute(query).fetchone()
    assert row == (0,)


def test_fetch_answers_keys_by_their_place(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Each record says which of the asked keys it answers; quotes in keys are only values."""
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
