"""The ledger and the state row of a mapping in a SQL target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, cast

import pyarrow as pa

from syncline.endpoints.base import LEDGER_SCHEMA, ROW, StateRow, TargetSpec, state_key
from syncline.endpoints.bisect import RowsRefused
from syncline.endpoints.digest import Digest
from syncline.endpoints.sql_dialect import STATE, Dialect, state_name
from syncline.endpoints.sql_session import KeyTaken, Row, Session
from syncline.errors import RunFailed

NAMES: Final = tuple(name for name, _ in LEDGER_SCHEMA)
_TYPES: Final = {
    "s": pa.binary(), "t": pa.binary(), "held": pa.binary(), "gone": pa.int16(), "hold": pa.int16(),
    "layout": pa.int32(), "epoch": pa.int64(),
}  # fmt: skip
_SCAN_ROWS: Final = 50_000


class Ledger(ABC):
    """One mapping's ledger and state row, inside a transaction.

    How keys and instants are stored differs by database: subclasses say.
    """

    def __init__(
        self, session: Session, dialect: Dialect, spec: TargetSpec, *, writes: bool
    ) -> None:
        self._session, self._dialect, self._mapping = session, dialect, spec.mapping
        self._whole = spec.ledger_key.is_integer
        self._types: dict[str, Any] = {"k": pa.int64() if self._whole else pa.string(), **_TYPES}
        self._table = dialect.table(state_name(spec.mapping))
        self._state = dialect.table(STATE)
        self._writes = writes
        self._there: dict[str, bool] = {}

    # --- what differs by database ---

    clock: str
    """The SQL of the target's clock, or a parameter that `now` fills."""
    upsert: str
    """INSERT or replace, up to the table's name."""

    @abstractmethod
    def exists(self, table: str) -> bool:
        """Whether a table of that name is there."""

    @abstractmethod
    def now(self) -> datetime:
        """Give the target's clock, in UTC."""

    @abstractmethod
    def instant(self, value: Any) -> datetime | None:
        """Give a stored instant."""

    @abstractmethod
    def stored(self, value: datetime) -> Any:
        """Give an instant as it is stored."""

    def packed(self, key: Any) -> Any:
        """Give a key as it is stored."""
        return key

    def unpacked(self, key: Any) -> Any:
        """Give a stored key."""
        return key

    # --- state ---

    def state(self, shard: int | None = None) -> StateRow | None:
        """See `base.Transaction.state`."""
        if not self._has(STATE):
            return None
        lock = self._dialect.lock if self._writes else ""
        rows = self._session.rows(
            f"SELECT epoch, holder, lease_until, document FROM {self._state}"  # noqa: S608 - quoted
            f" WHERE mapping = {self._dialect.mark}{lock}",
            (state_key(self._mapping, shard),),
        )
        if not rows:
            return None
        epoch, holder, until, document = rows[0]
        # The clock is read after the lock is had: waiting for it may outlast a lease.
        return StateRow(int(epoch), holder, self.instant(until), document, self.now())

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
        """See `base.Transaction.put_state`."""
        until = None if lease_seconds is None else self._later(lease_seconds)
        mark, key = self._dialect.mark, state_key(self._mapping, shard)
        if expected_epoch is None:
            return self._new_state((epoch, holder, until, document, key))
        matched = self._session.run(
            f"UPDATE {self._state} SET epoch = {mark}, holder = {mark}, lease_until = {mark},"  # noqa: S608
            f" document = {mark} WHERE mapping = {mark} AND epoch = {mark}",
            (epoch, holder, until, document, key, expected_epoch),
        )
        return matched == 1

    def _new_state(self, row: Row) -> bool:
        try:
            with self._session.savepoint():
                self._session.run(
                    f"INSERT INTO {self._state} (epoch, holder, lease_until, document, mapping)"  # noqa: S608
                    f" VALUES ({self._dialect.marks(5)})",
                    row,
                    refusable=True,
                )
        except KeyTaken:
            return False
        except RowsRefused as error:
            raise RunFailed(f"the state of {self._mapping} was refused: {error.message}") from error
        return True

    def _later(self, seconds: float) -> Any:
        return self.stored(self.now() + timedelta(seconds=seconds))

    # --- ledger ---

    def ledger_is_empty(self) -> bool:
        """See `base.Transaction.ledger_is_empty`."""
        return not self._rows(" LIMIT 1", ())

    def ledger_fetch(self, keys: pa.Array[Any]) -> pa.Table:
        """See `base.Transaction.ledger_fetch`."""
        asked_keys = cast("list[Any]", keys.to_pylist())
        places = {key: row for row, key in enumerate(asked_keys)}
        asked, step = sorted(places), self._dialect.keys_at_once
        found: list[Row] = []
        for start in range(0, len(asked), step):
            part = [self.packed(key) for key in asked[start : start + step]]
            found += self._rows(f" WHERE k IN ({self._dialect.marks(len(part))})", part)
        table = self._told(found)
        rows = pa.array([places[key] for key in table.column("k").to_pylist()], pa.int32())
        return table.append_column(ROW, rows)

    def ledger_put(self, rows: pa.Table, *, fresh: bool) -> None:
        """See `base.Transaction.ledger_put`.

        A replacing insert of a new key costs what an insert does, so `fresh` changes nothing.
        """
        del fresh
        columns = [rows.column(name).to_pylist() for name in NAMES]
        columns[0] = [self.packed(key) for key in columns[0]]
        names = ", ".join(NAMES)
        self._session.many(
            f"{self.upsert} INTO {self._table} ({names})"
            f" VALUES ({self._dialect.marks(len(NAMES))})",
            list(zip(*columns, strict=True)),
        )

    def ledger_scan(self) -> Iterator[pa.Table]:
        """See `base.Transaction.ledger_scan`."""
        after: tuple[Any, ...] = ()
        while True:
            where = f" WHERE k > {self._dialect.mark}" if after else ""
            rows = self._rows(f"{where} ORDER BY k LIMIT {_SCAN_ROWS}", after)
            if not rows:
                return
            yield self._told(rows).select(["k", "gone", "hold"])
            after = (rows[-1][0],)

    def ledger_digest(self) -> Digest | None:
        """See `base.Transaction.ledger_digest`."""
        return None

    def ledger_holds(self) -> pa.Table:
        """See `base.Transaction.ledger_holds`."""
        return self._told(self._rows(" WHERE hold <> 0 ORDER BY k", ()))

    def _rows(self, rest: str, params: tuple[Any, ...] | list[Any]) -> list[Row]:
        if not self._has(state_name(self._mapping)):
            return []
        return self._session.rows(f"SELECT {', '.join(NAMES)} FROM {self._table}{rest}", params)  # noqa: S608

    def _told(self, rows: list[Row]) -> pa.Table:
        columns = list(zip(*rows, strict=True)) or [()] * len(NAMES)
        columns[0] = tuple(self.unpacked(key) for key in columns[0])
        arrays: dict[str, Any] = {
            name: pa.array(values, kind)
            for values, (name, kind) in zip(columns, self._types.items(), strict=True)
        }
        return pa.table(arrays)

    def _has(self, table: str) -> bool:
        # Once there, it stays for the transaction; `prepare` made it unless nothing may be written.
        if not self._there.get(table):
            self._there[table] = self._writes or self.exists(table)
        return self._there[table]
