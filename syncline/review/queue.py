"""The queue's logic, without a screen: what an entry shows, and what a decision means.

Pure: it touches no database and no clock. The CLI and the review app say the same, since both ask
here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal
from uuid import UUID

from syncline.conflict import MISSING, Conflict, Keep, Kind, Resolution, Write, take_source
from syncline.errors import InputError
from syncline.store.model import Decision, Entry, Take

Moved = Literal["both", "source", "target", "neither"]


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field of a conflict, side by side.

    A value is MISSING where that side is gone, or the baseline is known only as a fingerprint.
    """

    name: str
    source: Any
    baseline: Any
    target: Any
    contested: bool
    moved: Moved


def fields(entry: Entry) -> tuple[FieldView, ...]:
    """Every field of the record: the contested first, then what one side moved, then the rest."""
    sides: list[str] = [*(entry.source or {}), *(entry.target or {})]
    names = dict.fromkeys(sides)
    views = [_view(entry, name) for name in names]
    return tuple(sorted(views, key=lambda view: (not view.contested, view.moved == "neither")))


def _view(entry: Entry, name: str) -> FieldView:
    contested = name in entry.contested
    by_source, by_target = name in entry.source_moved, name in entry.target_moved
    moved: Moved = "neither"
    if contested or (by_source and by_target):
        moved = "both"
    elif by_source or by_target:
        moved = "source" if by_source else "target"
    return FieldView(
        name=name,
        source=(entry.source or {}).get(name, MISSING),
        baseline=entry.conflict.baseline_of(name),
        target=(entry.target or {}).get(name, MISSING),
        contested=contested,
        moved=moved,
    )


def decision(
    entry: Entry, take: Take, *, user: str, at: datetime, values: Mapping[str, Any], note: str = ""
) -> Decision:
    """A decision on the entry as shown. Raises InputError for one that could not be written."""
    known = [view.name for view in fields(entry)]
    for name in values:
        if name not in known:
            message = f"conflict {entry.id} has no field {name!r}"
            raise InputError(message, hint=f"it has {', '.join(known)}")
    if take == "values" and not values:
        message = f"conflict {entry.id}: there is no value to take"
        raise InputError(message, hint="--set FIELD=VALUE, or --take source|target|merge")
    if take == "source" and entry.source is None and values:
        message = f"conflict {entry.id}: the source is gone, so taking it deletes the record"
        raise InputError(message, hint="without --set, or --take target with it")
    return Decision(
        take=take,
        user=user,
        at=at,
        source_prints=entry.source_prints,
        target_prints=entry.target_prints,
        values=dict(values),
        note=note,
    )


def resolution(conflict: Conflict, decided: Decision) -> Resolution:
    """What a decision means: exactly one of write these values, delete the record, leave it."""
    base = _of_side(conflict, decided)
    if not decided.values:
        return base
    values: dict[str, Any] = {}
    if isinstance(base, Write) and base.values is not None:
        values.update(base.values)
    elif conflict.target is None and conflict.source is not None:
        values.update(conflict.source)  # there is no target record that could fill in the rest
    return Write({**values, **decided.values}, decided.note)


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
    wanted = {name for name in conflict.contested if conflict.source[name] not in (None, "")}
    wanted = (wanted | conflict.source_moved) - decided.values.keys()
    values = {name: conflict.source[name] for name in conflict.source if name in wanted}
    return Write(values, decided.note) if values else Keep(decided.note)


def result(entry: Entry, decided: Decision) -> Mapping[str, Any] | None:
    """The target record as the decision would leave it; None where there would be none."""
    match resolution(entry.conflict, decided):
        case Write(None):
            return None
        case Write(values):
            return {**(entry.target or {}), **(values or {})}
        case _:
            return entry.target


_READERS: Final[tuple[tuple[type, Callable[[str], Any]], ...]] = (
    (bool, lambda text: {"true": True, "false": False}[text.lower()]),
    (int, int),
    (float, float),
    (Decimal, Decimal),
    (datetime, datetime.fromisoformat),  # before date: a datetime is a date
    (date, date.fromisoformat),
    (time, time.fromisoformat),
    (bytes, bytes.fromhex),
    (UUID, UUID),
)


def read_value(entry: Entry, name: str, text: str) -> Any:
    """A value as a person types it, in the type that the field has on either side.

    A text field takes the text as it is; any other takes `null`. Where both sides are null the
    value is read as JSON if it is JSON. Bytes are hex. Raises InputError for what is no value.
    """
    view = next((view for view in fields(entry) if view.name == name), None)
    if view is None:
        known = ", ".join(view.name for view in fields(entry))
        message = f"conflict {entry.id} has no field {name!r}"
        raise InputError(message, hint=f"it has {known}")
    sample = next(
        (v for v in (view.target, view.source) if v is not None and v is not MISSING), None
    )
    if isinstance(sample, str):
        return text
    if text == "null":
        return None
    if sample is None:
        return _json_or_text(text)
    reader = next((read for kind, read in _READERS if isinstance(sample, kind)), json.loads)
    try:
        return reader(text)
    except (ValueError, KeyError, InvalidOperation) as error:
        message = f"{name}: {text!r} is no {type(sample).__name__}"
        raise InputError(message, hint=f"it is now {sample!r}") from error


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
