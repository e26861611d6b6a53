"""Values that a SQL database answers as text or plain numbers, in the form that `fit` knows."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from syncline.endpoints.fit import Unfit
from syncline.endpoints.sql_values import checked_json
from syncline.record import Type

_DECIMAL: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?")
_NOT_FINITE: Final = frozenset({"NaN", "Infinity", "-Infinity"})
"""As PostgreSQL, BSON and we write them, for decimals without bounds."""
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TIME: Final = re.compile(r"\d\d:\d\d(?::\d\d(?:\.\d{1,6}0*)?)?")
_INSTANT: Final = re.compile(
    rf"({_DATE.pattern})(?:[ T]({_TIME.pattern}))? ?(Z|[+-]\d\d(?::?\d\d)?)?"
)
_LONG_FRACTION: Final = re.compile(r"(\.\d{6})0+$")


def prepared(  # noqa: PLR0911 - a table
    value: Any, type_: Type, *, declared: bool = False
) -> Any:
    """Give a stored value in a form that `fit` knows. Raises Unfit.

    `declared`: the type is not the column's own, but the one that the mapping reads it as.
    """
    match type_.name, value:
        case "bool", 0 | 1:
            return bool(value)
        case "decimal", str():
            if not _DECIMAL.fullmatch(value) and value not in _NOT_FINITE:
                raise Unfit("is no decimal")
            return Decimal(value)
        case "text", int() | float() if declared:
            return repr(value).replace("inf", "Infinity")
        case "uuid", bytes() if len(value) == 16:  # noqa: PLR2004 - a uuid's bytes
            return uuid.UUID(bytes=value)
        case "json", str():
            return checked_json(value)
        case "json", int() | float():
            return checked_json(repr(value).replace("inf", "Infinity"))
        case "date", str() if not _DATE.fullmatch(value):
            raise Unfit("is no date")
        case "time", str():
            if not _TIME.fullmatch(value):
                raise Unfit("is no time")
            return _LONG_FRACTION.sub(r"\1", value)
        case "timestamp" | "timestamptz", str():
            return _instant(value, zoned=type_.name == "timestamptz")
        case _:
            return value


def _instant(text: str, *, zoned: bool) -> datetime:
    match = _INSTANT.fullmatch(text)
    if not match:
        raise Unfit("is no ISO timestamp")
    time = _LONG_FRACTION.sub(r"\1", match[2] or "00:00")
    try:
        # SQLite has no zones: what does not name one is UTC, as CURRENT_TIMESTAMP is.
        instant = datetime.fromisoformat(f"{match[1]} {time}{match[3] or '+00:00'}")
    except ValueError as error:
        raise Unfit("is no timestamp") from error
    if zoned:
        return instant
    if instant.utcoffset():
        raise Unfit("names a zone, where a timestamp has none")
    return instant.replace(tzinfo=None)


def written(instant: datetime) -> str:
    """Give an instant as text whose order is the order of time."""
    if instant.tzinfo is not None:
        instant = instant.astimezone(UTC).replace(tzinfo=None)
    return instant.isoformat(" ", "microseconds")
