"""Apply: write what a verdict asks for, and the baselines that follow, within one transaction.

A record that moved between our read and our write is not written: it comes back as `moved`, to be
seen and classified again. After the writes the baseline of each settled record says what source and
target now hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from syncline import arrow
from syncline.baseline import (
    DEAD,
    NOT_HELD,
    PARKED,
    SOURCE_GONE,
    TARGET_GONE,
    WAITS,
    Baselines,
    Prints,
    none_of,
    pack,
    prints_of,
)
from syncline.batch import Batch, Rows, Seen, Shape, current_of
from syncline.classify import Effect, Presence
from syncline.endpoints.base import ROW, Fetched, Mask, Refused, Transaction, Written
from syncline.resolve import Action, Verdict
from syncline.swap import swap


@dataclass(slots=True)
class Applied:
    """What became of a batch's records: row masks, and why the target refused some."""

    inserted: Mask
    updated: Mask
    deleted: Mask
    moved: Mask
    refused: dict[int, Refused] = field(default_factory=dict[int, Refused])


def apply(
    tx: Transaction, batch: Batch, seen: Seen, verdict: Verdict, shape: Shape, now: datetime
) -> Applied:
    """Write the batch's inserts, updates and deletes.

    `now` (UTC) is what a soft delete is stamped with.
    """
    n = batch.rows
    inserted, updated, deleted, moved = (np.zeros(n, np.bool_) for _ in range(4))
    done = Applied(inserted, updated, deleted, moved)
    inserts = np.flatnonzero((verdict.action == Action.INSERT) & ~seen.flagged)
    if len(inserts):
        table = _records(batch, verdict.values, shape, inserts)
        _note(done, done.inserted, inserts, tx.insert(table))
    updates = np.flatnonzero(
        (verdict.action == Action.UPDATE) | (verdict.action == Action.INSERT) & seen.flagged
    )
    if len(updates):
        _update(tx, batch, seen, verdict, shape, updates, done)
    deletes = np.flatnonzero(verdict.action == Action.DELETE)
    if len(deletes):
        _delete(tx, batch, seen, shape, deletes, now, done)
    return done


def fill(tx: Transaction, batch: Batch, shape: Shape, *, read_back: bool, epoch: int) -> Mask:
    """Insert a batch's records without looking first, with their baselines; says which landed.

    For records believed new. One whose key is taken after all is not written, nor is its baseline.
    """
    landed = np.zeros(batch.rows, np.bool_)
    here = np.flatnonzero(batch.presence == Presence.HERE)
    if len(here) == 0:
        return landed
    landed[here] = tx.insert(_records(batch, batch.values, shape, here)).landed
    rows = np.flatnonzero(landed)
    if shape.ledger and len(rows):
        new = batch.take(rows)
        held = new.prints
        if read_back:
            held = held.copy()
            fetched = tx.fetch(new.keys)
            at = fetched.rows.column(ROW).to_numpy()
            held[at] = prints_of(fetched.rows, shape.fields, fetched.misfits)
        b = none_of(new.rows, len(shape.fields))
        b.s, b.t = new.prints, held
        b.present[:] = b.known[:] = True
        _keep(b, np.ones_like(b.known), new, shape.keeps)
        packed = pack(new.ledger_keys, b, np.arange(new.rows), layout=shape.layout, epoch=epoch)
        tx.ledger_put(packed, fresh=True)
    return landed


def _note(done: Applied, mask: Mask, rows: Rows, written: Written) -> None:
    mask[rows[written.landed]] = True
    moved = ~written.landed
    for refused in written.refused:
        row = int(rows[refused.row])
        done.refused[row] = Refused(row, refused.kind, refused.message)
        moved[refused.row] = False
    done.moved[rows[moved]] = True


def _records(batch: Batch, values: pa.Table, shape: Shape, rows: Rows) -> pa.Table:
    """Key and fields of these rows, as the target takes them; a soft-delete flag is clear."""
    whole = len(rows) == batch.rows
    keys = batch.keys if whole else arrow.take(batch.keys, rows)
    values = values if whole else arrow.take(values, rows)
    columns = {name: keys.column(name) for name in keys.column_names}
    columns |= {name: values.column(name) for name in shape.fields}
    return arrow.table(columns)


