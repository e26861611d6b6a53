"""Fits Python values to canonical types, where rows are Python values (memory, documents).

A value either has an exact form in the type or it is `Unfit`; nothing is rounded, cut or guessed.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias, TypeVar, cast

import numpy as np
import pyarrow as pa

from syncline.errors import InputError
from syncline.record import Misfit, Type, canonical_decimal

Value: TypeAlias = Any
"""A value in its type's Python form: bool, int, float, Decimal, str (text, uuid, json), bytes,
date, time, datetime (UTC for a timestamptz, naive for a timestamp); or None."""

_WHOLE: Final = {"smallint": 15, "integer": 31, "bigint": 63}
_PLAIN: Final[Mapping[str, type]] = {"bool": bool, "bigint": int, "double": float, "bytes": bytes}
_T = TypeVar("_T")
_WHOLE_DIGITS: Final = 40
_SHOWN: Final = 200
"""Characters of a misfit's value that are kept for people."""


class Unfit(ValueError):
    """A value has no exact form in a type; the message is one lowercase clause."""


def fit(value: object, type_: Type) -> Value:
    """Give the value in the type's Python form, or raise Unfit. None stays None."""
    return None if value is None else _FITS[type_.name](value, type_)


def fit_column(
    name: str, values: Sequence[object], type_: Type
) -> tuple[pa.Array[Any], list[Misfit]]:
    """Give the values as one Arrow array; what does not fit is NULL there, and a Misfit."""
    plain = _plain_array(values, type_)
    if plain is not None:
        return plain, []
    fitted: list[Any] = []
    misfits: list[Misfit] = []
    for row, value in enumerate(values):
        try:
            fitted.append(fit(value, type_))
        except Unfit as reason:
            fitted.append(None)
            misfits.append(Misfit(row, name, str(reason), shown(value)))
    return to_arrow(fitted, type_), misfits


def to_arrow(values: Sequence[object], type_: Type) -> pa.Array[Any]:
    """Give fitted values as an Arrow array of the type."""
    if type_.is_unbounded_decimal:
        values = [None if v is None else canonical_decimal(cast("Decimal", v)) for v in values]
    return pa.array(values, type_.arrow)


def from_arrow(array: pa.Array[Any] | pa.ChunkedArray[Any], type_: Type) -> list[Any]:
    """Give an Arrow column of the type as Python values that `fit` takes."""
    values = cast("list[Any]", array.to_pylist())
    if type_.is_unbounded_decimal:
        return [None if v is None else Decimal(v) for v in values]
    return values


def text_of(value: object) -> str | None:
    """Give a fitted value as text that `parse_text` reads back exactly."""
    match value:
        case None:
            return None
        case bytes():
            return value.hex()
        case datetime() | date() | time():
            return value.isoformat()
        case float():
            return repr(value)
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


def parse_text(text: str, type_: Type) -> Value:
    """Read a value written by `text_of`, or by a user (an instant without offset is UTC).

    Raises InputError where the text is no value of the type.
    """
    try:
        return _PARSERS.get(type_.name, str)(text)
    except (ValueError, InvalidOperation) as error:
        raise InputError(f"{text!r} is no value of type {type_}") from error


def shown(value: object) -> str:
    """Give a value as text for a person, cut to a bearable length."""
    text = str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _plain_array(values: Sequence[object], type_: Type) -> pa.Array[Any] | None:
    """Take the fast way in where every value is of the one Python class whose every value fits."""
    expected = str if type_.name == "text" and type_.precision is None else _PLAIN.get(type_.name)
    if expected is None or not set(map(type, values)) <= {expected, type(None)}:
        return None
    try:
        return pa.array(values, type_.arrow)
    except (pa.ArrowException, OverflowError, UnicodeError):
        return None


def _bool(value: object, _type: Type) -> bool:
    if isinstance(value, bool):
        return value
    raise Unfit(f"a {_kind(value)} is no bool")


def _whole(value: object, type_: Type) -> int:
    number = _number(value, type_)
    if isinstance(number, float) and not number.is_integer():  # true of NaN and infinities as well
        raise Unfit("is no whole number")
    if isinstance(number, Decimal) and not _is_whole(number):
        raise Unfit("is no whole number")
    whole = int(number)
    bits = _WHOLE[type_.name]
    if not -(1 << bits) <= whole < 1 << bits:
        raise Unfit(f"is out of range for {type_}")
    return whole


def _float(value: object, type_: Type) -> float:
    number = _number(value, type_)
    try:
        result = float(number)
    except OverflowError as error:
        raise Unfit(f"is out of range for {type_}") from error
    if type_.name == "real":
        with np.errstate(over="ignore"):
            result = float(np.float32(result))
    if result != number and not math.isnan(number):
        raise Unfit(f"has no exact {type_}")
    return result


