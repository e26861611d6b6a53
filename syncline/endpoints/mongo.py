"""The MongoDB endpoint: collections as tables, dotted paths as columns.

Full and backfill reads page by `_id` (`mongo_pages`); a delta goes by the change stream
(`watermark.mongo_stream`) or by a cursor (`watermark.mongo`).
On a replica set or a cluster, rows, ledger and state commit in one transaction; on a standalone
server each call is durable by itself, and `Transaction.atomic` says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
from pymongo.errors import DuplicateKeyError

from syncline.endpoints.base import (
    ROW,
    DeltaBy,
    Guarantee,
    Mode,
    Pulse,
    Range,
    ReadSpec,
    TableInfo,
    TargetSpec,
)
from syncline.endpoints.digest import Digest, DigestSpec
from syncline.endpoints.mongo_changes import ChangesRead
from syncline.endpoints.mongo_connection import Connection, Document, Documents, Tls
from syncline.endpoints.mongo_describe import describe, identity, object_id_paths, sample
from syncline.endpoints.mongo_documents import Documents as TargetDocuments
from syncline.endpoints.mongo_errors import reporting
from syncline.endpoints.mongo_json import DECIMAL_DIGITS
from syncline.endpoints.mongo_keys import KeyPaths
from syncline.endpoints.mongo_ledger import STATE, Ledger, State, create, ledger_name
from syncline.endpoints.mongo_pages import Pages, dividing
from syncline.endpoints.mongo_paths import check_paths, projection, source_columns
from syncline.endpoints.mongo_read import MongoRead, position_at
from syncline.endpoints.mongo_rows import Rows
from syncline.endpoints.mongo_transaction import MongoTransaction
from syncline.endpoints.mongo_values import fits, is_date
from syncline.endpoints.mongo_writes import Direct, InTransaction
from syncline.errors import InputError
from syncline.record import Misfit, Type
from syncline.watermark import mongo_stream
from syncline.watermark.mongo import guarantee

_DUPLICATES_SHOWN: Final = 5
_NATIVE: Final[Mapping[str, str]] = {
    "bool": "bool",
    "smallint": "int",
    "integer": "int",
    "bigint": "long",
    "real": "double",
    "double": "double",
    "decimal": "decimal",
    "bytes": "binData",
    "uuid": "binData(4)",
    "json": "object",
}


class MongoEndpoint:
    """A database of MongoDB, 5.0 or later, from a `mongodb://` or `mongodb+srv://` URL.

    `connect_timeout` and `statement_timeout` are seconds; 0 is without end. `tls="verify"` encrypts
    and checks certificates except to this machine, unless the URL itself says otherwise.
    """

    product = "mongodb"
    reads_while_written = False

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float = 10,
        statement_timeout: float = 0,
        tls: Tls = "verify",
        pool_size: int = 4,
    ) -> None:
        self._connection = Connection(
            url,
            connect_timeout=connect_timeout,
            statement_timeout=statement_timeout,
            tls=tls,
            pool_size=pool_size,
        )
        self._known_object_ids: dict[tuple[str, ...], frozenset[str]] = {}
        self._streams: dict[str, str] = {}

    # --- what is there ---

    @reporting()
    def version(self) -> str:
        """Give the server's version."""
        return str(self._connection.client.server_info()["version"])

    @reporting()
    def tables(self) -> Sequence[str]:
        """Give the collections and views, sorted."""
        return sorted(self._connection.listed())

    @reporting()
    def describe(self, table: str) -> TableInfo | None:
        """Describe a collection by a sample of its documents; None where there is none."""
        catalogue = self._connection.listed().get(table)
        if catalogue is None:
            return None
        replica_set = str(self._connection.greeting.get("setName", ""))
        return describe(table, self._connection.collection(table), catalogue, replica_set)

    @reporting()
    def pulse(self, spec: ReadSpec, since: str | None) -> Pulse | None:
        """Give the server's clock: no transaction holds a cursor's horizon back."""
        del since
        return Pulse(self._connection.now()) if spec.by == "timestamp" else None

    def best_delta(self, info: TableInfo, cursor: str | None) -> DeltaBy:
        """Give `stream` where the server gives us one, else `timestamp` where there is a cursor."""
        if not self._without_stream(info.name):
            return "stream"
        return "timestamp" if cursor else "none"

    def guarantee(self, spec: ReadSpec) -> Guarantee:
        """Give what a delta promises: exact by a stream, bounded by a cursor, else nothing."""
        if spec.by != "stream":
            return guarantee(spec)
        key = KeyPaths({path: spec.columns[path] for path in spec.key})
        if not (key.is_id or key.is_in_id):
            return mongo_stream.WITHOUT_KEYS
        options = self._connection.listed().get(spec.table, {}).get("options", {})
        return mongo_stream.CAPPED if options.get("capped") else mongo_stream.EXACT

    def close(self) -> None:
        """Give back every connection."""
        self._connection.close()

    # --- reading ---

    @reporting()
    def read(
        self,
        spec: ReadSpec,
        *,
        mode: Mode,
        since: str | None = None,
        after: str | None = None,
        until: str | None = None,
        window: Range | None = None,
    ) -> MongoRead | ChangesRead:
        """Open a read; see `base.Source.read`. Not a snapshot: see `mongo_pages`."""
        if spec.by == "stream" and mode == "delta":
            return ChangesRead(
                self._connection,
                spec,
                since=since,
                after=after,
                identity=self._identity(spec.table),
                guarantee=self.guarantee(spec),
            )
        return MongoRead(
            self._connection,
            spec,
            mode=mode,
            since=since,
            after=after,
            until=until,
            window=window,
            identity=self._identity(spec.table),
            has_object_ids=lambda path: bool(self._object_ids(spec.table, [path])),
            guarantee=self.guarantee(spec),
        )

    @reporting()
    def split(self, spec: ReadSpec, parts: int) -> Sequence[str]:
        """Give positions that divide a full read; see `base.Source.split`."""
        if self._connection.listed().get(spec.table, {}).get("type") == "view":
            return []
        keys = dividing(self._existing(spec.table), parts)
        return [position_at(key, seen=self._connection.seen) for key in keys]

    @reporting()
    def fetch(self, spec: ReadSpec, keys: pa.Table) -> tuple[pa.Table, tuple[Misfit, ...]]:
        """Give the records of these source keys as committed now."""
        collection = self._existing(spec.table)
        key = KeyPaths({path: spec.columns[path] for path in spec.key})
        rows: dict[tuple[Any, ...], list[int]] = {}
        for row, values in enumerate(key.asked(keys)):
            rows.setdefault(values, []).append(row)
        found: list[tuple[int, Document]] = []
        wanted = projection(spec.columns)
        with self._connection.causal() as session:
            for where in key.filters(keys):
                for document in collection.find(where, wanted, session=session):
                    found += [(row, document) for row in rows.get(key.of(document) or (), [])]
        found.sort(key=lambda each: each[0])
        arrays, misfits = source_columns([document for _, document in found], spec.columns)
        arrays[ROW] = pa.array([row for row, _ in found], pa.int32())
        return pa.table(arrays), tuple(misfits)

    def keys(self, spec: ReadSpec) -> Iterator[pa.Table]:
        """Give every key, in batches; a document whose key does not fit its type has none."""
        types = {path: spec.columns[path] for path in spec.key}
        collection = self._existing(spec.table)
        with self._connection.causal() as session:
            wanted = projection(types)
            pages = Pages(collection, {}, wanted, spec.batch_rows, spec.batch_bytes, session)
            for documents in pages.after():
                arrays, _ = source_columns(documents, types)
                yield pa.table(arrays).drop_null()

    def digest(self, spec: DigestSpec) -> Digest | str:  # noqa: ARG002
        """See `base.Source.digest`."""
        return "mongodb computes no checksums"

    @reporting()
    def duplicate_keys(self, table: str, key: Sequence[str]) -> Sequence[tuple[Any, ...]]:
        """Give up to five keys that more than one document has, or that have a null."""
        if tuple(key) == ("_id",):
            return []
        collection = self._existing(table)
        group = {"_id": {f"k{n}": f"${path}" for n, path in enumerate(key)}, "n": {"$sum": 1}}
        empty = {"$match": {"$or": [{path: None} for path in key]}}
        shown: list[Document] = [{"$limit": _DUPLICATES_SHOWN}]
        several: list[Document] = [{"$group": group}, {"$match": {"n": {"$gt": 1}}}]
        found: dict[str, tuple[Any, ...]] = {}
        for stages in ([empty, {"$group": group}, *shown], [*several, *shown]):
            for each in collection.aggregate(stages, allowDiskUse=True):
                values = tuple(each["_id"].get(f"k{n}") for n in range(len(key)))
                found[repr(values)] = values
        return list(found.values())[:_DUPLICATES_SHOWN]

    # --- writing ---

    def native_type(self, type_: Type, *, key: bool = False) -> str:  # noqa: ARG002
        """Give the BSON type's name. Raises InputError for a decimal that has none."""
        if type_.name == "decimal" and (type_.precision or 0) > DECIMAL_DIGITS:
            raise InputError(
                f"a Decimal128 has {DECIMAL_DIGITS} digits, {type_} has more", hint="declare text"
            )
        if type_.name == "timestamptz" and is_date(type_):
            return "date"
        return _NATIVE.get(type_.name, "string")

    def fits(self, type_: Type) -> Type:
        """Give the type that values have once stored: integers bigint, times past a ms text."""
        return fits(type_)

    @reporting()
    def create_table(self, table: str, key: Mapping[str, Type], fields: Mapping[str, Type]) -> None:
        """Create the collection, and the unique index of a key that is not `_id`."""
        check_paths([*key, *fields])
        if table in self._connection.listed():
            raise InputError(f"there is a collection {table} already")
        create(self._connection, table)
        self._index_key(table, KeyPaths(key))

    def add_column(self, table: str, name: str, type_: Type) -> None:  # noqa: ARG002
        """See `Target.add_column`; raises InputError for a path that no document can have."""
        check_paths([name])

    def widen_column(self, table: str, name: str, type_: Type) -> None:
        """See `base.Target.widen_column`."""

    @reporting()
    def prepare(self, spec: TargetSpec) -> None:
        """Create what the spec needs: collection, key index, ledger, state. Idempotent."""
        key = KeyPaths(spec.key)
        key.check()
        check_paths([*spec.key, *(path for path in spec.fields if path not in spec.key)])
        create(self._connection, spec.table)
        create(self._connection, STATE)
        self._index_key(spec.table, key)
        if spec.ledger:
            Ledger.prepare(self._connection, spec.mapping)

    @reporting()
    def begin(self, spec: TargetSpec, *, write: bool = True) -> MongoTransaction:
        """Begin a transaction; see `base.Target.begin`."""
        connection = self._connection
        key = KeyPaths(spec.key)
        texts = [
            path for path, type_ in {**spec.key, **spec.fields}.items() if type_.name == "text"
        ]
        documents = TargetDocuments(
            spec,
            max_bytes=connection.max_document,
            object_ids=self._object_ids(spec.table, texts) if write else (),
        )
        index = self._key_index(spec.table, key) if write else ""
        writes = InTransaction(connection) if write and connection.transactional else Direct()
        rows = Rows(spec, connection.collection(spec.table), documents, writes, index)
        ledger, state = Ledger(spec, connection, writes), State(spec, connection, writes)
        return MongoTransaction(rows, ledger, state, writes, may_write=write)

    @reporting()
    def drop_ledger(self, spec: TargetSpec) -> None:
        """Remove the ledger of a mapping, if it is there. The state row stays."""
        self._connection.collection(ledger_name(spec.mapping)).drop()

    # --- within ---

    def _without_stream(self, table: str) -> str:
        """Say why there is no change stream; the server is asked once."""
        if table not in self._streams:
            catalogue = self._connection.listed().get(table, {})
            self._streams[table] = mongo_stream.missing(self._connection, table, catalogue)
        return self._streams[table]

    def _existing(self, table: str) -> Documents:
        self._identity(table)
        return self._connection.collection(table)

    def _identity(self, table: str) -> dict[str, str]:
        catalogue = self._connection.listed().get(table)
        if catalogue is None:
            raise InputError(f"there is no collection {table}")
        return identity(catalogue, str(self._connection.greeting.get("setName", "")))

    def _object_ids(self, table: str, paths: Sequence[str]) -> frozenset[str]:
        """Say which paths hold ObjectIds. An empty collection has not decided yet: ask again."""
        wanted = (table, *paths)
        if paths and wanted not in self._known_object_ids:
            documents = sample(self._connection.collection(table), projection(paths))
            if not documents:
                return frozenset()
            self._known_object_ids[wanted] = object_id_paths(documents, paths)
        return self._known_object_ids.get(wanted, frozenset())

    def _index_key(self, table: str, key: KeyPaths) -> None:
        if key.is_id or key.is_in_id or self._key_index(table, key):
            return
        try:
            self._connection.collection(table).create_index(
                [(path, 1) for path in key.paths], unique=True
            )
        except DuplicateKeyError as error:
            raise InputError(
                f"collection {table}: more than one document has the same {', '.join(key.paths)}",
                hint="a key must be unique; remove the duplicates, or choose another key",
            ) from error

    def _key_index(self, table: str, key: KeyPaths) -> str:
        """Give the name of the unique index of a key's fields, or nothing."""
        if key.is_id or key.is_in_id:
            return ""
        for name, index in self._connection.collection(table).index_information().items():
            paths = {path for path, _ in index["key"]}
            if index.get("unique") and paths == set(key.paths):
                return name
        return ""
