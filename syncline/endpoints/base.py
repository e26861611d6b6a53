"""Endpoints: what the engine asks of a database, as Protocols.

The contract is here; implementations stay bare. An endpoint is one connection of
`connections.yaml`, opened. It is a `Source`, a `Target`, or both. All data crosses this border as
Arrow tables of canonical types (`syncline.record`); a value that its declared type can't hold
crosses as NULL in the column plus a `Misfit` beside it, so that it can never be taken for a NULL.

Errors, for every method: `Unreachable` where the connection fails or times out (it may pass),
`CredentialsRefused` where the login or a privilege is refused, `InputError` where a table or column
is not there.

Identifiers given to an endpoint are checked against the catalogue and quoted; values travel as
parameters or Arrow. Table names are `schema.table` or `table` (each part unquoted, as the catalogue
spells it); for MongoDB a collection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pyarrow as pa

from syncline.endpoints.digest import Digest, DigestSpec
from syncline.endpoints.exchange import (
    LEDGER_SCHEMA,
    ROW,
    TEXT,
    Column,
    Comparison,
    DeltaBy,
    Fetched,
    ForeignKey,
    Guarantee,
    Holder,
    Level,
    Mask,
    Mode,
    Pulse,
    Range,
    ReadSpec,
    Refusal,
    Refused,
    SourceBatch,
    StateRow,
    TableInfo,
    TargetSpec,
    Written,
    state_key,
)
from syncline.record import Misfit, Type

__all__ = [
    "LEDGER_SCHEMA",
    "ROW",
    "TEXT",
    "Column",
    "Comparison",
    "DeltaBy",
    "Digest",
    "DigestSpec",
    "Endpoint",
    "Fetched",
    "ForeignKey",
    "Guarantee",
    "Holder",
    "Level",
    "Mask",
    "Mode",
    "Pulse",
    "Range",
    "Read",
    "ReadSpec",
    "Refusal",
    "Refused",
    "Source",
    "SourceBatch",
    "StateRow",
    "TableInfo",
    "Target",
    "TargetSpec",
    "Transaction",
    "Written",
    "state_key",
]


class Read(Protocol):
    """One snapshot of a source, being read.

    `horizon` is taken before the first row is: once every batch is durable it becomes the
    checkpoint's position, and a delta from it misses no commit (as far as `guarantee` says). It is
    opaque JSON text.
    """

    horizon: str
    guarantee: Guarantee

    def batches(self) -> Iterator[SourceBatch]:
        """The records, paged by keyset in the database (never compared in Python); ties never skip.

        Full and key-range reads go by key order; a delta may use any order, but a read resumed
        `after` a position continues it exactly. Rows whose cursor is NULL are read in a pass of
        their own. Called once, by one thread, which may not be the thread that opened the read.
        """
        ...


class Source(Protocol):
    """A database that can be read."""

    product: str
    """`postgresql`, `mariadb`, `mysql`, `sqlite`, `mongodb`, `memory`."""

    def version(self) -> str:
        """The server's version, for people."""
        ...

    def tables(self) -> Sequence[str]:
        """The names of all user tables, views and collections, sorted; syncline's own are left
        out.
        """
        ...

    def describe(self, table: str) -> TableInfo | None:
        """The table as it is now, or None where there is none."""
        ...

    def best_delta(self, info: TableInfo, cursor: str | None) -> DeltaBy:
        """The strongest way this source can tell what changed since a checkpoint; `none` where it
        has none.
        """
        ...

    def guarantee(self, spec: ReadSpec) -> Guarantee:
        """What a delta by `spec.by` promises here, as far as can be told without reading."""
        ...

    def pulse(self, spec: ReadSpec, since: str | None) -> Pulse | None:
        """What the clock shows, and which transaction holds the horizon back.

        `since` is the checkpoint's position. None where a read goes by neither.
        """
        ...

    def read(
        self,
        spec: ReadSpec,
        *,
        mode: Mode,
        since: str | None = None,
        after: str | None = None,
        until: str | None = None,
        window: Range | None = None,
    ) -> AbstractContextManager[Read]:
        """Open a snapshot and read it.

        `full`: every record by key order, from `after` on, up to and with `until` (both positions;
        of full reads that divide the order so, each record is in exactly one). `delta`: the records
        changed since the position `since`. `backfill`: the records in `window`. Raises
        CheckpointVoid where `since` can't be continued from, GuardStopped("other-database") where
        the source went back in time.
        """
        ...

    def split(self, spec: ReadSpec, parts: int) -> Sequence[str]:
        """Positions, in key order, that divide a full read into about `parts` of about equal size.

        Found cheaply, so by an estimate: there may be fewer, and none where this source can't tell
        without reading it all (a view). Each serves as `until` of one read and `after` of the next.
        """
        ...

    def fetch(self, spec: ReadSpec, keys: pa.Table) -> tuple[pa.Table, tuple[Misfit, ...]]:
        """The records of these source keys (columns named as `spec.key`) as committed now, with the
        column `__row`.
        """
        ...

    def keys(self, spec: ReadSpec) -> Iterator[pa.Table]:
        """Every key of the table in one new snapshot, in batches; `filters` are not applied."""
        ...

    def digest(self, spec: DigestSpec) -> Digest | str:
        """Checksums of a table's records, or in one clause why this database can't compute them."""
        ...

    def duplicate_keys(self, table: str, key: Sequence[str]) -> Sequence[tuple[Any, ...]]:
        """Up to five keys that more than one record has, or that have a NULL; empty where the key
        is unique.
        """
        ...

    def close(self) -> None:
        """Give back every connection. Idempotent."""
        ...


