"""What is MariaDB's and MySQL's own.

Silent changes, collations, locks, and the sessions that keep them away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pymysql
import pytest

from syncline.endpoints.base import Comparison, Range, ReadSpec, TableInfo, TargetSpec, Written
from syncline.endpoints.mysql import MysqlEndpoint
from syncline.errors import CredentialsRefused, InputError, Transient, Unreachable
from syncline.record import TYPE_NAMES, Type, parse_type
from syncline.testing.servers.server import credentials


def connected(url: str, **options: Any) -> pymysql.Connection[Any]:
    host, port, user, password = credentials(url)
    return pymysql.connect(
        host=host,
        port=port,
        user=user,
        password=password,
        database=urlsplit(url).path[1:],
        autocommit=True,
        **options,
    )


class Raw:
    """Somebody else's session on the same database, as strict or lax as it likes."""

    def __init__(self, url: str) -> None:
        self.connection = connected(url)

    def run(self, sql: str, *params: object) -> tuple[Any, ...]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params or None)
            return tuple(cursor.fetchall())


@pytest.fixture
def raw(mariadb_url: str) -> Iterator[Raw]:
    session = Raw(mariadb_url)
    with closing(session.connection):
        yield session


@pytest.fixture
def endpoint(mariadb_url: str) -> Iterator[MysqlEndpoint]:
    made = MysqlEndpoint(mariadb_url)
    yield made
    made.close()


def info_of(endpoint: MysqlEndpoint, table: str = "t") -> TableInfo:
    info = endpoint.describe(table)
    assert info is not None
    return info


def read_spec(info: TableInfo, *key: str, rows: int = 1, **more: Any) -> ReadSpec:
    types = {name: column.type for name, column in info.columns.items()}
    return ReadSpec(info.name, key, types, batch_rows=rows, **more)


def target_spec(info: TableInfo, *key: str) -> TargetSpec:
    types = {name: column.type for name, column in info.columns.items() if not column.generated}
    return TargetSpec("m", info.name, {k: types.pop(k) for k in key}, types, ledger=True)


