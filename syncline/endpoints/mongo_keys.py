"""Keys of documents: `_id` itself, fields of a composite `_id`, or other fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from math import isnan
from typing import Any, Final, TypeAlias

import pyarrow as pa

from syncline.endpoints.fit import Unfit, from_arrow
from syncline.endpoints.mongo_connection import Document
from syncline.endpoints.mongo_paths import ASTRAY, MISSING, put, reader
from syncline.endpoints.mongo_values import encode_column, key_value, object_id
from syncline.errors import InputError
from syncline.record import Type, canonical_json

Key: TypeAlias = tuple[Any, ...]
"""A key's values, comparable and hashable, one form for each."""

_NOT_A_NUMBER: Final = object()
_ASKED: Final = 5_000
"""Keys in one query by `$in`."""
_ASKED_EACH: Final = 500
"""Keys in one query that spells a condition for each."""


@dataclass(frozen=True)
class KeyPaths:
    """The paths that identify a document, and their types."""

    types: Mapping[str, Type]

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The paths, in the order of the key."""
        return tuple(self.types)

    @property
    def is_id(self) -> bool:
        """Whether the key is `_id` as a whole."""
        return self.paths == ("_id",)

    @property
    def is_in_id(self) -> bool:
        """Whether the key's values are the fields of the document in `_id`, in this order."""
        return all(path.startswith("_id.") for path in self.paths)

    def check(self) -> None:
        """Refuse a key that mixes `_id` with other fields."""
        within = [path for path in self.paths if path.split(".")[0] == "_id"]
        if within and not self.is_id and not self.is_in_id:
            raise InputError(f"the key mixes {within[0]} with other fields")
        if any(path.count(".") > 1 for path in within):
            raise InputError(f"the key's fields of _id may not be nested: {', '.join(within)}")

    def asked(self, keys: pa.Table) -> list[Key]:
        """Give the keys of an Arrow table, in their order."""
        columns = [
            [_one_form(value, type_) for value in from_arrow(keys[path], type_)]
            for path, type_ in self.types.items()
        ]
        return list(zip(*columns, strict=True))

    def of(self, document: Document) -> Key | None:
        """Give the key of a document, None where its values are not of the key's types."""
        values: list[Any] = []
        for path, type_ in self.types.items():
            value = reader(path)(document)
            if value is None or value is MISSING or value is ASTRAY:
                return None
            try:
                values.append(_one_form(key_value(value, type_), type_))
            except Unfit:
                return None
        return tuple(values)

    def filters(self, keys: pa.Table) -> Iterator[Document]:
        """Give the queries that together find the documents of these keys, and few others."""
        columns = [self._native(keys, path) for path in self.paths]
        rows = list(zip(*columns, strict=True))
        if len(self.paths) == 1 and not self.is_in_id:
            values = [value for (alternatives,) in rows for value in alternatives]
            for part in _parts(values, _ASKED):
                yield {self.paths[0]: {"$in": part}}
        elif self.is_in_id:
            ids = [self.id_of(key) for row in rows for key in _each(row)]
            for part in _parts(ids, _ASKED):
                yield {"_id": {"$in": part}}
        else:
            conditions = [
                {path: {"$in": values} for path, values in zip(self.paths, row, strict=True)}
                for row in rows
                if all(row)
            ]
            for part in _parts(conditions, _ASKED_EACH):
                yield {"$or": part}

    def id_of(self, values: Sequence[Any]) -> Any:
        """Give the `_id` made of these BSON values: fields in the order of the key."""
        if self.is_id:
            return values[0]
        document: Document = {}
        for path, value in zip(self.paths, values, strict=True):
            put(document, path.removeprefix("_id."), value)
        return document

    def _native(self, keys: pa.Table, path: str) -> list[list[Any]]:
        """Give each key's value in every BSON type that spells the same; none where NULL."""
        type_ = self.types[path]
        values, _ = encode_column(keys[path], type_, depth=1, object_ids=False)
        if type_.name != "text":
            return [[] if value is None else [value] for value in values]
        return [[] if v is None else [v, o] if (o := object_id(v)) else [v] for v in values]


def _one_form(value: Any, type_: Type) -> Any:
    if type_.name == "json" and value is not None:
        return canonical_json(value)
    return _NOT_A_NUMBER if _is_nan(value) else value


def _is_nan(value: Any) -> bool:
    """Whether it is what equals nothing in Python, itself included; MongoDB holds it a key."""
    return (
        value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and isnan(value)
    )


def _each(row: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    if not row:
        yield ()
        return
    for value in row[0]:
        for rest in _each(row[1:]):
            yield (value, *rest)


def _parts(values: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