class Transaction(Protocol):
    """One transaction on a target: rows, ledger and state together, or nothing.

    On a target without transactions each call is durable by itself; the engine then calls in the
    order rows, ledger, state, and every call is idempotent. Leaving the context without `commit`
    rolls back.
    """

    atomic: bool
    """Whether rows, ledger and state commit together."""

    def state(self, shard: int | None = None) -> StateRow | None:
        """The state row of the mapping, or of one of its shards, locked until the end of the
        transaction where the database can; None if there is none yet.
        """
        ...

    def put_state(
        self,
        *,
        epoch: int,
        holder: str,
        lease_seconds: float | None,
        document: str,
        expected_epoch: int | None,
        shard: int | None = None,
    ) -> bool:
        """Write the state row of the mapping, or of a shard; the lease runs `lease_seconds` from
        the target's clock (None: it is given up).

        Writes only where the row's epoch still is `expected_epoch` (None: where there is no row);
        says whether it did.
        """
        ...

    def columns(self) -> Mapping[str, Column]:
        """The target's columns, as they stay until the transaction ends; empty for documents."""
        ...

    def is_empty(self) -> bool:
        """Whether the target table has no record at all."""
        ...

    def fetch(self, keys: pa.Table) -> Fetched:
        """The records of these target keys (columns named as the spec's key), set-based."""
        ...

    def insert(self, rows: pa.Table) -> Written:
        """Insert records (key and fields) believed absent; the fastest way in.

        One bad row does not lose the others:
        found by bisection.
        """
        ...

    def update(self, rows: pa.Table, changed: Mapping[str, Mask], current: Fetched) -> Written:
        """Write the fields that moved: row i of `rows` sets exactly the fields f with
        `changed[f][i]`.

        `current.rows` is aligned with `rows` (row i was seen as current row i): a row that is no
        longer so is not written. A misfit in `current` is compared as the misfit it is, or by
        version.
        """
        ...

    def delete(self, keys: pa.Table, current: Fetched) -> Written:
        """Delete records that still are as `current` (aligned) shows them."""
        ...

    def scan_keys(self) -> Iterator[pa.Table]:
        """Every key of the target table, in batches (for `exclusive` mirrors without a ledger)."""
        ...

    def ledger_is_empty(self) -> bool:
        """Whether the ledger has no row (True where there is no ledger table)."""
        ...

    def ledger_fetch(self, keys: pa.Array[Any]) -> pa.Table:
        """The ledger rows of these keys: `LEDGER_SCHEMA` and `__row`.

        No row where there is none.
        """
        ...

    def ledger_put(self, rows: pa.Table, *, fresh: bool) -> None:
        """Insert or replace ledger rows; `fresh` promises that none of the keys is there (then
        straight in; where the promise turns out false, as if it had not been given).
        """
        ...

    def ledger_scan(self) -> Iterator[pa.Table]:
        """All ledger rows (`k`, `gone`, `hold`), in batches."""
        ...

    def ledger_digest(self) -> Digest | None:
        """Checksums of the ledger's keys whose source is not gone; None where this database can't
        compute them.
        """
        ...

    def ledger_holds(self) -> pa.Table:
        """The rows with a hold (`LEDGER_SCHEMA`)."""
        ...

    def all_or_nothing(self) -> AbstractContextManager[None] | None:
        """A block of which all is undone where it raises; None where this target can't.

        Not to be nested.
        """
        ...

    def commit(self) -> None:
        """Make it durable.

        Raises Unreachable where the answer was lost: the caller re-reads the state.
        """
        ...


class Target(Protocol):
    """A database that can be written."""

    product: str
    reads_while_written: bool
    """Whether a reading transaction sees what is committed beside one that writes; none waits."""

    def version(self) -> str:
        """As of `Source`."""
        ...

    def tables(self) -> Sequence[str]:
        """As of `Source`."""
        ...

    def describe(self, table: str) -> TableInfo | None:
        """As of `Source`."""
        ...

    def native_type(self, type_: Type, *, key: bool = False) -> str:
        """How this database would declare a column of that type.

        Raises InputError where it has none.
        """
        ...

    def fits(self, type_: Type) -> Type:
        """The type that a field declared (or inferred) as `type_` has once stored here: what values
        are coerced to.

        Where the database is schema-free (MongoDB) this is how the endpoint stores it: a
        timestamptz without `(3)` or fewer digits becomes `text`, since BSON keeps milliseconds.
        """
        ...

    def create_table(self, table: str, key: Mapping[str, Type], fields: Mapping[str, Type]) -> None:
        """Create the table with these columns and the primary key.

        Documents: nothing to do beyond the collection.
        """
        ...

    def add_column(self, table: str, name: str, type_: Type) -> None:
        """Add a column that may be NULL to a table. Documents: nothing to do."""
        ...

    def widen_column(self, table: str, name: str, type_: Type) -> None:
        """Give a column a wider type, and keep all else of it. Raises InputError where it can't be,
        with the statement as its hint where there is one. Documents: nothing to do.
        """
        ...

    def prepare(self, spec: TargetSpec) -> None:
        """Create the state table and, if the spec has a ledger, its table.

        Idempotent, safe under concurrency.
        """
        ...

    def begin(self, spec: TargetSpec, *, write: bool = True) -> AbstractContextManager[Transaction]:
        """Begin a transaction.

        With `write=False` nothing may be written (plan, status) and missing state or ledger tables
        read as empty.
        """
        ...

    def drop_ledger(self, spec: TargetSpec) -> None:
        """Remove the ledger of a mapping, if it is there.

        The state row stays: its epoch must never be used again.
        """
        ...

    def close(self) -> None:
        """As of `Source`."""
        ...


class Endpoint(Source, Target, Protocol):
    """A database that can be both."""
