"""Writing PostgreSQL: rows, ledger and state in one transaction; a row only while as seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from syncline.endpoints.base import Column, Fetched, Mask, StateRow, TargetSpec, Written
from syncline.endpoints.bisect import RowsRefused, bisect
from syncline.endpoints.digest import Digest
from syncline.endpoints.postgres_catalog import PgTable, require
from syncline.endpoints.postgres_ledger import Ledger, State
from syncline.endpoints.postgres_read import KEYS, Selection, by_key_query
from syncline.endpoints.postgres_session import Session
from syncline.endpoints.postgres_sql import ident
from syncline.endpoints.postgres_staging import (
    GROUP,
    VERSION,
    Staging,
    append,
    column_array,
    goes_straight,
)
from syncline.errors import InputError
from syncline.record import Type

# Constraints answer where their rows are written, so that the refused ones can be found; at COMMIT
# it is too late.
CONSTRAINTS: Final = "SET CONSTRAINTS ALL IMMEDIATE"
# Which state of a row was seen. A transaction that updates the row moves it; another row at its
# place has another xmin; and no VACUUM FULL can move rows while this transaction holds its lock on
# the table.
SEEN: Final = "t.tableoid::text || ' ' || t.ctid::text || ' ' || t.xmin::text"
STILL_SEEN: Final = """
  t.tableoid = split_part(s.{version}, ' ', 1)::oid
  AND t.ctid = split_part(s.{version}, ' ', 2)::tid
  AND t.xmin = split_part(s.{version}, ' ', 3)::xid
