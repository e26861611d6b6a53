"""Columns as BSON, by Arrow: whole columns are written and joined, not one value after the other.

What is written is, byte for byte, what the driver writes for the values of `encode_column`; a type
that has no form here is written by the driver itself. https://bsonspec.org/spec.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import bson
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from bson.errors import BSONError

from syncline import arrow
from syncline.endpoints import mongo_decimal
from syncline.endpoints.mongo_connection import OPTIONS
from syncline.endpoints.mongo_json import DECIMAL_DIGITS
from syncline.endpoints.mongo_values import encode_column, is_date
from syncline.record import Type

Binary: TypeAlias = "pa.Array[Any]"
"""A column of bytes; a value's NULL is NULL in its element."""

_END: Final = b"\0"
_NULL: Final = b"\x0a"
_FRAME: Final = 5
"""Bytes of a document beside its elements: the length before them, the end after them."""
_MILLISECOND: Final = 1000


def element(name: str, column: Any, type_: Type) -> Binary | None:
    """A column as elements of this name; None where a value is none that MongoDB holds."""
    array = arrow.one_chunk(column)
    write = _writer(type_, array)
    if write is None:
        return _by_driver(name, array, type_)
    found = write(name.encode() + _END, array)
    return None if found is None else arrow.where_null(array, None, found)


def stored(elements: Binary, name: str, *, null: bool) -> Binary:
    """The elements, NULL written as BSON's `null`, or left out."""
    return arrow.filled(elements, _NULL + name.encode() + _END if null else b"")


def documents(elements: Sequence[Binary]) -> list[bytes]:
    """Documents of these elements, in this order; none of them is NULL."""
    body = arrow.joined(*elements)
    total = _bytes_of((arrow.lengths(body) + _FRAME).astype(np.int32))
    return cast("list[bytes]", arrow.joined(total, body, _END).to_pylist())


def _writer(type_: Type, array: pa.Array[Any]) -> Callable[[bytes, Any], Binary | None] | None:
    match type_.name:
        case "timestamptz":
            return _dates if is_date(type_) else None
        case "decimal":
            fits = (type_.precision or DECIMAL_DIGITS + 1) <= DECIMAL_DIGITS
            return _decimals if fits and pa.types.is_decimal128(array.type) else None
        case name:
            return _WRITERS.get(name)


def _by_driver(name: str, array: pa.Array[Any], type_: Type) -> Binary | None:
    values, refused = encode_column(array, type_, depth=1, object_ids=False)
    if refused:
        return None
    try:
        # Without the length before the one element and the end after it.
        found = [
            None if value is None else bson.encode({name: value}, codec_options=OPTIONS)[4:-1]
            for value in values
        ]
    except (BSONError, OverflowError, UnicodeEncodeError, RecursionError):
        return None
    return arrow.array(found, pa.binary())


def _bools(name: bytes, array: pa.Array[Any]) -> Binary:
    return arrow.joined(b"\x08" + name, _bytes_of(arrow.truths(array).astype(np.int8)))


def _whole(name: bytes, array: pa.Array[Any]) -> Binary:
    """As the driver does it: in 32 bits where a number fits."""
    numbers = arrow.numbers(array).astype(np.int64)
    short = numbers.astype(np.int32)
    return arrow.chosen(
        short == numbers,
        arrow.joined(b"\x10" + name, _bytes_of(short)),
        arrow.joined(b"\x12" + name, _bytes_of(numbers)),
    )


def _doubles(name: bytes, array: pa.Array[Any]) -> Binary:
    return arrow.joined(b"\x01" + name, _bytes_of(arrow.numbers(array).astype(np.float64)))


def _texts(name: bytes, array: pa.Array[Any]) -> Binary:
    data = array.cast(pa.binary())
    length = _bytes_of((arrow.lengths(data) + len(_END)).astype(np.int32))
    return arrow.joined(b"\x02" + name, length, data, _END)


def _binaries(name: bytes, array: pa.Array[Any]) -> Binary:
    length = _bytes_of(arrow.lengths(array).astype(np.int32))
    return arrow.joined(b"\x05" + name, length, b"\0", array)


def _dates(name: bytes, array: pa.Array[Any]) -> Binary | None:
    """Milliseconds since 1970; None where an instant is finer."""
    numbers = arrow.numbers(array.cast(pa.timestamp("us", "UTC")).cast(pa.int64())).astype(np.int64)
    if (numbers % _MILLISECOND).any():
        return None
    return arrow.joined(b"\x09" + name, _bytes_of(numbers // _MILLISECOND))


def _decimals(name: bytes, array: pa.Array[Any]) -> Binary:
    return arrow.joined(b"\x13" + name, _bytes_of(mongo_decimal.encoded(array)))


def _bytes_of(numbers: npt.NDArray[Any]) -> Binary:
    """Numbers, or rows of them, as their bytes, little end first."""
    ordered = np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<"))
    return arrow.of_bytes(ordered, ordered.nbytes // max(len(ordered), 1))


_WRITERS: Final[Mapping[str, Callable[[bytes, Any], Binary | None]]] = {
    "bool": _bools,
    **dict.fromkeys(("smallint", "integer", "bigint"), _whole),
    **dict.fromkeys(("real", "double"), _doubles),
    "text": _texts,
    "bytes": _binaries,
}
