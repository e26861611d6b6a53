"""Record values: the canonical types, their one form, and the fingerprints by which records are
compared.

Arrow types are the canon. Two values are equal when their fingerprints are: 64-bit xxh3 of the
canonical form, salted by the family of the type, so that equality means the same on every database.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from syncline import arrow
from syncline.errors import InputError

MOST_DIGITS: Final = 38
"""The digits of a decimal that Arrow holds in 128 bits; one of more travels as text."""

PLAIN_DIGITS: Final = 1000
"""Past so many digits a decimal is written with its exponent: 1E+999999 would be a megabyte."""

FINGERPRINT_ALGORITHM: Final = "xxh3-64/1"
_HASHED_AT_ONCE: Final = 2_000
"""Texts that are Python objects at a time: few enough that their memory is used again."""
_ALIKE: Final = ({"smallint", "integer", "bigint"}, {"real", "double"})
"""Types whose equal values have equal fingerprints."""
NULL_FINGERPRINT: Final = 0x6E756C6C
"""The fingerprint of NULL."""

_ARROW: Final[dict[str, pa.DataType]] = {
    "bool": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double": pa.float64(),
    "text": pa.string(),
    "bytes": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "uuid": pa.string(),
    "json": pa.string(),
}
TYPE_NAMES: Final = (*_ARROW, "decimal")
_ALIASES: Final = {
    "int": "bigint",
    "int8": "bigint",
    "int4": "integer",
    "int2": "smallint",
    "string": "text",
    "varchar": "text",
    "float": "double",
    "float8": "double",
    "float4": "real",
    "boolean": "bool",
    "numeric": "decimal",
    "bytea": "bytes",
    "binary": "bytes",
    "datetime": "timestamp",
    "jsonb": "json",
    "document": "json",
    "array": "json",
}
_TYPE = re.compile(r"^\s*([a-z_0-9]+)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*$")


@dataclass(frozen=True, slots=True)
class Type:
    """A canonical type, as mappings write it: `text`, `decimal(14,2)`, `timestamptz(3)`.

    `precision` is: total digits of a decimal, the longest text in characters, the fractional digits
    of a time or timestamp (6 where not given). A decimal without precision is unbounded and travels
    as canonical text.
    """

    name: str
    precision: int | None = None
    scale: int | None = None

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type in which values of this type travel."""
        if self.name == "decimal":
            if self.precision is None or self.precision > MOST_DIGITS:
                return pa.string()
            return pa.decimal128(self.precision, self.scale or 0)
        return _ARROW[self.name]

    def __str__(self) -> str:
        if self.precision is None:
            return self.name
        if self.scale is None:
            return f"{self.name}({self.precision})"
        return f"{self.name}({self.precision},{self.scale})"

    @property
    def is_integer(self) -> bool:
        """Whether values are whole numbers of at most 64 bits."""
        return self.name in {"smallint", "integer", "bigint"}

    @property
    def is_unbounded_decimal(self) -> bool:
        """Whether values are decimals that travel as text."""
        return self.name == "decimal" and pa.types.is_string(self.arrow)


