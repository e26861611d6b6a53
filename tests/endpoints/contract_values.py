"""The contract on values: every canonical type, stored and read back equal, or refused."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from syncline.errors import InputError
from syncline.record import Type, parse_type
from tests.endpoints.contract_bench import Bench, Table, prints

NAUGHTY_TEXT = [
    "", " ", "a ", " a", "a", "A", "á", "a\u0301", "ß", "İ", "😀", "中文", "\t\n\r", "\\", "'", '"',
    "'; DROP TABLE t; --", "%s", "{}", "NULL", "null", "\\N", "\u200f", "\ufeff", "\x7f", "0",
    "1e5", "x" * 100_000,
]  # fmt: skip
VALUES: Mapping[str, list[Any]] = {
    "bool": [True, False],
    "smallint": [-32768, 32767, 0],
    "integer": [-2147483648, 2147483647, 0],
    "bigint": [-(2**63), 2**63 - 1, 0, 2**53 + 1],
    "real": [0.0, 0.5, -1.25, 3.4028234663852886e38, 1.1754943508222875e-38],
    "double": [0.0, 0.1, 1 / 3, 1.7976931348623157e308, 2.2250738585072014e-308, -1e15, 2.0**53],
    "decimal(14,2)": [Decimal("999999999999.99"), Decimal("-0.01"), Decimal("1.10")],
    "decimal(34,10)": [Decimal("123456789012345678901234.0123456789"), Decimal("0E-10")],
    "decimal": ["12345678901234567890.1234567891", "-0.1", "0", "1000000"],
    "text": NAUGHTY_TEXT,
    "text(20)": ["12345678901234567890", "ÄÖÜäöüß中文😀"],
    "bytes": [b"", b"\x00", b"\xff\x00\xfe", bytes(range(256))],
    "date": [date(1000, 1, 1), date(9999, 12, 31), date(1970, 1, 1), date(2024, 2, 29)],
    "time": [time(0, 0), time(23, 59, 59, 999999), time(12, 30, 0, 1)],
    "timestamp": [datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)],  # noqa: DTZ001
    "timestamptz": [
        datetime(1000, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2024, 3, 31, 1, 30, 0, 1, tzinfo=UTC),
    ],
    "timestamptz(3)": [
        datetime(1000, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
    ],
    "uuid": [str(uuid.UUID(int=0)), "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"],
    "json": [
        "{}", "[]", "1", "-0.5", "true", '"text"', '""', '{"a": null}',
        '[1, [2, {"b": [true, ""]}]]',
        '{"b": 1, "a": {"ü": "😀", "": "empty name"}}',
        '{"number": 9007199254740993}', "[1.5, 1e10]",
    ],
}  # fmt: skip
HARD: Mapping[str, list[Any]] = {
    "text": ["a\x00b", "\ufffe"],
    "double": [float("nan"), float("inf"), float("-inf"), -0.0, 5e-324],
    "bytes": [bytes(70_000)],
    "date": [date(1, 1, 1), date(999, 12, 31)],
    "timestamp": [datetime(1, 1, 1)],  # noqa: DTZ001
    "timestamptz": [datetime(1, 1, 1, tzinfo=UTC)],
    "decimal": ["1" * 34, "1" * 35, "1" * 60, "0." + "1" * 40, "1e30"],
    "json": [
        "null", '{"a": "\\u0000"}', '{"$date": "no date"}', '{"$oid": "0"}', '{"a.b": 1, "$c": 2}',
        '{"n": 123456789012345678901234567890}', '{"n": 0.12345678901234567890123}', '{"n": 1e400}',
        "[" * 120 + "]" * 120,
    ],
}  # fmt: skip


class Values:
    """Mixed into `Contract`."""

    @pytest.mark.parametrize("name", VALUES)
    def test_a_created_column_is_described_as_what_it_stores(self, bench: Bench, name: str) -> None:
        """`describe` after `create_table` gives the type that `fits` promises."""
        table = _table(bench, name)
        info = bench.endpoint.describe(table.name)
        assert info is not None
        if info.open_columns:
            pytest.skip("documents: there are no columns before there are records")
        assert info.columns["v"].type == bench.endpoint.fits(parse_type(name))
        assert info.primary_key == (bench.id,)
        assert (bench.id,) in info.unique
        assert info.columns["v"].nullable
        assert not info.columns[bench.id].nullable

    @pytest.mark.parametrize("name", VALUES)
    def test_values_of_every_type_are_read_back_equal(self, bench: Bench, name: str) -> None:
        """What is inserted is fetched, and read as a source, with the same fingerprints."""
        table = _table(bench, name)
        values = [*VALUES[name], None]
        stored = table.types["v"]
        given = _coerced(values, parse_type(name), stored)
        ids = pa.array(range(len(values)), pa.int64())
        rows = pa.table({bench.id: ids, "v": given})
        written = table.do(lambda tx: tx.insert(rows))
        assert not written.refused
        assert written.landed.all()
        with bench.endpoint.begin(table.spec(), write=False) as tx:
            fetched = tx.fetch(rows.select([bench.id]))
        assert not fetched.misfits
        back = fetched.rows.sort_by("__row")
        assert back["v"].type == stored.arrow
        assert prints(back["v"], stored) == prints(given, stored)
        records = pa.concat_tables(table.read().arrow).sort_by(bench.id)
        assert prints(records["v"], stored) == prints(given, stored)
        source, misfits = bench.endpoint.fetch(table.source(), rows.select([bench.id]))
        assert not misfits
        assert prints(source.sort_by("__row")["v"], stored) == prints(given, stored)

    @pytest.mark.parametrize(
        ("name", "value"), [(name, value) for name, values in HARD.items() for value in values],
        ids=lambda value: ascii(value)[:30],
    )  # fmt: skip
    def test_a_hard_value_is_stored_exactly_or_refused(
        self, bench: Bench, name: str, value: object
    ) -> None:
        """No value is changed on its way: it is equal when read back, or it was refused."""
        table = _table(bench, name)
        stored = table.types["v"]
        given = _coerced([value], parse_type(name), stored)
        rows = pa.table({bench.id: pa.array([1], pa.int64()), "v": given})
        written = table.do(lambda tx: tx.insert(rows))
        if written.refused:
            assert written.refused[0].kind == "value"
            assert not written.landed.any()
            return
        with bench.endpoint.begin(table.spec(), write=False) as tx:
            fetched = tx.fetch(rows.select([bench.id]))
        assert not fetched.misfits
        assert prints(fetched.rows["v"], stored) == prints(given, stored)

    def test_a_value_too_large_for_the_asked_type_is_a_misfit(self, bench: Bench) -> None:
        """A source value that its declared type can't hold is a Misfit, with NULL in the column."""
        table = bench.table({"v": "bigint"})
        table.insert((1, 7), (2, 40_000), (3, None))
        columns = {bench.id: Type("bigint"), "v": Type("smallint")}
        reading = table.read(columns=columns)
        assert [row["v"] for row in reading.records] == [7, None, None]
        assert [(misfit.row, misfit.field) for misfit in reading.misfits] == [(1, "v")]
        assert "40000" in reading.misfits[0].value
        _, misfits = bench.endpoint.fetch(table.source(columns=columns), table.keys(2))
        assert [(misfit.row, misfit.field) for misfit in misfits] == [(0, "v")]

    def test_every_field_of_a_record_may_be_null(self, bench: Bench) -> None:
        """A record of NULLs is one record, and reads as NULLs."""
        table = bench.table({"a": "text", "b": "bigint", "c": "json"})
        assert table.insert((1, None, None, None)).landed.all()
        assert table.now() == {1: {bench.id: 1, "a": None, "b": None, "c": None}}


def _table(bench: Bench, name: str) -> Table:
    try:
        bench.endpoint.native_type(parse_type(name))
    except InputError as refusal:
        pytest.skip(f"has no {name}: {refusal}")
    return bench.table({"v": name})


def _coerced(values: list[Any], given: Type, stored: Type) -> pa.Array[Any]:
    """The values as the type that the endpoint stores, as the engine would coerce them."""
    if stored.name == "text" and given.name != "text":
        write = _TEXT_OF.get(given.name, str)
        return pa.array([None if v is None else write(v) for v in values], pa.string())
    array = pa.array(values, given.arrow)
    return array if array.type == stored.arrow else array.cast(stored.arrow)


_TEXT_OF: Mapping[str, Callable[[Any], str]] = {
    "date": date.isoformat,
    "time": time.isoformat,
    "timestamp": datetime.isoformat,
    "timestamptz": datetime.isoformat,
    "json": lambda text: json.dumps(json.loads(text)),
}