def _with_soft(table: pa.Table, shape: Shape, value: pa.Array[Any]) -> pa.Table:
    return table if shape.soft is None else table.append_column(shape.soft, value)


def _update(
    tx: Transaction,
    batch: Batch,
    seen: Seen,
    verdict: Verdict,
    shape: Shape,
    rows: Rows,
    done: Applied,
) -> None:
    revived = seen.flagged[rows]
    changed: dict[str, Mask] = {}
    for j, name in enumerate(shape.fields):
        mask = verdict.write[rows, j]
        if mask.any():
            changed[name] = mask
    table = _records(batch, verdict.values, shape, rows)
    if shape.soft is not None:
        kind = arrow.type_of(seen.current, shape.soft)
        clear = (
            arrow.array([False] * len(rows), kind)
            if pa.types.is_boolean(kind)
            else arrow.nulls(len(rows), kind)
        )
        table = _with_soft(table, shape, clear)
        if revived.any():
            changed[shape.soft] = revived
    current = current_of(seen, rows)
    written = _swapped(tx, table, changed, current, tx.update(table, changed, current), shape)
    _note(done, done.updated, rows, written)
    back = np.flatnonzero(done.updated & seen.flagged & (verdict.action == Action.INSERT))
    done.inserted[back], done.updated[back] = True, False


def _swapped(
    tx: Transaction,
    table: pa.Table,
    changed: Mapping[str, Mask],
    current: Fetched,
    written: Written,
    shape: Shape,
) -> Written:
    """What was written, with the records that refused each other written together."""
    refused = np.array([r.row for r in written.refused if r.kind == "constraint"], np.int64)
    if len(refused) < 2:  # noqa: PLR2004 - a cycle has two at least
        return written
    part = {name: mask[refused] for name, mask in changed.items()}
    some = Fetched(arrow.take(current.rows, refused))
    if not swap(tx, arrow.take(table, refused), part, some, tuple(shape.key), shape.nullable):
        return written
    landed = written.landed.copy()
    landed[refused] = True
    return Written(landed, tuple(r for r in written.refused if r.kind != "constraint"))


def _delete(
    tx: Transaction,
    batch: Batch,
    seen: Seen,
    shape: Shape,
    rows: Rows,
    now: datetime,
    done: Applied,
) -> None:
    current = current_of(seen, rows)
    keys = arrow.take(batch.keys, rows)
    if shape.soft is None:
        _note(done, done.deleted, rows, tx.delete(keys, current))
        return
    kind = arrow.type_of(seen.current, shape.soft)
    stamp = _stamp(kind, now)
    columns = {name: keys.column(name) for name in keys.column_names}
    columns |= {name: current.rows.column(name) for name in shape.fields}
    table = _with_soft(arrow.table(columns), shape, arrow.array([stamp] * len(rows), kind))
    _note(
        done,
        done.deleted,
        rows,
        tx.update(table, {shape.soft: np.ones(len(rows), np.bool_)}, current),
    )


def _stamp(kind: pa.DataType, now: datetime) -> Any:
    """What marks a soft-deleted record, in the type of the column that does."""
    if pa.types.is_boolean(kind):
        return True
    if pa.types.is_date(kind):
        return now.date()
    if pa.types.is_string(kind):
        return now.isoformat()
    return now if arrow.has_zone(kind) else now.replace(tzinfo=None)


def held_now(
    tx: Transaction,
    batch: Batch,
    seen: Seen,
    verdict: Verdict,
    done: Applied,
    shape: Shape,
    *,
    read_back: bool,
) -> Prints:
    """The fingerprints of what the target holds after the writes.

    Read back where the target rewrites values (triggers, generated columns), so that our own write
    is never taken for an edit; else what was written is what it holds.
    """
    wrote = done.inserted | done.updated
    prints = seen.prints.copy()
    if not wrote.any():
        return prints
    if read_back:
        rows = np.flatnonzero(wrote)
        fetched = tx.fetch(arrow.take(batch.keys, rows))
        prints[rows[fetched.rows.column(ROW).to_numpy()]] = prints_of(
            fetched.rows, shape.fields, fetched.misfits
        )
        return prints
    written = verdict.write & wrote[:, None]
    source = (
        batch.prints if verdict.values is batch.values else prints_of(verdict.values, shape.fields)
    )
    return np.where(written, source, prints)


