"""Classify: what each record's change means, by one decision table.

Pure: no database, no clock. Everything is a column of booleans, so that a batch is decided at once
and the table can be tested whole. The rows of `RECORDS` and `FIELDS` stand in the order of DESIGN
section 5; the first that matches holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


class Presence(IntEnum):
    """What is known of a source record."""

    UNKNOWN = 0
    """Not read, or not mappable: absent is not gone."""

    GONE = 1
    """Absent as proven by a key scan and a probe, or outside the mapping's `where`."""

    HERE = 2


class Effect(IntEnum):
    """What a record's change asks for."""

    NOTHING = 0
    TOMBSTONE = 1
    """Both sides are gone: the baseline says so from now on."""
    LEAVE = 2
    """The target's own record: not ours to touch."""
    KEPT = 3
    """The source record is gone and a decision kept the target's."""

    DELETE = 4
    UPDATE_DELETE = 5
    """Conflict: gone on the source, edited on the target."""

    INSERT = 6
    STAYS_DELETED = 7
    """Deleted on the target, unchanged on the source."""

    DELETE_UPDATE = 8
    """Conflict: deleted on the target, edited on the source."""

    AGREE = 9
    """Both hold the same and there is no baseline yet."""
    FIRST_CONTACT = 10
    """Conflict: both hold the record, differently, and there is no baseline."""

    FIELDS = 11
    """Decided field by field."""


class FieldEffect(IntEnum):
    """What a field's change asks for, in a record that both sides hold."""

    NOTHING = 0
    AGREED = 1
    FIRST_CONTACT = 2
    WRITE = 3
    KEEP = 4
    CONTESTED = 5
    CLOCK_WRITE = 6
    """A clock that both moved: the source's is later, so it is written."""

    CLOCK_KEEP = 7
    """A clock that both moved: the target's is later or equal, so it stays."""


@dataclass(frozen=True, slots=True)
class Sides:
    """A batch as the table sees it: n records of f fields.

    Record columns (n): `source` (Presence), `target` (it is there), `baseline` (there is a ledger
    row), `source_was_gone`, `target_was_gone` (what that row says). Field columns (n, f): `same`
    (source = target), `source_same` (source = s), `target_same` (target = t), `held`, `known` (the
    baseline has the field). `later` (n): the source's clock is later than the target's.
    """

    source: npt.NDArray[np.int8]
    target: Mask
    baseline: Mask
    source_was_gone: Mask
    target_was_gone: Mask
    same: Mask
    source_same: Mask
    target_same: Mask
    held: Mask
    known: Mask
    later: Mask


@dataclass(frozen=True, slots=True)
class Rules:
    """What of a mapping the table depends on, as columns of fields (f).

    `clocks`: never contest. `restores`: the strategy `source`, which puts the source's value back
    where only the target moved. `groups`: field numbers that move as one.
    """

    clocks: Mask
    restores: Mask
    restores_records: bool
    groups: Sequence[Sequence[int]] = ()
    adds: Mask | None = None
    """Fields in which what both sides added counts twice, though both came to the same value."""


@dataclass(frozen=True, slots=True)
class Change:
    """The table's answer: an Effect for each record (n), a FieldEffect for each field of a record
    both hold (n, f).
    """

    records: npt.NDArray[np.int8]
    fields: npt.NDArray[np.int8]


CONFLICTS: Final = (Effect.UPDATE_DELETE, Effect.DELETE_UPDATE, Effect.FIRST_CONTACT)


def classify(sides: Sides, rules: Rules) -> Change:
    """Decide every record of a batch.

    Source: DESIGN section 5.
    """
    sides = _grouped(sides, rules.groups)
    records = _records(sides, rules)
    first = records == Effect.FIRST_CONTACT
    fields = _fields(sides, rules)
    # First contact is the field table with no baseline: equal fields agree, clocks never contest.
    fields = np.where(first[:, None], _contact(sides, rules), fields)
    contested = (fields == FieldEffect.CONTESTED) | (fields == FieldEffect.FIRST_CONTACT)
    records = np.where(first & ~contested.any(axis=1), Effect.FIELDS, records)
    both = (records == Effect.FIELDS) | (records == Effect.FIRST_CONTACT)
    fields = np.where(both[:, None], fields, FieldEffect.NOTHING)
    return Change(records.astype(np.int8), fields.astype(np.int8))


