"""The records of a target collection: fetched, inserted, updated and deleted, each conditionally.

`__version` of a fetched record is its BSON as it was projected: what an update or a delete asks the
server to find unmoved, value by value and type by type, whatever Arrow made of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import bson
import numpy as np
import pyarrow as pa
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, InsertOne, UpdateOne

from syncline.endpoints import mongo_connection
from syncline.endpoints.base import ROW, Fetched, Mask, Refused, TargetSpec, Written
from syncline.endpoints.fit import Unfit
from syncline.endpoints.mongo_connection import OPTIONS, RAW, Document, decoded
from syncline.endpoints.mongo_documents import Documents
from syncline.endpoints.mongo_errors import DUPLICATE_KEY
from syncline.endpoints.mongo_json import json_text
from syncline.endpoints.mongo_pages import Pages
from syncline.endpoints.mongo_paths import projection, target_columns
from syncline.endpoints.mongo_writes import Outcome, Request, Writes

VERSION: Final = "__version"
_SCAN_ROWS: Final = 50_000
_SCAN_BYTES: Final = 16 << 20
_ASKED: Final = 5_000
_CONSTRAINTS: Final = frozenset({DUPLICATE_KEY, 121})
"""Codes of a unique index and of a collection's validator."""
_INDEX: Final = re.compile(r"index:\s+(?:\S*\$)?(\S+)\s+dup key")

StillThere = Callable[[int, Document | None], bool]
"""Whether row i was written, as the document (None: gone) that is there now shows."""


@dataclass
class _Attempt:
    """One call's requests by row, and the rows that were refused before they were sent."""

    rows: int
    requests: dict[int, Request]
    refused: dict[int, str]
    without_request: set[int]

    def failed(self, outcome: Outcome) -> dict[int, Mapping[str, Any]]:
        """Give the server's errors by row."""
        numbers = list(self.requests)
        return {numbers[index]: error for index, error in outcome.errors.items()}