def table_of(spec: TargetSpec, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    types = {**spec.key, **spec.fields}
    return pa.table({n: pa.array([r.get(n) for r in rows], t.arrow) for n, t in types.items()})


def insert(endpoint: MysqlEndpoint, spec: TargetSpec, rows: Sequence[Mapping[str, Any]]) -> Written:
    with endpoint.begin(spec) as tx:
        written = tx.insert(table_of(spec, rows))
        tx.commit()
    return written


def all_of(endpoint: MysqlEndpoint, spec: ReadSpec, **how: Any) -> list[dict[str, Any]]:
    with endpoint.read(spec, mode=how.pop("mode", "full"), **how) as read:
        return [row for batch in read.batches() for row in batch.records.to_pylist()]


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

LOOKALIKES = ["a", "A", "á", "a ", "b"]


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


# --- what moved -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 300])
def test_f47_a_record_edited_between_fetch_and_write_is_not_overwritten(
    endpoint: MysqlEndpoint, raw: Raw, count: int
) -> None:
    """An edit, a deletion and a change of case only, committed since the fetch, are all seen.

    Then fetched anew.
    """
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": Type("text"), "n": Type("integer")})
    spec = target_spec(info_of(endpoint), "id")
    insert(endpoint, spec, [{"id": i, "v": "old", "n": i} for i in range(count)])
    with endpoint.begin(spec) as tx:
        new = table_of(spec, [{"id": i, "v": "new", "n": -i} for i in range(count)])
        seen = tx.fetch(new.select(["id"]))
        raw.run("UPDATE t SET v = 'OLD' WHERE id = 0")
        raw.run("DELETE FROM t WHERE id = 1")
        changed = {"v": np.ones(count, np.bool_), "n": np.arange(count) % 2 == 0}
        written = tx.update(new, changed, seen)
        assert np.flatnonzero(~written.landed).tolist() == [0, 1]
        assert tx.fetch(new.select(["id"])).rows.column("v").to_pylist()[:2] == ["OLD", "new"]
        again = tx.fetch(new.select(["id"]).slice(0, 1))
        raw_delete = tx.delete(new.select(["id"]).slice(0, 1), seen_first(seen))
        assert not raw_delete.landed.any()
        assert tx.delete(new.select(["id"]).slice(0, 1), again).landed.all()
        tx.commit()
    assert raw.run("SELECT COUNT(*), SUM(n < 0), SUM(n > 0) FROM t WHERE v = 'new'") == (
        (count - 2, (count - 1) // 2, (count - 2) // 2),
    )


def seen_first(seen: Any) -> Any:
    return type(seen)(seen.rows.slice(0, 1), ())


def test_rows_that_are_only_fetched_are_not_locked(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """Others write what a transaction has only looked at, and wait only for what it writes."""
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": Type("text")})
    spec = target_spec(info_of(endpoint), "id")
    insert(endpoint, spec, [{"id": i, "v": "old"} for i in range(3)])
    raw.run("SET SESSION innodb_lock_wait_timeout = 1")
    with endpoint.begin(spec) as tx:
        keys = table_of(spec, [{"id": i} for i in range(3)]).select(["id"])
        seen = tx.fetch(keys)
        raw.run("UPDATE t SET v = 'theirs' WHERE id = 0")
        new = table_of(spec, [{"id": i, "v": "ours"} for i in range(3)])
        written = tx.update(
            new.slice(2), {"v": np.ones(1, np.bool_)}, type(seen)(seen.rows.slice(2), ())
        )
        assert written.landed.all()
        raw.run("UPDATE t SET v = 'theirs' WHERE id = 1")
        with pytest.raises(pymysql.err.OperationalError, match="Lock wait timeout"):
            raw.run("UPDATE t SET v = 'theirs' WHERE id = 2")


def test_f18_a_deadlock_is_a_transient(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """The victim of a deadlock is told to begin its transaction again."""
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": Type("text")})
    spec = target_spec(info_of(endpoint), "id")
    insert(endpoint, spec, [{"id": i, "v": "old"} for i in range(100)])
    raw.run("START TRANSACTION")
    raw.run("UPDATE t SET v = 'theirs' WHERE id >= 10")  # the heavier transaction is not the victim
    one = np.ones(1, np.bool_)
    with pytest.raises(Transient), endpoint.begin(spec) as tx:  # noqa: PT012 - the second update
        first = table_of(spec, [{"id": 1, "v": "ours"}])
        assert tx.update(first, {"v": one}, tx.fetch(first.select(["id"]))).landed.all()
        waiting = threading.Thread(target=lambda: raw.run("UPDATE t SET v = 'theirs' WHERE id = 1"))
        waiting.start()
        time.sleep(0.5)
        second = table_of(spec, [{"id": 20, "v": "ours"}])
        tx.update(second, {"v": one}, tx.fetch(second.select(["id"])))
    waiting.join(10)
    raw.run("COMMIT")
    assert raw.run("SELECT COUNT(*) FROM t WHERE v = 'theirs'") == ((91,),)


def test_f15_a_killed_session_is_unreachable_and_the_pool_recovers(
    endpoint: MysqlEndpoint, raw: Raw
) -> None:
    """A connection that is cut raises Unreachable.

    Nothing of its transaction stays; the next one works.
    """
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": Type("text")})
    spec = target_spec(info_of(endpoint), "id")
    with pytest.raises(Unreachable), endpoint.begin(spec) as tx:  # noqa: PT012 - the second insert
        tx.insert(table_of(spec, [{"id": 1}]))
        kill_others(raw)
        tx.insert(table_of(spec, [{"id": 2}]))
    with endpoint.begin(spec) as tx:
        assert tx.is_empty()


def kill_others(raw: Raw) -> None:
    for (session,) in raw.run(
        "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <>"
        " CONNECTION_ID()"
    ):
        raw.run(f"KILL {int(session)}")


# --- refused records ------------------------------------------------------------------------------


def test_f25_one_poison_row_does_not_keep_the_others_out(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """Of a thousand records the bad ones are named, with what kind of refusal it was.

    The others land.
    """
    raw.run("CREATE TABLE p (id INT PRIMARY KEY)")
    raw.run(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(5), u INT UNIQUE, c INT CHECK (c > 0),"
        " p INT, FOREIGN KEY (p) REFERENCES p (id))"
    )
    spec = TargetSpec(
        "m",
        "t",
        {"id": Type("bigint")},
        {n: Type("bigint") for n in ("u", "c", "p")} | {"v": Type("text")},
    )
    bad = {100: {"id": 2**40}, 200: {"u": 1}, 300: {"c": -1}, 400: {"p": 9}, 500: {"v": "longer"}}
    rows = [{"id": i, "u": i, **bad.get(i, {})} for i in range(1000)]
    written = insert(endpoint, spec, rows)
    kinds = {r.row: r.kind for r in written.refused}
    assert kinds == {
        100: "value",
        200: "constraint",
        300: "constraint",
        400: "constraint",
        500: "value",
    }
    assert written.landed.sum() == 995
    assert raw.run("SELECT COUNT(*) FROM t") == ((995,),)


def test_refused_updates_and_deletes_are_found_among_the_others(
    endpoint: MysqlEndpoint, raw: Raw
) -> None:
    """Through the temporary table as well.

    A bad value, a taken unique value, a parent that is needed.
    """
    raw.run("CREATE TABLE t (id INT PRIMARY KEY, u INT UNIQUE, v VARCHAR(5))")
    raw.run("CREATE TABLE child (id INT REFERENCES t (id))")
    spec = TargetSpec("m", "t", {"id": Type("bigint")}, {"u": Type("bigint"), "v": Type("text")})
    insert(endpoint, spec, [{"id": i, "u": i, "v": "old"} for i in range(100)])
    raw.run("INSERT INTO child VALUES (7)")
    rows = [{"id": i, "u": 50 if i == 30 else i + 1000, "v": "new"} for i in range(100)]
    rows[40]["u"] = 2**40
    with endpoint.begin(spec) as tx:
        new = table_of(spec, rows)
        mask = {"u": np.arange(100) < 45, "v": np.arange(100) != 60}
        written = tx.update(new, mask, tx.fetch(new.select(["id"])))
        assert {r.row: r.kind for r in written.refused} == {30: "constraint", 40: "value"}
        assert written.landed.sum() == 98
        keys = new.select(["id"])
        gone = tx.delete(keys, tx.fetch(keys))
        assert {r.row: r.kind for r in gone.refused} == {7: "constraint"}
        tx.commit()
    assert raw.run("SELECT id, u, v FROM t") == ((7, 1007, "new"),)


def test_updates_need_no_right_to_temporary_tables(
    endpoint: MysqlEndpoint, raw: Raw, mariadb_url: str
) -> None:
    """A role that may not make temporary tables writes row by row instead."""
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": Type("text")})
    spec = target_spec(info_of(endpoint), "id")
    insert(endpoint, spec, [{"id": i, "v": "old"} for i in range(40)])
    limited = MysqlEndpoint(user_with(raw, mariadb_url, "SELECT, INSERT, UPDATE, DELETE"))
    with limited.begin(spec) as tx:
        new = table_of(spec, [{"id": i, "v": "new"} for i in range(40)])
        assert tx.update(
            new, {"v": np.ones(40, np.bool_)}, tx.fetch(new.select(["id"]))
        ).landed.all()
        tx.commit()
    limited.close()
    assert raw.run("SELECT COUNT(*) FROM t WHERE v = 'new'") == ((40,),)


def user_with(raw: Raw, url: str, rights: str) -> str:
    """The URL of a new user who has these rights on the test's database."""
    parts = urlsplit(url)
    name = parts.path[1:]
    raw.run(f"CREATE USER '{name}'@'%' IDENTIFIED BY 'canary-pw'")
    raw.run(f"GRANT {rights} ON `{name}`.* TO '{name}'@'%'")
    return parts._replace(netloc=f"{name}:canary-pw@{parts.hostname}:{parts.port}").geturl()


def test_a_row_larger_than_the_server_takes_is_refused(mariadb_url: str, raw: Raw) -> None:
    """Over max_allowed_packet the server would cut the connection: the record is named before."""
    packet = raw.run("SELECT @@global.max_allowed_packet")[0][0]
    raw.run("SET GLOBAL max_allowed_packet = 1048576")
    try:
        small = MysqlEndpoint(mariadb_url)
        small.create_table("t", {"id": Type("bigint")}, {"v": Type("text")})
        spec = target_spec(info_of(small), "id")
        rows = [{"id": 1, "v": "x" * 900_000}, {"id": 2, "v": "'" * 900_000}, {"id": 3, "v": "ok"}]
        written = insert(small, spec, rows)
        small.close()
    finally:
        raw.run(f"SET GLOBAL max_allowed_packet = {packet}")
    assert [(r.row, r.kind) for r in written.refused] == [(1, "value")]
    assert raw.run("SELECT id, LENGTH(v) FROM t ORDER BY id") == ((1, 900_000), (3, 2))


def test_a_table_without_transactions_is_no_target(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """MyISAM would keep what a rolled back transaction wrote."""
    raw.run("CREATE TABLE t (id INT PRIMARY KEY) ENGINE=MyISAM")
    with (
        pytest.raises(InputError, match="MyISAM"),
        endpoint.begin(target_spec(info_of(endpoint), "id")),
    ):
        pass


# --- ledger ---------------------------------------------------------------------------------------


def test_ledger_keys_are_bytes(endpoint: MysqlEndpoint) -> None:
    """Lookalike keys have ledger rows of their own, and one too long for an index is refused."""
    endpoint.create_table("t", {"id": Type("bigint")}, {})
    spec = TargetSpec("Customers-ä", "t", {"id": Type("bigint")}, {}, ledger=True)
    endpoint.prepare(spec)
    with endpoint.begin(spec) as tx:
        tx.ledger_put(ledger_rows(LOOKALIKES), fresh=True)
        tx.ledger_put(ledger_rows([*LOOKALIKES, "ä" * 350]), fresh=True)
        found = tx.ledger_fetch(pa.array(["a ", "nope", "A"]))
        assert dict(zip(found["k"].to_pylist(), found["__row"].to_pylist(), strict=True)) == {
            "a ": 0,
            "A": 2,
        }
        with pytest.raises(InputError, match="701 bytes"):
            tx.ledger_put(ledger_rows(["x" * 701]), fresh=True)
        tx.commit()
    assert endpoint.tables() == ["t"]
    endpoint.drop_ledger("Customers-ä")
    with endpoint.begin(spec, write=False) as tx:
        assert tx.ledger_is_empty()
        assert tx.state() is None


def ledger_rows(keys: Sequence[str]) -> pa.Table:
    some = len(keys)
    return pa.table({
        "k": pa.array(keys), "s": pa.array([b"\0" * 8] * some),
        "t": pa.array([None] * some, pa.binary()),
        "held": pa.array([None] * some, pa.binary()), "gone": pa.array([0] * some, pa.int16()),
        "hold": pa.array([0] * some, pa.int16()), "layout": pa.array([0] * some, pa.int32()),
        "epoch": pa.array([1] * some, pa.int64()),
    })  # fmt: skip


def test_f20_the_state_row_is_locked_to_commit(endpoint: MysqlEndpoint) -> None:
    """A second transaction waits for the lease's row, then finds the epoch moved."""
    endpoint.create_table("t", {"id": Type("bigint")}, {})
    spec = TargetSpec("m", "t", {"id": Type("bigint")}, {})
    endpoint.prepare(spec)
    put = {"holder": "h", "lease_seconds": 30.0, "document": "{}"}
    with endpoint.begin(spec) as tx:
        assert tx.put_state(epoch=1, expected_epoch=None, **put)
        tx.commit()
    seen: list[object] = []

    def second() -> None:
        with endpoint.begin(spec) as later:
            state = later.state()
            assert state is not None
            seen.append(state.epoch)
            seen.append(later.put_state(epoch=2, expected_epoch=1, **put))

    with endpoint.begin(spec) as tx:
        state = tx.state()
        assert state is not None
        assert state.lease_until is not None
        assert 28 < (state.lease_until - state.now).total_seconds() <= 30
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.3)
        assert seen == []
        assert tx.put_state(epoch=2, expected_epoch=1, **put)
        tx.commit()
    waiting.join(10)
    assert seen == [2, False]


# --- reading --------------------------------------------------------------------------------------


def test_a_read_sees_one_snapshot_and_may_be_left_half_way(
    endpoint: MysqlEndpoint, raw: Raw
) -> None:
    """What commits while a read goes on is not in it.

    A read left early gives its connection back.
    """
    raw.run("CREATE TABLE t (id INT PRIMARY KEY, v TEXT)")
    raw.connection.cursor().executemany(
        "INSERT INTO t VALUES (%s, %s)", [(i, "x" * 1000) for i in range(5000)]
    )
    spec = read_spec(info_of(endpoint), "id", rows=1000)
    with endpoint.read(spec, mode="full") as read:
        raw.run("INSERT INTO t VALUES (99999, 'late')")
        assert sum(b.records.num_rows for b in read.batches()) == 5000
    for _ in range(20):
        with endpoint.read(spec, mode="full") as read:
            next(iter(read.batches()))
    assert len(all_of(endpoint, spec)) == 5001


def test_batches_are_cut_by_bytes_too(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """Wide records make small batches: memory is bounded by bytes, not only by rows."""
    raw.run("CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT)")
    raw.connection.cursor().executemany(
        "INSERT INTO t VALUES (%s, %s)", [(i, "x" * 20_000) for i in range(1200)]
    )
    spec = read_spec(info_of(endpoint), "id", rows=100_000, batch_bytes=1 << 20)
    with endpoint.read(spec, mode="full") as read:
        sizes = [b.records.num_rows for b in read.batches()]
    assert sum(sizes) == 1200
    assert max(sizes[1:]) < 80


def test_filters_and_windows_run_in_the_database(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """A backfill reads `[from, to)` by key or cursor, instants in UTC.

    A filter keeps what it says.
    """
    raw.run("SET time_zone = '+00:00'")
    raw.run("CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP(3) NULL)")
    for i in range(10):
        raw.run("INSERT INTO t VALUES (%s, %s)", i, f"2024-01-01 00:00:0{i}" if i else None)
    info = info_of(endpoint)
    spec = read_spec(info, "id", cursor="at", by="timestamp")
    window = Range("cursor", "2024-01-01T02:00:03+02:00", "2024-01-01 00:00:07")
    assert [r["id"] for r in all_of(endpoint, spec, mode="backfill", window=window)] == [3, 4, 5, 6]
    assert [
        r["id"] for r in all_of(endpoint, spec, mode="backfill", window=Range("key", "8", None))
    ] == [8, 9]
    with pytest.raises(InputError, match="no value of type"):
        all_of(endpoint, spec, mode="backfill", window=Range("key", "eight", None))
    filtered = read_spec(info, "id", filters=(Comparison("id", ">=", 4), Comparison("id", "<>", 6)))
    assert [r["id"] for r in all_of(endpoint, filtered)] == [4, 5, 7, 8, 9]


def test_f45_a_role_that_can_only_read_is_enough_for_a_source(
    endpoint: MysqlEndpoint, raw: Raw, mariadb_url: str
) -> None:
    """Reading in full, by key and by window needs SELECT and nothing else."""
    endpoint.create_table("t", {"a": Type("text"), "b": Type("integer")}, {"v": Type("text")})
    spec = target_spec(info_of(endpoint), "a", "b")
    insert(endpoint, spec, [{"a": a, "b": b, "v": "v"} for a in LOOKALIKES for b in range(100)])
    reader = MysqlEndpoint(user_with(raw, mariadb_url, "SELECT"))
    info = info_of(reader)
    assert info == info_of(endpoint)
    wanted = read_spec(info, "a", "b", rows=70)
    assert len(all_of(reader, wanted)) == 500
    keys = pa.concat_tables(list(reader.keys(wanted)))
    assert reader.fetch(wanted, keys)[0].num_rows == 500
    assert reader.duplicate_keys("t", ["a"]) != ()
    with pytest.raises(CredentialsRefused):
        reader.prepare(spec)
    reader.close()


def test_the_catalogue_is_told_as_it_is(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """Keys, unique sets of NOT NULL columns, foreign keys, generated columns, triggers, views."""
    raw.run("CREATE TABLE p (a INT, b INT, PRIMARY KEY (a, b))")
    raw.run(
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, a INT NOT NULL, b INT NOT NULL, n"
        " INT UNIQUE,"
        " g INT AS (a + 1) STORED, d INT DEFAULT 5, UNIQUE (a, b), FOREIGN KEY (a, b) REFERENCES"
        " p (a, b))"
    )
    raw.run("CREATE VIEW v AS SELECT id FROM t")
    raw.run(
        "CREATE TABLE w (id INT PRIMARY KEY, at TIMESTAMP NOT NULL DEFAULT NOW() ON UPDATE NOW())"
    )
    raw.run("CREATE TRIGGER trg BEFORE INSERT ON p FOR EACH ROW SET NEW.b = NEW.b + 1")
    assert endpoint.tables() == ["p", "t", "v", "w"]
    info = info_of(endpoint)
    assert info.primary_key == ("id",)
    assert set(info.unique) == {("id",), ("a", "b")}
    assert [(f.columns, f.table, f.referred) for f in info.foreign_keys] == [
        (("a", "b"), "p", ("a", "b"))
    ]
    assert info.columns["g"].generated
    assert info.columns["id"].has_default
    assert info.columns["d"].has_default
    assert not info.columns["n"].has_default
    assert info_of(endpoint, "v").is_view
    assert {n: info_of(endpoint, n).rewrites for n in "ptvw"} == {
        "p": True,
        "t": True,
        "v": False,
        "w": True,
    }
    schema = raw.run("SELECT DATABASE()")[0][0]
    assert info_of(endpoint, f"{schema}.t").columns == info.columns
    assert endpoint.describe("T") is None


def test_f36_any_identifier_is_quoted(endpoint: MysqlEndpoint) -> None:
    """Names with backticks, percent signs and SQL in them are only names."""
    table, column = "x`; DROP TABLE y; -- %s", "c`%s %d %(x)s?"
    endpoint.create_table(table, {column: Type("text")}, {"v`%": Type("text")})
    spec = target_spec(info_of(endpoint, table), column)
    rows = [{column: f"k{i}", "v`%": "100%"} for i in range(40)]
    assert insert(endpoint, spec, rows).landed.all()
    with endpoint.begin(spec) as tx:
        new = table_of(spec, [{**r, "v`%": "%s"} for r in rows])
        assert tx.update(
            new, {"v`%": np.ones(40, np.bool_)}, tx.fetch(new.select([column]))
        ).landed.all()
        tx.commit()
    found = all_of(endpoint, read_spec(info_of(endpoint, table), column))
    assert sorted(r[column] for r in found) == sorted(r[column] for r in rows)
    assert {r["v`%"] for r in found} == {"%s"}


# --- connecting -----------------------------------------------------------------------------------


def test_f39_a_refused_login_is_the_users_error_and_shows_no_password(mariadb_url: str) -> None:
    """A login is refused as credentials, a missing database as input; the password is not told."""
    parts = urlsplit(mariadb_url)
    wrong = parts._replace(
        netloc=f"{parts.username}:canary-pw@{parts.hostname}:{parts.port}"
    ).geturl()
    with pytest.raises(CredentialsRefused) as refused:
        MysqlEndpoint(wrong).tables()
    assert (
        "canary-pw" not in f"{refused.value} {refused.value.__cause__!r} {MysqlEndpoint(wrong)!r}"
    )
    with pytest.raises(InputError, match="Unknown database") as missing:
        MysqlEndpoint(parts._replace(path="/nope_nope").geturl()).tables()
    assert not isinstance(missing.value, CredentialsRefused)


def test_f17_a_server_that_is_not_there_is_unreachable() -> None:
    """A closed port is a matter that may pass."""
    with pytest.raises(Unreachable):
        MysqlEndpoint("mysql://u:p@127.0.0.1:1/d", connect_timeout=1).tables()


@pytest.mark.parametrize(
    "url", ["mysql://u:p@host", "mysql://u:p@host/d?charset=latin1", "postgresql://h/d"]
)
def test_a_url_that_can_not_be_used_is_refused(url: str) -> None:
    """No database, or an option that would undo what the session needs."""
    with pytest.raises(InputError):
        MysqlEndpoint(url)


def test_a_statement_that_runs_too_long_is_ended(mariadb_url: str, raw: Raw) -> None:
    """The statement timeout ends it as a matter that may pass."""
    raw.run("CREATE VIEW t AS SELECT SLEEP(30) AS id")
    impatient = MysqlEndpoint(mariadb_url, statement_timeout=1)
    spec = ReadSpec("t", ("id",), {"id": Type("bigint")})
    began = time.monotonic()
    with pytest.raises(Unreachable), impatient.read(spec, mode="full") as read:
        next(read.batches())
    assert time.monotonic() - began < 10
    impatient.close()
