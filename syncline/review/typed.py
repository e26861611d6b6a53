"""Typed: a value as a person writes it, read as the type of its field."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from syncline.conflict import MISSING
from syncline.errors import InputError
from syncline.store.model import Entry


def read_value(entry: Entry, name: str, text: str) -> Any:
    """A value as a person types it, in the type of its field.

    A text field takes the text as it is; any other takes `null`. Bytes are hex, documents JSON; an
    instant without a zone is UTC. Where the entry does not know the type (a syncline of before
    queued it) it is that of the values there. Raises InputError for what is no such value, or does
    not fit.
    """
    entry.check_field(name)
    if type_ := entry.types.get(name):
        return typed_value(name, type_, text)
    try:
        return _as_sample(entry, name, text)
    except (ValueError, KeyError, ArithmeticError) as error:
        message = f"{name}: {text!r} is no value of its type"
        raise InputError(message) from error


def typed_value(name: str, type_text: str, text: str) -> Any:
    """A text as a value of a type, as mappings write it: by the same rules as `read_value`.

    Raises InputError for what is no such value; the message begins with `name`.
    """
    try:
        return _as_type(type_text, text)
    except (ValueError, KeyError, ArithmeticError) as error:
        message = f"{name}: {text!r} is no {type_text}"
        raise InputError(message, hint=str(error)) from error


def _as_type(type_text: str, text: str) -> Any:
    from syncline.record import parse_type

    type_ = parse_type(type_text)
    if type_.name == "text":
        value: Any = text
    elif text == "null":
        return None
    else:
        try:
            value = _BY_NAME[type_.name](text)
        except (ValueError, KeyError, ArithmeticError) as error:
            raise ValueError(f"it looks like {_EXAMPLES[type_.name]}") from error
        value = str(value) if type_.is_unbounded_decimal else value
    if isinstance(value, str) and type_.name == "text" and type_.precision is not None:
        _no_longer(value, type_.precision)
    if isinstance(value, datetime | time) and type_.precision is not None:
        _no_finer(value, type_.precision)
    return _fits(value, type_)


def _no_finer(value: datetime | time, digits: int) -> None:
    if value.microsecond % 10 ** (6 - min(digits, 6)):
        message = f"the field has {digits} fractional digits of a second"
        raise ValueError(message)


def _no_longer(value: str, most: int) -> None:
    if len(value) > most:
        message = f"it has {len(value)} characters; at most {most}"
        raise ValueError(message)


def _fits(value: Any, type_: Any) -> Any:
    """The value as Arrow holds it: exactly, or ValueError."""
    import pyarrow as pa

    from syncline import arrow

    try:
        return arrow.value(value, type_.arrow)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _local(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is not None:
        message = "the field has no time zone"
        raise ValueError(message)
    return found


def _document(text: str) -> str:
    json.loads(text)
    return text


def _uuid(text: str) -> str:
    return str(UUID(text))


def _bool(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_BY_NAME: Final[Mapping[str, Callable[[str], Any]]] = {
    "bool": _bool,
    "smallint": int,
    "integer": int,
    "bigint": int,
    "decimal": Decimal,
    "real": float,
    "double": float,
    "bytes": bytes.fromhex,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timestamp": _local,
    "timestamptz": _instant,
    "uuid": _uuid,
    "json": _document,
}
_EXAMPLES: Final[Mapping[str, str]] = {
    "bool": "true or false",
    "smallint": "12",
    "integer": "12",
    "bigint": "12",
    "decimal": "12.50",
    "real": "12.5",
    "double": "12.5",
    "bytes": "c0ffee, in hex",
    "date": "2026-01-31",
    "time": "23:59:00",
    "timestamp": "2026-01-31 23:59:00, without a zone",
    "timestamptz": "2026-01-31 23:59:00+00:00",
    "uuid": "0b9c5f0e-7d1a-4c57-9d6e-3f0a1c2b4d5e",
    "json": '{"a": 1}, as JSON',
}
_BY_SAMPLE: Final[tuple[tuple[type, Callable[[str], Any]], ...]] = (
    (bool, _bool),
    (int, int),
    (float, float),
    (Decimal, Decimal),
    (datetime, datetime.fromisoformat),  # before date: a datetime is a date
    (date, date.fromisoformat),
    (time, time.fromisoformat),
    (bytes, bytes.fromhex),
    (UUID, UUID),
)


def _as_sample(entry: Entry, name: str, text: str) -> Any:
    sides = ((entry.target or {}).get(name), (entry.source or {}).get(name))
    sample = next((value for value in sides if value is not None and value is not MISSING), None)
    if isinstance(sample, str):
        return text
    if text == "null":
        return None
    if sample is None:
        return _json_or_text(text)
    reader = next((read for kind, read in _BY_SAMPLE if isinstance(sample, kind)), json.loads)
    return reader(text)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
