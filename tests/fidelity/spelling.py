"""Python values as each database's own users would write them into a column."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from typing import Any, Final

from bson import Decimal128, Int64

Spell = Callable[[Any], Any]


def _hex(value: Any) -> str:
    data = value if isinstance(value, bytes) else str(value).encode()
    return f"x'{data.hex()}'"


def _quoted(value: Any) -> str:
    return f"'{value}'"


_POSTGRES: Final[Mapping[str, tuple[str, Spell]]] = {
    "text": ("text", str),
    "whole": ("bigint", str),
    "double": ("double precision", repr),
    "decimal": ("numeric", str),
    "date": ("date", str),
    "stamp": ("timestamp", str),
    "instant": ("timestamptz", str),
    "bytes": ("bytea", lambda value: "\\x" + value.hex()),
    "uuid": ("uuid", str),
    "json": ("jsonb", str),
}
_MARIADB: Final[Mapping[str, tuple[str, Spell]]] = {
    "text": ("longtext", lambda value: f"convert({_hex(value)} using utf8mb4)"),
    "whole": ("bigint", str),
    "double": ("double", repr),
    "decimal": ("decimal(38,10)", str),
    "date": ("date", _quoted),
    "stamp": ("datetime(6)", _quoted),
    "instant": ("datetime(6)", lambda value: _quoted(value.replace(tzinfo=None))),
    "bytes": ("longblob", _hex),
    "uuid": ("uuid", _quoted),
    "json": ("json", lambda value: f"convert({_hex(value)} using utf8mb4)"),
}
_SQLITE: Final[Mapping[str, tuple[str, Spell]]] = {
    "text": ("text", lambda value: f"cast({_hex(value)} as text)"),
    "whole": ("integer", str),
    "double": ("double", repr),
    "decimal": ("decimaltext", _quoted),
    "date": ("date", _quoted),
    "stamp": ("timestamp", _quoted),
    "instant": ("timestamptz", _quoted),
    "bytes": ("blob", _hex),
    "uuid": ("uuid", _quoted),
    "json": ("jsontext", lambda value: f"cast({_hex(value)} as text)"),
}


def _milliseconds(value: dt.datetime) -> dt.datetime:
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def _bson(value: Any) -> Any:
    """A document as BSON; whole numbers past 64 bits are decimals there."""
    if isinstance(value, dict):
        return {name: _bson(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_bson(inner) for inner in value]
    wide = isinstance(value, int) and not -(2**63) <= value < 2**63
    return Decimal128(Decimal(value)) if wide else value


def _same(value: Any) -> Any:
    return value


_34_DIGITS: Final = Context(prec=34)
_MONGO: Final[Mapping[str, tuple[str, Spell]]] = {
    "text": ("string", _same),
    "whole": ("long", Int64),
    "double": ("double", _same),
    "decimal": ("decimal", lambda value: Decimal128(_34_DIGITS.create_decimal(value))),
    "date": ("string", str),
    "stamp": ("string", lambda value: value.isoformat()),
    "instant": ("date", _milliseconds),
    "bytes": ("binData", _same),
    "uuid": ("uuid", _same),
    "json": ("object", lambda text: {"d": _bson(json.loads(text))}),
}
SPELLINGS: Final = {
    "postgres": _POSTGRES,
    "mariadb": _MARIADB,
    "sqlite": _SQLITE,
    "mongo": _MONGO,
}
FAMILIES: Final = {"whole": "number", "decimal": "number"}
"""Where values are compared as another family than their column's name says."""
