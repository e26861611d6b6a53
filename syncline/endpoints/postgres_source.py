"""PostgreSQL as a source: snapshots opened with their horizon, records by key, and all keys."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa

from syncline.endpoints.base import DeltaBy, Guarantee, Mode, Range, ReadSpec, TableInfo
from syncline.endpoints.postgres_catalog import PgTable, require, spelled
from syncline.endpoints.postgres_read import (
    KEYS,
    LOCK,
    SNAPSHOT,
    Pass,
    PostgresRead,
    Selection,
    by_key_query,
    column_sql,
    cursor_of,
    duplicates_query,
    null_pass,
    passes,
    position_of,
    pushed,
    recut,
    up_to,
    window_conditions,
)
from syncline.endpoints.postgres_session import Pool, Session
from syncline.errors import CredentialsRefused, InputError
from syncline.record import Misfit
from syncline.watermark import dump, postgres_timestamp, postgres_xmin

READ_NOW: Final = "ISOLATION LEVEL READ COMMITTED READ ONLY"
_NONE: Final = Guarantee("none", "this source can't tell what changed: each run reads all of it")


def best_delta(info: TableInfo, cursor: str | None) -> DeltaBy:
    """`xmin` for a table, `timestamp` for a view with a cursor, else `none`."""
    if not info.is_view:
        return "xmin"
    column = info.columns.get(cursor) if cursor else None
    return "timestamp" if column and column.type.name in postgres_timestamp.CURSOR_TYPES else "none"


def guarantee(spec: ReadSpec) -> Guarantee:
    """See `Source.guarantee`."""
    known = {"xmin": postgres_xmin.GUARANTEE, "timestamp": postgres_timestamp.GUARANTEE}
    return known.get(spec.by, _NONE)


@contextmanager
def snapshot(pool: Pool, table: str) -> Generator[tuple[Session, PgTable]]:
    """A session in a snapshot that begins with the table locked against DDL, and that table."""
    try:
        with pool.session(SNAPSHOT) as session:
            yield session, _locked(session, table)
            return
    except _NoLockAllowed:
        pass
    # A role with rights on some columns only may not lock; its first SELECT does.
    with pool.session(SNAPSHOT) as session:
        yield session, require(session, table)


class _NoLockAllowed(Exception):
    pass


def _locked(session: Session, table: str) -> PgTable:
    try:
        session.run(LOCK.format(table=spelled(table)))
    except (
        CredentialsRefused,
        InputError,
    ):  # or it is no table that can be locked; the catalogue tells
        raise _NoLockAllowed from None
    return require(session, table)


@contextmanager
def open_read(
    pool: Pool,
    spec: ReadSpec,
    mode: Mode,
    since: str | None,
    after: str | None,
    until: str | None,
    window: Range | None,
) -> Generator[PostgresRead]:
    """See `Source.read`."""
    at = _oldest(pool, since if mode == "delta" else None) if spec.by == "timestamp" else None
    with snapshot(pool, spec.table) as (session, table):
        _check(spec, table)
        mark = _Mark(session, spec, table, at)
        parts = mark.delta(since) if mode == "delta" else _parts(spec, table, mode, until, window)
        yield PostgresRead(
            session,
            table,
            spec,
            parts,
            horizon=mark.horizon,
            guarantee=guarantee(spec),
            after=after,
        )


def _oldest(pool: Pool, since: str | None) -> str | None:
    """The timestamp horizon, taken in a transaction that ends before the snapshot begins."""
    with pool.session(READ_NOW) as session:
        return postgres_timestamp.take(session.rows, since)


def _check(spec: ReadSpec, table: PgTable) -> None:
    for name in (*spec.key, *spec.columns):
        table.native(name)
    if spec.by == "timestamp":
        cursor_of(spec, table)
    if spec.by == "xmin" and table.info.is_view:
        raise InputError(
            f"{spec.table} is a view or foreign table: its rows have no xmin",
            hint="delta: {by: timestamp, cursor: COLUMN}",
        )


class _Mark:
    """The watermark of one snapshot: its horizon, and what a delta up to it reads."""

    def __init__(self, session: Session, spec: ReadSpec, table: PgTable, at: str | None) -> None:
        self._session, self._spec, self._table, self._at = session, spec, table, at
        self._identity = table.info.identity
        self._x = int(session.rows(postgres_xmin.SNAPSHOT)[0][0]) if spec.by == "xmin" else 0

    @property
    def horizon(self) -> str:
        if self._spec.by == "xmin":
            return postgres_xmin.horizon(self._x, self._identity)
        if self._spec.by == "timestamp":
            return postgres_timestamp.horizon(self._at, self._spec.cursor or "", self._identity)
        return dump("none", self._identity)

    def delta(self, since: str | None) -> list[Pass]:
        """The passes over what changed since a horizon."""
        spec, table = self._spec, self._table
        if spec.by == "xmin":
            changed = postgres_xmin.changed_since(since, self._x, self._identity, "t")
            return passes(spec, table, [changed], by_cursor=False, few=True)
        if spec.by == "none":
            raise InputError(
                f"{spec.table} can't tell what changed", hint="run it with --full, or name a cursor"
            )
        cursor = cursor_of(spec, table)
        start = postgres_timestamp.start_of(since, self._at, cursor, self._identity)
        type_ = table.native(cursor).canonical()
        changed = postgres_timestamp.condition(start, column_sql(cursor), type_, self._session.rows)
        return [*passes(spec, table, [changed], by_cursor=True, few=False), null_pass(spec, table)]


def _parts(
    spec: ReadSpec, table: PgTable, mode: Mode, until: str | None, window: Range | None
) -> list[Pass]:
    conditions = pushed(spec.filters, table)
    if mode == "full" or window is None:
        end = position_of(until)
        if end is not None:
            conditions.append(up_to(spec.key, end[1], table))
        return passes(spec, table, conditions, by_cursor=False, few=False)
    by_cursor = window.by == "cursor"
    column = cursor_of(spec, table) if by_cursor else spec.key[0]
    conditions += window_conditions(window, column, table)
    if not by_cursor:
        return passes(spec, table, conditions, by_cursor=False, few=False)
    everything = window.start is None and window.end is None
    inside = [*conditions, f"{column_sql(column)} IS NOT NULL"]
    rest = null_pass(spec, table)
    rest = Pass((*pushed(spec.filters, table), *rest.conditions), rest.order, nulls=True)
    return [
        *passes(spec, table, inside, by_cursor=True, few=False),
        *([rest] if everything else []),
    ]


def fetch(pool: Pool, spec: ReadSpec, keys: pa.Table) -> tuple[pa.Table, tuple[Misfit, ...]]:
    """See `Source.fetch`."""
    with pool.session(READ_NOW) as session:
        table = require(session, spec.table)
        selection = Selection(table, spec.columns)
        types = {
            name: spec.columns.get(name) or table.native(name).canonical() for name in spec.key
        }
        return selection.decode(session.table(by_key_query(table, keys, types, selection.sql)))


def all_keys(pool: Pool, spec: ReadSpec) -> Iterator[pa.Table]:
    """See `Source.keys`."""
    with snapshot(pool, spec.table) as (session, table):
        types = {
            name: spec.columns.get(name) or table.native(name).canonical() for name in spec.key
        }
        selection = Selection(table, types)
        query = KEYS.format(columns=selection.sql, table=table.sql)
        for piece in recut(session.stream(query, 4 << 20), spec.batch_rows, spec.batch_bytes):
            yield selection.decode(piece)[0]


def duplicate_keys(pool: Pool, table: str, key: Sequence[str]) -> list[tuple[Any, ...]]:
    """See `Source.duplicate_keys`."""
    with pool.session(READ_NOW) as session:
        found = require(session, table)
        for name in key:
            found.native(name)
        if any(set(unique) <= set(key) for unique in found.info.unique):
            return []
        types = {name: found.native(name).canonical() for name in key}
        rows, misfits = Selection(found, types).decode(session.table(duplicates_query(found, key)))
        odd = {(m.row, m.field): m.value for m in misfits}
        return [
            tuple(odd.get((place, name), row[name]) for name in key)
            for place, row in enumerate(rows.to_pylist())
        ]
