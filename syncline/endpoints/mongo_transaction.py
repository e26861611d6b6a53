"""A transaction on MongoDB: of the server's kind where it has them, else each call by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from syncline.endpoints.base import Column, Fetched, Mask, StateRow, Written
from syncline.endpoints.mongo_errors import reporting
from syncline.endpoints.mongo_ledger import Ledger, State
from syncline.endpoints.mongo_rows import Rows
from syncline.endpoints.mongo_writes import Writes


class MongoTransaction:
    """See `base.Transaction`. `may_write` False refuses every write."""

    def __init__(
        self, rows: Rows, ledger: Ledger, state: State, writes: Writes, *, may_write: bool
    ) -> None:
        self._rows, self._ledger, self._state, self._writes = rows, ledger, state, writes
        self._may_write = may_write
        self.atomic = writes.atomic

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writes.close()

    @reporting()
    def state(self, shard: int | None = None) -> StateRow | None:
        """Give the state row; in a transaction that may write, locked."""
        return self._state.read(shard, lock=self._may_write)

    @reporting()
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
        """Write the state row if its epoch still is the expected one."""
        self._check()
        values = {
            "epoch": epoch,
            "holder": holder,
            "lease_seconds": lease_seconds,
            "document": document,
        }
        return self._state.put(values, expected_epoch, shard)

    def columns(self) -> Mapping[str, Column]:
        """See `base.Transaction.columns`: documents declare none."""
        return {}

    @reporting()
    def is_empty(self) -> bool:
        """Whether the collection has no document."""
        return self._rows.is_empty()

    @reporting()
    def fetch(self, keys: pa.Table) -> Fetched:
        """Give the records of these keys."""
        return self._rows.fetch(keys)

    @reporting()
    def insert(self, rows: pa.Table) -> Written:
        """Insert records."""
        self._check()
        return self._rows.insert(rows)

    @reporting()
    def update(self, rows: pa.Table, changed: Mapping[str, Mask], current: Fetched) -> Written:
        """Set the fields that moved."""
        self._check()
        return self._rows.update(rows, changed, current)

    @reporting()
    def delete(self, keys: pa.Table, current: Fetched) -> Written:
        """Delete records."""
        self._check()
        return self._rows.delete(keys, current)

    def scan_keys(self) -> Iterator[pa.Table]:
        """Give every key of the collection, in batches."""
        return self._rows.scan_keys()

    @reporting()
    def ledger_is_empty(self) -> bool:
        """Whether the ledger has no row."""
        return self._ledger.is_empty()

    @reporting()
    def ledger_fetch(self, keys: pa.Array[Any]) -> pa.Table:
        """Give the ledger rows of these keys."""
        return self._ledger.fetch(keys)

    @reporting()
    def ledger_put(self, rows: pa.Table, *, fresh: bool) -> None:
        """Insert or replace ledger rows."""
        self._check()
        self._ledger.put(rows, fresh=fresh)

    def ledger_scan(self) -> Iterator[pa.Table]:
        """Give `k`, `gone` and `hold` of all ledger rows, in batches."""
        return self._ledger.scan()

    def ledger_digest(self) -> None:
        """See `base.Transaction.ledger_digest`."""

    @reporting()
    def ledger_holds(self) -> pa.Table:
        """Give the ledger rows with a hold."""
        return self._ledger.holds()

    def all_or_nothing(self) -> None:
        """See `base.Transaction.all_or_nothing`: a refused write ends a transaction of MongoDB."""

    @reporting()
    def commit(self) -> None:
        """Make it durable."""
        self._writes.commit()

    def _check(self) -> None:
        if not self._may_write:
            raise RuntimeError("this transaction was begun to read only")
