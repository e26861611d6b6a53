"""The ledger and the state row of a mapping, as documents of the target's database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import InsertOne, ReplaceOne, UpdateOne
from pymongo.errors import OperationFailure

from syncline import arrow
from syncline.endpoints import mongo_bson
from syncline.endpoints.base import ROW, StateRow, TargetSpec, state_key
from syncline.endpoints.mongo_connection import RAW, Connection, Document, Documents
from syncline.endpoints.mongo_errors import NAMESPACE_EXISTS
from syncline.endpoints.mongo_pages import Pages
from syncline.endpoints.mongo_writes import Request, Writes
from syncline.errors import Transient
from syncline.record import Type

STATE: Final = "syncline_state"
_SCAN_ROWS: Final = 50_000
_SCAN_BYTES: Final = 16 << 20
_ASKED: Final = 5_000
_LEFT_OUT: Final = {"gone", "hold"}
"""What is left out where it is 0, and read as 0 where there is none."""
_BYTES: Final = Type("bytes")
_WHOLE: Final = Type("bigint")
_TYPES: Final[Mapping[str, pa.DataType]] = {
    "s": pa.binary(),
    "t": pa.binary(),
    "held": pa.binary(),
    "gone": pa.int16(),
    "hold": pa.int16(),
    "layout": pa.int32(),
    "epoch": pa.int64(),
}


def ledger_name(mapping: str) -> str:
    """Give the name of a mapping's ledger."""
    return f"syncline_ledger_{mapping}"


def create(connection: Connection, name: str) -> None:
    """Create a collection unless it is there: a transaction could not."""
    try:
        # Without the driver's own look beforehand: another run may come between.
        connection.database.create_collection(name, check_exists=False)
    except OperationFailure as error:
        if error.code != NAMESPACE_EXISTS:
            raise


class Ledger:
    """The ledger of a mapping: a document a key, `_id` the source's key, NULL and 0 left out."""

    def __init__(self, spec: TargetSpec, connection: Connection, writes: Writes) -> None:
        self._collection = connection.collection(ledger_name(spec.mapping))
        self._type, self._key = spec.ledger_key, spec.ledger_key.arrow
        self._writes = writes

    @staticmethod
    def prepare(connection: Connection, mapping: str) -> None:
        """Create the ledger with its index of holds. Idempotent."""
        create(connection, ledger_name(mapping))
        # Sparse: nearly every record is without a hold, and is then not in the index.
        connection.collection(ledger_name(mapping)).create_index([("hold", 1)], sparse=True)

    def is_empty(self) -> bool:
        """Whether the ledger has no row."""
        return self._collection.find_one({}, {"_id": 1}, session=self._writes.session) is None

    def fetch(self, keys: pa.Array[Any]) -> pa.Table:
        """Give the ledger rows of these keys, with `__row`."""
        asked: list[Any] = keys.to_pylist()
        found: dict[Any, Document] = {}
        for start in range(0, len(asked), _ASKED):
            where = {"_id": {"$in": asked[start : start + _ASKED]}}
            for document in self._collection.find(where, session=self._writes.session):
                found[document["_id"]] = document
        rows = [(row, found[key]) for row, key in enumerate(asked) if key in found]
        table = self._table([document for _, document in rows])
        return table.append_column(ROW, pa.array([row for row, _ in rows], pa.int32()))

    def put(self, rows: pa.Table, *, fresh: bool) -> None:
        """Insert or replace ledger rows."""
        keys: list[Any] = rows["k"].to_pylist()
        documents = self._documents(rows)
        if not fresh:
            self._replace(keys, documents)
            return
        inserts: list[Request] = [InsertOne(document) for document in documents]
        again = self._writes.bulk(self._collection, inserts).errors
        self._replace([keys[index] for index in again], [documents[index] for index in again])

    def scan(self) -> Iterator[pa.Table]:
        """Give `k`, `gone` and `hold` of every row, in batches."""
        wanted = {"gone": 1, "hold": 1}
        for documents in Pages(self._collection, {}, wanted, _SCAN_ROWS, _SCAN_BYTES).after():
            yield self._table(documents).select(["k", "gone", "hold"])

    def holds(self) -> pa.Table:
        """Give the rows with a hold."""
        found = self._collection.find({"hold": {"$gt": 0}}, session=self._writes.session)
        return self._table(list(found))

    def _documents(self, rows: pa.Table) -> list[RawBSONDocument]:
        columns = [("_id", arrow.one_chunk(rows["k"]).cast(self._key), self._type)]
        for name, type_ in _TYPES.items():
            column = arrow.one_chunk(rows[name]).cast(type_)
            if name in _LEFT_OUT:
                column = arrow.chosen(arrow.numbers(column) == 0, None, column)
            columns.append((name, column, _BYTES if type_ == pa.binary() else _WHOLE))
        elements: list[Any] = []
        for name, column, type_ in columns:
            found = mongo_bson.element(name, column, type_)
            assert found is not None, f"every {name} of a ledger is plain"
            elements.append(mongo_bson.stored(found, name, null=False))
        return [RawBSONDocument(data, RAW) for data in mongo_bson.documents(elements)]

    def _replace(self, keys: Sequence[Any], documents: Sequence[RawBSONDocument]) -> None:
        replaces: list[Request] = [
            ReplaceOne({"_id": key}, document, upsert=True)
            for key, document in zip(keys, documents, strict=True)
        ]
        outcome = self._writes.bulk(self._collection, replaces)
        if outcome.errors:
            # Two upserts of one key at once: the other has landed, so this one will replace it.
            again = [replaces[index] for index in outcome.errors]
            if self._writes.bulk(self._collection, again).errors:
                raise RuntimeError(f"the ledger refuses its own rows: {outcome.errors}")

    def _table(self, documents: Sequence[Document]) -> pa.Table:
        columns = {"k": pa.array([document["_id"] for document in documents], self._key)}
        for name, type_ in _TYPES.items():
            default = 0 if name in _LEFT_OUT else None
            values = [document.get(name, default) for document in documents]
            columns[name] = pa.array(values, type_)
        return pa.table(columns)


