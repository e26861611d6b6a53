"""Difference: how source and target stand to each other, record by record, and why.

Whether two records are equal is told by their fingerprints alone; the decision table is asked only
why records that are not equal may rightly stay so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from syncline.baseline import DEAD, PARKED, WAITS
from syncline.batch import Batch, Rows, Seen, record
from syncline.classify import Change, Effect, FieldEffect, Presence
from syncline.endpoints.base import Mask
from syncline.resolve import Action, Verdict


class Standing(IntEnum):
    """How the two sides of a record stand to each other."""

    NOTHING = 0
    """Neither side has it, or only the target, as a record of its own."""
    EQUAL = 1
    """Every field is equal in canonical form."""

    MISSING = 2
    """The source has it, the target has not, and nothing says that this is right."""
    EXTRA = 3
    """The target has it, the source has not (or it is outside `where`), and it came from there."""
    DIFFERENT = 4
    """Both have it, and a field differs without a reason to."""

    WAITS = 5
    """A conflict that waits for a person, or for its decision to be written."""
    HELD = 6
    """A decision keeps the target as it is."""
    EDITED = 7
    """Only the target was edited, and the strategy lets that stand."""
    DELETED = 8
    """Deleted on the target, unchanged on the source: it stays deleted."""
    KEPT = 9
    """A conflict that no run has settled yet; its strategy would keep the target as it is."""
    REWRITTEN = 10
    """As last settled: the target stored something else than it was given, or its clock is
    later."""
    GONE = 11
    """Gone from the source, and `deletes: ignore` leaves the target's record alone."""

    DEAD = 12
    """A dead letter: it could not be mapped, or the target would not take it."""


DIFFERENCES: Final = (Standing.MISSING, Standing.EXTRA, Standing.DIFFERENT)
APART: Final = (
    Standing.WAITS,
    Standing.HELD,
    Standing.EDITED,
    Standing.DELETED,
    Standing.KEPT,
    Standing.REWRITTEN,
    Standing.GONE,
)


@dataclass(frozen=True, slots=True)
class Stands:
    """The standings of n records.

    `fields` (n, f): the fields that make a record different. `moved` (n): the source has moved
    since the record was last settled, as far as a baseline tells; where there is none it may have.
    """

    what: npt.NDArray[np.int8]
    fields: Mask
    moved: Mask

    def count(self, standing: Standing) -> int:
        """How many records stand so."""
        return int((self.what == standing).sum())

    def rows(self, *standings: Standing) -> Rows:
        """The rows of these standings."""
        return np.flatnonzero(np.isin(self.what, standings))


@dataclass(frozen=True, slots=True)
class Sample:
    """One record that the two sides do not have alike.

    `what` is the standing's word, `fields` the fields that differ, each `[source, target]`.
    """

    key: dict[str, Any]
    what: str
    fields: dict[str, list[Any]]


def unequal(batch: Batch, seen: Seen) -> Mask:
    """Which fields differ (n, f), of the records that both sides have."""
    both = (batch.presence == Presence.HERE) & seen.target
    return (batch.prints != seen.prints) & both[:, None]


def apart(batch: Batch, seen: Seen) -> Mask:
    """Which records (n) the two sides do not have alike; a record that neither has is alike."""
    here = batch.presence == Presence.HERE
    return (here != seen.target) | unequal(batch, seen).any(axis=1)


def stands(
    batch: Batch,
    seen: Seen,
    change: Change,
    verdict: Verdict,
    *,
    waits: Mask,
    dead: Mask,
    ignores_gone: bool,
) -> Stands:
    """How the records of a judged batch stand.

    `waits` and `dead` (n) say what the control store knows; the ledger's holds are added.
    """
    here, gone = batch.presence == Presence.HERE, batch.presence == Presence.GONE
    target, hold = seen.target, seen.baselines.hold
    quiet = verdict.action == Action.NONE
    effect = change.records
    wrong, reasons = _fields(batch, seen, change, verdict)
    unmapped = np.zeros(batch.rows, np.bool_)
    unmapped[list(batch.dead)] = True
    table: list[tuple[Any, Standing]] = [
        (unmapped, Standing.DEAD),
        (~here & ~gone, Standing.NOTHING),
        (gone & ~target, Standing.NOTHING),
        (~apart(batch, seen), Standing.EQUAL),
        (waits | np.isin(hold, (WAITS, PARKED)), Standing.WAITS),
        (dead | (hold == DEAD), Standing.DEAD),
        (gone & (effect == Effect.LEAVE), Standing.NOTHING),
        (gone & (effect == Effect.KEPT), Standing.HELD),
        (gone & np.full(batch.rows, ignores_gone), Standing.GONE),
        (gone & quiet, Standing.KEPT),
        (gone, Standing.EXTRA),
        (here & ~target & (effect == Effect.STAYS_DELETED), Standing.DELETED),
        (here & ~target & quiet, Standing.KEPT),
        (here & ~target, Standing.MISSING),
        (wrong.any(axis=1), Standing.DIFFERENT),
        *((mask.any(axis=1), standing) for mask, standing in reasons),
    ]
    what = np.select(
        [mask for mask, _ in table], [int(s) for _, s in table], int(Standing.DIFFERENT)
    )
    return Stands(what.astype(np.int8), wrong, _moved(batch, seen, wrong))


def _fields(
    batch: Batch, seen: Seen, change: Change, verdict: Verdict
) -> tuple[Mask, list[tuple[Mask, Standing]]]:
    """The fields that differ without a reason, and those that have one."""
    differs = unequal(batch, seen)
    effects: npt.NDArray[Any] = change.fields
    settled = differs & (effects == FieldEffect.NOTHING)
    contested = np.isin(effects, (FieldEffect.CONTESTED, FieldEffect.FIRST_CONTACT))
    reasons = [
        (settled & seen.baselines.held, Standing.HELD),
        (differs & np.isin(effects, (FieldEffect.KEEP, FieldEffect.CLOCK_KEEP)), Standing.EDITED),
        (differs & contested & verdict.kept, Standing.KEPT),
        (settled & ~seen.baselines.held, Standing.REWRITTEN),
    ]
    wrong = differs.copy()
    for mask, _ in reasons:
        wrong &= ~mask
    return wrong, reasons


def _moved(batch: Batch, seen: Seen, wrong: Mask) -> Mask:
    """Where the source has moved, as far as known, since the baseline of what is wrong."""
    b = seen.baselines
    # A changed expression says nothing of the source.
    fields = ~b.known | (~b.source_void & (batch.prints != b.s))
    both = (batch.presence == Presence.HERE) & seen.target
    matters = np.where(both[:, None], wrong, np.ones_like(wrong))
    if batch.source is None:  # gone, not changed: no read brings it
        return np.zeros(batch.rows, np.bool_)
    return ~b.present | (batch.presence == Presence.GONE) | (fields & matters).any(axis=1)


def sample(batch: Batch, seen: Seen, found: Stands, row: int) -> Sample:
    """Show one record of a judged batch."""
    names = list(batch.types)
    what = Standing(int(found.what[row]))
    here = batch.presence[row] == Presence.HERE
    source = record(batch.values, row) if here else {}
    target = record(seen.current.select(names), row, seen.misfits) if seen.target[row] else {}
    shown = found.fields[row] if what is Standing.DIFFERENT else unequal(batch, seen)[row]
    both = here and seen.target[row]
    fields = {
        name: [source.get(name), target.get(name)]
        for name, differs in zip(names, shown, strict=True)
        if differs or not both
    }
    return Sample(record(batch.keys, row), what.name.lower(), fields)