"""
ANY_ROW: Final = "SELECT EXISTS (SELECT FROM {table}) AS found"

# RETURNING knows the inserted rows only, so they find their staged row by key; of two with one key
# the first landed.
INSERT_ABSENT: Final = """
WITH added AS (
  INSERT INTO {table} AS t ({names}){overriding}
  SELECT {values} FROM {staging} AS s {absent} ORDER BY s."__row" {conflict}
  RETURNING {keys}
)
SELECT min(s."__row") AS landed FROM added JOIN {staging} AS s ON {matches} GROUP BY {grouped}
"""
ON_CONFLICT: Final = "ON CONFLICT ({names}) DO NOTHING"
# No unique index to lean on: the best that can be done against rows that are already visible.
NOT_EXISTS: Final = "WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE {matches})"

UPDATE: Final = """
UPDATE {table} AS t SET {assignments} FROM {staging} AS s
WHERE s."__group" = {group} AND {still_seen}
RETURNING s."__row" AS landed
"""
DELETE: Final = """
DELETE FROM {table} AS t USING {staging} AS s WHERE {still_seen} RETURNING s."__row" AS landed
"""
SCAN: Final = "DECLARE {cursor} NO SCROLL CURSOR FOR {query}"
FETCH: Final = "FETCH FORWARD {rows} FROM {cursor}"
CLOSE: Final = "CLOSE {cursor}"
_SCAN_ROWS: Final = 50_000
_BITS: Final = 32


class PostgresTransaction:
    """A `Transaction` on one ADBC connection."""

    atomic = True

    def __init__(self, session: Session, spec: TargetSpec, *, write: bool) -> None:
        self._session = session
        self._spec = spec
        self._table = _target(session, spec)
        self._columns = {**spec.key, **spec.fields}
        for name in self._columns:
            self._table.native(name)
        self._ledger = Ledger(session, spec, self._table.schema)
        self._state = State(session, spec, self._table.schema)
        self._scans = 0
        session.writing = write
        if write:
            session.run(CONSTRAINTS)

    # --- the state row and the ledger -------------------------------------------------------------

    def state(self, shard: int | None = None) -> StateRow | None:
        """See `Transaction.state`."""
        return self._state.read(shard, lock=self._session.writing)

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
        """See `Transaction.put_state`."""
        return self._state.put(epoch, holder, lease_seconds, document, expected_epoch, shard)

    def ledger_is_empty(self) -> bool:
        """See `Transaction.ledger_is_empty`."""
        return self._ledger.is_empty()

    def ledger_fetch(self, keys: pa.Array[Any]) -> pa.Table:
        """See `Transaction.ledger_fetch`."""
        return self._ledger.fetch(keys)

    def ledger_put(self, rows: pa.Table, *, fresh: bool) -> None:
        """See `Transaction.ledger_put`."""
        self._ledger.put(rows, fresh=fresh)

    def ledger_scan(self) -> Iterator[pa.Table]:
        """See `Transaction.ledger_scan`."""
        query = self._ledger.scan_query()
        return self._scan(query) if query else iter(())

    def ledger_digest(self) -> Digest | None:
        """See `Transaction.ledger_digest`."""
        return self._ledger.digest()

    def ledger_holds(self) -> pa.Table:
        """See `Transaction.ledger_holds`."""
        return self._ledger.holds()

    # --- records ----------------------------------------------------------------------------------

    def columns(self) -> Mapping[str, Column]:
        """See `Transaction.columns`: the table has been locked before they were read."""
        return self._table.info.columns

    def is_empty(self) -> bool:
        """See `Transaction.is_empty`."""
        return not self._session.rows(ANY_ROW.format(table=self._table.sql))[0][0]

    def fetch(self, keys: pa.Table) -> Fetched:
        """See `Transaction.fetch`. Nothing is locked: `update` and `delete` compare versions."""
        selection = Selection(self._table, self._columns)
        columns = f"{selection.sql}, {SEEN} AS {ident(VERSION)}"
        query = by_key_query(self._table, keys, self._spec.key, columns)
        return Fetched(*selection.decode(self._session.table(query)))

    def scan_keys(self) -> Iterator[pa.Table]:
        """See `Transaction.scan_keys`."""
        selection = Selection(self._table, self._spec.key)
        for keys in self._scan(KEYS.format(columns=selection.sql, table=self._table.sql)):
            yield selection.decode(keys)[0]

    def _scan(self, query: str) -> Iterator[pa.Table]:
        """A server-side cursor, so that other statements can run between two batches."""
        self._scans += 1
        cursor = f"syncline_scan_{self._scans}"
        self._session.run(SCAN.format(cursor=cursor, query=query))
        fetch = FETCH.format(rows=_SCAN_ROWS, cursor=cursor)
        while (batch := self._session.table(fetch, copy=False)).num_rows:
            yield batch
        self._session.run(CLOSE.format(cursor=cursor))

    def insert(self, rows: pa.Table) -> Written:
        """See `Transaction.insert`."""
        landed = np.zeros(rows.num_rows, dtype=np.bool_)
        rows = rows.select([name for name in rows.column_names if name in self._columns])
        if self._arbiter and goes_straight(self._table, rows.column_names):
            try:
                append(self._session, self._table, rows)
            except RowsRefused:
                pass  # one of them collides or is refused: find out which
            else:
                landed[:] = True
                return Written(landed)

        staging = Staging(self._table, self._types(rows.column_names), {})
        statement = self._insert_absent(staging, rows.column_names)

        def attempt(part: slice) -> None:
            with self._session.savepoint():
                staging.fill(self._session, rows, part, {})
                self._mark(statement, landed)

        return Written(landed, bisect(rows.num_rows, attempt))

    @property
    def _arbiter(self) -> bool:
        return frozenset(self._spec.key) in self._table.arbiters

    def _types(self, names: Sequence[str]) -> dict[str, Type]:
        return {name: self._columns[name] for name in names}

    def _insert_absent(self, staging: Staging, names: Sequence[str]) -> str:
        key = list(self._spec.key)
        table = self._table
        same = " AND ".join(f"t.{ident(k)} = {staging.expression(k)}" for k in key)
        listed = ", ".join(map(ident, key))
        return INSERT_ABSENT.format(
            table=table.sql,
            names=", ".join(map(ident, names)),
            overriding=" OVERRIDING SYSTEM VALUE" if table.identity_always & set(names) else "",
            values=", ".join(map(staging.expression, names)),
            staging=staging.sql,
            absent="" if self._arbiter else NOT_EXISTS.format(table=table.sql, matches=same),
            conflict=ON_CONFLICT.format(names=listed) if self._arbiter else "",
            keys=", ".join(f"t.{ident(k)}" for k in key),
            matches=" AND ".join(f"added.{ident(k)} = {staging.expression(k)}" for k in key),
            grouped=", ".join(f"added.{ident(k)}" for k in key),
        )

    def _mark(self, statement: str, landed: Mask) -> None:
        found = column_array(self._session.table(statement), "landed")
        landed[found.to_numpy(zero_copy_only=False)] = True

    def update(self, rows: pa.Table, changed: Mapping[str, Mask], current: Fetched) -> Written:
        """See `Transaction.update`. A statement for each set of fields that moved together."""
        landed = np.zeros(rows.num_rows, dtype=np.bool_)
        names = [name for name, mask in changed.items() if mask.any()]
        if not names or not rows.num_rows:
            return Written(landed)
        sets, group = _groups([changed[name] for name in names])
        extra = {VERSION: _versions(current), GROUP: pa.array(group)}
        staging = Staging(self._table, self._types(names), {VERSION: "text", GROUP: "integer"})
        statements = [
            (
                number,
                self._update(
                    staging, number, [n for n, moved in zip(names, fields, strict=True) if moved]
                ),
            )
            for number, fields in enumerate(sets)
            if fields.any()
        ]

        def attempt(part: slice) -> None:
            seen = np.zeros_like(landed)
            with self._session.savepoint():
                staging.fill(self._session, rows, part, extra)
                present = set(group[part].tolist())
                for number, statement in statements:
                    if number in present:
                        self._mark(statement, seen)
            landed[seen] = True

        return Written(landed, bisect(rows.num_rows, attempt))

    def _update(self, staging: Staging, group: int, fields: Sequence[str]) -> str:
        return UPDATE.format(
            table=self._table.sql,
            assignments=", ".join(f"{ident(f)} = {staging.expression(f)}" for f in fields),
            staging=staging.sql,
            group=group,
            still_seen=STILL_SEEN.format(version=ident(VERSION)),
        )

    def delete(self, keys: pa.Table, current: Fetched) -> Written:
        """See `Transaction.delete`."""
        landed = np.zeros(keys.num_rows, dtype=np.bool_)
        versions = {VERSION: _versions(current)}
        staging = Staging(self._table, {}, {VERSION: "text"})
        statement = DELETE.format(
            table=self._table.sql,
            staging=staging.sql,
            still_seen=STILL_SEEN.format(version=ident(VERSION)),
        )

        def attempt(part: slice) -> None:
            with self._session.savepoint():
                staging.fill(self._session, keys, part, versions)
                self._mark(statement, landed)

        return Written(landed, bisect(keys.num_rows, attempt))

    def all_or_nothing(self) -> AbstractContextManager[None]:
        """See `Transaction.all_or_nothing`."""
        return self._session.savepoint("syncline_all")

    def commit(self) -> None:
        """See `Transaction.commit`."""
        self._session.commit()


def _target(session: Session, spec: TargetSpec) -> PgTable:
    table = require(session, spec.table, identified=False)
    if table.info.is_view:
        raise InputError(
            f"{spec.table} is a view or foreign table: its rows have no version to compare",
            hint="write to a table",
        )
    return table


def _versions(current: Fetched) -> pa.Array[Any]:
    return column_array(current.rows, VERSION).cast(pa.string())


def _groups(masks: Sequence[Mask]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
    """The distinct sets of fields that moved together, and the number of each row's set.

    By numbers of a bit a field: a sort of rows of masks takes ten times as long.
    """
    code = np.zeros(len(masks[0]), np.int64)
    for place, mask in enumerate(masks, start=1):
        code = code * 2 + mask
        if place % _BITS == 0:  # room for as many again
            code = np.unique(code, return_inverse=True)[1].astype(np.int64)
    _, first, number = np.unique(code, return_index=True, return_inverse=True)
    return np.stack([mask[first] for mask in masks], axis=1), number.astype(np.int32)
