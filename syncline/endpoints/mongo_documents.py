"""Target documents of one spec: built from records, changed field by field, and told unmoved."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import bson
import pyarrow as pa
from bson.errors import BSONError
from bson.objectid import ObjectId

from syncline import arrow
from syncline.endpoints.base import Mask, TargetSpec
from syncline.endpoints.fit import Unfit
from syncline.endpoints.mongo_bson import documents, element, stored
from syncline.endpoints.mongo_connection import OPTIONS, Document
from syncline.endpoints.mongo_keys import KeyPaths
from syncline.endpoints.mongo_paths import ASTRAY, MISSING, put, reader, remove
from syncline.endpoints.mongo_values import encode_column

_TYPE_NULL: Final = 10
_OBJECT_ID: Final = b"\x07_id\0"
_NO_ARRAY: Final = {"$type": "array"}


class Documents:
    """How records of a spec are documents. `object_ids`: the paths where text is an ObjectId."""

    def __init__(
        self, spec: TargetSpec, *, max_bytes: int, object_ids: Collection[str] = ()
    ) -> None:
        self.key = KeyPaths(spec.key)
        self.types = {**spec.key, **spec.fields}
        self._fields = tuple(spec.fields)
        self._store_nulls = spec.store_nulls
        self._max_bytes = max_bytes
        self._object_ids = frozenset(object_ids)
        self._readers = {path: reader(path) for path in self.types}

    def values(
        self, rows: pa.Table, names: Sequence[str], wanted: Mapping[str, Mask] | None = None
    ) -> tuple[dict[str, list[Any]], dict[int, str]]:
        """Give columns as BSON values, and for each row that has one unfit (and wanted) why."""
        columns: dict[str, list[Any]] = {}
        refused: dict[int, str] = {}
        for name in names:
            depth = name.count(".") + 1
            is_id = name in self._object_ids
            columns[name], unfit = encode_column(
                rows[name], self.types[name], depth=depth, object_ids=is_id
            )
            for row, reason in unfit.items():
                if wanted is None or wanted[name][row]:
                    refused.setdefault(row, f"{name} = {reason}")
        return columns, refused

    def all_new(self, rows: pa.Table, names: Sequence[str]) -> list[bytes] | None:
        """Give the BSON of new documents, column by column; None where `new` must look at each."""
        nested = any("." in path for path in names)
        other_id = "_id" in names and not self.key.is_id
        if nested or other_id or not rows.num_rows or self._object_ids.intersection(names):
            return None
        if any(rows[path].null_count for path in self.key.paths):
            return None
        parts = [] if self.key.is_id else [_fresh_ids(rows.num_rows)]
        # `_id` is where MongoDB puts it.
        for name in sorted(names, key=lambda name: name != "_id"):
            found = element(name, rows[name], self.types[name])
            if found is None:
                return None
            parts.append(stored(found, name, null=self._store_nulls))
        data = documents(parts)
        return None if max(map(len, data)) > self._max_bytes else data

    def new(self, values: Mapping[str, Any]) -> bytes:
        """Give the BSON of a new document. Raises Unfit where MongoDB would not store it."""
        key = [values[path] for path in self.key.paths]
        if None in key:
            raise Unfit(f"the key has no value at {self.key.paths[key.index(None)]}")
        document: Document = {}
        if self.key.is_id or self.key.is_in_id:
            document["_id"] = self.key.id_of(key)
        elif "_id" not in values:
            document["_id"] = ObjectId()
        for path, value in values.items():
            if path.split(".")[0] == "_id" and "_id" in document:
                continue
            if value is not None or self._store_nulls:
                put(document, path, value)
        return self.encoded(document)

    def encoded(self, document: Mapping[str, Any]) -> bytes:
        """Give the BSON of a document. Raises Unfit where there is none, or it is too large."""
        try:
            data = bson.encode(document, codec_options=OPTIONS)
        except (BSONError, OverflowError, UnicodeEncodeError, RecursionError) as error:
            raise Unfit(f"can't be a document: {error}") from error
        if len(data) > self._max_bytes:
            raise Unfit(f"is a document of {len(data)} bytes; the server takes {self._max_bytes}")
        return data

    def setting(self, values: Mapping[str, Any]) -> Document:
        """Give the update that sets these paths. NULL goes by the mapping's policy."""
        stored = {p: v for p, v in values.items() if v is not None or self._store_nulls}
        left_out = {path: "" for path in values if path not in stored}
        update = {"$set": stored, "$unset": left_out}
        return {operator: paths for operator, paths in update.items() if paths}

    def after(self, seen: Document, values: Mapping[str, Any]) -> Document:
        """Give what the seen document will be when `setting` has been applied."""
        result = copy.deepcopy(seen)
        for path, value in values.items():
            if value is not None or self._store_nulls:
                put(result, path, value)
            else:
                remove(result, path)
        return result

    def unmoved(self, seen: Document) -> Document:
        """Give the filter that finds the document only while all its paths are as they were seen.

        Raises Unfit where a path runs through an array: MongoDB can't tell then.
        """
        where: Document = {"_id": seen["_id"]}
        arrays: list[Document] = []
        paths = self._fields if self.key.is_id or self.key.is_in_id else tuple(self.types)
        for path in paths:
            value = self._readers[path](seen)
            if path.split(".")[0] == "_id":
                continue
            if value is ASTRAY:
                raise Unfit(f"{path} lies behind an array")
            if isinstance(value, list):
                # By expression: a plain filter would also match an array that holds this one.
                arrays.append({"$eq": [f"${path}", {"$literal": value}]})
            else:
                where[path] = _as_seen(value)
        return {**where, "$expr": {"$and": arrays}} if arrays else where


def _fresh_ids(n: int) -> pa.Array[Any]:
    return arrow.array([_OBJECT_ID + ObjectId().binary for _ in range(n)], pa.binary())


def _as_seen(value: object) -> Document:
    if value is MISSING:
        return {"$exists": False}
    if value is None:  # {"$eq": None} would match a missing field too
        return {"$type": _TYPE_NULL, "$not": _NO_ARRAY}
    return {"$eq": value, "$not": _NO_ARRAY}  # not an array that has such an element
