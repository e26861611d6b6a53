"""The in-memory endpoint: a whole database in the process, for tests (`syncline.testing`).

It keeps every promise of `endpoints.base`: typed tables, transactions, refusals, an exact delta.
Its `xmin` is the store's own change counter: every committed write has a number greater than all
before it, so a delta is the rows past a number. A deletion shows only in `keys()`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

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
from syncline.endpoints.fit import Unfit, from_arrow
from syncline.endpoints.memory_read import GUARANTEES, MemoryRead, record_table
from syncline.endpoints.memory_store import Row, Store, Table
from syncline.endpoints.memory_transaction import MemoryTransaction
from syncline.errors import InputError
from syncline.record import Misfit, Type

_DUPLICATES_SHOWN: Final = 5


_NAMED: Final[dict[str, MemoryEndpoint]] = {}


def name_it(name: str, endpoint: MemoryEndpoint) -> None:
    """Make the endpoint what the URL `memory://NAME` of a connection opens, in this process."""
    _NAMED[name] = endpoint


def named(name: str) -> MemoryEndpoint:
    """The endpoint that goes by that name. Raises InputError where none does."""
    if name not in _NAMED:
        message = f"there is no database in memory named {name!r}"
        raise InputError(
            message, hint="syncline.testing.name_it(name, MemoryEndpoint(...)) makes it one"
        )
    return _NAMED[name]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryEndpoint:
    """A database held in memory, source and target both; nothing outlives it.

    `tables` declares tables from the start: name -> column -> type, the first column the key.
    `clock` is the database's clock (UTC), by which leases run. For tests that edit as another
    client would: `put`, `remove`, `rows`; each is a committed write of its own.
    """

    product = "memory"
    reads_while_written = True

    def __init__(
        self,
        tables: Mapping[str, Mapping[str, Type]] | None = None,
        *,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._store = Store()
        self._clock = clock
        for name, columns in (tables or {}).items():
            key = next(iter(columns))
            self.create_table(
                name, {key: columns[key]}, {c: t for c, t in columns.items() if c != key}
            )

    # --- what is there ---

    def version(self) -> str:
        """Give the version, which is the endpoint's own."""
        return "1"

    def tables(self) -> Sequence[str]:
        """Give the declared tables."""
        return sorted(self._store.tables)

    def describe(self, table: str) -> TableInfo | None:
        """Give the table as it was declared, or None."""
        found = self._store.tables.get(table)
        if found is None:
            return None
        keys = (found.key, *found.unique) if found.key else found.unique
        return TableInfo(
            name=table,
            columns=found.described,
            primary_key=found.key,
            unique=tuple(columns for columns in keys if found.not_null.issuperset(columns)),
            identity={"store": self._store.identity, "table": found.identity},
            row_estimate=len(self._store.snapshot(found.space)),
        )

    def best_delta(self, info: TableInfo, cursor: str | None) -> DeltaBy:  # noqa: ARG002
        """Give `xmin`: the store's own change counter, which is exact for every table."""
        return "xmin"

    def pulse(self, spec: ReadSpec, since: str | None) -> Pulse | None:
        """Give None: nothing holds it back."""
        del spec, since

    def guarantee(self, spec: ReadSpec) -> Guarantee:
        """Give what a delta promises: exact by the change counter, bounded by a cursor."""
        return GUARANTEES[spec.by]

    def close(self) -> None:
        """Nothing is held that needs giving back; the tables stay."""

    # --- reading ---

    def read(
        self,
        spec: ReadSpec,
        *,
        mode: Mode,
        since: str | None = None,
        after: str | None = None,
        until: str | None = None,
        window: Range | None = None,
    ) -> MemoryRead:
        """Open a snapshot and read it; see `base.Source.read`."""
        return MemoryRead(
            self._store,
            self._table(spec.table),
            spec,
            mode,
            since=since,
            after=after,
            until=until,
            window=window,
        )

    def split(self, spec: ReadSpec, parts: int) -> Sequence[str]:
        """Give positions that divide a full read; see `base.Source.split`."""
        each = -(-len(self._store.snapshot(self._table(spec.table).space)) // parts)
        with self.read(replace(spec, batch_rows=max(1, each)), mode="full") as read:
            return [batch.position for batch in read.batches()][:-1]

    def fetch(self, spec: ReadSpec, keys: pa.Table) -> tuple[pa.Table, tuple[Misfit, ...]]:
        """Give the records of these source keys as committed now."""
        table = self._table(spec.table)
        index: dict[tuple[Any, ...], list[Row]] = {}
        for cell in self._store.snapshot(table.space).values():
            index.setdefault(tuple(cell.value[name] for name in spec.key), []).append(cell.value)
        asked = zip(*(from_arrow(keys[name], spec.columns[name]) for name in spec.key), strict=True)
        found = [(i, row) for i, key in enumerate(asked) for row in index.get(key, [])]
        records, misfits = record_table([row for _, row in found], spec.columns)
        numbers = pa.array([i for i, _ in found], pa.int32())
        return records.append_column(ROW, numbers), misfits

    def keys(self, spec: ReadSpec) -> Iterator[pa.Table]:
        """Give every key of the table in one snapshot."""
        table = self._table(spec.table)
        types = {name: spec.columns.get(name, table.columns[name]) for name in spec.key}
        rows = [cell.value for cell in self._store.snapshot(table.space).values()]
        for start in range(0, len(rows), spec.batch_rows):
            yield record_table(rows[start : start + spec.batch_rows], types)[0]

    def digest(self, spec: DigestSpec) -> Digest | str:  # noqa: ARG002
        """See `base.Source.digest`."""
        return "the memory computes no checksums"

    def duplicate_keys(self, table: str, key: Sequence[str]) -> Sequence[tuple[Any, ...]]:
        """Give up to five keys that more than one record has, or that have a NULL."""
        found = self._table(table, key)
        seen: dict[tuple[Any, ...], int] = {}
        for cell in self._store.snapshot(found.space).values():
            values = tuple(cell.value[name] for name in key)
            seen[values] = seen.get(values, 0) + 1
        wrong = [values for values, count in seen.items() if count > 1 or None in values]
        return wrong[:_DUPLICATES_SHOWN]

    # --- writing ---

    def native_type(self, type_: Type, *, key: bool = False) -> str:  # noqa: ARG002
        """Give the canonical name: columns here are canonical."""
        return str(type_)

    def fits(self, type_: Type) -> Type:
        """Give the type itself: every canonical type is held exactly."""
        return type_

    def create_table(
        self,
        table: str,
        key: Mapping[str, Type],
        fields: Mapping[str, Type],
        *,
        unique: Sequence[Sequence[str]] = (),
        not_null: Collection[str] = (),
    ) -> None:
        """Declare a table. `unique` and `not_null` are constraints that refuse records.

        An empty `key` makes a table without a primary key. Raises InputError where there is one
        of that name.
        """
        with self._store.lock:
            if table in self._store.tables:
                raise InputError(f"table {table} is there already")
            self._store.tables[table] = Table(
                table,
                {**key, **fields},
                tuple(key),
                tuple(map(tuple, unique)),
                frozenset({*not_null, *key}),
            )

    def add_column(self, table: str, name: str, type_: Type) -> None:
        """See `base.Target.add_column`."""
        with self._store.lock:
            found = self._table(table)
            self._store.tables[table] = replace(found, columns={**found.columns, name: type_})

    def widen_column(self, table: str, name: str, type_: Type) -> None:
        """See `base.Target.widen_column`."""
        self.add_column(table, name, type_)

    def drop_table(self, table: str) -> None:
        """Remove a table with its rows; one of the same name made later is another table."""
        with self._store.lock:
            found = self._table(table)
            self._store.drop(found.space)
            del self._store.tables[table]

    def prepare(self, spec: TargetSpec) -> None:
        """Check that the table is there with the spec's columns; ledger and state need nothing."""
        self._table(spec.table, (*spec.key, *spec.fields))

    def begin(self, spec: TargetSpec, *, write: bool = True) -> MemoryTransaction:
        """Begin a transaction; see `base.Target.begin`."""
        table = self._table(spec.table, (*spec.key, *spec.fields))
        return MemoryTransaction(self._store, table, spec, self._clock, writes=write)

    def drop_ledger(self, spec: TargetSpec) -> None:
        """Remove the ledger of a mapping, if it is there. The state row stays."""
        self._store.drop(("ledger", spec.mapping))

    # --- for tests: what another client does ---

    def put(self, table: str, row: Mapping[str, Any]) -> None:
        """Insert a row, or replace the row of its key; columns left out become NULL.

        Raises InputError where a value does not fit its column.
        """
        found = self._table(table, tuple(row))
        try:
            fitted = found.fitted(row)
        except Unfit as reason:
            raise InputError(f"table {table}: {reason}") from reason
        wrong = found.violation(fitted)
        if wrong:
            raise InputError(f"table {table}: {wrong}")
        with self._store.lock:
            key = tuple(fitted[name] for name in found.key) or (self._store.number(),)
            self._store.commit({(found.space, key): fitted})

    def remove(self, table: str, *key: object) -> bool:
        """Delete the row of a primary key; say whether there was one."""
        found = self._table(table)
        with self._store.lock:
            was_there = self._store.get(found.space, key) is not None
            self._store.commit({(found.space, key): None})
        return was_there

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Give all rows as Python values, in the order they were first written."""
        found = self._table(table)
        return [dict(cell.value) for cell in self._store.snapshot(found.space).values()]

    def _table(self, name: str, columns: Sequence[str] = ()) -> Table:
        found = self._store.tables.get(name)
        if found is None:
            raise InputError(f"there is no table {name}", hint=f"there are: {self.tables()}")
        unknown = [column for column in columns if column not in found.columns]
        if unknown:
            raise InputError(f"table {name} has no column {', '.join(unknown)}")
        return found
