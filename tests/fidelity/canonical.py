"""One form for equal values of any database, as plain drivers give them; nothing of syncline's own.

A value that is not of its column's family (a text in a number's column) has a form of its own kind,
which equals only the same text.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import struct
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from bson import Binary, Decimal128, Regex, json_util
from bson.codec_options import DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError

Canon = tuple[Any, ...]
_BSON: Final = json_util.JSONOptions(
    uuid_representation=4, tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
_DAY: Final = r"(?P<year>\d{4,})-(?P<month>\d\d)-(?P<day>\d\d)"
_CLOCK: Final = r"(?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)(\.(?P<fraction>\d+))?)?"
_ZONE: Final = r" ?(?P<zone>Z|[+-]\d\d(:?\d\d)?)?"
_MOMENT: Final = re.compile(f"{_DAY}([T ]{_CLOCK}{_ZONE})?")
_TIME: Final = re.compile(_CLOCK)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def canonical(family: str, raw: Any, *, document: bool = False) -> Canon:
    """The value in the one form of its family; `document` where it is BSON, not JSON's text."""
    if raw is None:
        return ("null",)
    if family == "json" and document:
        return ("json", _frozen(raw))
    form = _FAMILIES[family](raw)
    return form if form is not None else ("odd", type(raw).__name__, str(raw))


def in_floats(family: str, raw: Any, narrow: str) -> Canon:
    """A number to its last binary digit, as a column declared `double` or `real` holds it."""
    if raw is None or family == "number":
        return canonical("number", raw)
    found = {"double": _double, "real": _real}[narrow if family == "any" else family](raw)
    if found is None:
        return ("odd", type(raw).__name__, str(raw))
    return canonical("number", "nan" if found[1] == "nan" else Decimal(found[1]))


def _number(raw: Any) -> Canon | None:
    if isinstance(raw, bytes):
        return None
    text = str(raw).replace("$", "").replace(",", "") if isinstance(raw, str) else raw
    text = {"t": "1", "true": "1", "f": "0", "false": "0"}.get(str(text), text)
    if isinstance(text, bool):
        text = int(text)
    try:
        number = text.to_decimal() if isinstance(text, Decimal128) else Decimal(str(text))
    except InvalidOperation:
        return None
    if number.is_nan():
        return ("number", "nan")
    return ("number", number if not number.is_finite() else _stripped(number))


def _stripped(number: Decimal) -> str:
    sign, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    short = text.rstrip("0")
    if not short:
        return "0"
    return f"{'-' if sign else ''}{short}e{int(exponent) + len(text) - len(short)}"


def _double(raw: Any) -> Canon | None:
    if isinstance(raw, bytes):
        return None
    try:
        value = float(str(raw))
    except ValueError:
        return None
    return ("double", "nan" if math.isnan(value) else value + 0.0)


def _real(raw: Any) -> Canon | None:
    # A float4's text is the shortest that is the same float4; a wider column shows all its digits.
    found = _double(raw)
    if found is None or found[1] == "nan" or math.isinf(found[1]):
        return found
    return ("double", struct.unpack("f", struct.pack("f", found[1]))[0] + 0.0)


def _text(raw: Any) -> Canon | None:
    return ("text", str(raw)) if not isinstance(raw, bytes) else None


def _bytes(raw: Any) -> Canon | None:
    if isinstance(raw, Binary):
        return ("bytes", bytes(raw)) if raw.subtype == 0 else None
    if isinstance(raw, str):
        return ("bytes", bytes.fromhex(raw[2:]) if raw.startswith("\\x") else raw.encode())
    return ("bytes", raw) if isinstance(raw, bytes) else None


def _moment(raw: Any, *, zoned: bool) -> Canon | None:  # noqa: PLR0911 - a table
    if isinstance(raw, DatetimeMS):
        return ("ms", int(raw))
    if isinstance(raw, dt.datetime):
        return ("moment", _micros(raw if raw.tzinfo else raw.replace(tzinfo=dt.UTC)))
    found = _MOMENT.fullmatch(raw) if isinstance(raw, str) else None
    if found is None:
        return None
    part = found.groupdict(default="0")
    if len(found["year"]) > 4 or part["fraction"][6:].strip("0"):
        return None
    if found["zone"] and not zoned:
        return None
    try:
        parts = [int(part[p]) for p in ("year", "month", "day", "hour", "minute", "second")]
        micros = int(part["fraction"][:6].ljust(6, "0"))
        instant = dt.datetime(*parts, micros, tzinfo=dt.UTC)
    except ValueError:
        return None
    return ("moment", _micros(instant) - _offset(found["zone"]))


