"""Values of every PostgreSQL type, read: exact, or a misfit."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from syncline.endpoints.postgres import PostgresEndpoint
from tests.endpoints.postgres.support import (
    spec_of,
)

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
    ("numeric", "'NaN'", "NaN"),
    ("numeric", "'-Infinity'", "-Infinity"),
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
    ("int[]", "'[0:1]={1,2}'", "[0:1]={1,2}"),
]


@pytest.mark.usefixtures("own_types")
def test_every_type_is_read_as_its_canonical_value(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A value of every built-in type crosses exactly, in the canonical type of its column."""
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
    """What the canonical type can't hold is NULL beside a misfit, as PostgreSQL writes it."""
    database.execute(f"CREATE TABLE v (id int PRIMARY KEY, c {native})")
    database.execute(f"INSERT INTO v VALUES (1, NULL), (2, {value})")
    with endpoint.read(spec_of(endpoint, "v"), mode="full") as read:
        (batch,) = read.batches()
    assert batch.records.column("c").to_pylist() == [None, None]
    assert [(m.row, m.field, m.value) for m in batch.misfits] == [(1, "c", told)]


def test_a_column_can_be_read_as_another_type(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A type other than the column's own is given where the value is the same, else a misfit."""
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
