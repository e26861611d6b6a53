"""Documents in the order of `_id`, a page at a time, each page by a query of its own.

`_id` is unique, does not change and always has its index, so a page begins just past the last one
however many documents were written meanwhile. Only the server compares. One fact shapes this:
`$gt` finds values of the same BSON type alone, while an order runs over all of them. So a page goes
on within the type of the last `_id`; when that is used up, with all the types that sort after it.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, cast

import bson
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession

from syncline.endpoints.mongo_connection import OPTIONS, Document, Documents
from syncline.endpoints.mongo_errors import reporting
from syncline.errors import InputError

# https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
_ORDER: Final[tuple[tuple[str, tuple[type, ...]], ...]] = (
    ("minKey", (MinKey,)),
    ("null", (type(None),)),
    ("number", (int, float, Decimal128)),
    ("string", (str,)),
    ("object", (dict,)),
    ("binData", (bytes, uuid.UUID)),
    ("objectId", (ObjectId,)),
    ("bool", (bool,)),
    ("date", (datetime, DatetimeMS)),
    ("timestamp", (Timestamp,)),
    ("regex", (Regex,)),
    ("maxKey", (MaxKey,)),
)


_NUMBER: Final = [name for name, _ in _ORDER].index("number")
_DRAWN: Final = 200
"""Documents drawn for each part: eight parts then come out within a tenth or so of each other."""
_ANSWER_ROWS: Final = 5_000
"""Documents in one answer of the server, so that `size` is looked at in time."""


class _Start:
    """Before every `_id`; no BSON value."""


START: Final = _Start()


@dataclass(frozen=True, slots=True)
class Pages:
    """What to page through: a collection, a filter, what to bring, and how much of it at once."""

    collection: Documents
    where: Mapping[str, Any]
    projection: Mapping[str, int]
    rows: int
    size: int
    """Bytes of BSON at which a page ends early; one answer of the server may pass it."""
    session: ClientSession | None = None

    def between(self, last: object, until: object) -> Iterator[list[Document]]:
        """Give the pages that follow `last`, up to and with the document whose `_id` is `until`."""
        rank = _rank(until)
        if last is START or _rank(last) < rank:
            earlier = [name for name, _ in _ORDER[:rank]]
            kept = {"_id": {"$type": earlier[0 if last is START else _rank(last) :]}}
            if earlier:
                where = {"$and": [self.where, kept]} if self.where else kept
                yield from replace(self, where=where).after(last)
            if rank == _NUMBER and not _is_nan(until):  # NaN comes first, and compares with none
                yield from self._only({"_id": math.nan})
            last = START
        if _is_nan(until):
            yield from self._only({"_id": math.nan}) if last is START else ()
            return
        end = {"_id": {"$lte": until}}
        where = {"$and": [self.where, end]} if self.where else end
        yield from replace(self, where=where).after(last)

    def _only(self, condition: Mapping[str, Any]) -> Iterator[list[Document]]:
        with reporting():
            documents, _ = self._page(condition)
        if documents:
            yield documents

    def after(self, last: object = START) -> Iterator[list[Document]]:
        """Give the pages that follow the document of this `_id`; no page is empty."""
        condition: Mapping[str, Any] = {} if last is START else _within(last)
        within = last is not START
        while True:
            with reporting():
                documents, more = self._page(condition)
            if documents:
                last = documents[-1].get("_id", START)
                if last is START:
                    raise InputError(f"{self.collection.name} has documents without _id")
                yield documents
            if more:
                condition, within = _within(last), True
            elif within and (later := _types_after(last)):
                condition, within = {"_id": {"$type": later}}, False
            else:
                return

    def _page(self, condition: Mapping[str, Any]) -> tuple[list[Document], bool]:
        """Give one page, and whether there may be more where it ended."""
        documents: list[Document] = []
        read = 0
        where = {"$and": [self.where, condition]} if self.where and condition else None
        cursor = self.collection.find_raw_batches(
            where or self.where or condition,
            self.projection,
            sort=[("_id", 1)],
            limit=self.rows,
            batch_size=min(self.rows, _ANSWER_ROWS),
            session=self.session,
        )
        with closing(cursor):
            for answer in cursor:
                data = cast("bytes", answer)
                documents += bson.decode_all(data, OPTIONS)  # pyright: ignore[reportUnknownMemberType]
                read += len(data)
                if read >= self.size:
                    return documents, True
        return documents, len(documents) >= self.rows


def _within(last: object) -> Mapping[str, Any]:
    if _is_nan(last):  # sorts before every number, and compares with none
        return {"_id": {"$gte": -math.inf}}
    return {"_id": {"$gt": last}}


def _types_after(last: object) -> list[str]:
    return [name for name, _ in _ORDER[_rank(last) + 1 :]]


def _rank(value: object) -> int:
    if isinstance(value, bool):  # which Python takes for an int
        return [name for name, _ in _ORDER].index("bool")
    for rank, (_, classes) in enumerate(_ORDER):
        if isinstance(value, classes):
            return rank
    raise InputError(f"an _id of type {type(value).__name__} can't be paged")


def _is_nan(value: object) -> bool:
    if isinstance(value, Decimal128):
        number: Decimal = value.to_decimal()
        return number.is_nan()
    return isinstance(value, float) and math.isnan(value)


def dividing(collection: Documents, parts: int) -> list[object]:
    """Give `_id`s, in their order, that divide a collection into about `parts`, by a sample.

    The server draws the sample and sorts it, as it sorts the pages. A view is not sampled: that
    would read it whole.
    """
    if parts < 2:  # noqa: PLR2004 - one part is the whole
        return []
    stages: list[Document] = [
        {"$sample": {"size": parts * _DRAWN}},
        {"$project": {"_id": 1}},
        {"$sort": {"_id": 1}},
    ]
    keys = [document["_id"] for document in collection.aggregate(stages, allowDiskUse=True)]
    found: list[object] = []
    for part in range(1, parts):
        key = keys[len(keys) * part // parts] if keys else START
        if key is not START and (not found or found[-1] != key):
            found.append(key)
    return found
