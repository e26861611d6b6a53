"""SQLite's values: any column may hold any, and an affinity may change what is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal

import pytest

from syncline.endpoints.base import TargetSpec
from syncline.endpoints.sqlite import SqliteEndpoint
from syncline.record import TYPE_NAMES, Type, parse_type
from tests.endpoints.sqlite_bench import (
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


@pytest.mark.parametrize("name", [*TYPE_NAMES, "decimal(14,2)", "timestamptz(3)", "text(40)"])
def test_a_created_column_is_described_as_what_fits_said(
    endpoint: SqliteEndpoint, name: str
) -> None:
    """`fits` tells before the table is made what `describe` tells after."""
    type_ = parse_type(name)
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": type_})
    assert info_of(endpoint).columns["v"].type == endpoint.fits(type_)


@pytest.mark.parametrize(
    ("declared", "literal", "expected"),
    [
        ("INTEGER", "9223372036854775807", 9223372036854775807),
        ("INTEGER", "'12x'", "a str is no bigint"),
        ("INTEGER", "1.5", "is no whole number"),
        ("INTEGER", "9223372036854775808", "is out of range for bigint"),
        ("REAL", "1", 1.0),
        ("REAL", "9e999", float("inf")),
        ("REAL", "'x'", "a str is no double"),
        ("TEXT", "12", "12"),
        ("TEXT", "x'6162'", "a bytes is no text"),
        ("TEXT", "CAST(x'ff41' AS TEXT)", "has a lone surrogate, which is no text"),
        ("BLOB", "'ab'", "a str is no bytes"),
        ("BLOB", "x'00ff'", b"\x00\xff"),
        ("BOOLEAN", "1", True),
        ("BOOLEAN", "2", "a int is no bool"),
        ("BOOLEAN", "'true'", "a str is no bool"),
        ("DECIMAL(10,2)", "'12.30'", Decimal("12.30")),
        ("DECIMAL(10,2)", "0.1+0.2", "has more than 2 digits after the point"),
        ("DECIMAL(10,2)", "'abc'", "is no decimal"),
        ("DECIMAL(4,2)", "100", "has more digits than decimal(4,2)"),
        ("NUMERIC", "'1e3'", "1000"),
        ("DECIMALTEXT(38,4)", "'1234567890123456789012345678901234.5678'",
         Decimal("1234567890123456789012345678901234.5678")),
        ("DATE", "'2024-02-29'", "2024-02-29"),
        ("DATE", "'2024-02-30'", "is no date"),
        ("DATE", "'20240229'", "a int is no date"),  # NUMERIC affinity
        ("DATE", "1709164800", "a int is no date"),
        ("TIME", "'23:59:59.999999'", "23:59:59.999999"),
        ("TIME", "'24:00:00'", "is no time"),
        ("TIMESTAMP", "'2024-01-01T10:00:00Z'", "2024-01-01 10:00:00"),
        ("TIMESTAMP", "'2024-01-01 10:00'", "2024-01-01 10:00:00"),
        ("TIMESTAMP", "'2024-01-01'", "2024-01-01 00:00:00"),
        ("TIMESTAMP", "'2024-01-01 10:00:00+02:00'", "names a zone, where a timestamp has none"),
        ("TIMESTAMP", "'2024-01-01 10:00:00.1234567'", "is no ISO timestamp"),
        ("TIMESTAMP", "'0000-00-00 00:00:00'", "is no timestamp"),
        ("TIMESTAMP", "'01/02/2024'", "is no ISO timestamp"),
        ("TIMESTAMP", "1704103200", "a int is no timestamp"),
        ("TIMESTAMPTZ", "'2024-01-01 10:00:00.5+02:00'", "2024-01-01 08:00:00.500000+00:00"),
        ("TIMESTAMPTZ", "CURRENT_TIMESTAMP", None),
        ("UUID", "'6CCD780C-BABA-1026-9564-5B8C656024DB'", "6ccd780c-baba-1026-9564-5b8c656024db"),
        ("UUID", "x'6ccd780cbaba102695645b8c656024db'", "6ccd780c-baba-1026-9564-5b8c656024db"),
        ("UUID", "'x'", "is no uuid"),
        ("JSONTEXT", "'{\"a\": 1.50}'", '{"a": 1.50}'),
        ("JSONTEXT", "'{a: 1}'", "is no json"),
        ("JSONTEXT", "'NaN'", "is no json"),
        ("JSONTEXT", r"""'"\ud800"'""", "is no json"),
        ("STRING", "'007'", "7"),
        ("", "x'00'", "a bytes is no text"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_its_declared_type_is_a_misfit(
    endpoint: SqliteEndpoint, declared: str, literal: str, expected: object
) -> None:
    """A value comes as the type says, exactly, or as NULL with a misfit.

    Never changed in silence.
    """
    endpoint.create_table("made", {"id": Type("bigint")}, {})
    with closing(sqlite3.connect(endpoint.path, isolation_level=None)) as raw:
        raw.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
        raw.execute(f"INSERT INTO t VALUES (1, {literal}), (2, NULL)")
    with endpoint.read(read_spec(info_of(endpoint), "id", rows=10), mode="full") as read:
        (batch,) = read.batches()
    value, null = batch.records.column("v").to_pylist()
    assert null is None
    if batch.misfits:
        assert value is None
        assert [(m.row, m.field, m.reason) for m in batch.misfits] == [(0, "v", expected)]
    else:
        assert value is not None
        assert expected is None or value == expected or str(value) == expected


@pytest.mark.parametrize(
    ("declared", "type_", "value", "reason"),
    [
        ("DOUBLE", "double", float("nan"), "NaN"),
        ("DECIMAL(30,4)", "decimal(30,4)", Decimal("12345678901234567.8901"), "15 digits"),
        ("STRING", "text", "007", "15 digits"),
        ("TEXT NOT NULL", "text", None, "NOT NULL"),
    ],
)
def test_what_sqlite_would_change_in_silence_is_refused(
    endpoint: SqliteEndpoint, declared: str, type_: str, value: object, reason: str
) -> None:
    """NaN would become NULL, and a NUMERIC affinity keeps 15 digits.

    Such a record is a dead letter.
    """
    endpoint.create_table("made", {"id": Type("bigint")}, {})
    with closing(sqlite3.connect(endpoint.path)) as raw:
        raw.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
    spec = TargetSpec("m", "t", {"id": Type("bigint")}, {"v": parse_type(type_)})
    written = insert(endpoint, spec, [{"id": 1, "v": value}])
    assert not written.landed.any()
    assert written.refused[0].kind == "value"
    assert reason in written.refused[0].message


def test_a_decimal_with_numeric_affinity_goes_through_where_fifteen_digits_hold_it(
    endpoint: SqliteEndpoint, other: sqlite3.Connection
) -> None:
    """A DECIMAL column of somebody else's table is written and read exactly, where it can be."""
    endpoint.create_table("made", {"id": Type("bigint")}, {})
    other.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v DECIMAL(14,2))")
    spec = target_spec(info_of(endpoint), "id")
    given = [Decimal("12.30"), Decimal("-999999999999.99"), Decimal("5.00")]
    assert insert(endpoint, spec, [{"id": i, "v": v} for i, v in enumerate(given)]).landed.all()
    with endpoint.begin(spec, write=False) as tx:
        rows = tx.fetch(table_of(spec, [{"id": i} for i in range(3)]).select(["id"])).rows
    assert rows.column("v").to_pylist() == given
