"""Bulk: one choice for many conflicts: what it would write, and then the decisions, exactly once.

A preview looks at every conflict of a filter and remembers, in a text of its own (the *selection*),
which it looked at and which version of each. Deciding takes that text: what has changed since is
left alone and told, what came since is not touched, and the same selection decided twice does
nothing the second time.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from syncline.errors import InputError
from syncline.review.mask import Masked, Masks, shown, shown_record
from syncline.review.queue import Action, Choice, choose, effect
from syncline.store.conflicts import Filter
from syncline.store.model import Decision, Entry, State
from syncline.store.store import Store

SAMPLES: Final = 20
_MOST_BYTES: Final = 50_000_000
Maker = Callable[[Entry], Decision]
"""Makes the decision on an entry. Raises InputError where there can be none."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What would become of one conflict; values that are masked are hidden."""

    id: int
    mapping: str
    key: Mapping[str, Any]
    action: Action
    changes: Mapping[str, tuple[Any, Any]]
    after: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a choice would write over the open conflicts of a filter.

    `selection` is what `decide` takes. `actions` counts the records by what becomes of them on the
    target, `fields` those in which a field changes, `by_mapping` those that can be decided so;
    `refused` the others, by reason.
    """

    selection: str
    total: int
    actions: Mapping[Action, int]
    fields: Mapping[str, int]
    by_mapping: Mapping[str, int]
    refused: Mapping[str, int]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """What a bulk decision did: the conflicts it decided, by mapping, and why others were not."""

    by_mapping: Mapping[str, tuple[int, ...]]
    refused: Mapping[int, str]

    @property
    def count(self) -> int:
        """How many were decided."""
        return sum(map(len, self.by_mapping.values()))


def maker(choice: Choice, *, user: str, at: datetime | None = None) -> Maker:
    """Makes the same choice on every entry."""
    now = at or datetime.now(UTC)
    return lambda entry: choose(entry, choice, user=user, at=now)


def preview(
    store: Store, where: Filter, make: Maker, masks: Masks, *, samples: int = SAMPLES
) -> Preview:
    """What `make` would decide on each open conflict of the filter; writes nothing."""
    seen: dict[int, int] = {}
    actions, changed = Counter[Action](), Counter[str]()
    mappings, refused = Counter[str](), Counter[str]()
    shown_ones: list[Sample] = []
    for entry in store.each_conflict(_open_only(where)):
        try:
            found = effect(entry, make(entry))
        except InputError as error:
            refused[_without_number(str(error), entry.id)] += 1
            continue
        seen[entry.id] = entry.version
        actions[found.action] += 1
        mappings[entry.mapping] += 1
        changed.update(list(found.changes) if found.action == "update" else ())
        if len(shown_ones) < samples:
            masked = masks(entry.mapping)
            changes = _shown_changes(found.changes, masked)
            after = shown_record(found.after, masked)
            sample = Sample(entry.id, entry.mapping, entry.key, found.action, changes, after)
            shown_ones.append(sample)
    return Preview(
        selection=selection_of(seen),
        total=len(seen),
        actions=dict(actions),
        fields=dict(changed.most_common()),
        by_mapping=dict(mappings.most_common()),
        refused=dict(refused.most_common()),
        samples=tuple(shown_ones),
    )


def _open_only(where: Filter) -> Filter:
    return replace(where, state=(State.OPEN,))


def _without_number(message: str, number: int) -> str:
    """The message without its conflict, so that alike ones count together."""
    return message.removeprefix(f"conflict {number}: ").removeprefix(f"conflict {number} ")


def _shown_changes(
    changes: Mapping[str, tuple[Any, Any]], masked: Masked
) -> dict[str, tuple[Any, Any]]:
    return {
        name: (shown(was, name in masked), shown(will, name in masked))
        for name, (was, will) in changes.items()
    }


def decide(store: Store, selection: str, make: Maker) -> Decided:
    """Decide what a preview has looked at, in one transaction; writing it is `apply_decisions`.

    A conflict that has changed since, or that somebody else decided, is left as it is and told in
    `refused`. Raises InputError for a text that is no selection.
    """
    mapping_of: dict[int, str] = {}

    def made(entry: Entry) -> Decision | str:
        mapping_of[entry.id] = entry.mapping
        try:
            return make(entry)
        except InputError as error:
            return _without_number(str(error), entry.id)

    taken, refused = store.decide_all(seen_in(selection), made)
    by_mapping: dict[str, list[int]] = {}
    for number in taken:
        by_mapping.setdefault(mapping_of[number], []).append(number)
    return Decided({name: tuple(ids) for name, ids in by_mapping.items()}, refused)


def selection_of(seen: Mapping[int, int]) -> str:
    """Conflicts and their versions as a short text: differences of numbers, packed."""
    last, steps = 0, list[list[int]]()
    for number in sorted(seen):
        steps.append([number - last, seen[number]])
        last = number
    packed = zlib.compress(json.dumps(steps, separators=(",", ":")).encode("ascii"), 9)
    return base64.urlsafe_b64encode(packed).decode("ascii")


def seen_in(selection: str) -> dict[int, int]:
    """The conflicts and versions of a selection. Raises InputError where the text is none."""
    try:
        packed = base64.b64decode(selection.encode("ascii"), altchars=b"-_", validate=True)
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(packed, _MOST_BYTES)
        if not unpacking.eof:
            raise ValueError
        seen: dict[int, int] = {}
        last = 0
        for step, version in json.loads(content):
            last += int(step)
            seen[last] = int(version)
    except (ValueError, TypeError, UnicodeError, binascii.Error, zlib.error) as error:
        message = "this is no selection of conflicts"
        raise InputError(message, hint="preview it again") from error
    return seen
