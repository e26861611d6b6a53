"""Batch: mapped records side by side with the target's and with their baselines, aligned row by
row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from syncline import arrow
from syncline.baseline import (
    SOURCE_GONE,
    TARGET_GONE,
    Baselines,
    Layout,
    Prints,
    none_of,
    prints_of,
    unpack,
)
from syncline.classify import Presence, Sides
from syncline.endpoints.base import ROW, Fetched, Mask, Transaction
from syncline.record import NULL_FINGERPRINT, Misfit, Type

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a mapping a batch needs: the types of its key and fields, and its place in the
    ledger.

    `soft` is the target's soft-delete column, which is no field. `clock` is the place of the clock
    field, or None. `nullable` are the fields that the target lets be NULL, `keeps` those whose
    baseline values are kept.
    """

    mapping: str
    key: Mapping[str, Type]
    fields: Mapping[str, Type]
    ledger: bool
    layouts: Sequence[Layout]
    layout: int
    clock: int | None = None
    soft: str | None = None
    nullable: frozenset[str] = frozenset()
    keeps: frozenset[str] = frozenset()

    @property
    def clock_name(self) -> str | None:
        """The clock field's name."""
        return None if self.clock is None else list(self.fields)[self.clock]


@dataclass(frozen=True)
class Batch:
    """Mapped source records: n rows.

    `keys` has the target key columns, `ledger_keys` the source's native key as the ledger stores
    it, `values` the mapped fields in the target's `types`; for a record that is gone or unknown
    they are NULL. `source` is the record as read, for dead letters; `dead` holds, by row, why a
    record could not be mapped.
    """

    keys: pa.Table
    ledger_keys: pa.Array[Any]
    values: pa.Table
    types: Mapping[str, Type]
    presence: npt.NDArray[np.int8]
    source: pa.Table | None = None
    dead: Mapping[int, Misfit] = field(default_factory=dict[int, Misfit])

    @cached_property
    def prints(self) -> Prints:
        """The fingerprints of `values` (n, f); computed when first asked for."""
        return prints_of(self.values, self.types)

    @property
    def rows(self) -> int:
        """The number of records."""
        return len(self.presence)

    def take(self, rows: Rows) -> Batch:
        """The batch of these rows only."""
        if len(rows) == self.rows:
            return self
        taken = Batch(
            arrow.take(self.keys, rows),
            arrow.take(self.ledger_keys, rows),
            arrow.take(self.values, rows),
            self.types,
            self.presence[rows],
            arrow.take(self.source, rows) if self.source is not None else None,
            {i: self.dead[int(row)] for i, row in enumerate(rows) if int(row) in self.dead},
        )
        if "prints" in self.__dict__:
            taken.__dict__["prints"] = self.prints[rows]
        return taken


@dataclass(frozen=True, slots=True)
class Seen:
    """What the target and its ledger hold for a batch, aligned with it.

    `current` has one row for each record of the batch (all NULL where the target has none).
    `flagged`: the record is there but soft-deleted, which counts as absent, unless it is the
    target's own.
    """

    target: Mask
    flagged: Mask
    current: pa.Table
    prints: Prints
    misfits: tuple[Misfit, ...]
    baselines: Baselines


def gone_batch(shape: Shape, keys: pa.Table, ledger_keys: pa.Array[Any]) -> Batch:
    """A batch of records that the source is proven not to have any more."""
    n = keys.num_rows
    values = arrow.table(
        {name: arrow.nulls(n, type_.arrow) for name, type_ in shape.fields.items()}
    )
    presence = np.full(n, Presence.GONE, np.int8)
    return Batch(keys, ledger_keys, _rows(values, n), shape.fields, presence)


def _rows(table: pa.Table, n: int) -> pa.Table:
    # A table without columns has no rows of its own; a mapping of a key alone is legal.
    return table if table.num_columns else arrow.table({"__none": arrow.nulls(n, pa.null())})


