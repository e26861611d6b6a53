"""MariaDB's and MySQL's types and keys: silent changes and collations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from syncline.endpoints.base import TargetSpec
from syncline.endpoints.mysql import MysqlEndpoint
from syncline.errors import InputError
from syncline.record import TYPE_NAMES, Type, parse_type
from tests.endpoints.mariadb_bench import (
    LOOKALIKES,
    Raw,
    all_of,
    info_of,
    insert,
    read_spec,
    table_of,
    target_spec,
)


@pytest.fixture
def raw(mariadb_url: str) -> Iterator[Raw]:
    session = Raw(mariadb_url)
    with closing(session):
        yield session


@pytest.fixture
def endpoint(mariadb_url: str) -> Iterator[MysqlEndpoint]:
    made = MysqlEndpoint(mariadb_url)
    yield made
    made.close()


# --- types ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [*TYPE_NAMES, "decimal(14,2)", "decimal(50,10)", "timestamptz(3)", "time(0)", "text(40)"],
)
def test_a_created_column_is_described_as_what_fits_said(
    endpoint: MysqlEndpoint, name: str
) -> None:
    """`fits` tells before the table is made what `describe` tells after."""
    type_ = parse_type(name)
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": type_})
    assert info_of(endpoint).columns["v"].type == endpoint.fits(type_)


def test_a_decimal_wider_than_any_column_has_no_type(endpoint: MysqlEndpoint) -> None:
    """What no column can hold is said when the table would be made."""
    with pytest.raises(InputError, match="no column can hold"):
        endpoint.native_type(parse_type("decimal(70,2)"))


@pytest.mark.parametrize(
    ("native", "literal", "type_", "expected"),
    [
        ("TINYINT(1)", "1", "bool", True),
        ("TINYINT(1)", "7", "bool", "a int is no bool"),
        ("TINYINT", "-7", "smallint", -7),
        ("TINYINT(1) UNSIGNED", "255", "smallint", 255),
        ("SMALLINT UNSIGNED", "65535", "integer", 65535),
        ("MEDIUMINT UNSIGNED", "16777215", "integer", 16777215),
        ("INT UNSIGNED", "4294967295", "bigint", 4294967295),
        ("BIGINT", "-9223372036854775808", "bigint", -(2**63)),
        ("BIGINT UNSIGNED", "18446744073709551615", "decimal(20,0)", Decimal(2**64 - 1)),
        ("BIT(1)", "1", "bool", True),
        ("BIT(9)", "b'100000001'", "bigint", 257),
        ("YEAR", "2155", "smallint", 2155),
        ("FLOAT", "0.1", "real", float(np.float32(0.1))),
        ("FLOAT", "16777217", "real", 16777216.0),
        ("DOUBLE", "0.30000000000000004", "double", 0.30000000000000004),
        ("DECIMAL(38,10)", "'1234567890123456789012345678.0123456789'", "decimal(38,10)",
         Decimal("1234567890123456789012345678.0123456789")),
        ("DECIMAL(65,30)", "'12345678901234567890123456789012345.5'", "decimal",
         "12345678901234567890123456789012345.5"),
        ("DATE", "'0001-01-01'", "date", "0001-01-01"),
        ("DATE", "'0000-00-00'", "date", "is no date"),
        ("DATE", "'2024-00-10'", "date", "is no date"),
        ("DATETIME", "'0000-00-00'", "timestamp(0)", "is no timestamp"),
        ("DATETIME(6)", "'9999-12-31 23:59:59.999999'", "timestamp", "9999-12-31 23:59:59.999999"),
        ("DATETIME(3)", "'2024-01-01 00:00:00.125'", "timestamp(3)", "2024-01-01 00:00:00.125000"),
        ("TIMESTAMP(6) NULL", "'2024-06-01 12:00:00.000001'", "timestamptz",
         "2024-06-01 10:00:00.000001+00:00"),
        ("TIMESTAMP NULL", "0", "timestamptz(0)", "is no timestamp"),
        ("TIME(6)", "'23:59:59.999999'", "time", "23:59:59.999999"),
        ("TIME", "'24:00:00'", "time(0)", "is no time"),
        ("TIME", "'838:59:59'", "time(0)", "is no time"),
        ("TIME", "'-00:00:01'", "time(0)", "is no time"),
        ("CHAR(5)", "'ab'", "text(5)", "ab"),
        ("VARCHAR(10) CHARACTER SET latin1", "'né'", "text(10)", "né"),
        ("LONGTEXT", r"'\0\'\"😀'", "text", "\0'\"😀"),
        ("ENUM('a', 'it''s')", "'it''s'", "text", "it's"),
        ("SET('a', 'b')", "'b,a'", "text", "a,b"),
        ("BINARY(4)", "'ab'", "bytes", b"ab\0\0"),
        ("VARBINARY(10)", "x'00ff'", "bytes", b"\x00\xff"),
        ("MEDIUMBLOB", "x'00ff'", "bytes", b"\x00\xff"),
        ("JSON", "'{\"a\": 1.50}'", "json", '{"a": 1.50}'),
        ("UUID", "'6CCD780C-BABA-1026-9564-5B8C656024DB'", "uuid",
         "6ccd780c-baba-1026-9564-5b8c656024db"),
        ("INET6", "'::0001'", "text", "::1"),
        ("POINT", "ST_GeomFromText('POINT(1 2)')", "text", "POINT(1 2)"),
    ],
)  # fmt: skip
def test_a_native_value_is_read_exactly_or_is_a_misfit(
    endpoint: MysqlEndpoint, raw: Raw, native: str, literal: str, type_: str, expected: object
) -> None:
    """Each native type has a canonical one; each value comes exactly, or as NULL with a misfit."""
    raw.run("SET sql_mode = '', time_zone = '+02:00'")
    raw.run(f"CREATE TABLE t (id INT PRIMARY KEY, v {native} DEFAULT NULL)")
    raw.run(f"INSERT INTO t VALUES (1, {literal}), (2, NULL)")
    info = info_of(endpoint)
    assert info.columns["v"].type == parse_type(type_)
    with endpoint.read(read_spec(info, "id", rows=10), mode="full") as read:
        (batch,) = read.batches()
    value, null = batch.records.column("v").to_pylist()
    assert null is None
    if batch.misfits:
        assert value is None
        assert [(m.row, m.field, m.reason) for m in batch.misfits] == [(0, "v", expected)]
    else:
        assert value is not None
        assert value == expected or str(value) == expected


@pytest.mark.parametrize(
    ("native", "type_", "value"),
    [
        ("VARCHAR(3)", "text", "abc  "),
        ("CHAR(5)", "text", "ab "),
        ("ENUM('x', 'y')", "text", "1"),
        ("ENUM('x', 'y')", "text", "X"),
        ("SET('x', 'y')", "text", "x,z"),
        ("YEAR", "smallint", 5),
        ("BINARY(4)", "bytes", b"ab"),
        ("DECIMAL(10,2)", "decimal(12,4)", Decimal("1.0050")),
        ("DECIMAL(65,30)", "decimal", "0." + "1" * 31),
        ("DECIMAL(65,30)", "decimal", "1" * 36),
        ("DATETIME", "timestamp", "2024-01-01T00:00:00.6"),
        ("TIMESTAMP NULL", "timestamptz", "2024-01-01T00:00:00.6+00:00"),
        ("TIMESTAMP NULL", "timestamptz", "2238-01-01T00:00:00+00:00"),
        ("DOUBLE", "double", float("nan")),
        ("DOUBLE", "double", float("-inf")),
        ("TIMESTAMP NOT NULL", "timestamptz", None),
        ("INT", "bigint", 2**40),
        ("TINYTEXT", "text", "é" * 200),
        ("VARCHAR(9) CHARACTER SET latin1", "text", "😀"),
        ("DATE", "date", "0000-00-00"),
    ],
)  # fmt: skip
def test_what_the_server_would_change_in_silence_is_refused(
    endpoint: MysqlEndpoint, raw: Raw, native: str, type_: str, value: Any
) -> None:
    """Rounded, cut, padded, folded or reinterpreted.

    Refused as a value, and the row is not there.
    """
    raw.run(f"CREATE TABLE t (id INT PRIMARY KEY, v {native})")
    canonical = parse_type(type_)
    spec = TargetSpec("m", "t", {"id": Type("bigint")}, {"v": canonical})
    if canonical.name == "date":
        column: Any = pa.array([-800_000], pa.date32())
    elif canonical.name.startswith("timestamp"):
        column = pa.array([value]).cast(canonical.arrow)
    else:
        column = pa.array([value], canonical.arrow)
    with endpoint.begin(spec) as tx:
        written = tx.insert(pa.table({"id": pa.array([1]), "v": column}))
        tx.commit()
    assert [(r.row, r.kind) for r in written.refused] == [(0, "value")]
    assert raw.run("SELECT COUNT(*) FROM t") == ((0,),)


def test_a_session_is_strict_whatever_the_server_is(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """A server that cuts and zeroes in silence does not do so to us; a key of 0 stays 0."""
    raw.run("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)")
    mode = raw.run("SELECT @@global.sql_mode")[0][0]
    raw.run("SET GLOBAL sql_mode = ''")
    try:
        lax = MysqlEndpoint(
            endpoint.engine.url.render_as_string(hide_password=False).replace("+pymysql", "")
        )
        spec = target_spec(info_of(lax), "id")
        written = insert(lax, spec, [{"id": 0, "v": 1}, {"id": 7, "v": 2}])
        lax.close()
    finally:
        raw.run("SET GLOBAL sql_mode = %s", mode)
    assert written.landed.all()
    assert raw.run("SELECT id FROM t ORDER BY id") == ((0,), (7,))


# --- keys -----------------------------------------------------------------------------------------


def test_f32_keys_that_a_collation_holds_equal_are_reported_and_never_overwritten(
    endpoint: MysqlEndpoint, raw: Raw
) -> None:
    """`A`, `á` and `a ` collide with `a` in a case-insensitive key: refused.

    `a` again is just taken.
    """
    raw.run("CREATE TABLE t (k VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY, v TEXT)")
    spec = target_spec(info_of(endpoint), "k")
    rows = [{"k": k, "v": k} for k in [*LOOKALIKES, "a"]]
    written = insert(endpoint, spec, rows)
    assert written.landed.tolist() == [True, False, False, False, True, False]
    assert [(r.row, r.kind) for r in written.refused] == [(i, "constraint") for i in (1, 2, 3)]
    with endpoint.begin(spec) as tx:
        seen = tx.fetch(table_of(spec, rows).select(["k"]))
        assert seen.rows.column("__row").to_pylist() == [0, 4, 5]
    assert raw.run("SELECT v FROM t ORDER BY k") == (("a",), ("b",))


def test_keys_of_a_created_table_are_as_many_as_they_are(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """A table that we make keeps lookalikes apart, also composite ones, and in an index."""
    endpoint.create_table("t", {"k": Type("text"), "n": Type("integer")}, {"v": Type("text")})
    spec = target_spec(info_of(endpoint), "k", "n")
    rows = [{"k": k, "n": n, "v": "v"} for k in LOOKALIKES for n in (1, 2)]
    assert insert(endpoint, spec, rows).landed.all()
    assert raw.run("SELECT COUNT(*) FROM t") == ((10,),)
    with endpoint.begin(spec) as tx:
        keys = table_of(spec, rows[:4]).select(["k", "n"])
        assert tx.delete(keys, tx.fetch(keys)).landed.all()
        assert [r["k"] for t in tx.scan_keys() for r in t.to_pylist()] == [
            "a ",
            "a ",
            "b",
            "b",
            "á",
            "á",
        ]


def test_a_write_to_one_lookalike_leaves_the_others(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """Where the collation holds keys equal and no index objects, only the very key is written."""
    raw.run("CREATE TABLE t (k VARCHAR(20) COLLATE utf8mb4_general_ci NOT NULL, v TEXT)")
    spec = target_spec(info_of(endpoint), "k")
    rows = [{"k": k, "v": "old"} for k in LOOKALIKES] + [
        {"k": f"x{i}", "v": "old"} for i in range(30)
    ]
    assert insert(endpoint, spec, rows).landed.all()
    for some in ([rows[1]], rows[1:2] + rows[5:]):  # row by row, then through the temporary table
        with endpoint.begin(spec) as tx:
            new = table_of(spec, [{**r, "v": f"new{len(some)}"} for r in some])
            written = tx.update(
                new, {"v": np.ones(len(some), np.bool_)}, tx.fetch(new.select(["k"]))
            )
            tx.commit()
        assert written.landed.all()
        assert raw.run("SELECT BINARY k FROM t WHERE v = %s AND k < 'c'", f"new{len(some)}") == (
            (b"A",),
        )
    with endpoint.begin(spec) as tx:
        keys = table_of(spec, [{"k": "a "}]).select(["k"])
        assert tx.delete(keys, tx.fetch(keys)).landed.all()
        tx.commit()
    assert len(raw.run("SELECT k FROM t WHERE k < 'c'")) == 4


@pytest.mark.parametrize(
    "collation", ["utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_nopad_bin"]
)
def test_f33_text_keys_page_by_page_in_any_collation(
    endpoint: MysqlEndpoint, raw: Raw, collation: str
) -> None:
    """Pages of one record, keys without an index, ties by collation.

    None skipped, each resumable.
    """
    raw.run(f"CREATE TABLE t (k VARCHAR(20) COLLATE {collation} NULL)")
    keys = [*LOOKALIKES, "ß", "ss", "z", "", "Z", "é", None]
    for key in keys:
        raw.run("INSERT INTO t VALUES (%s)", key)
    spec = read_spec(info_of(endpoint), "k")
    with endpoint.read(spec, mode="full") as read:
        batches = list(read.batches())
    found = [b.records.column("k")[0].as_py() for b in batches]
    assert sorted(found, key=str) == sorted(keys, key=str)
    for place, batch in enumerate(batches):
        rest = all_of(endpoint, spec, after=batch.position)
        assert [row["k"] for row in rest] == found[place + 1 :]


@pytest.mark.parametrize(
    ("native", "values"),
    [
        ("ENUM('z', 'a', 'm')", ["z", "a", "m"]),
        ("FLOAT", [0.1, 0.2, 16777216.0]),
        ("DECIMAL(30,2)",
         ["12345678901234567890.01", "12345678901234567890.02", "12345678901234567890.03"]),
        ("BIGINT UNSIGNED", [18446744073709551613, 18446744073709551614, 18446744073709551615]),
        ("BIT(12)", [1, 300, 4000]),
        ("TIMESTAMP(6)",
         ["2024-01-01 00:00:00.000001", "2024-01-01 00:00:00.000002", "2024-01-02"]),
        ("UUID", ["6ccd780c-baba-1026-9564-5b8c656024db", "6ccd780c-baba-1026-9564-5b8c656024dc",
                  "00000000-0000-1026-9564-5b8c656024db"]),
        ("VARBINARY(9)", [b"\x00", b"\x00\xff", b"%s"]),
    ],
)  # fmt: skip
def test_keys_of_any_type_are_paged_and_found(
    endpoint: MysqlEndpoint, raw: Raw, native: str, values: list[Any]
) -> None:
    """Each native type pages one by one, is found by its value, and deleted by it."""
    raw.run(f"CREATE TABLE t (k {native} NOT NULL PRIMARY KEY, v INT)")
    for value in values:
        raw.run("INSERT INTO t VALUES (%s, 1)", value)
    info = info_of(endpoint)
    spec = read_spec(info, "k")
    with endpoint.read(spec, mode="full") as read:
        batches = list(read.batches())
    assert len(batches) == 3
    for place, batch in enumerate(batches):
        assert len(all_of(endpoint, spec, after=batch.position)) == 2 - place
    keys = pa.concat_tables([b.records for b in batches]).select(["k"])
    assert endpoint.fetch(spec, keys)[0].num_rows == 3
    with endpoint.begin(target_spec(info, "k")) as tx:
        assert tx.delete(keys, tx.fetch(keys)).landed.all()
        assert tx.is_empty()
