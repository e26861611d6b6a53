"""The queue's logic, without a screen: what a decision means, and what it leaves behind.

Pure: it touches no database and no clock. The CLI and the review app say the same, since both ask
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from syncline.conflict import (
    Conflict,
    Keep,
    Kind,
    Resolution,
    Write,
    after,
    parted,
    speaking,
    take_source,
)
from syncline.errors import InputError
from syncline.review.typed import read_value
from syncline.store.drafts import Draft
from syncline.store.model import Decision, Entry, Side, Take

Action = Literal["insert", "update", "delete", "keep"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose, before it is made a decision on one conflict.

    `take`, `sides` as in `Decision`. `texts` are values as they were typed; None is NULL.
    """

    take: Take
    sides: Mapping[str, Side] = field(default_factory=dict[str, Side])
    texts: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    note: str = ""

    def refused(self, conflict: int, why: str) -> Draft:
        """The draft that is kept of it where it was refused."""
        return Draft(conflict, self.take, self.sides, self.texts, self.note, why)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a decision does to the target: the record afterwards (None: there is none), and of each
    field that it changes what was there and what will be.
    """

    action: Action
    after: Mapping[str, Any] | None
    changes: Mapping[str, tuple[Any, Any]]


def choose(entry: Entry, choice: Choice, *, user: str, at: datetime) -> Decision:
    """The decision that a choice makes on this entry.

    Raises InputError for one that could not be written: a field that is not there, a value that is
    not of its type.
    """
    values = {
        name: None if text is None else read_value(entry, name, text)
        for name, text in choice.texts.items()
    }
    return decision(
        entry, choice.take, user=user, at=at, values=values, note=choice.note, sides=choice.sides
    )


def decision(
    entry: Entry,
    take: Take,
    *,
    user: str,
    at: datetime,
    values: Mapping[str, Any],
    note: str = "",
    sides: Mapping[str, Side] | None = None,
) -> Decision:
    """A decision on the entry as shown. Raises InputError for one that could not be written."""
    sides = sides or {}
    for name in [*values, *sides]:
        entry.check_field(name)
    if take == "values" and not values and not sides:
        message = f"conflict {entry.id}: there is no value to take"
        raise InputError(message, hint="--set FIELD=VALUE, or --take source|target|merge")
    if take == "source" and entry.source is None and values:
        message = f"conflict {entry.id}: the source is gone, so taking it deletes the record"
        raise InputError(message, hint="without --set, or --take target with it")
    if sides and (entry.source is None or entry.target is None):
        gone = "source" if entry.source is None else "target"
        message = f"conflict {entry.id}: the {gone} is gone, so there are no two sides of a field"
        raise InputError(message, hint="--take source or --take target, for the whole record")
    made = Decision(
        take=take,
        user=user,
        at=at,
        source_prints=entry.source_prints,
        target_prints=entry.target_prints,
        values=dict(values),
        note=note,
        sides=dict(sides),
    )
    if why := parted(entry.conflict, resolution(entry.conflict, made), values):
        message = f"conflict {entry.id}: {why}"
        raise InputError(message, hint="choose one side for all of them, or values of your own")
    return made


def resolution(conflict: Conflict, decided: Decision) -> Resolution:
    """What a decision means: exactly one of write these values, delete the record, leave it."""
    base = _of_side(conflict, decided)
    if not decided.values and not decided.sides:
        return base
    values: dict[str, Any] = {}
    if isinstance(base, Write) and base.values is not None:
        values.update(base.values)
    elif conflict.target is None and conflict.source is not None:
        values.update(conflict.source)  # there is no target record that could fill in the rest
    for name, side in decided.sides.items():
        _choose_side(conflict, name, side, values)
    values.update(decided.values)
    if not values:
        return Keep(decided.note)
    return Write(values, decided.note, _apart(conflict, decided.values))


def _apart(conflict: Conflict, given: Mapping[str, Any]) -> frozenset[str]:
    """The person's own values that are not the source's: its next change is a conflict again, as
    it is where they kept the target's.
    """
    source = conflict.source
    if source is None or conflict.kind is Kind.REFUSED:
        return frozenset()
    return frozenset(name for name, value in given.items() if source.get(name) != value)


def _choose_side(conflict: Conflict, name: str, side: Side, values: dict[str, Any]) -> None:
    if side == "source":
        values[name] = (conflict.source or {})[name]
    elif name in conflict.source_moved:  # it would be written without a word: so say the target's
        values[name] = (conflict.target or {})[name]
    else:
        values.pop(name, None)  # not written, and held apart from now on


def _of_side(conflict: Conflict, decided: Decision) -> Resolution:
    match decided.take:
        case "source" if conflict.kind is Kind.REFUSED and conflict.source is not None:
            return Write(dict(conflict.source), decided.note)  # try it once more, whole
        case "source":
            return take_source(conflict)
        case "merge":
            return _merged(conflict, decided)
        case _:
            return Keep(decided.note)


def _merged(conflict: Conflict, decided: Decision) -> Resolution:
    # As the strategy `merge`, but for what the person gave a value to.
    if conflict.source is None or conflict.target is None:
        side = conflict.source
        return Keep(decided.note) if side is None else Write(dict(side), decided.note)
    wanted = (speaking(conflict) | conflict.source_moved) - decided.values.keys()
    values = {name: conflict.source[name] for name in conflict.source if name in wanted}
    return Write(values, decided.note) if values else Keep(decided.note)


def result(entry: Entry, decided: Decision) -> Mapping[str, Any] | None:
    """The target record as the decision would leave it; None where there would be none."""
    return after(entry.conflict, resolution(entry.conflict, decided))


def effect(entry: Entry, decided: Decision) -> Effect:
    """What the decision does to the target."""
    then, now = result(entry, decided), entry.target
    if then is None:
        return Effect("keep" if now is None else "delete", None, {})
    if now is None:
        return Effect("insert", then, {name: (None, value) for name, value in then.items()})
    changes = {
        name: (now.get(name), value)
        for name, value in then.items()
        if name not in now or now[name] != value
    }
    return Effect("update" if changes else "keep", then, changes)