def see(tx: Transaction, batch: Batch, shape: Shape) -> Seen:
    """Fetch the target's records and the baselines of a batch."""
    n, width = batch.rows, len(shape.fields)
    fetched = tx.fetch(batch.keys)
    baselines = none_of(n, width)
    if shape.ledger:
        baselines = unpack(tx.ledger_fetch(batch.ledger_keys), n, shape.layouts, shape.layout)
    at = fetched.rows.column(ROW).to_numpy()
    target, flagged = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    target[at] = True
    prints = np.zeros((n, width), np.int64)
    prints[at] = prints_of(fetched.rows, shape.fields, fetched.misfits)
    if shape.soft is not None:
        flagged[at] = _is_flagged(fetched.rows.column(shape.soft))
        target &= ~flagged | _theirs(batch, flagged, prints, baselines, shape)
    order = np.full(n, -1, np.int64)
    order[at] = np.arange(len(at))
    current = arrow.take(fetched.rows, order, order < 0)
    misfits = tuple(Misfit(int(at[m.row]), m.field, m.reason, m.value) for m in fetched.misfits)
    return Seen(target, flagged, current, prints, misfits, baselines)


def _theirs(batch: Batch, flagged: Mask, prints: Prints, b: Baselines, shape: Shape) -> Mask:
    """Where a flagged record is the target's own, though the source has another under its key: it
    was never ours, or its users went on with it after we had flagged it.

    A clock may have moved by our flagging it. Without a ledger nobody knows, and the source wins.
    """
    there = flagged & (batch.presence == Presence.HERE)
    if not (shape.ledger and there.any()):
        return np.zeros_like(flagged)
    moved: Mask = (prints != b.t) & b.known
    if shape.clock is not None:
        moved[:, shape.clock] = False
    after_us = b.present & (b.gone == (SOURCE_GONE | TARGET_GONE)) & moved.any(axis=1)
    return there & (~b.present | after_us) & (prints != batch.prints).any(axis=1)


def _is_flagged(column: pa.ChunkedArray[Any]) -> Mask:
    if pa.types.is_boolean(column.type):
        return arrow.truths(column)
    return column.is_valid().to_numpy()


def current_of(seen: Seen, rows: Rows) -> Fetched:
    """What was seen of these rows, as the target wants it back to prove that they have not
    moved.
    """
    current = arrow.take(seen.current, rows)
    if not seen.misfits:
        return Fetched(current)
    places = {int(row): i for i, row in enumerate(rows)}
    misfits = tuple(
        Misfit(places[m.row], m.field, m.reason, m.value) for m in seen.misfits if m.row in places
    )
    return Fetched(current, misfits)


def record_of(values: dict[str, Any], seen: Seen, row: int) -> dict[str, Any]:
    """A target record as Python values; what does not fit its type is shown as text."""
    for misfit in seen.misfits:
        if misfit.row == row and misfit.field in values:
            values[misfit.field] = misfit.value
    return values


def source_moved(names: Sequence[str], batch: Batch, seen: Seen, row: int) -> frozenset[str]:
    """The fields that the source moved since the baseline."""
    b = seen.baselines
    moved = b.known[row] & (batch.prints[row] != b.s[row])
    return frozenset(name for j, name in enumerate(names) if moved[j])


def target_moved(
    names: Sequence[str], batch: Batch, seen: Seen, contested: Mask, row: int
) -> frozenset[str]:
    """The fields that the target alone moved since the baseline."""
    b = seen.baselines
    if not b.present[row]:
        return frozenset()
    moved = (
        b.known[row]
        & (seen.prints[row] != b.t[row])
        & ~contested[row]
        & (batch.prints[row] != seen.prints[row])
    )
    return frozenset(name for j, name in enumerate(names) if moved[j])


