"""One read of a collection: its horizon, then its documents by pages of `_id`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self, cast

import pyarrow as pa
from bson import json_util
from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession

from syncline.endpoints.base import Comparison, Guarantee, Mode, Range, ReadSpec, SourceBatch
from syncline.endpoints.fit import parse_text, to_arrow
from syncline.endpoints.mongo_connection import Connection, Document
from syncline.endpoints.mongo_errors import reporting
from syncline.endpoints.mongo_pages import START, Pages
from syncline.endpoints.mongo_paths import projection, source_columns
from syncline.endpoints.mongo_values import encode_column
from syncline.errors import CheckpointVoid, InputError
from syncline.record import Type
from syncline.watermark import dump, mongo_stream
from syncline.watermark.mongo import Cursor, cursor_of, largest, start_of, take

_EXACTLY: Final = json_util.CANONICAL_JSON_OPTIONS.with_options(
    tz_aware=True, uuid_representation=4
)
_OPERATORS: Final[Mapping[str, str]] = {
    "=": "$eq",
    "<>": "$ne",
    "<": "$lt",
    "<=": "$lte",
    ">": "$gt",
    ">=": "$gte",
}


class MongoRead:
    """See `base.Read`. Pages by `_id` in every mode; a delta in two passes (`watermark.mongo`)."""

    def __init__(
        self,
        connection: Connection,
        spec: ReadSpec,
        *,
        mode: Mode,
        since: str | None,
        after: str | None,
        until: str | None,
        window: Range | None,
        identity: Mapping[str, str],
        has_object_ids: Callable[[str], bool],
        guarantee: Guarantee,
    ) -> None:
        self._connection, self._spec, self._mode = connection, spec, mode
        self._has_object_ids = has_object_ids
        self._cursor = self._find_cursor(window)
        with reporting():
            self._passes = self._filters(since, window, identity)
            self.horizon = self._take(since if mode == "delta" else None, identity)
        self._at, self._last = 0, cast("object", START)
        if after is not None:
            self._at, self._last = self._position_of(after)
        self._end = None if until is None else self._position_of(until)
        self.guarantee = guarantee

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is held between pages."""

    def batches(self) -> Iterator[SourceBatch]:
        """Give the documents, a page a batch."""
        with self._connection.causal() as session:
            yield from self._pages(session)

    def _pages(self, session: ClientSession | None) -> Iterator[SourceBatch]:
        last = self._last
        for number in range(self._at, len(self._passes)):
            pages = Pages(
                self._connection.collection(self._spec.table),
                self._passes[number],
                projection(self._spec.columns),
                self._spec.batch_rows,
                self._spec.batch_bytes,
                session,
            )
            end = self._end
            for documents in pages.between(last, end[1]) if end else pages.after(last):
                arrays, misfits = source_columns(documents, self._spec.columns)
                text = position_at(documents[-1]["_id"], number, self._connection.seen)
                yield SourceBatch(pa.table(arrays), tuple(misfits), text)
            last = START

    def _position_of(self, text: str) -> tuple[int, object]:
        position = json_util.loads(text, json_options=_EXACTLY)
        self._connection.saw(position.get("seen"))
        return int(position["pass"]), position["id"]

    def _find_cursor(self, window: Range | None) -> Cursor | None:
        spec = self._spec
        if spec.by == "xmin":
            raise InputError("mongodb has no xmin", hint="set `delta: {by: stream}`, or a cursor")
        if spec.cursor is None:
            if spec.by == "timestamp" or (window is not None and window.by == "cursor"):
                raise InputError(f"collection {spec.table}: a read by timestamp needs a cursor")
            return None
        return cursor_of(spec.cursor, spec.columns[spec.cursor])

    def _take(self, since: str | None, identity: Mapping[str, str]) -> str:
        if self._spec.by == "stream":
            at = mongo_stream.take(self._connection, self._spec.table)
            return mongo_stream.Position(at).dump(identity)
        if self._cursor is None or self._spec.by != "timestamp":
            return dump("none", {"identity": dict(identity)})
        return take(self._connection, self._spec.table, self._cursor, since, identity)

    def _filters(
        self, since: str | None, window: Range | None, identity: Mapping[str, str]
    ) -> list[Mapping[str, Any]]:
        """Give the filter of each pass."""
        if self._mode == "delta":
            if self._cursor is None or self._spec.by != "timestamp":
                raise CheckpointVoid("this mapping has no delta: nothing tells what changed")
            cursor, table = self._cursor, self._spec.table
            seen = lambda: largest(self._connection, table, cursor)  # noqa: E731 - seldom asked
            start = start_of(since, cursor, identity, seen)
            return [cursor.placed(start), cursor.unplaced()]
        conditions = [_holds(each) for each in self._spec.filters]
        if self._mode == "backfill" and window is not None:
            conditions.append(self._inside(window))
        return [{"$and": conditions} if conditions else {}]

    def _inside(self, window: Range) -> Document:
        cursor = self._cursor.path if self._cursor else ""
        path = self._spec.key[0] if window.by == "key" else cursor
        type_ = self._spec.columns[path]
        bounds = {"$gte": window.start, "$lt": window.end}
        condition = {
            op: self._bound(path, text, type_) for op, text in bounds.items() if text is not None
        }
        return {path: condition} if condition else {path: {"$ne": None}}

    def _bound(self, path: str, text: str, type_: Type) -> object:
        array = to_arrow([parse_text(text, type_)], type_)
        if type_.name in {"timestamp", "date"}:  # what is read as such is a BSON date
            array, type_ = array.cast(pa.timestamp("us", "UTC")), Type("timestamptz", 3)
        object_ids = self._has_object_ids(path)
        values, refused = encode_column(array, type_, depth=1, object_ids=object_ids)
        if refused:
            raise InputError(f"the window's bound {refused[0]}")
        return values[0]


def position_at(key: object, number: int = 0, seen: Timestamp | None = None) -> str:
    """Give the position just past the document of this `_id`, in this pass of a read.

    Who goes on from there, in whatever process, is not behind what was `seen` by then.
    """
    position = {"pass": number, "id": key}
    if seen is not None:
        position["seen"] = seen
    return json_util.dumps(position, json_options=_EXACTLY)


def _holds(comparison: Comparison) -> Document:
    """Filter by a comparison; what is no number stays in, since it may be a misfit to report."""
    path = comparison.column
    return {
        "$or": [
            {path: {_OPERATORS[comparison.op]: comparison.value}},
            {"$nor": [{path: {"$type": "number"}}, {path: None}]},
        ]
    }
