"""One read of the in-memory endpoint: a snapshot, in the order of its key or of its changes."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa

from syncline.endpoints.base import (
    Comparison,
    DeltaBy,
    Guarantee,
    Mode,
    Range,
    ReadSpec,
    SourceBatch,
)
from syncline.endpoints.fit import fit_column, parse_text, text_of
from syncline.endpoints.memory_store import Cell, Row, Store, Table
from syncline.errors import CheckpointVoid, GuardStopped, InputError
from syncline.record import Misfit, Type

Order = tuple[tuple[bool, Any], ...]
"""What rows are sorted by: each value with whether it is NULL, so that NULLs come last."""

_BIGINT: Final = Type("bigint")
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
GUARANTEES: Final[Mapping[DeltaBy, Guarantee]] = {
    "xmin": Guarantee("exact", "every committed write has a number greater than all before it"),
    "timestamp": Guarantee(
        "bounded", "a row written with a cursor below the largest one seen is missed"
    ),
    "stream": Guarantee("none", "there is no change stream here"),
    "none": Guarantee("none", "only a full read sees every change"),
}
"""What a delta promises, by how it is told what changed."""


class MemoryRead:
    """A snapshot taken when it was opened; see `base.Read`. A context manager of itself."""

    def __init__(
        self,
        store: Store,
        table: Table,
        spec: ReadSpec,
        mode: Mode,
        since: str | None,
        after: str | None,
        until: str | None,
        window: Range | None,
    ) -> None:
        self._store, self._table, self._spec, self._mode = store, table, spec, mode
        _check_columns(table, spec)
        with store.lock:
            self._cells = store.snapshot(table.space)
            self._change = store.change
        self.guarantee = GUARANTEES[spec.by]
        self.horizon = self._horizon()
        self._since: Mapping[str, Any] = self._checked(since) if mode == "delta" else {}
        self._after, self._until = after, until
        self._window = window

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cells = {}

    def batches(self) -> Iterator[SourceBatch]:
        """Give the records of the snapshot in batches."""
        types = self._order_types()
        ordered = sorted(
            ((self._order(key, cell), cell.value) for key, cell in self._selected()),
            key=operator.itemgetter(0),
        )
        if self._after is not None:
            start = _parse_order(self._after, types)
            ordered = [(order, row) for order, row in ordered if order > start]
        if self._until is not None:
            end = _parse_order(self._until, types)
            ordered = [(order, row) for order, row in ordered if order <= end]
        for first in range(0, len(ordered), self._spec.batch_rows):
            part = ordered[first : first + self._spec.batch_rows]
            records, misfits = record_table([row for _, row in part], self._spec.columns)
            yield SourceBatch(records, misfits, _order_text(part[-1][0]))

    def _horizon(self) -> str:
        horizon: dict[str, Any] = {"store": self._store.identity, "change": self._change}
        if self._spec.by == "timestamp":
            name = self._cursor()
            seen = [c.value[name] for c in self._cells.values() if c.value[name] is not None]
            horizon["cursor"] = text_of(max(seen)) if seen else None
        return json.dumps(horizon)

    def _checked(self, since: str | None) -> Mapping[str, Any]:
        if since is None or self._spec.by == "none":
            raise CheckpointVoid("there is nothing to continue from", hint="run --full")
        position: dict[str, Any] = json.loads(since)
        if position.get("store") != self._store.identity:
            raise CheckpointVoid("the checkpoint is of another database", hint="run --full")
        if position["change"] > self._change:
            raise GuardStopped("other-database", "the database went back in time")
        if (self._spec.by == "timestamp") != ("cursor" in position):
            raise CheckpointVoid("the checkpoint is of another kind of delta", hint="run --full")
        return position

    def _selected(self) -> Iterator[tuple[tuple[Any, ...], Cell]]:
        wanted = self._changed() if self._mode == "delta" else self._kept()
        return ((key, cell) for key, cell in self._cells.items() if wanted(cell))

    def _changed(self) -> Callable[[Cell], bool]:
        if self._spec.by == "xmin":
            change: int = self._since["change"]
            return lambda cell: cell.change > change
        name, text = self._cursor(), self._since["cursor"]
        if text is None:
            return lambda _cell: True
        start = parse_text(text, self._table.columns[name])
        # inclusive: rows may have got the same instant after it was seen
        return lambda cell: cell.value[name] is None or cell.value[name] >= start

    def _kept(self) -> Callable[[Cell], bool]:
        name = ""
        low = high = None
        if self._mode == "backfill" and self._window is not None:
            name = self._spec.key[0] if self._window.by == "key" else self._cursor()
            type_ = self._table.columns[name]
            low, high = (
                None if text is None else parse_text(text, type_)
                for text in (self._window.start, self._window.end)
            )

        def kept(cell: Cell) -> bool:
            row = cell.value
            inside = not name or (
                row.get(name) is not None
                and (low is None or row.get(name) >= low)
                and (high is None or row.get(name) < high)
            )
            return inside and all(_holds(filter_, row) for filter_ in self._spec.filters)

        return kept

    def _by_cursor(self) -> bool:
        return self._mode == "delta" or (
            self._window is not None and self._mode == "backfill" and self._window.by == "cursor"
        )

    def _by_change(self) -> bool:
        return self._mode == "delta" and self._spec.by == "xmin"

    def _order_names(self) -> tuple[str, ...]:
        return (self._cursor(), *self._spec.key) if self._by_cursor() else self._spec.key

    def _order_types(self) -> list[Type]:
        types = self._table.columns
        if self._by_change():
            return [_BIGINT]
        own = [types[name] for name in self._table.key] or [_BIGINT]
        return [*(types[name] for name in self._order_names()), *own]

    def _order(self, key: tuple[Any, ...], cell: Cell) -> Order:
        if self._by_change():
            return ((False, cell.change),)
        # The primary key ends every order: it tells rows of one cursor apart.
        values = (*(cell.value[name] for name in self._order_names()), *key)
        return tuple((value is None, value) for value in values)

    def _cursor(self) -> str:
        if self._spec.cursor is None:
            raise InputError(f"table {self._table.name}: a read by timestamp needs a cursor")
        return self._spec.cursor


def record_table(
    rows: Sequence[Row], columns: Mapping[str, Type]
) -> tuple[pa.Table, tuple[Misfit, ...]]:
    """Give rows as an Arrow table of the asked types, with what did not fit."""
    arrays: dict[str, pa.Array[Any]] = {}
    misfits: list[Misfit] = []
    for name, type_ in columns.items():
        arrays[name], wrong = fit_column(name, [row.get(name) for row in rows], type_)
        misfits += wrong
    return pa.table(arrays), tuple(misfits)


def _check_columns(table: Table, spec: ReadSpec) -> None:
    names = {*spec.key, *spec.columns, *(f.column for f in spec.filters)}
    if spec.cursor:
        names.add(spec.cursor)
    unknown = names - table.columns.keys()
    if unknown:
        raise InputError(f"table {table.name} has no column {', '.join(sorted(unknown))}")


def _holds(comparison: Comparison, row: Row) -> bool:
    value = row.get(comparison.column)
    return value is not None and _COMPARE[comparison.op](value, comparison.value)


def _order_text(order: Order) -> str:
    return json.dumps([text_of(value) for _, value in order])


def _parse_order(text: str, types: Sequence[Type]) -> Order:
    values: list[str | None] = json.loads(text)
    return tuple(
        (value is None, None if value is None else parse_text(value, type_))
        for value, type_ in zip(values, types, strict=True)
    )