def parse_type(text: str) -> Type:
    """Read a type as mappings write it.

    Raises InputError for a name that is not canonical.
    """
    match = _TYPE.match(text.lower())
    name = _ALIASES.get(match[1], match[1]) if match else ""
    if not match or name not in TYPE_NAMES:
        raise InputError(f"unknown type {text!r}", hint=f"one of {', '.join(sorted(TYPE_NAMES))}")
    precision = int(match[2]) if match[2] else None
    scale = (
        int(match[3]) if match[3] else (0 if name == "decimal" and precision is not None else None)
    )
    return Type(name, precision, scale)


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value that its declared type can't hold, found at row `row` of a batch.

    `value` is the value as text (for a person), `reason` one lowercase clause. The Arrow column
    holds NULL there; whoever reads a batch must treat the record as a dead letter (source) or as
    differing (target), never as NULL.
    """

    row: int
    field: str
    reason: str
    value: str


def canonical_json(text: str) -> str:
    """One text for equal documents: keys sorted, no spaces, numbers by value (1.0 and 1.00 are
    equal). A document that is nested deeper than Python reads (about 1000 levels) is its own text.
    """
    try:
        return _written(json.loads(text, parse_float=Decimal))
    except RecursionError:
        return text
    except ValueError:  # more digits than Python makes an int of
        return _written(json.loads(text, parse_float=Decimal, parse_int=Decimal))


def _written(value: Any) -> str:
    # Not json.dumps: it can't write a Decimal digit by digit, and a double would round it.
    if isinstance(value, Decimal):
        return canonical_decimal(value)
    if isinstance(value, dict):
        items = sorted(cast("dict[str, Any]", value).items())
        return "{" + ",".join(f"{_quoted(k)}:{_written(v)}" for k, v in items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, cast("list[Any]", value))) + "]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False)
    # A lone surrogate, written as an escape in the document, is no text by itself.
    return written if written.isascii() or _is_text(written) else json.dumps(text)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def canonical_decimal(value: Decimal) -> str:
    """One text for equal decimals: plain notation, no trailing zeros, no negative zero."""
    if not value.is_finite():
        return str(value)
    if value and abs(value.adjusted()) > PLAIN_DIGITS:
        return str(value.normalize())
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def canonical_array(values: pa.Array[Any], type_: Type) -> pa.Array[Any]:
    """The column in its one form: documents with sorted keys, unbounded decimals without trailing
    zeros.
    """
    if type_.name == "json":
        return pa.array(
            [None if v is None else canonical_json(v) for v in values.to_pylist()], pa.string()
        )
    if type_.is_unbounded_decimal:
        return pa.array(
            [None if v is None else canonical_decimal(Decimal(v)) for v in values.to_pylist()],
            pa.string(),
        )
    return values


def fingerprints(
    values: pa.Array[Any] | pa.ChunkedArray[Any], type_: Type
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """64-bit fingerprints of a column, one a value; stable across versions (xxh3, golden-tested).

    Numbers compare by value whatever their width: an integer of one database equals the same
    integer of another.
    """
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    array = canonical_array(array, type_)
    kind = array.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        array = array.cast(pa.int64())
    elif pa.types.is_floating(kind):
        return _with_nulls(_mix(_float_bits(array)), array)
    elif pa.types.is_decimal(kind):
        return _with_nulls(_decimal_prints(array), array)
    elif pa.types.is_date32(kind):
        array = array.cast(pa.int32()).cast(pa.int64())
    elif pa.types.is_temporal(kind):
        array = array.cast(pa.int64())
    else:
        return _with_nulls(_bytes_prints(array), array)
    return _with_nulls(_mix(arrow.numbers(array)), array)


def same_fingerprints(one: str, other: str) -> bool:
    """Whether equal values of these two types, as text, have equal fingerprints.

    Whole numbers of any width, floats, texts of any length, times of any fraction, and decimals of
    one scale have; else the types have to be the same.
    """
    if one == other:
        return True
    a, b = parse_type(one), parse_type(other)
    if a.name == b.name == "decimal":
        bounded = not (a.is_unbounded_decimal or b.is_unbounded_decimal)
        return bounded and (a.scale or 0) == (b.scale or 0)
    return a.name == b.name or any({a.name, b.name} <= names for names in _ALIKE)


def _with_nulls(
    prints: np.ndarray[Any, Any], array: pa.Array[Any]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    result = prints.view(np.int64)
    if array.null_count:
        result = result.copy()
        result[array.is_null().to_numpy(zero_copy_only=False)] = NULL_FINGERPRINT
    return result


def _float_bits(array: pa.Array[Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    numbers = arrow.numbers(array.cast(pa.float64())) + 0.0  # -0.0 equals 0.0
    numbers = np.where(np.isnan(numbers), np.nan, numbers)  # one NaN
    return np.ascontiguousarray(numbers).view(np.int64)


def _mix(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014): a bijection, so distinct numbers never
    collide.
    """
    x = np.ascontiguousarray(numbers, dtype=np.int64).view(np.uint64).copy()
    x += np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _decimal_prints(array: pa.Array[Any]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    words = arrow.words(array, 1, np.int64)[2 * array.offset : 2 * (array.offset + len(array))]
    low, high = words[0::2], words[1::2]
    # Every decimal of a column has the column's scale: the unscaled 128-bit integer is its value.
    return _mix(_mix(low).view(np.int64) ^ np.where(high == (low >> 63), 0, high * 31 + 7))


def _bytes_prints(array: pa.Array[Any]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    if pa.types.is_binary(array.type):
        array = arrow.hexadecimal(array)  # as the ledgers have it since the first
    texts = arrow.filled(array.cast(pa.binary()), b"")
    found = np.empty(len(texts), np.uint64)
    for start in range(0, len(texts), _HASHED_AT_ONCE):
        values = cast("list[bytes]", texts.slice(start, _HASHED_AT_ONCE).to_pylist())
        found[start : start + len(values)] = [xxh3_64_intdigest(value) for value in values]
    return found
