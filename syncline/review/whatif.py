"""What if: what another strategy, or a rule, would have done with conflicts that wait."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from syncline.conflict import (
    Ask,
    Conflict,
    Keep,
    Kind,
    Resolution,
    Strategy,
    Write,
    after,
    speaking,
)
from syncline.errors import InputError, SynclineError
from syncline.review.bulk import Maker, Preview, preview
from syncline.review.mask import Masked, Masks
from syncline.review.queue import decision
from syncline.review.typed import read_value
from syncline.rule import CONDITIONS, Rule, holds, ruling, settled
from syncline.store.conflicts import Filter
from syncline.store.model import AuditEntry, Decision, Entry, Side
from syncline.store.store import Store

if TYPE_CHECKING:
    from syncline.project import Project


@dataclass(frozen=True, slots=True)
class Answer:
    """What a strategy would do with a conflict: ask a person (`reason` says why), or leave the
    target with `after` (None: no record).
    """

    strategy: str
    asks: bool
    reason: str
    after: Mapping[str, Any] | None
    changes: Mapping[str, tuple[Any, Any]]


def answer_as(entry: Entry, name: str, strategy: Strategy, near: timedelta | None = None) -> Answer:
    """What the strategy would do with the conflict, as a run would ask it; `near` is that of the
    mapping.

    What it raises, or answers wrongly, is a question to a person here as there.
    """
    from syncline.resolve import Policy, ask_strategies

    if entry.kind is Kind.REFUSED:
        return Answer(name, True, "the target refused the record: no strategy is asked", None, {})
    conflict = replace(entry.conflict, near=near)
    found = ask_strategies(conflict, Policy(strategy, name), None, 0)
    return _answer(entry.conflict, name, found)


def _answer(conflict: Conflict, name: str, found: Resolution) -> Answer:
    if isinstance(found, Ask):
        return Answer(name, True, found.reason, conflict.target, {})
    then, now = after(conflict, found), conflict.target or {}
    changes = {
        field: (now.get(field), value)
        for field, value in (then or {}).items()
        if field not in now or now[field] != value
    }
    return Answer(name, False, found.reason, then, changes)


def by_strategy(project: Project, name: str, *, user: str, at: datetime | None = None) -> Maker:
    """Makes the decision that a strategy would have made, in the name of who asks it.

    Raises InputError where there is no such strategy, and, when called, where it asks a person.
    """
    from syncline.resolve import Policy, ask_strategies

    now, strategy = at or datetime.now(UTC), strategy_named(project, name)

    def make(entry: Entry) -> Decision:
        conflict = replace(entry.conflict, near=near_of(project, entry.mapping))
        refused = entry.kind is Kind.REFUSED
        asked = Ask("the target refused the record: no strategy is asked")
        found = asked if refused else ask_strategies(conflict, Policy(strategy, name), None, 0)
        if isinstance(found, Ask):
            message = f"conflict {entry.id}: {name} asks a person: {found.reason}"
            raise InputError(message, hint="--take source|target|merge")
        return _as_decision(entry, found, user, now, f"as {name} would")

    return make


def _as_decision(
    entry: Entry, found: Write | Keep, user: str, now: datetime, note: str
) -> Decision:
    if isinstance(found, Keep):
        return decision(entry, "target", user=user, at=now, values={}, note=note)
    if found.values is None or entry.source is None:
        return decision(entry, "source", user=user, at=now, values={}, note=note)
    own = {n: v for n, v in found.values.items() if v != entry.source.get(n)}
    if entry.target is None:
        return decision(entry, "source", user=user, at=now, values=own, note=note)
    sides: dict[str, Side] = {n: "source" for n in found.values if n not in own}
    return decision(entry, "target", user=user, at=now, values=own, note=note, sides=sides)


def near_of(project: Project, mapping: str) -> timedelta | None:
    """How near two clocks may be, as the mapping says; None where it can't be read."""
    try:
        return project.mapping(mapping).conflicts.near
    except SynclineError:
        return None


def strategy_named(project: Project, name: str) -> Strategy:
    """A strategy of the project or a built-in one. Raises InputError where there is none."""
    from syncline.strategy import load_strategy

    return load_strategy(name, project.resolvers_dir)


# --- rules ---


@dataclass(frozen=True, slots=True)
class Settles:
    """What rules would settle: `would` of `of` open conflicts of the mapping, those of which
    `preview` shows the effect; `by_rule` how many a rule has a part in.
    """

    would: int
    of: int
    by_rule: Mapping[str, int]
    preview: Preview


