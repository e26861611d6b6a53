"""SQLite's declared types, and its values: any column may hold any value, so each is checked."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from syncline.endpoints.sql_text import written
from syncline.endpoints.sql_values import (
    Array,
    Bound,
    Field,
    bind_values,
    not_finite,
    plain_decimals,
)
from syncline.errors import InputError
from syncline.record import Type, canonical_decimal

_DECLARED: Final = re.compile(r"\s*([^()]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*")
_NAMES: Final = {
    "BOOL": "bool", "BOOLEAN": "bool",
    "DATE": "date", "TIME": "time",
    "DATETIME": "timestamp", "TIMESTAMP": "timestamp", "TIMESTAMP WITHOUT TIME ZONE": "timestamp",
    "TIMESTAMPTZ": "timestamptz", "DATETIMETZ": "timestamptz",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "UUID": "uuid", "GUID": "uuid", "UNIQUEIDENTIFIER": "uuid",
    "JSON": "json", "JSONB": "json", "JSONTEXT": "json",
    "DECIMAL": "decimal", "DEC": "decimal", "NUMERIC": "decimal", "DECIMALTEXT": "decimal",
}  # fmt: skip
_NATIVE: Final = {
    "bool": "BOOLEAN", "smallint": "INTEGER", "integer": "INTEGER", "bigint": "INTEGER",
    "real": "DOUBLE", "double": "DOUBLE", "text": "TEXT", "bytes": "BLOB", "date": "DATE",
    "time": "TIME", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMPTZ", "uuid": "UUID",
    "json": "JSONTEXT",
}  # fmt: skip
_STORED_AS: Final = {"smallint": "bigint", "integer": "bigint", "real": "double"}
_NUMBER: Final = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
_WIDEST: Final = 38


def affinity(native: str) -> str:
    """Give the affinity of a declared type, by SQLite's five rules."""
    name = native.upper()
    for found, words in (
        ("INTEGER", ("INT",)),
        ("TEXT", ("CHAR", "CLOB", "TEXT")),
        ("BLOB", ("BLOB",)),
        ("REAL", ("REAL", "FLOA", "DOUB")),
    ):
        if any(word in name for word in words):
            return found
    return "NUMERIC" if name else "BLOB"


def declared_type(native: str) -> tuple[Type, bool]:
    """Give the canonical type of a declared one, and whether it has none (it is read as text).

    Lengths and fractional digits are not told: SQLite does not hold anybody to them.
    """
    match = _DECLARED.fullmatch(native)
    word = " ".join(match[1].upper().split()) if match else native.upper()
    name = _NAMES.get(word)
    if match and name == "decimal":
        return _decimal(match[2], match[3]), False
    if name is not None:
        return Type(name), False
    plain = {"INTEGER": "bigint", "TEXT": "text", "REAL": "double", "BLOB": "bytes"}
    if not native.strip() or affinity(native) == "NUMERIC":
        return Type("text"), True
    return Type(plain[affinity(native)]), False


def _decimal(precision: str | None, scale: str | None) -> Type:
    if precision is None or int(precision) > _WIDEST:
        return Type("decimal")
    return Type("decimal", int(precision), int(scale or 0))


def native_type(type_: Type, *, key: bool = False) -> str:
    """Give the declared type of a column made for a canonical type.

    Decimals and documents are declared so that their affinity is TEXT: NUMERIC keeps 15 digits.
    """
    if key and type_.name == "json":
        raise InputError("a json value can't be a key")
    if type_.name != "decimal":
        return _NATIVE[type_.name]
    if type_.is_unbounded_decimal:
        return "DECIMALTEXT"
    return f"DECIMALTEXT({type_.precision},{type_.scale or 0})"


def stored_type(type_: Type) -> Type:
    """Give the type that a column made for a canonical type is described as."""
    return declared_type(
        native_type(Type(_STORED_AS.get(type_.name, type_.name), type_.precision, type_.scale))
    )[0]


# --- reading --------------------------------------------------------------------------------------


def utc_text(value: Any) -> str | None:
    """Give a stored instant as comparable text in UTC; None for what is none.

    SQL: `syncline_utc`.
    """
    try:
        return written(datetime.fromisoformat(value))  # what names no zone is UTC
    except (TypeError, ValueError, OverflowError):
        return None


def day_before(text: str) -> str:
    """Give the day before an instant: less, as text, than the instant in any zone and spelling."""
    day = datetime.fromisoformat(text[:10])
    return (day - timedelta(days=1)).strftime("%Y-%m-%d") if day.year > 1 else "0000"


# --- writing --------------------------------------------------------------------------------------


def bound(wanted: Field, array: Array) -> Bound:
    """Give an Arrow column as SQLite takes it, and refuse what it would change."""
    result = bind_values(wanted, array)
    name = wanted.type.name
    if name in {"real", "double"}:
        for row in [
            r
            for r in not_finite(array).nonzero()[0].tolist()
            if result.values[r] != result.values[r]
        ]:
            result.refused.setdefault(row, "is NaN, which SQLite keeps as NULL")
    elif name == "decimal":
        result.values = plain_decimals(array)
    elif name == "timestamptz":
        result.values = [None if v is None else v + "+00:00" for v in result.values]
    if name in {"decimal", "text", "json"} and affinity(wanted.column.native) in {
        "NUMERIC",
        "INTEGER",
        "REAL",
    }:
        _refuse_changed(wanted, result)
    return result


def _refuse_changed(wanted: Field, result: Bound) -> None:
    """Refuse texts that the column's affinity would turn into a number, or into another."""
    for row, value in enumerate(result.values):
        if value is None or not _NUMBER.fullmatch(value):
            continue
        if wanted.type.name == "text" or not _survives(value):
            declared = wanted.column.native
            reason = f"would be changed: a column declared {declared} keeps 15 digits"
            result.refused.setdefault(row, reason)


def _survives(text: str) -> bool:
    number = Decimal(text.strip())
    if number.adjusted() > 300:  # noqa: PLR2004 - near the end of what a double holds
        return False
    if number == number.to_integral_value() and abs(number) < 1 << 63:
        return True
    return Decimal(repr(float(number))) == number


def key_forms(wanted: Field, value: Any) -> Sequence[Any]:
    """Give every usual form of a bound key: what is stored in another one is a misfit when read."""
    match wanted.type.name:
        case "timestamp" | "timestamptz":
            zones = ("+00:00", "Z", "")
            return [
                f"{value[:10]}{gap}{time}{zone}"
                for gap in " T"
                for time in _times(value[11:26])
                for zone in zones
            ]
        case "time":
            return _times(value)
        case "uuid":
            return (value, value.upper(), uuid.UUID(value).bytes)
        case "decimal":
            return (value, canonical_decimal(Decimal(value)))
        case _:
            return (value,)


def _times(text: str) -> list[str]:
    forms = [text]
    if text.endswith("000"):
        forms.append(text[:-3])
    if text.endswith(".000000"):
        forms.append(text[:-7])
    return forms