class State:
    """The state row of a mapping, in `syncline_state`.

    A lease is kept as when it was last renewed, by the server's own clock, and for how long: so
    that nobody else's clock has a part in it. Each write leaves a `mark` of its own, and holds only
    where the row has the mark that this transaction read: what was still on its way when its
    connection was lost does nothing once another write has landed.
    """

    def __init__(self, spec: TargetSpec, connection: Connection, writes: Writes) -> None:
        self._collection: Documents = connection.collection(STATE)
        self._mapping = spec.mapping
        self._connection, self._writes = connection, writes
        self._marks: dict[str, ObjectId | None] = {}

    def read(self, shard: int | None, *, lock: bool) -> StateRow | None:
        """Give the state row; `lock` keeps other transactions from writing it."""
        where = {"_id": state_key(self._mapping, shard)}
        if lock and self._writes.session is not None:
            self._writes.bulk(self._collection, [UpdateOne(where, {"$inc": {"locked": 1}})])
        found = self._collection.find_one(where, session=self._writes.session)
        if found is None:
            return None
        self._marks[found["_id"]] = found.get("mark")  # a row of an older syncline has none
        until: datetime | None = None
        if found["lease_seconds"] is not None:
            renewed: datetime = found["renewed"]
            until = renewed.astimezone(UTC) + timedelta(seconds=found["lease_seconds"])
        now = self._connection.now()
        return StateRow(found["epoch"], found["holder"], until, found["document"], now)

    def put(self, values: Mapping[str, Any], expected_epoch: int | None, shard: int | None) -> bool:
        """Write the state row where its epoch is the expected one; say whether it was.

        Raises Transient where it was, and somebody wrote the row since it was read here.
        """
        key, mark = state_key(self._mapping, shard), ObjectId()
        update = {"$set": {**values, "mark": mark}, "$currentDate": {"renewed": True}}
        if expected_epoch is None:
            where: Document = {"_id": key, "epoch": {"$exists": False}}
            outcome = self._writes.bulk(self._collection, [UpdateOne(where, update, upsert=True)])
            wrote = not outcome.errors  # the one it can have: the row is there, with an epoch
        else:
            where = {"_id": key, "epoch": expected_epoch}
            read = {"mark": self._marks[key]} if key in self._marks else {}
            wrote = self._writes.bulk(self._collection, [UpdateOne(where | read, update)]).met == 1
            if not wrote and self._collection.find_one(where, session=self._writes.session):
                raise Transient(f"mongodb: the state of {self._mapping} was written meanwhile")
        if wrote:
            self._marks[key] = mark
        return wrote
