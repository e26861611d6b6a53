"""Conflicts and their resolutions: what a strategy is given, and the exactly one thing that it
answers.

A strategy is a pure function `resolve(conflict) -> Resolution` in a file of `resolvers/`; one that
raises sends that record to the queue. The built-in five are written the same way.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, Self


class Missing:
    """The value of a field whose baseline is not known (only fingerprints are kept).

    Not NULL.
    """

    _only: Self | None = None

    def __new__(cls) -> Self:
        """The only one."""
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING = Missing()


class Kind(StrEnum):
    """How the two sides collided."""

    BOTH_CHANGED = "both_changed"
    """Source and target changed a field since the baseline, to different values."""

    FIRST_CONTACT = "first_contact"
    """Both sides hold the record, differently, and there is no baseline to say who moved."""

    UPDATE_DELETE = "update_delete"
    """The source record is gone; the target record was edited since the baseline."""
    DELETE_UPDATE = "delete_update"
    """The target record is gone; the source record was edited since the baseline."""
    REFUSED = "refused"
    """The target's constraints refuse the record (unique, foreign key, check), also after a second
    try."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """One record on which source and target disagree.

    `source` and `target` are the whole records as mapped fields (None: the record is gone).
    `contested` are the fields that both sides moved (or that have no baseline and differ);
    `source_moved` and `target_moved` those that one side moved alone, which a strategy of `merge`
    manner takes as they come. `baseline` holds values only where the mapping keeps them. The clocks
    are the values of `conflicts.clock` on both sides.
    """

    mapping: str
    key: Mapping[str, Any]
    kind: Kind
    source: Mapping[str, Any] | None
    target: Mapping[str, Any] | None
    contested: frozenset[str] = frozenset()
    source_moved: frozenset[str] = frozenset()
    target_moved: frozenset[str] = frozenset()
    baseline: Mapping[str, Any] = field(default_factory=dict[str, Any])
    clock_source: Any = None
    clock_target: Any = None
    clock_digits: int = 6
    """The coarser fractional precision of the two clocks; they are compared at it."""
    near: timedelta | None = None
    """Clocks no further apart than this are too near to tell who was later (`conflicts.near`)."""
    together: tuple[frozenset[str], ...] = ()
    """The groups of fields that move as one (`conflicts.together`): all from one side."""

    def baseline_of(self, name: str) -> Any:
        """The field's value when it was last settled, or MISSING where only a fingerprint is
        kept.
        """
        return self.baseline.get(name, MISSING)


@dataclass(frozen=True, slots=True)
class Write:
    """Write these values to the target: the named fields only.

    `values=None` deletes the target record.
    """

    values: Mapping[str, Any] | None
    reason: str = ""
    held: frozenset[str] = frozenset()
    """Fields written to a value that is not the source's, which its next change must not simply
    overwrite: it is a conflict again."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave the target as it is, and remember that a decision holds the two apart."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a person: queue the conflict and leave the target as it is."""

    reason: str = ""


Resolution = Write | Keep | Ask


class Strategy(Protocol):
    """A conflict strategy.

    Pure: no clock, no database, no state.
    """

    def __call__(self, conflict: Conflict) -> Resolution:
        """Exactly one of Write, Keep, Ask."""
        ...


def after(conflict: Conflict, answer: Resolution) -> Mapping[str, Any] | None:
    """The target record as a resolution would leave it; None where there would be none.

    What the source alone moved is written whatever is decided on the contested fields.
    """
    source, target = conflict.source, conflict.target
    written: Mapping[str, Any] | None = answer.values if isinstance(answer, Write) else {}
    if written is None or (target is None and not isinstance(answer, Write)):
        return None
    if target is None:
        return {**(source or {}), **written}
    moved = {name: (source or {})[name] for name in conflict.source_moved if source is not None}
    return {**target, **moved, **written}


def parted(conflict: Conflict, answer: Resolution, own: Container[str] = ()) -> str:
    """Why a resolution can't stand: it takes the fields of a `together` group from both sides;
    empty where it can. Values of fields in `own` are nobody's side.
    """
    source, target = conflict.source, conflict.target
    then = after(conflict, answer) if conflict.together else None
    if source is None or target is None or then is None:
        return ""
    for group in conflict.together:
        apart = [name for name in sorted(group) if name not in own and name in source]
        apart = [name for name in apart if name in target and source[name] != target[name]]
        of_source = [name for name in apart if then.get(name) == source[name]]
        of_target = [name for name in apart if then.get(name) == target[name]]
        if of_source and of_target:
            return (
                f"{' and '.join(sorted(group))} go together: it takes {', '.join(of_source)} from "
                f"the source and {', '.join(of_target)} from the target"
            )
    return ""


def speaking(conflict: Conflict) -> frozenset[str]:
    """The contested fields for which the source has something to say: a value that is neither null
    nor empty. The fields of a group say it as one.
    """
    source = conflict.source or {}
    said = {name for name in conflict.contested if source.get(name) not in (None, "")}
    for group in conflict.together:
        said |= group & conflict.contested if said & group else set()
    return frozenset(said)


def take_source(conflict: Conflict) -> Resolution:
    """The source's side of a conflict: its contested and moved fields, the whole record, or its
    deletion.
    """
    if conflict.source is None:
        return Write(None, "source wins")
    if conflict.target is None:
        return Write(dict(conflict.source), "source wins")
    wanted = conflict.contested | conflict.source_moved
    return Write(
        {name: conflict.source[name] for name in conflict.source if name in wanted}, "source wins"
    )


def later(source: Any, target: Any, digits: int = 6) -> bool:
    """Whether the source's clock is later than the target's, both cut to `digits` fractional
    digits.

    Clocks may be instants, dates, numbers (versions) or texts, of one kind on both sides; else
    TypeError.
    """
    return _cut(source, digits) > _cut(target, digits)


def near_tie(conflict: Conflict) -> bool:
    """Whether the two clocks are too near each other to go by (`near`).

    The same whichever side is called the source. Only instants and dates can be near.
    """
    source, target = conflict.clock_source, conflict.clock_target
    if conflict.near is None or not isinstance(source, date) or not isinstance(target, date):
        return False
    return abs(_cut(source, conflict.clock_digits) - _cut(target, conflict.clock_digits)) <= (
        conflict.near
    )


def _cut(clock: Any, digits: int) -> Any:
    if isinstance(clock, datetime):
        unit = 10 ** (6 - min(digits, 6))
        return clock.replace(microsecond=clock.microsecond // unit * unit)
    return clock
