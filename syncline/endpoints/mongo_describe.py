"""What a collection holds, as a sample of its documents shows: paths and their types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from syncline.endpoints.base import Column, TableInfo
from syncline.endpoints.mongo_connection import Document, Documents
from syncline.record import Type

SAMPLE: Final = 200
"""Documents that a description looks at: half of them the first by `_id`, half the last."""

_MAX_COLUMNS: Final = 1000
_MAX_LEVELS: Final = 8
_JSON: Final = Type("json")
_KINDS: Final[Mapping[type, str]] = {
    bool: "bool",
    int: "int",
    Int64: "long",
    float: "double",
    Decimal128: "decimal",
    str: "string",
    datetime: "date",
    DatetimeMS: "date past year 9999",
    ObjectId: "objectId",
    UUID: "uuid",
    bytes: "binData",
    dict: "object",
    list: "array",
}
_TYPES: Final[Mapping[str, Type]] = {
    "bool": Type("bool"),
    "int": Type("bigint"),
    "long": Type("bigint"),
    "double": Type("double"),
    "decimal": Type("decimal"),
    "string": Type("text"),
    "date": Type("timestamptz", 3),
    "objectId": Type("text"),
    "uuid": Type("uuid"),
    "binData": Type("bytes"),
}
_WHOLE: Final = frozenset({"int", "long"})
_NUMBERS: Final = _WHOLE | {"double", "decimal"}
_EXACT_DOUBLE: Final = 1 << 53


@dataclass
class _Seen:
    """What the sampled documents hold at one path."""

    kinds: dict[str, None] = field(default_factory=dict[str, None])  # in the order of their coming
    documents: int = 0
    exact_as_double: bool = True

    def add(self, value: object) -> None:
        if value is None:
            return
        kind = _kind(value)
        self.kinds[kind] = None
        self.documents += 1
        if isinstance(value, int) and abs(value) > _EXACT_DOUBLE:
            self.exact_as_double = False

    @property
    def type(self) -> Type:
        """The one type that all values have exactly, or json."""
        kinds = set(self.kinds)
        if kinds and kinds <= _NUMBERS:
            return self._number(kinds)
        if len(kinds) == 1:
            return _TYPES.get(next(iter(kinds)), _JSON)
        return _JSON

    def _number(self, kinds: set[str]) -> Type:
        if kinds <= _WHOLE:
            return Type("bigint")
        if "decimal" not in kinds and self.exact_as_double:
            return Type("double")
        return Type("decimal")


def describe(
    name: str, collection: Documents, catalogue: Mapping[str, Any], replica_set: str
) -> TableInfo:
    """Describe a collection or view by a sample of its documents."""
    is_view = catalogue.get("type") == "view"
    documents = sample(collection)
    return TableInfo(
        name=name,
        columns=_columns(documents),
        primary_key=("_id",),
        unique=() if is_view else (("_id",),),
        is_view=is_view,
        open_columns=True,
        identity=identity(catalogue, replica_set),
        row_estimate=None if is_view else collection.estimated_document_count(),
    )


def identity(catalogue: Mapping[str, Any], replica_set: str) -> dict[str, str]:
    """Give what tells this collection from one of the same name made later, where it is told."""
    known = {"uuid": catalogue.get("info", {}).get("uuid"), "replica_set": replica_set}
    return {name: str(value) for name, value in known.items() if value}


def sample(collection: Documents, projection: Mapping[str, int] | None = None) -> list[Document]:
    """Give the first and the last documents by `_id`, none of them twice."""
    first = list(collection.find({}, projection).sort("_id", 1).limit(SAMPLE // 2))
    if len(first) < SAMPLE // 2:
        return first
    last = list(collection.find({}, projection).sort("_id", -1).limit(SAMPLE // 2))
    known = [document.get("_id") for document in first]
    return first + [d for d in reversed(last) if d.get("_id") not in known]


def object_id_paths(documents: Sequence[Mapping[str, Any]], paths: Iterable[str]) -> frozenset[str]:
    """Say at which of these paths the documents hold nothing but ObjectIds."""
    seen = _seen(documents)
    return frozenset(p for p in paths if p in seen and list(seen[p].kinds) == ["objectId"])


def _columns(documents: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    seen = _seen(documents)
    seen.setdefault("_id", _Seen())
    ordered = ["_id", *(path for path in seen if path != "_id")]
    return {
        path: Column(
            path,
            seen[path].type if path != "_id" or documents else Type("text"),
            nullable=path != "_id",
            native="|".join(seen[path].kinds) or "null",
        )
        for path in ordered[:_MAX_COLUMNS]
    }


def _seen(documents: Sequence[Mapping[str, Any]]) -> dict[str, _Seen]:
    seen: dict[str, _Seen] = {}
    for document in documents:
        for path, value in _leaves(document, "", 1):
            seen.setdefault(path, _Seen()).add(value)
    return seen


def _leaves(document: Mapping[str, Any], prefix: str, level: int) -> Iterator[tuple[str, object]]:
    """Give every path of a document with its value, inner documents before their own paths."""
    for name, value in document.items():
        if not name or "." in name or name.startswith("$"):
            continue  # no path leads there; the outer document holds it
        path = f"{prefix}{name}"
        yield path, value
        if isinstance(value, dict) and level < _MAX_LEVELS:
            yield from _leaves(cast("dict[str, Any]", value), f"{path}.", level + 1)


def _kind(value: object) -> str:
    if isinstance(value, Binary):
        return f"binData({value.subtype})"
    return _KINDS.get(type(value), type(value).__name__.lower())
