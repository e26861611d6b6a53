"""Values as JSON text, and back exactly: how the control store keeps keys and records.

JSON's own types stay as they are. Everything else is an object `{"$": type, "v": text}`; a document
that has a key `$` of its own is wrapped, so that no record can be mistaken for a tag. The text is
ASCII, so that no database and no encoding can change it (a NUL or a lone surrogate is an escape).
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, cast
from uuid import UUID

from syncline.conflict import MISSING

_TAG: Final = "$"
_PLAIN: Final = frozenset({str, int, bool, type(None)})


def _iso(value: Any) -> str:
    return value.isoformat()


_WRITE: Final[tuple[tuple[type, str, Callable[[Any], Any]], ...]] = (
    (datetime, "datetime", _iso),  # before date: a datetime is a date
    (date, "date", _iso),
    (time, "time", _iso),
    (timedelta, "interval", lambda value: value // timedelta(microseconds=1)),
    (Decimal, "decimal", str),
    (bytes, "bytes", lambda value: b64encode(value).decode("ascii")),
    (UUID, "uuid", str),
)
_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "interval": lambda micros: timedelta(microseconds=micros),
    "decimal": Decimal,
    "bytes": b64decode,
    "uuid": UUID,
    "double": float,
    "missing": lambda _: MISSING,
    "document": lambda items: {name: _read(value) for name, value in items},
}


def encode(value: Any) -> str:
    """The value as ASCII JSON text. A tuple is written as a list.

    Raises TypeError for a type that could not be read back, and for a document whose keys are not
    text.
    """
    return json.dumps(_written(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def decode(text: str) -> Any:
    """The value that `encode` was given: equal, and of the same type."""
    return _read(json.loads(text))


def _written(value: Any) -> Any:
    kind = cast("type[Any]", type(value))
    if kind in _PLAIN:
        return value
    if kind is float:
        return value if math.isfinite(value) else _tagged("double", repr(value))
    if isinstance(value, Mapping):
        return _document(cast("Mapping[Any, Any]", value))
    if isinstance(value, list | tuple):
        return [_written(item) for item in cast("list[Any]", value)]
    return _scalar(value)


def _document(value: Mapping[Any, Any]) -> Any:
    for name in value:
        if not isinstance(name, str):  # json would write 1 and "1" alike
            message = f"a document key must be text, not {type(name).__name__}"
            raise TypeError(message)
    if _TAG in value:
        return _tagged("document", [[name, _written(item)] for name, item in value.items()])
    return {name: item if type(item) in _PLAIN else _written(item) for name, item in value.items()}


def _scalar(value: Any) -> Any:
    if value is MISSING:
        return _tagged("missing", None)
    if isinstance(value, str):  # an enum of text
        return str(value)
    for kind, name, write in _WRITE:
        if isinstance(value, kind):
            return _tagged(name, write(value))
    message = f"a value of type {type(value).__name__} can't be kept in the control store"
    raise TypeError(message)


def _tagged(kind: str, content: Any) -> dict[str, Any]:
    return {_TAG: kind, "v": content}


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    document = cast("dict[str, Any]", value)
    if _TAG in document:
        return _READ[document[_TAG]](document["v"])
    return {name: item if type(item) in _PLAIN else _read(item) for name, item in document.items()}