def _offset(zone: str | None) -> int:
    digits = (zone or "Z").replace(":", "")
    if digits == "Z":
        return 0
    minutes = int(digits[1:3]) * 60 + int(digits[3:5] or 0)
    return (-1 if digits[0] == "-" else 1) * minutes * 60_000_000


def _micros(instant: dt.datetime) -> int:
    return (instant - _EPOCH) // dt.timedelta(microseconds=1)


def _time(raw: Any) -> Canon | None:
    found = _TIME.fullmatch(raw) if isinstance(raw, str) else None
    if found is None or int(found["hour"]) > 23 or (found["fraction"] or "")[6:].strip("0"):
        return None
    fraction = (found["fraction"] or "").ljust(6, "0")[:6]
    return ("time", found["hour"], found["minute"], found["second"] or "00", fraction)


def _uuid(raw: Any) -> Canon | None:
    try:
        return ("uuid", raw if isinstance(raw, uuid.UUID) else uuid.UUID(raw))
    except (ValueError, AttributeError, TypeError):
        return None


def _json(raw: Any) -> Canon | None:
    if isinstance(raw, int | float):  # SQLite makes a number of it where a column is declared JSON
        return ("json", _number(raw))
    if not isinstance(raw, str):
        return None
    try:
        twice: list[str] = []

        def seen(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            twice.extend([k for k, _ in pairs] if len(dict(pairs)) < len(pairs) else [])
            return dict(pairs)

        json.loads(raw, object_pairs_hook=seen, parse_constant=_refuse)
        if twice:  # what it says is open: only the same text is known to say the same
            return ("json twice", re.sub(r"\s", "", raw))
        return ("json", _frozen(_extended(json.loads(raw, parse_float=Decimal))))
    except (ValueError, RecursionError):
        return None


def _extended(value: Any) -> Any:
    """What forms of Extended JSON mean; a document that only looks like one is a document."""
    if isinstance(value, list):
        return [_extended(item) for item in value]
    if not isinstance(value, dict):
        return value
    if any(key.startswith("$") for key in value):
        try:
            meant = json_util.loads(json.dumps(value), json_options=_BSON)
            for mode in (json_util.JSONMode.RELAXED, json_util.JSONMode.CANONICAL):
                options = _BSON.with_options(json_mode=mode)
                written = json_util.dumps(meant, json_options=options)
                if value in (json.loads(written, parse_float=Decimal), {"$uuid": str(meant)}):
                    return meant
        except (TypeError, ValueError, ArithmeticError, BSONError):
            pass
    return {key: _extended(item) for key, item in value.items()}


def _refuse(word: str) -> None:
    raise ValueError(word)


def _frozen(value: Any) -> Any:  # noqa: PLR0911 - a table
    if isinstance(value, Mapping):
        return ("object", tuple(sorted((k, _frozen(v)) for k, v in value.items())))
    if isinstance(value, list):
        return ("array", tuple(map(_frozen, value)))
    if isinstance(value, bool) or value is None or type(value) is str:
        return (type(value).__name__, value)
    if isinstance(value, int | float | Decimal | Decimal128):
        return _number(value)
    if isinstance(value, dt.datetime | DatetimeMS):
        return _moment(value, zoned=True)
    if isinstance(value, Regex):
        return ("regex", value.pattern, int(value.flags))
    if isinstance(value, bytes):
        return ("bytes", getattr(value, "subtype", 0), value.hex())
    return (type(value).__name__, str(value))


def _bounds(raw: Any) -> Canon | None:
    return ("bounds", raw)


def _point(raw: Any) -> Canon | None:
    """A MariaDB point as the driver gives it (four bytes of SRID, WKB), or as its text."""
    if not isinstance(raw, bytes):
        found = re.fullmatch(r"POINT\((\S+) (\S+)\)", str(raw))
        return ("point", float(found[1]), float(found[2])) if found else None
    return ("point", *struct.unpack("<dd", raw[9:]))


_FAMILIES: Final[Mapping[str, Callable[[Any], Canon | None]]] = {
    "any": lambda raw: ("text", str(raw).replace("inf", "Infinity")),
    "number": _number,
    "double": _double,
    "real": _real,
    "text": _text,
    "bytes": _bytes,
    "date": lambda raw: _moment(raw, zoned=False),
    "stamp": lambda raw: _moment(raw, zoned=True),
    "instant": lambda raw: _moment(raw, zoned=True),
    "time": _time,
    "uuid": _uuid,
    "json": _json,
    "bounds": _bounds,
    "point": _point,
}
