"""A delta by change stream: the documents that changed, as they are now, and the keys of those that
are no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

import bson
import pyarrow as pa
from bson import json_util

from syncline.endpoints.base import Guarantee, ReadSpec, SourceBatch
from syncline.endpoints.mongo_connection import OPTIONS, Connection, Document
from syncline.endpoints.mongo_errors import reporting
from syncline.endpoints.mongo_paths import projection, source_columns
from syncline.watermark.mongo_stream import Changes, Position, take

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession

_EXACTLY: Final = json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=True)
_FEWEST, _MOST = 50, 5_000
"""Documents asked for at once: few until it is known how large they are."""


@dataclass
class _Page:
    """Keys that changed, each once, in the order of their first change; `size` is of BSON."""

    start: Mapping[str, Any] | None
    """The token behind which they are."""
    keys: dict[bytes, Any] = field(default_factory=dict[bytes, Any])

    def add(self, key: Any) -> None:
        self.keys[_bson(key)] = key


class ChangesRead:
    """See `base.Read`. A page of events, each key once, is one batch or, if it is large, several.

    Its horizon is where it began until all of it has been given.
    """

    def __init__(
        self,
        connection: Connection,
        spec: ReadSpec,
        *,
        since: str | None,
        after: str | None,
        identity: Mapping[str, str],
        guarantee: Guarantee,
    ) -> None:
        self._connection, self._spec, self._identity = connection, spec, identity
        self._start = Position.load(since, identity)
        self._until = take(connection, spec.table, self._start)
        self._skip, self._asked = 0, _FEWEST
        self.horizon = self._start.dump(identity)
        if after is not None:
            at = json_util.loads(after, json_options=_EXACTLY)
            self._skip = int(at["skip"])
            self._start = Position(self._start.at, at["token"])
        self.guarantee = guarantee

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """The stream is held by `batches` alone."""

    def batches(self) -> Iterator[SourceBatch]:
        """Give the documents that changed, and beside them the keys of those that are gone."""
        connection = self._connection
        with (
            connection.causal() as session,
            closing(
                Changes(connection, self._spec.table, self._start, self._until, session)
            ) as changes,
        ):
            page = _Page(changes.token)
            for key in changes:
                page.add(key)
                if len(page.keys) >= self._spec.batch_rows:
                    yield from self._batches(page, changes, session)
                    page = _Page(changes.token)
            if page.keys:
                yield from self._batches(page, changes, session)
            self.horizon = Position(self._until, changes.token).dump(self._identity)

    def _batches(
        self, page: _Page, changes: Changes, session: ClientSession | None
    ) -> Iterator[SourceBatch]:
        """The documents of a page as they are now, in the order of their changes."""
        keys = list(page.keys.items())
        done, self._skip = min(self._skip, len(keys)), 0
        found: list[Document] = []
        absent: list[Document] = []
        size = 0
        while done < len(keys):
            part = dict(keys[done : done + self._asked])
            there, read = self._fetch(list(part.values()), session)
            done += len(part)
            size += read
            found += [there[each] for each in part if each in there]
            absent += [{"_id": key} for each, key in part.items() if each not in there]
            if done == len(keys):
                yield self._batch(found, absent, {"token": changes.token, "skip": 0})
            elif size >= self._spec.batch_bytes:
                yield self._batch(found, absent, {"token": page.start, "skip": done})
                found, absent, size = [], [], 0
            each = max(1, read // max(1, len(there)))
            fitting = (self._spec.batch_bytes - size) // each
            self._asked = max(1, min(_MOST, fitting, self._asked * 10))

    def _fetch(
        self, keys: list[Any], session: ClientSession | None
    ) -> tuple[dict[bytes, Document], int]:
        collection = self._connection.collection(self._spec.table)
        wanted = {**projection(self._spec.columns), "_id": 1}
        there: dict[bytes, Document] = {}
        read = 0
        with (
            reporting(),
            closing(
                collection.find_raw_batches({"_id": {"$in": keys}}, wanted, session=session)
            ) as answers,
        ):
            for answer in answers:
                data = cast("bytes", answer)
                read += len(data)
                for document in bson.decode_all(data, OPTIONS):  # pyright: ignore[reportUnknownMemberType]
                    there[_bson(document["_id"])] = document
        return there, read

    def _batch(
        self, found: list[Document], absent: list[Document], position: Mapping[str, Any]
    ) -> SourceBatch:
        arrays, misfits = source_columns(found, self._spec.columns)
        gone: pa.Table | None = None
        if absent and self.guarantee.tells_gone:
            types = {path: self._spec.columns[path] for path in self._spec.key}
            columns, _ = source_columns(absent, types)
            gone = pa.table(columns).drop_null()  # what is no key of the mapping was no record
        text = json_util.dumps(position, json_options=_EXACTLY)
        return SourceBatch(pa.table(arrays), tuple(misfits), text, gone)


def _bson(key: Any) -> bytes:
    """A key by its bytes: 1, 1.0 and true are three, and not every key can be hashed."""
    return bson.encode({"": key}, codec_options=OPTIONS)
