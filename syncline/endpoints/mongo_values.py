"""Columns of canonical types as BSON values, both ways, exactly."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from syncline.endpoints import mongo_decimal
from syncline.endpoints.fit import Unfit, fit_column, from_arrow, shown
from syncline.endpoints.mongo_json import from_json, json_text, to_decimal128
from syncline.record import Misfit, Type

DATE_DIGITS: Final = 3
"""Fractional digits of a second that a BSON date keeps."""
_OID_DIGITS: Final = 24


def fits(type_: Type) -> Type:
    """Give the type that values of a type have once stored in MongoDB."""
    match type_.name:
        case "smallint" | "integer" | "bigint":
            return Type("bigint")
        case "real" | "double":
            return Type("double")
        case "timestamptz" if not is_date(type_):
            return Type("text")
        case "timestamp" | "date" | "time" | "text":
            return Type("text")
        case _:
            return type_


def is_date(type_: Type) -> bool:
    """Whether instants of the type are stored as BSON dates, which keep milliseconds."""
    return type_.precision is not None and type_.precision <= DATE_DIGITS


def decode_column(
    name: str, values: Sequence[object], type_: Type
) -> tuple[pa.Array[Any], list[Misfit]]:
    """Give BSON values as an Arrow column, with what does not fit the type."""
    if type_.name == "json":
        return _decode_json(name, values)
    plain = _plain(values, type_)
    if plain is not None:
        return plain, []
    native = _NATIVE.get(type_.name, {})
    if native and not native.keys().isdisjoint(map(type, values)):
        values = [native[type(v)](v) if type(v) in native else v for v in values]
    return fit_column(name, values, type_)


def _plain(values: Sequence[object], type_: Type) -> pa.Array[Any] | None:
    """The column, where all values are of the one BSON type that is the canonical type's own."""
    if type_.name == "decimal":
        return mongo_decimal.decoded(values, type_)
    digits = DATE_DIGITS if type_.precision is None else type_.precision
    is_instant = type_.name == "timestamptz" and digits >= DATE_DIGITS
    # A date that Python's datetime can't hold is of a class of its own.
    if is_instant and set(map(type, values)) <= {datetime, type(None)}:
        return pa.array(values, type_.arrow)
    return None


def key_value(value: object, type_: Type) -> Any:
    """Give one BSON value in the form in which `asked_values` gives keys. Raises Unfit."""
    column, misfits = decode_column("", [value], type_)
    if misfits:
        raise Unfit(misfits[0].reason)
    return from_arrow(column, type_)[0]


def encode_column(
    array: pa.Array[Any] | pa.ChunkedArray[Any], type_: Type, *, depth: int, object_ids: bool
) -> tuple[list[Any], dict[int, str]]:
    """Give an Arrow column as BSON values, and why not for each row that MongoDB can't hold.

    `object_ids`: text of 24 hex digits is stored as an ObjectId, as the path's other values are.
    """
    values = from_arrow(array, type_)
    encode = _encoder(type_, depth=depth, object_ids=object_ids)
    if encode is None:
        return values, {}
    encoded: list[Any] = []
    refused: dict[int, str] = {}
    for row, value in enumerate(values):
        try:
            encoded.append(None if value is None else encode(value))
        except Unfit as reason:
            encoded.append(None)
            refused[row] = f"{shown(value)} {reason}"
    return encoded, refused


def object_id(value: object) -> ObjectId | None:
    """Give the ObjectId that a text spells as syncline writes it, or None."""
    if not isinstance(value, str) or len(value) != _OID_DIGITS or value != value.lower():
        return None
    return ObjectId(value) if ObjectId.is_valid(value) else None


def _decode_json(name: str, values: Sequence[object]) -> tuple[pa.Array[Any], list[Misfit]]:
    texts: list[str | None] = []
    misfits: list[Misfit] = []
    for row, value in enumerate(values):
        text = None if value is None else json_text(value)
        try:
            if text is not None and not text.isascii():
                text.encode()
        except UnicodeEncodeError:
            misfits.append(Misfit(row, name, "has bytes that are no utf-8", shown(ascii(text))))
            text = None
        texts.append(text)
    return pa.array(texts, pa.string()), misfits


def _encoder(type_: Type, *, depth: int, object_ids: bool) -> Callable[[Any], Any] | None:
    if type_.name == "text":
        return (lambda text: object_id(text) or text) if object_ids else None
    if type_.name == "json":
        return lambda text: _inner(text, depth)
    if type_.name == "timestamptz" and is_date(type_):
        return _millisecond
    return _ENCODERS.get(type_.name)


def _inner(text: str, depth: int) -> object:
    value = from_json(text, depth=depth)
    if value is None:
        raise Unfit("is json's null, which MongoDB can't tell from NULL")
    return value


def _microseconds(value: Any) -> str:
    return value.isoformat(timespec="microseconds")


_ENCODERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "decimal": to_decimal128,
    "uuid": uuid.UUID,
    "timestamptz": _microseconds,
    "timestamp": _microseconds,
    "time": _microseconds,
    "date": lambda value: value.isoformat(),
}


def _millisecond(value: datetime) -> datetime:
    if value.microsecond % 1000:
        raise Unfit("is finer than the millisecond of a BSON date")
    return value


def _naive(value: datetime) -> datetime:
    # A BSON date is an instant in UTC; who declares it a timestamp asks for its UTC reading.
    return value.astimezone(UTC).replace(tzinfo=None)


def _decimal_of(value: Decimal128) -> Decimal:
    return value.to_decimal()


_NUMBERS: Final[Mapping[type, Callable[[Any], Any]]] = {Decimal128: _decimal_of, Int64: int}
_NATIVE: Final[Mapping[str, Mapping[type, Callable[[Any], Any]]]] = {
    **dict.fromkeys(("smallint", "integer", "bigint", "real", "double", "decimal"), _NUMBERS),
    "text": {ObjectId: str},
    "timestamp": {datetime: _naive},
}