def sides(batch: Batch, seen: Seen, shape: Shape) -> Sides:
    """The batch as the decision table sees it."""
    b = seen.baselines
    here = batch.presence == Presence.HERE
    return Sides(
        source=batch.presence,
        target=seen.target,
        baseline=b.present & (b.gone != (SOURCE_GONE | TARGET_GONE)),
        source_was_gone=(b.gone & SOURCE_GONE) > 0,
        target_was_gone=(b.gone & TARGET_GONE) > 0,
        same=(batch.prints == seen.prints) & (here & seen.target)[:, None],
        source_same=(batch.prints == b.s) & b.known & ~b.source_void,
        target_same=((seen.prints == b.t) | _still_without(seen, shape)) & b.known,
        held=b.held,
        known=b.known,
        later=_later(batch, seen, shape),
    )


def _still_without(seen: Seen, shape: Shape) -> Mask:
    """Where a field that is new to the mapping has no value on the target yet.

    A document has not even its path, which is not the NULL that a row's new column holds.
    """
    b = seen.baselines
    new = b.source_void & (b.t == NULL_FINGERPRINT)
    if new.any():
        for j, name in enumerate(shape.fields):
            new[:, j] &= arrow.truths(seen.current.column(name).is_null())
    return new


def _later(batch: Batch, seen: Seen, shape: Shape) -> Mask:
    name = shape.clock_name
    if name is None:
        return np.zeros(batch.rows, np.bool_)
    source, target = batch.values.column(name), seen.current.column(name)
    # Both have the target's type, so both already have the coarser precision of the two.
    alone = arrow.truths(source.is_valid()) & arrow.truths(target.is_null())
    return arrow.truths(arrow.later(source, target)) | alone


def sides_by_clock(batch: Batch, seen: Seen, shape: Shape, last_sync: datetime | None) -> Sides:
    """The batch as the decision table sees it without a ledger (`detect: timestamp`).

    A side moved if its own clock is later than the last sync (the target's clock at its start).
    Bounded: clocks of two machines are compared, and a record without a clock counts as moved.
    """
    n, width = batch.rows, len(shape.fields)
    shaped = (n, width)
    source_moved, target_moved = np.ones(n, np.bool_), np.ones(n, np.bool_)
    if last_sync is not None and shape.clock_name is not None:
        source_moved = _after(batch.values.column(shape.clock_name), last_sync)
        target_moved = _after(seen.current.column(shape.clock_name), last_sync)
    here = batch.presence == Presence.HERE
    same = (batch.prints == seen.prints) & (here & seen.target)[:, None]
    known = np.broadcast_to(seen.target[:, None] & (last_sync is not None), shaped)
    # A source that differs from an untouched target has moved, whatever its clock says.
    source_same = np.broadcast_to((~source_moved & target_moved)[:, None], shaped)
    nothing = np.zeros(n, np.bool_)
    return Sides(
        source=batch.presence,
        target=seen.target,
        baseline=known[:, 0] if width else seen.target,
        source_was_gone=nothing,
        target_was_gone=nothing,
        same=same,
        source_same=source_same,
        target_same=np.broadcast_to(~target_moved[:, None], shaped),
        held=np.zeros(shaped, np.bool_),
        known=known,
        later=_later(batch, seen, shape),
    )


def _after(column: pa.ChunkedArray[Any], instant: datetime) -> Mask:
    kind: pa.DataType = column.type
    bound = instant if arrow.has_zone(kind) else instant.replace(tzinfo=None)
    text = pa.types.is_string(kind)
    limit = pa.scalar(instant.isoformat() if text else bound, kind)
    return arrow.truths(arrow.later(column, limit), null=True)


def record(table: pa.Table, row: int, misfits: Sequence[Misfit] = ()) -> dict[str, Any]:
    """One record as Python values; a misfit is shown as its text."""
    values: dict[str, Any] = table.slice(row, 1).to_pylist()[0]
    for misfit in misfits:
        if misfit.row == row and misfit.field in values:
            values[misfit.field] = misfit.value
    return values