class Rows:
    """The records of one target spec, as one transaction sees and writes them."""

    def __init__(
        self,
        spec: TargetSpec,
        collection: mongo_connection.Documents,
        documents: Documents,
        writes: Writes,
        key_index: str,
    ) -> None:
        self._spec, self._collection, self._writes = spec, collection, writes
        self._documents = documents
        self._projection = projection(documents.types)
        self._key_index = key_index

    def is_empty(self) -> bool:
        """Whether the collection has no document."""
        return self._collection.find_one({}, {"_id": 1}, session=self._writes.session) is None

    def fetch(self, keys: pa.Table) -> Fetched:
        """Give the records of these keys."""
        key = self._documents.key
        rows: dict[tuple[Any, ...], list[int]] = {}
        for row, values in enumerate(key.asked(keys)):
            rows.setdefault(values, []).append(row)
        found: list[tuple[int, bytes, Document]] = []
        for where in key.filters(keys):
            for raw, document in self._find(where):
                found += [(row, raw, document) for row in rows.get(key.of(document) or (), [])]
        found.sort(key=lambda each: each[0])
        arrays, misfits = target_columns(
            [document for _, _, document in found],
            self._documents.types,
            store_nulls=self._spec.store_nulls,
        )
        arrays[ROW] = pa.array([row for row, _, _ in found], pa.int32())
        arrays[VERSION] = pa.array([raw for _, raw, _ in found], pa.binary())
        return Fetched(pa.table(arrays), tuple(misfits))

    def insert(self, rows: pa.Table) -> Written:
        """Insert records; one whose key is taken does not land, and is not refused."""
        names = [name for name in self._documents.types if name in rows.column_names]
        encoded, refused = self._encoded(rows, names)
        requests: dict[int, Request] = {
            row: InsertOne(RawBSONDocument(data, RAW)) for row, data in encoded
        }
        attempt = _Attempt(rows.num_rows, requests, refused, set())
        failed = attempt.failed(self._run(attempt))
        landed = attempt.requests.keys() - failed.keys()
        failed = {row: error for row, error in failed.items() if not self._is_key(error)}
        return Written(_mask(attempt.rows, landed), _refusals(refused, failed))

    def _encoded(
        self, rows: pa.Table, names: Sequence[str]
    ) -> tuple[Iterable[tuple[int, bytes]], dict[int, str]]:
        """Give the new documents by row, and why there is none for the others."""
        whole = self._documents.all_new(rows, names)
        if whole is not None:
            return enumerate(whole), {}
        columns, refused = self._documents.values(rows, names)
        found: list[tuple[int, bytes]] = []
        for row in range(rows.num_rows):
            if row in refused:
                continue
            try:
                data = self._documents.new({name: columns[name][row] for name in names})
            except Unfit as reason:
                refused[row] = str(reason)
            else:
                found.append((row, data))
        return found, refused

    def update(self, rows: pa.Table, changed: Mapping[str, Mask], current: Fetched) -> Written:
        """Set the fields that moved, in documents that still are as they were seen."""
        names = [name for name, mask in changed.items() if mask.any()]
        columns, refused = self._documents.values(rows, names, changed)
        attempt = _Attempt(rows.num_rows, {}, refused, set())
        asked: dict[int, tuple[Document, Mapping[str, Any]]] = {}
        for row, seen in enumerate(_seen(current)):
            values = {name: columns[name][row] for name in names if changed[name][row]}
            if row in refused:
                continue
            if not values:
                attempt.without_request.add(row)
                continue
            try:
                where, update = self._documents.unmoved(seen), self._documents.setting(values)
                self._documents.encoded({"where": where, "update": update})
            except Unfit as reason:
                refused[row] = str(reason)
                continue
            attempt.requests[row] = UpdateOne(where, update)
            asked[row] = seen, values

        def written(row: int, now: Document | None) -> bool:
            return now is not None and json_text(now) == json_text(
                self._documents.after(*asked[row])
            )

        return self._written(
            attempt, {row: seen["_id"] for row, (seen, _) in asked.items()}, written
        )

    def delete(self, keys: pa.Table, current: Fetched) -> Written:
        """Delete documents that still are as they were seen."""
        attempt = _Attempt(keys.num_rows, {}, {}, set())
        ids: dict[int, object] = {}
        for row, seen in enumerate(_seen(current)):
            try:
                where = self._documents.unmoved(seen)
                self._documents.encoded(where)
            except Unfit as reason:
                attempt.refused[row] = str(reason)
            else:
                attempt.requests[row], ids[row] = DeleteOne(where), seen["_id"]
        return self._written(attempt, ids, lambda _row, now: now is None)

    def scan_keys(self) -> Iterator[pa.Table]:
        """Give every key of the collection, in batches."""
        types = self._spec.key
        pages = Pages(self._collection, {}, projection(types), _SCAN_ROWS, _SCAN_BYTES)
        for documents in pages.after():
            arrays, _ = target_columns(documents, types, store_nulls=True)
            yield pa.table(arrays)

    def _find(self, where: Document) -> Iterator[tuple[bytes, Document]]:
        raw = self._collection.with_options(codec_options=RAW)
        for each in raw.find(where, self._projection, session=self._writes.session):
            data = bytes(each.raw)
            yield data, decoded(data)

    def _run(self, attempt: _Attempt) -> Outcome:
        return self._writes.bulk(self._collection, list(attempt.requests.values()))

    def _written(self, attempt: _Attempt, ids: Mapping[int, object], done: StillThere) -> Written:
        outcome = self._run(attempt)
        failed = attempt.failed(outcome)
        asked = attempt.requests.keys() - failed.keys()
        landed = asked
        if outcome.met < len(asked):
            # A bulk tells how many were met, not which: look at what is there now.
            now = self._now([ids[row] for row in asked])
            landed = {row for row in asked if done(row, now.get(_bytes_of(ids[row])))}
        mask = _mask(attempt.rows, landed | attempt.without_request)
        return Written(mask, _refusals(attempt.refused, failed))

    def _now(self, ids: Sequence[object]) -> dict[bytes, Document]:
        found: dict[bytes, Document] = {}
        for start in range(0, len(ids), _ASKED):
            where = {"_id": {"$in": list(ids[start : start + _ASKED])}}
            found |= {_bytes_of(document["_id"]): document for _, document in self._find(where)}
        return found

    def _is_key(self, error: Mapping[str, Any]) -> bool:
        if error.get("code") != DUPLICATE_KEY:
            return False
        index = _INDEX.search(str(error.get("errmsg", "")))
        return index is not None and index[1] in {"_id_", self._key_index}


def _seen(current: Fetched) -> Iterator[Document]:
    for data in cast("list[bytes]", current.rows[VERSION].to_pylist()):
        yield decoded(data)


def _bytes_of(value: object) -> bytes:
    return bson.encode({"": value}, codec_options=OPTIONS)


def _mask(length: int, rows: Iterable[int]) -> Mask:
    mask = np.zeros(length, dtype=np.bool_)
    mask[list(rows)] = True
    return mask


def _refusals(
    unsent: Mapping[int, str], failed: Mapping[int, Mapping[str, Any]]
) -> tuple[Refused, ...]:
    refused = [Refused(row, "value", reason) for row, reason in unsent.items()]
    for row, error in failed.items():
        kind = "constraint" if error.get("code") in _CONSTRAINTS else "value"
        refused.append(Refused(row, kind, str(error.get("errmsg", ""))))
    return tuple(sorted(refused, key=lambda each: each.row))
