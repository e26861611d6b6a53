"""Documents and arrays of BSON as JSON text, both ways, exactly.

What JSON has a form for is written in it: strings, bools, null, integers, finite doubles (a whole
one with its `.0`), and decimals that neither an int64 nor a double can hold. Everything else, and
every other decimal, is written as MongoDB Extended JSON (`{"$date": ..}`, `{"$oid": ..}`,
`{"$numberDecimal": ..}`, `{"$uuid": ..}`, `{"$binary": ..}`). Reading takes as extended only the
very form that writing gives, so text and value go both ways unchanged.

Not kept: that a small integer was stored in 64 bits (it is equal), the scope of a piece of code,
and a document that itself spells one of those forms (it is read as what it spells).
"""

from __future__ import annotations

import base64
import json
import math
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal, DecimalException, Inexact, Overflow
from typing import Any, Final, NoReturn, cast

from bson import json_util
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.errors import BSONError
from bson.int64 import Int64
from bson.objectid import ObjectId

from syncline.endpoints.fit import Unfit

MAX_DEPTH: Final = 100
"""Levels of nesting that MongoDB stores."""
DECIMAL_DIGITS: Final = 34
"""Digits of a Decimal128."""

_LONG: Final = 1 << 63
_DECIMAL128: Final = Context(
    prec=DECIMAL_DIGITS, Emin=-6143, Emax=6144, clamp=1, traps=[Inexact, Overflow]
)
_EXTENDED: Final = frozenset(
    {"$oid", "$date", "$numberDecimal", "$numberDouble", "$uuid", "$binary", "$timestamp"}
    | {"$regularExpression", "$code", "$minKey", "$maxKey"}
)
_JSON_OPTIONS: Final = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL,
    uuid_representation=4,
    tz_aware=True,
    tzinfo=UTC,
)


def json_text(value: object) -> str:
    """Give a BSON value as JSON text."""
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return "{" + ", ".join(f"{_string(k)}: {json_text(v)}" for k, v in items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(json_text, cast("list[object]", value))) + "]"
    write = _WRITERS.get(type(value))
    return write(value) if write else _foreign(value)


def from_json(text: str, *, depth: int = 0) -> Any:
    """Read a BSON value from JSON text; `depth` is how deep in its document it will lie.

    Raises Unfit where MongoDB can't store it.
    """
    try:
        value = json.loads(
            text,
            parse_int=_whole,
            parse_float=_fraction,
            parse_constant=_refuse_constant,
            object_pairs_hook=_document,
        )
    except RecursionError as error:
        raise Unfit(f"is nested deeper than {MAX_DEPTH} levels") from error
    except Unfit:
        raise
    except ValueError as error:
        raise Unfit("is no json") from error
    if depth + _depth(value) > MAX_DEPTH:
        raise Unfit(f"is nested deeper than {MAX_DEPTH} levels")
    return value


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _date(value: Any) -> str:
    text = value.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return f'{{"$date": "{text.removesuffix(".000")}Z"}}'


def _double(value: Any) -> str:
    if math.isfinite(value):
        return repr(value)
    name = "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return f'{{"$numberDouble": "{name}"}}'


def _decimal128(value: Any) -> str:
    text = str(value)
    number = value.to_decimal()
    bare = number.is_finite() and isinstance(_number(text), Decimal128)
    return text if bare else f'{{"$numberDecimal": "{text}"}}'


def _binary(value: Any) -> str:
    subtype = value.subtype if isinstance(value, Binary) else 0
    data = base64.b64encode(value).decode()
    return f'{{"$binary": {{"base64": "{data}", "subType": "{subtype:02x}"}}}}'


_WRITERS: Final[Mapping[type, Callable[[Any], str]]] = {
    type(None): lambda _value: "null",
    bool: lambda value: "true" if value else "false",
    int: str,
    Int64: lambda value: str(int(value)),
    float: _double,
    str: _string,
    datetime: _date,
    Decimal128: _decimal128,
    ObjectId: lambda value: f'{{"$oid": "{value}"}}',
    uuid.UUID: lambda value: f'{{"$uuid": "{value}"}}',
    bytes: _binary,
    Binary: _binary,
}


def _foreign(value: object) -> str:
    """Write a type that neither SQL nor JSON knows: regular expressions, timestamps, .."""
    return json.dumps(json_util.default(value, _JSON_OPTIONS), ensure_ascii=False)


def _number(token: str) -> int | float | Decimal128:
    return _fraction(token) if {".", "e", "E"} & set(token) else _whole(token)


def _whole(token: str) -> int | Decimal128:
    number = Decimal(token)
    if -_LONG <= number < _LONG:
        return int(token)
    return to_decimal128(number)


def _fraction(token: str) -> float | Decimal128:
    number = Decimal(token)
    double = float(token)
    return double if Decimal(repr(double)) == number else to_decimal128(number)


def _refuse_constant(token: str) -> NoReturn:
    raise Unfit(f"{token} is no json")


def _document(pairs: list[tuple[str, Any]]) -> object:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise Unfit("has a key twice")
    if not pairs or pairs[0][0] not in _EXTENDED:
        return document
    try:
        value: object = _extended(document)
        if isinstance(value, dict) or json.loads(json_text(value)) != document:
            return document
    except (BSONError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        return document
    return value


def _extended(document: dict[str, Any]) -> object:
    date = document.get("$date")
    if isinstance(date, dict):  # past the years that Python knows
        return DatetimeMS(int(cast("dict[str, str]", date)["$numberLong"]))
    if "$binary" in document:  # the driver would make a UUID of subtype 3 as well
        binary = cast("dict[str, str]", document["$binary"])
        data, subtype = base64.b64decode(binary["base64"]), int(binary["subType"], 16)
        return Binary(data, subtype) if subtype else data
    return json_util.object_hook(document, _JSON_OPTIONS)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, cast("dict[str, object]", value).values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, cast("list[object]", value)), default=0)
    return 0


def to_decimal128(value: Decimal) -> Decimal128:
    """Give the decimal as MongoDB stores it. Raises Unfit past 34 digits."""
    try:
        return Decimal128(_DECIMAL128.create_decimal(value))
    except DecimalException as error:
        raise Unfit(f"has more than the {DECIMAL_DIGITS} digits of a Decimal128") from error