def by_rules(rules: Sequence[Rule], *, user: str, at: datetime | None = None) -> Maker:
    """Makes the decision that the rules make on an entry, in the name of who applies them.

    Raises InputError, when called, where they leave anything open.
    """
    now = at or datetime.now(UTC)

    def make(entry: Entry) -> Decision:
        found = settled(rules, entry.conflict)
        if found is None:
            message = f"conflict {entry.id}: no rule settles all of it"
            raise InputError(message, hint="syncline conflicts rules list")
        note = "; ".join(f"rule {rule.text}" for rule in found[1])
        if not entry.contested:
            take: Side = found[1][0].take or "source"
            return decision(entry, take, user=user, at=now, values={}, note=note)
        return _of_fields(entry, ruling(rules, entry.conflict), user, now, note)

    return make


def _of_fields(
    entry: Entry, found: Mapping[str | None, Rule], user: str, now: datetime, note: str
) -> Decision:
    values: dict[str, Any] = {}
    sides: dict[str, Side] = {}
    for name, rule in found.items():
        if name is None:
            continue
        if rule.take is None:
            values[name] = _typed(entry, name, rule.value)
        else:
            sides[name] = rule.take
    return decision(entry, "target", user=user, at=now, values=values, note=note, sides=sides)


def _typed(entry: Entry, name: str, value: Any) -> Any:
    """A value of a rules file as its field holds it."""
    if value is None:
        return None
    return read_value(entry, name, value if isinstance(value, str) else json.dumps(value))


def would_settle(
    store: Store, mapping: str, rules: Sequence[Rule], masks: Masks, *, user: str
) -> Settles:
    """What these rules would settle of the mapping's open conflicts; writes nothing."""
    used = Counter[str]()
    make = by_rules(rules, user=user)

    def counted(entry: Entry) -> Decision:
        made = make(entry)
        used.update({rule.text for rule in ruling(rules, entry.conflict).values()})
        return made

    found = preview(store, Filter(mapping=mapping), counted, masks)
    of = found.total + sum(found.refused.values())
    return Settles(found.total, of, dict(used.most_common()), found)


def told_rule(
    mapping: str, rule: Rule, what: Literal["added", "removed"], user: str, masked: Masked
) -> AuditEntry:
    """What the audit log says of a rule that somebody added or removed."""
    return AuditEntry(
        mapping, {"rule": shown_rule(rule, masked).text}, "", "rule", by=user, winner=what, loser={}
    )


def shown_rule(rule: Rule, masked: Masked) -> Rule:
    """The rule as a person may see it."""
    hides = rule.take is None and rule.field is not None and rule.field in masked
    return replace(rule, secret=True) if hides else rule


def suggested(entry: Entry, masked: Masked = frozenset[str]()) -> list[Rule]:
    """The rules that a decision on this entry could be an example of, the narrowest first.

    One for each contested field and each condition that holds here, but for those that would show
    a value that is masked; of an entry without a decision none.
    """
    return [rule for rule in _examples(entry) if shown_rule(rule, masked) is rule]


def _examples(entry: Entry) -> list[Rule]:
    made = entry.decision
    if made is None or entry.kind is Kind.REFUSED:
        return []
    if not entry.contested:
        take: Side = "source" if made.take == "source" else "target"
        return [Rule(None, "always", take, kind=entry.kind)]
    found: list[Rule] = []
    for name in sorted(entry.contested):
        rule = _example(entry, made, name)
        if rule is not None:
            chosen = [replace(rule, when=when) for when in CONDITIONS if when != "always"]
            found += [one for one in chosen if holds(one, entry.conflict)]
            found.append(rule)
    return found


def _example(entry: Entry, made: Decision, name: str) -> Rule | None:
    if name in made.values:
        value = made.values[name]
        if (entry.source or {}).get(name) == value:
            return Rule(name, "always", "source")
        if (entry.target or {}).get(name) == value:
            return Rule(name, "always", "target")
        return Rule(name, "always", None, value)
    if name in made.sides:
        return Rule(name, "always", made.sides[name])
    if made.take == "merge":
        says = name in speaking(entry.conflict)
        return Rule(name, "always", "source" if says else "target")
    return Rule(name, "always", "source" if made.take == "source" else "target")
