"""Columns written as BSON by Arrow are, byte for byte, what the driver writes value by value; and
numbers read as columns are what each of them is by itself.
"""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson.decimal128 import Decimal128
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.endpoints.fit import fit_column
from syncline.endpoints.mongo_bson import documents, element, stored
from syncline.endpoints.mongo_connection import OPTIONS, decoded
from syncline.endpoints.mongo_values import decode_column, encode_column
from syncline.record import parse_type

INSTANTS = st.datetimes(timezones=st.just(dt.UTC))
MILLISECONDS = INSTANTS.map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "smallint": st.integers(-(1 << 15), (1 << 15) - 1),
    "integer": st.integers(-(1 << 31), (1 << 31) - 1),
    "bigint": st.integers(-(1 << 63), (1 << 63) - 1) | st.sampled_from([(1 << 31) - 1, 1 << 31]),
    "real": st.floats(width=32),
    "double": st.floats(),
    "text": st.text(),
    "bytes": st.binary(),
    "decimal(14,2)": st.decimals(-(10**11), 10**11, places=2),
    "decimal(34,0)": st.decimals(-(10**33), 10**33, places=0),
    "decimal(34,34)": st.decimals(Decimal("-0.9"), Decimal("0.9"), places=30),
    "timestamptz(3)": MILLISECONDS,
    "timestamptz": INSTANTS,
    "date": st.dates(),
    "uuid": st.uuids().map(str),
    "json": st.just('{"a":[1,null,"x"]}'),
}


@pytest.mark.parametrize("name", VALUES)
@settings(deadline=None, max_examples=30)
@given(data=st.data(), skipped=st.integers(0, 2), null=st.booleans())
def test_a_column_is_written_as_the_driver_writes_it(
    name: str, data: st.DataObject, skipped: int, *, null: bool
) -> None:
    """With NULL stored or left out, and also from the middle of an array."""
    values = data.draw(st.lists(st.none() | VALUES[name], max_size=6))
    type_ = parse_type(name)
    column = pa.array(values, type_.arrow).slice(skipped)
    written, refused = encode_column(column, type_, depth=1, object_ids=False)
    assert not refused
    expected = [
        bson.encode({"f": value} if null or value is not None else {}, codec_options=OPTIONS)
        for value in written
    ]
    found = element("f", column, type_)
    assert found is not None
    assert documents([stored(found, "f", null=null)]) == expected


def decimal(sign: int, digits: tuple[int, ...], exponent: int) -> Decimal128:
    return Decimal128(Decimal((sign, digits, exponent)))


DECIMALS = st.builds(
    decimal,
    st.integers(0, 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=34).map(tuple),
    st.integers(-7, 1),
) | st.sampled_from(
    [Decimal128(text) for text in ("0", "-0.00", "1.50", "NaN", "-Infinity", "1E-6176", "9E+6111")]
)


@pytest.mark.parametrize("name", ["decimal", "decimal(14,2)", "decimal(38,6)"])
@settings(deadline=None, max_examples=100)
@given(values=st.lists(st.none() | DECIMALS, max_size=6))
def test_decimals_are_read_as_each_of_them_is(name: str, values: list[Decimal128 | None]) -> None:
    """Whatever their digits, scales and signs, and whether or not they fit the type."""
    type_ = parse_type(name)
    each = [None if value is None else value.to_decimal() for value in values]
    found, misfits = decode_column("f", values, type_)
    expected, unfit = fit_column("f", each, type_)
    assert found.to_pylist() == expected.to_pylist()
    assert found.type == expected.type
    assert misfits == unfit


@settings(deadline=None, max_examples=30)
@given(values=st.lists(st.none() | MILLISECONDS, max_size=6))
def test_dates_are_read_as_instants(values: list[dt.datetime | None]) -> None:
    """As the driver gives them, in UTC."""
    read = [decoded(bson.encode({"f": value}))["f"] for value in values]
    found, misfits = decode_column("f", read, parse_type("timestamptz(3)"))
    assert found.to_pylist() == values
    assert not misfits


def test_elements_follow_one_another_in_their_order() -> None:
    """Names may hold any letter; a document without a field is one all the same."""
    ids = element("_id", pa.array([1, 2]), parse_type("bigint"))
    names = element("größe", pa.array(["ä\0b", None]), parse_type("text"))
    assert ids is not None
    assert names is not None
    data = documents([stored(ids, "_id", null=True), stored(names, "größe", null=False)])
    assert data == [bson.encode({"_id": 1, "größe": "ä\0b"}), bson.encode({"_id": 2})]


def test_what_mongodb_cannot_hold_is_left_to_the_look_at_each_value() -> None:
    """A microsecond in a date; 35 digits; json's null."""
    instant = pa.array([dt.datetime(2024, 1, 1, 0, 0, 0, 1, dt.UTC)], pa.timestamp("us", "UTC"))
    assert element("f", instant, parse_type("timestamptz(3)")) is None
    digits = pa.array([Decimal("1" * 35)], pa.decimal128(38, 0))
    assert element("f", digits, parse_type("decimal(38,0)")) is None
    assert element("f", pa.array(["null"]), parse_type("json")) is None
    assert element("f", pa.array([str(uuid.uuid4())]), parse_type("uuid")) is not None