def baselines_after(
    batch: Batch,
    seen: Seen,
    verdict: Verdict,
    done: Applied,
    target: Prints,
    *,
    keeps: frozenset[str] = frozenset(),
) -> tuple[Baselines, Rows]:
    """The baselines that follow from what was done, and the rows whose ledger row must be
    written.
    """
    old = seen.baselines
    b = Baselines(
        old.present.copy(),
        old.gone.copy(),
        old.hold.copy(),
        old.epoch,
        old.s.copy(),
        old.t.copy(),
        old.held.copy(),
        old.known.copy(),
        old.source_void,
        {row: dict(values) for row, values in old.kept.items()},
    )
    effect, action = verdict.effect, verdict.action
    queued = action == Action.QUEUE
    refused = _mask(batch.rows, done.refused)
    settled = ~queued & ~refused & ~done.moved & (batch.presence != Presence.UNKNOWN)
    both = (
        settled
        & np.isin(effect, (Effect.FIELDS, Effect.AGREE, Effect.FIRST_CONTACT))
        & (action != Action.DELETE)
    )
    wrote = verdict.write & (done.inserted | done.updated)[:, None]
    source = (verdict.agreed | verdict.kept | wrote) & both[:, None]
    came = (done.inserted & settled)[:, None]
    _set(b, source | came, batch.prints, target)
    _keep(b, source | came, batch, keeps)
    b.held[:] = np.where(source | came, verdict.kept & both[:, None], b.held)
    b.gone[done.inserted & settled | both] = 0
    b.gone[done.deleted | settled & (effect == Effect.TOMBSTONE)] = SOURCE_GONE | TARGET_GONE
    _kept_apart(b, batch, verdict, settled & ~done.deleted, target)
    for row in np.flatnonzero(b.gone != 0):  # what is gone has no value to merge with
        b.kept.pop(int(row), None)
    lonely = (queued | refused) & ~old.present
    b.gone[lonely] = SOURCE_GONE | TARGET_GONE
    b.hold[settled] = NOT_HELD
    b.hold[queued] = WAITS
    for row, why in done.refused.items():
        b.hold[row] = DEAD if why.kind == "value" else PARKED
    b.present |= both | done.inserted | done.deleted | queued | refused
    b.present |= settled & (b.gone != old.gone)
    return b, _changed(old, b)


def _mask(n: int, rows: Mapping[int, Any]) -> Mask:
    mask = np.zeros(n, np.bool_)
    mask[list(rows)] = True
    return mask


def _set(b: Baselines, where: Mask, source: Prints, target: Prints) -> None:
    b.s[:] = np.where(where, source, b.s)
    b.t[:] = np.where(where, target, b.t)
    b.known |= where


def _keep(b: Baselines, where: Mask, batch: Batch, keeps: frozenset[str]) -> None:
    """Keep the source's values of these fields, where its prints were set."""
    for j, name in enumerate(batch.types):
        rows = np.flatnonzero(where[:, j])
        if name in keeps and len(rows):
            values = arrow.take(batch.values.select([name]), rows).column(0).to_pylist()
            for row, value in zip(rows, values, strict=True):
                b.kept.setdefault(int(row), {})[name] = value


def _kept_apart(
    b: Baselines, batch: Batch, verdict: Verdict, settled: Mask, target: Prints
) -> None:
    """A deletion that a decision did not follow: (-, t) where the target's record stays, (s, -)
    where it stays gone.
    """
    stays = settled & (verdict.effect == Effect.UPDATE_DELETE)
    b.gone[stays] = SOURCE_GONE
    b.t[stays] = target[stays]
    b.known[stays] = True
    away = settled & (verdict.effect == Effect.DELETE_UPDATE) & (verdict.action == Action.NONE)
    b.gone[away] = TARGET_GONE
    b.s[away] = batch.prints[away]
    b.t[away] = batch.prints[away]
    b.known[away] = True


def _changed(old: Baselines, new: Baselines) -> Rows:
    differs = (old.present != new.present) | (old.gone != new.gone) | (old.hold != new.hold)
    for name in ("s", "t", "held", "known"):
        differs |= (getattr(old, name) != getattr(new, name)).any(axis=1)
    for row, values in new.kept.items():
        differs[row] |= values != old.kept.get(row, {})
    return np.flatnonzero(differs & new.present)