def _records(sides: Sides, rules: Rules) -> npt.NDArray[Any]:
    unknown, gone = sides.source == Presence.UNKNOWN, sides.source == Presence.GONE
    here = sides.source == Presence.HERE
    target, absent = sides.target, ~sides.target
    settled = sides.baseline & ~sides.source_was_gone & ~sides.target_was_gone
    source_known = sides.baseline & ~sides.source_was_gone  # (s, any)
    target_edited = (~sides.target_same & sides.known).any(axis=1)
    source_edited = (~sides.source_same & sides.known).any(axis=1)
    held = sides.held.any(axis=1)
    same = sides.same.all(axis=1)
    table: list[tuple[Mask, Effect]] = [
        (unknown, Effect.NOTHING),
        (gone & absent & sides.baseline, Effect.TOMBSTONE),
        (gone & absent, Effect.NOTHING),
        (gone & target & (~sides.baseline | sides.target_was_gone), Effect.LEAVE),
        (gone & target & sides.source_was_gone, Effect.KEPT),
        (gone & target & settled & ~target_edited & ~held, Effect.DELETE),
        (gone & target & settled, Effect.UPDATE_DELETE),
        (here & absent & ~source_known, Effect.INSERT),
        (
            here & absent & ~source_edited,
            Effect.INSERT if rules.restores_records else Effect.STAYS_DELETED,
        ),
        (here & absent, Effect.DELETE_UPDATE),
        (here & target & ~settled & same, Effect.AGREE),
        (here & target & ~settled, Effect.FIRST_CONTACT),
        (here & target, Effect.FIELDS),
    ]
    return np.select([condition for condition, _ in table], [int(effect) for _, effect in table])


def _fields(sides: Sides, rules: Rules) -> npt.NDArray[Any]:
    source_moved, target_moved = ~sides.source_same, ~sides.target_same
    later = np.broadcast_to(sides.later[:, None], sides.same.shape)
    clocks = np.broadcast_to(rules.clocks, sides.same.shape)
    restores = np.broadcast_to(rules.restores, sides.same.shape)
    both = source_moved & (target_moved | sides.held) | ~sides.known
    agreed = sides.same
    if rules.adds is not None:
        moved = source_moved & (target_moved | sides.held) & sides.known
        agreed = agreed & ~(np.broadcast_to(rules.adds, sides.same.shape) & moved)
    table: list[tuple[Mask, FieldEffect]] = [
        (agreed, FieldEffect.AGREED),
        (clocks & both & later, FieldEffect.CLOCK_WRITE),
        (clocks & both, FieldEffect.CLOCK_KEEP),
        (~sides.known, FieldEffect.FIRST_CONTACT),
        (sides.source_same & sides.target_same, FieldEffect.NOTHING),
        (source_moved & sides.target_same & ~sides.held, FieldEffect.WRITE),
        (source_moved & sides.target_same, FieldEffect.CONTESTED),
        (sides.source_same & restores, FieldEffect.WRITE),
        (sides.source_same, FieldEffect.KEEP),
        (np.ones_like(sides.same), FieldEffect.CONTESTED),
    ]
    return np.select([condition for condition, _ in table], [int(effect) for _, effect in table])


def _contact(sides: Sides, rules: Rules) -> npt.NDArray[Any]:
    later = np.broadcast_to(sides.later[:, None], sides.same.shape)
    clocks = np.broadcast_to(rules.clocks, sides.same.shape)
    return np.select(
        [sides.same, clocks & later, clocks],
        [int(FieldEffect.AGREED), int(FieldEffect.CLOCK_WRITE), int(FieldEffect.CLOCK_KEEP)],
        int(FieldEffect.FIRST_CONTACT),
    )


def _grouped(sides: Sides, groups: Sequence[Sequence[int]]) -> Sides:
    """The fields of a group are the same, or moved, together; one held or unknown field makes the
    group so.
    """
    if not groups:
        return sides
    columns: Mapping[str, Mask] = {
        name: getattr(sides, name).copy()
        for name in ("same", "source_same", "target_same", "held", "known")
    }
    for group in groups:
        members = list(group)
        for name, column in columns.items():
            part = column[:, members]
            joined = part.any(axis=1) if name == "held" else part.all(axis=1)
            column[:, members] = joined[:, None]
    return Sides(
        sides.source,
        sides.target,
        sides.baseline,
        sides.source_was_gone,
        sides.target_was_gone,
        columns["same"],
        columns["source_same"],
        columns["target_same"],
        columns["held"],
        columns["known"],
        sides.later,
    )
