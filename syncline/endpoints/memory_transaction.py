"""A transaction on the in-memory endpoint: its writes wait aside until commit."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self, cast

import numpy as np
import pyarrow as pa

from syncline.endpoints.base import (
    LEDGER_SCHEMA,
    ROW,
    Column,
    Fetched,
    Mask,
    Refused,
    StateRow,
    TargetSpec,
    Written,
    state_key,
)
from syncline.endpoints.fit import Unfit, from_arrow
from syncline.endpoints.memory_read import record_table
from syncline.endpoints.memory_store import Cell, Key, Row, Space, Store, Table
from syncline.record import Type

VERSION: Final = "__version"
_SCAN_ROWS: Final = 50_000
_LEDGER_TYPES: Final = {
    "s": pa.binary(),
    "t": pa.binary(),
    "held": pa.binary(),
    "gone": pa.int16(),
    "hold": pa.int16(),
    "layout": pa.int32(),
    "epoch": pa.int64(),
}
_LEDGER_NAMES: Final = tuple(name for name, _ in LEDGER_SCHEMA)
_STATE: Final[Space] = ("state",)


class MemoryTransaction:
    """See `base.Transaction`. It reads what is committed now, overlaid with its own writes.

    Every cell it writes must still be, at commit, as it was when first written here: otherwise
    commit raises Transient and nothing is kept.
    """

    atomic = True

    def __init__(
        self,
        store: Store,
        table: Table,
        spec: TargetSpec,
        clock: Callable[[], datetime],
        *,
        writes: bool,
    ) -> None:
        self._store, self._table, self._spec, self._clock = store, table, spec, clock
        self._may_write = writes
        self._ledger: Space = ("ledger", spec.mapping)
        self._writes: dict[tuple[Space, Key], Cell | None] = {}
        self._seen: dict[tuple[Space, Key], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._forget()

    # --- state ---

    def state(self, shard: int | None = None) -> StateRow | None:
        """Give the state row; whoever writes it first makes the others' commit fail."""
        cell = self._get(_STATE, (state_key(self._spec.mapping, shard),))
        if cell is None:
            return None
        epoch, holder, until, document = cell.value
        return StateRow(epoch, holder, until, document, self._clock())

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
        cell = self._get(_STATE, (state_key(self._spec.mapping, shard),))
        if (None if cell is None else cell.value[0]) != expected_epoch:
            return False
        lease = None if lease_seconds is None else timedelta(seconds=lease_seconds)
        until = None if lease is None else self._clock() + lease
        self._set(_STATE, (state_key(self._spec.mapping, shard),), (epoch, holder, until, document))
        return True

    # --- rows ---

    def columns(self) -> Mapping[str, Column]:
        """See `base.Transaction.columns`."""
        return self._table.described

    def is_empty(self) -> bool:
        """Whether the table has no row."""
        return not self._cells(self._table.space)

    def fetch(self, keys: pa.Table) -> Fetched:
        """Give the rows of these keys; `__version` is the change that wrote each."""
        found = [
            (number, cell)
            for number, matches in enumerate(self._matches(keys))
            for _, cell in matches
        ]
        columns = {**self._spec.key, **self._spec.fields}
        rows, misfits = record_table([cell.value for _, cell in found], columns)
        numbers = pa.array([number for number, _ in found], pa.int32())
        versions = pa.array([cell.change for _, cell in found], pa.int64())
        return Fetched(rows.append_column(ROW, numbers).append_column(VERSION, versions), misfits)

    def insert(self, rows: pa.Table) -> Written:
        """Insert rows; one whose key is taken is left out."""
        landed, refused = _nothing(rows), list[Refused]()
        records = self._records(rows)
        taken = (
            self._index(tuple(self._spec.key)) if self._table.key != tuple(self._spec.key) else {}
        )
        for number, record in enumerate(records):
            if taken.get(tuple(record[name] for name in self._spec.key)):
                continue
            row = self._accepted(number, record, refused)
            if row is None:
                continue
            key = self._own_key(row)
            if self._get(self._table.space, key) is not None:
                continue
            if self._land(number, key, row, refused):
                landed[number] = True
                taken.setdefault(tuple(row[name] for name in self._spec.key), []).append(
                    (key, Cell(row, 0))
                )
        return Written(landed, tuple(refused))

    def update(self, rows: pa.Table, changed: Mapping[str, Mask], current: Fetched) -> Written:
        """Set the fields that moved, in rows that still have the version seen."""
        landed, refused = _nothing(rows), list[Refused]()
        records = self._records(rows)
        for number, (key, cell) in self._unmoved(rows, current):
            record = records[number]
            moved = {name: record[name] for name, mask in changed.items() if mask[number]}
            row = self._accepted(number, {**cell.value, **moved}, refused)
            if row is not None and self._land(number, key, row, refused, replaced=key):
                landed[number] = True
        return Written(landed, tuple(refused))

    def delete(self, keys: pa.Table, current: Fetched) -> Written:
        """Delete rows that still have the version seen."""
        landed = _nothing(keys)
        for number, (key, _) in self._unmoved(keys, current):
            self._set(self._table.space, key, None)
            landed[number] = True
        return Written(landed)

    def scan_keys(self) -> Iterator[pa.Table]:
        """Give every key of the table, in batches."""
        rows = [cell.value for cell in self._cells(self._table.space).values()]
        for start in range(0, len(rows), _SCAN_ROWS):
            yield record_table(rows[start : start + _SCAN_ROWS], self._spec.key)[0]

    # --- ledger ---

    def ledger_is_empty(self) -> bool:
        """Whether the ledger has no row."""
        return not self._cells(self._ledger)

    def ledger_fetch(self, keys: pa.Array[Any]) -> pa.Table:
        """Give the ledger rows of these keys, with `__row`."""
        found = [
            (number, key, cell.value)
            for number, key in enumerate(cast("list[Any]", keys.to_pylist()))
            if (cell := self._get(self._ledger, (key,))) is not None
        ]
        table = self._ledger_table([(key, *values) for _, key, values in found])
        return table.append_column(ROW, pa.array([number for number, _, _ in found], pa.int32()))

    def ledger_put(self, rows: pa.Table, *, fresh: bool) -> None:  # noqa: ARG002
        """Insert or replace ledger rows."""
        columns = [rows[name].to_pylist() for name in _LEDGER_NAMES]
        for key, *values in zip(*columns, strict=True):
            self._set(self._ledger, (key,), tuple(values))

    def ledger_scan(self) -> Iterator[pa.Table]:
        """Give `k`, `gone` and `hold` of all ledger rows, in batches."""
        rows = [(*key, *cell.value) for key, cell in self._cells(self._ledger).items()]
        for start in range(0, len(rows), _SCAN_ROWS):
            part = self._ledger_table(rows[start : start + _SCAN_ROWS])
            yield part.select(["k", "gone", "hold"])

    def ledger_digest(self) -> None:
        """See `base.Transaction.ledger_digest`."""

    def ledger_holds(self) -> pa.Table:
        """Give the ledger rows with a hold."""
        rows = [(*key, *cell.value) for key, cell in self._cells(self._ledger).items()]
        hold = _LEDGER_NAMES.index("hold")
        return self._ledger_table([row for row in rows if row[hold]])

    @contextmanager
    def all_or_nothing(self) -> Generator[None]:
        """See `base.Transaction.all_or_nothing`."""
        before = dict(self._writes)
        try:
            yield
        except Exception:
            self._writes.clear()
            self._writes.update(before)
            raise

    def commit(self) -> None:
        """Put all writes in place, or raise Transient and keep none."""
        values = {at: None if cell is None else cell.value for at, cell in self._writes.items()}
        try:
            self._store.commit(values, self._seen)
        finally:
            self._forget()

    # --- cells, as this transaction sees them ---

    def _get(self, space: Space, key: Key) -> Cell | None:
        at = (space, key)
        return self._writes[at] if at in self._writes else self._store.get(space, key)

    def _set(self, space: Space, key: Key, value: object) -> None:
        if not self._may_write:
            raise RuntimeError("this transaction was begun to read only")
        at = (space, key)
        if at not in self._seen:
            cell = self._store.get(space, key)
            self._seen[at] = cell.change if cell else 0
        # A version of its own until commit gives it the real one: no committed change is negative.
        self._writes[at] = None if value is None else Cell(value, -self._store.number())

    def _cells(self, space: Space) -> dict[Key, Cell]:
        cells = self._store.snapshot(space)
        for (at, key), cell in self._writes.items():
            if at == space and cell is not None:
                cells[key] = cell
            elif at == space:
                cells.pop(key, None)
        return cells

    def _forget(self) -> None:
        self._writes.clear()
        self._seen.clear()

    # --- records ---

    def _index(self, names: Sequence[str]) -> dict[Key, list[tuple[Key, Cell]]]:
        index: dict[Key, list[tuple[Key, Cell]]] = {}
        for key, cell in self._cells(self._table.space).items():
            index.setdefault(tuple(cell.value[name] for name in names), []).append((key, cell))
        return index

    def _matches(self, keys: pa.Table) -> list[list[tuple[Key, Cell]]]:
        asked = _key_tuples(keys, self._spec.key)
        if tuple(self._spec.key) == self._table.key:
            found = ((key, self._get(self._table.space, key)) for key in asked)
            return [[] if cell is None else [(key, cell)] for key, cell in found]
        index = self._index(tuple(self._spec.key))
        return [index.get(key, []) for key in asked]

    def _unmoved(self, keys: pa.Table, current: Fetched) -> Iterator[tuple[int, tuple[Key, Cell]]]:
        versions = current.rows[VERSION].to_pylist()
        for number, matches in enumerate(self._matches(keys)):
            for key, cell in matches:
                if cell.change == versions[number]:
                    yield number, (key, cell)

    def _records(self, rows: pa.Table) -> list[dict[str, Any]]:
        types = {**self._spec.key, **self._spec.fields}
        names = [name for name in types if name in rows.column_names]
        columns = [from_arrow(rows[name], types[name]) for name in names]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]

    def _accepted(self, number: int, record: Row, refused: list[Refused]) -> Row | None:
        try:
            return self._table.fitted(record)
        except Unfit as reason:
            refused.append(Refused(number, "value", str(reason)))
            return None

    def _own_key(self, row: Row) -> Key:
        return tuple(row[name] for name in self._table.key) or (self._store.number(),)

    def _land(
        self,
        number: int,
        key: Key,
        row: Row,
        refused: list[Refused],
        *,
        replaced: Key | None = None,
    ) -> bool:
        wrong = self._table.violation(row) or self._not_unique(row, replaced)
        if wrong:
            refused.append(Refused(number, "constraint", wrong))
            return False
        self._set(self._table.space, key, row)
        return True

    def _not_unique(self, row: Row, replaced: Key | None) -> str | None:
        for names in self._table.unique:
            values = tuple(row[name] for name in names)
            if None in values:
                continue
            if any(key != replaced for key, _ in self._index(names).get(values, [])):
                return f"{', '.join(names)} = {', '.join(map(str, values))} is taken"
        return None

    def _ledger_table(self, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
        types = {"k": self._spec.ledger_key.arrow, **_LEDGER_TYPES}
        columns = list(zip(*rows, strict=True)) or [()] * len(_LEDGER_NAMES)
        return pa.table(
            {
                name: pa.array(values, types[name])
                for name, values in zip(_LEDGER_NAMES, columns, strict=True)
            }
        )


def _nothing(rows: pa.Table) -> Mask:
    return np.zeros(rows.num_rows, dtype=np.bool_)


def _key_tuples(keys: pa.Table, types: Mapping[str, Type]) -> list[Key]:
    return list(zip(*(from_arrow(keys[name], types[name]) for name in types), strict=True))