def _decimal(value: object, type_: Type) -> Decimal:
    number = _number(value, type_)
    # The shortest text that reads back as the same double: what every database shows for it.
    exact = Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
    if type_.precision is None:
        return exact
    if not exact.is_finite():
        raise Unfit(f"{exact} is no {type_}")
    if not exact:
        return Decimal(0)
    _, digits, exponent = exact.as_tuple()
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    scale = type_.scale or 0
    if cast("int", exponent) + zeros < -scale:
        raise Unfit(f"has more than {scale} digits after the point")
    if exact.adjusted() >= type_.precision - scale:
        raise Unfit(f"has more digits than {type_}")
    return exact


def _text(value: object, type_: Type) -> str:
    if type(value) is not str:  # BSON's code is a class of its own, and no text
        raise Unfit(f"a {_kind(value)} is no text")
    if type_.precision is not None and len(value) > type_.precision:
        raise Unfit(f"is longer than {type_.precision} characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Unfit("has a lone surrogate, which is no text") from error
    return value


def _bytes(value: object, _type: Type) -> bytes:
    if type(value) is bytes:
        return value
    raise Unfit(f"a {_kind(value)} is no bytes")


def _date(value: object, _type: Type) -> date:
    if isinstance(value, datetime):
        if value.time() != time():
            raise Unfit("has a time of day")
        return value.date()
    if isinstance(value, date):
        return value
    return _iso(date.fromisoformat, value, "date")


def _time(value: object, type_: Type) -> time:
    result = value if isinstance(value, time) else _iso(time.fromisoformat, value, "time")
    if result.tzinfo is not None:
        raise Unfit("a time with an offset is no time")
    _check_digits(result.microsecond, type_)
    return result


def _timestamp(value: object, type_: Type) -> datetime:
    result = _instant(value, type_)
    if result.tzinfo is not None:
        raise Unfit("an instant with an offset is no timestamp")
    return result


def _timestamptz(value: object, type_: Type) -> datetime:
    result = _instant(value, type_)
    if result.tzinfo is None:
        raise Unfit("a timestamp without offset is no instant")
    try:
        return result.astimezone(UTC)
    except OverflowError as error:
        raise Unfit("is out of range for an instant") from error


def _instant(value: object, type_: Type) -> datetime:
    is_instant = isinstance(value, datetime)
    result = value if is_instant else _iso(datetime.fromisoformat, value, type_.name)
    _check_digits(result.microsecond, type_)
    return result


def _uuid(value: object, _type: Type) -> str:
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, str):
        try:
            return str(uuid.UUID(value))
        except ValueError as error:
            raise Unfit("is no uuid") from error
    raise Unfit(f"a {_kind(value)} is no uuid")


def _json(value: object, _type: Type) -> str:
    if not isinstance(value, str):
        raise Unfit(f"a {_kind(value)} is no json text")
    try:
        json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Unfit("is no json") from error
    return value


_FITS: Final[Mapping[str, Callable[[Any, Type], Any]]] = {
    "bool": _bool,
    "smallint": _whole,
    "integer": _whole,
    "bigint": _whole,
    "real": _float,
    "double": _float,
    "decimal": _decimal,
    "text": _text,
    "bytes": _bytes,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "uuid": _uuid,
    "json": _json,
}


def _utc(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _bool_of(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(text)
    return text == "true"


_PARSERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "bool": _bool_of,
    "smallint": int,
    "integer": int,
    "bigint": int,
    "real": float,
    "double": float,
    "decimal": Decimal,
    "bytes": bytes.fromhex,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timestamp": datetime.fromisoformat,
    "timestamptz": _utc,
}


def _number(value: object, type_: Type) -> int | float | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unfit(f"a {_kind(value)} is no {type_.name}")
    if isinstance(value, Decimal) and value.is_snan():
        raise Unfit("is a signalling nan")
    return value


def _is_whole(number: Decimal) -> bool:
    # adjusted() first: int() of 1E+999999 would be a megabyte of digits
    if not number.is_finite() or number.adjusted() >= _WHOLE_DIGITS:
        return False
    return number == number.to_integral_value()


def _iso(read: Callable[[str], _T], value: object, name: str) -> _T:
    if not isinstance(value, str):
        raise Unfit(f"a {_kind(value)} is no {name}")
    try:
        return read(value)
    except ValueError as error:
        raise Unfit(f"is no {name}") from error


def _check_digits(microsecond: int, type_: Type) -> None:
    digits = 6 if type_.precision is None else min(type_.precision, 6)
    if microsecond % 10 ** (6 - digits):
        raise Unfit(f"is finer than {type_}")


def _kind(value: object) -> str:
    return type(value).__name__.lower()
