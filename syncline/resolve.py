"""Resolve: what is to be done with each record of a batch, once the strategies have spoken.

The table decides most records. The rest are conflicts: each becomes a `Conflict`, goes to its
strategy (a field may name its own), and comes back as exactly one of write, keep, ask. Pure but for
the strategies, which are pure too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from syncline import arrow
from syncline.baseline import WAITS
from syncline.batch import Batch, Rows, Seen, Shape, record_of, source_moved, target_moved
from syncline.classify import Change, Effect, FieldEffect, Presence
from syncline.conflict import Ask, Conflict, Keep, Kind, Resolution, Strategy, Write, parted
from syncline.endpoints.base import Mask
from syncline.merging import MERGED
from syncline.rule import Rule, settled


class Action(IntEnum):
    """What is done with a record."""

    NONE = 0
    INSERT = 1
    UPDATE = 2
    DELETE = 3
    QUEUE = 4


@dataclass(frozen=True, slots=True)
class Policy:
    """The conflict rules of a mapping, strategies loaded.

    `names` go into the audit log.
    """

    strategy: Strategy
    name: str
    fields: Mapping[str, tuple[str, Strategy]] = field(
        default_factory=dict[str, tuple[str, Strategy]]
    )
    first_contact: tuple[str, Strategy] | None = None
    """What settles first contacts, where that is not the strategy."""
    near: timedelta | None = None
    """How near two clocks may be to tell who was later."""
    rules: tuple[Rule, ...] = ()
    """What people decided once and for all: asked where a strategy asks a person."""
    together: tuple[frozenset[str], ...] = ()
    """The groups of fields that move as one."""


@dataclass(frozen=True, slots=True)
class Loser:
    """A side that lost a conflict without a person being asked: goes to the audit log."""

    row: int
    kind: Kind
    by: str
    winner: str
    values: Mapping[str, Any]


@dataclass(slots=True)
class Verdict:
    """What becomes of a batch of n records.

    `write` (n, f): the fields to be written; `values` the values to write (the source's, but where
    a strategy gave others). `kept` (n, f): contested fields that stay, held apart by decision.
    `agreed` (n, f): fields whose baseline becomes (S, T). `conflicts`: the rows that were one;
    `waiting`: those to queue, with the reason.
    """

    action: npt.NDArray[np.int8]
    effect: npt.NDArray[np.int8]
    write: Mask
    kept: Mask
    agreed: Mask
    values: pa.Table
    conflicts: frozenset[int] = frozenset()
    waiting: dict[int, tuple[Conflict, str]] = field(
        default_factory=dict[int, tuple[Conflict, str]]
    )
    losers: list[Loser] = field(default_factory=list[Loser])


_KINDS = {
    Effect.UPDATE_DELETE: Kind.UPDATE_DELETE,
    Effect.DELETE_UPDATE: Kind.DELETE_UPDATE,
    Effect.FIRST_CONTACT: Kind.FIRST_CONTACT,
    Effect.FIELDS: Kind.BOTH_CHANGED,
}


def resolve(
    batch: Batch,
    seen: Seen,
    change: Change,
    shape: Shape,
    policy: Policy,
    *,
    decided: Mapping[int, Resolution] | None = None,
) -> Verdict:
    """Turn a classified batch into a verdict.

    `decided` holds, by row, what a person decided: it goes before all.
    """
    fields = change.fields
    write = np.isin(fields, (FieldEffect.WRITE, FieldEffect.CLOCK_WRITE))
    contested = np.isin(fields, (FieldEffect.CONTESTED, FieldEffect.FIRST_CONTACT))
    agreed = np.isin(fields, (FieldEffect.AGREED, FieldEffect.CLOCK_KEEP))
    action = np.full(batch.rows, Action.NONE, np.int8)
    action[write.any(axis=1)] = Action.UPDATE
    action[change.records == Effect.INSERT] = Action.INSERT
    action[change.records == Effect.DELETE] = Action.DELETE
    write[change.records == Effect.INSERT] = True
    agreed[change.records == Effect.AGREE] = True
    verdict = Verdict(action, change.records, write, np.zeros_like(write), agreed, batch.values)
    odd = contested.any(axis=1) | np.isin(
        change.records, (Effect.UPDATE_DELETE, Effect.DELETE_UPDATE)
    )
    verdict.conflicts = frozenset(map(int, np.flatnonzero(odd)))
    # What the target refused is no conflict to the table; a person may have decided it.
    odd[list(decided or ())] = True
    rows = np.flatnonzero(odd)
    if len(rows):
        _settle(verdict, rows, batch, seen, contested, shape, policy, decided or {})
    return verdict


def _settle(
    verdict: Verdict,
    rows: Rows,
    batch: Batch,
    seen: Seen,
    contested: Mask,
    shape: Shape,
    policy: Policy,
    decided: Mapping[int, Resolution],
) -> None:
    patches: dict[str, dict[int, Any]] = {}
    sources = arrow.take(batch.values, rows).to_pylist()
    targets = arrow.take(seen.current.select(list(shape.fields)), rows).to_pylist()
    keys = arrow.take(batch.keys, rows).to_pylist()
    names = list(shape.fields)
    for i, row in enumerate(map(int, rows)):
        refused = row not in verdict.conflicts
        kind = Kind.REFUSED if refused else _KINDS[Effect(verdict.effect[row])]
        target = record_of(targets[i], seen, row) if seen.target[row] else None
        conflict = Conflict(
            mapping=shape.mapping,
            key=keys[i],
            kind=kind,
            source=None if batch.presence[row] == Presence.GONE else sources[i],
            target=target,
            contested=frozenset(n for j, n in enumerate(names) if contested[row, j]),
            source_moved=source_moved(names, batch, seen, row)
            if kind is Kind.DELETE_UPDATE  # its record is judged as one, not by fields
            else frozenset(n for j, n in enumerate(names) if verdict.write[row, j]),
            target_moved=target_moved(names, batch, seen, contested, row)
            if target is not None
            else frozenset(),
            clock_source=sources[i].get(shape.clock_name or ""),
            clock_target=(target or {}).get(shape.clock_name or ""),
            clock_digits=_digits(shape),
            near=policy.near,
            together=policy.together,
            baseline={
                name: value
                for name, value in seen.baselines.kept.get(row, {}).items()
                if name in shape.keeps
            },
        )
        waits = bool(seen.baselines.hold[row] == WAITS)
        if row in decided:
            answer: Resolution = decided[row]
        elif waits:
            answer = _waiting(conflict, policy, verdict.losers, row)
        else:
            answer = ask_strategies(conflict, policy, verdict.losers, row)
        answer = _fitting(answer, batch.values.schema)
        if refused and isinstance(answer, Keep):
            _leave(verdict, row)
            continue
        _take(verdict, row, conflict, answer, names, patches)
    verdict.values = patched(batch.values, patches)


def _digits(shape: Shape) -> int:
    if shape.clock_name is None:
        return 6
    precision = shape.fields[shape.clock_name].precision
    return 6 if precision is None else precision


def ask_strategies(
    conflict: Conflict, policy: Policy, losers: list[Loser] | None, row: int
) -> Resolution:
    """The answer of the strategies a conflict falls to; fields with a strategy of their own are
    asked apart.

    One Ask makes the whole record wait. A strategy that raises asks, with what it raised as the
    reason.
    """
    default = (policy.name, policy.strategy)
    if conflict.kind is Kind.FIRST_CONTACT and policy.first_contact is not None:
        default = policy.first_contact
    shares: dict[str, tuple[Strategy, set[str]]] = {}
    if conflict.kind in (Kind.BOTH_CHANGED, Kind.FIRST_CONTACT):
        for name in conflict.contested:
            own, strategy = policy.fields.get(name, default)
            shares.setdefault(own, (strategy, set()))[1].add(name)
    else:
        shares[default[0]] = (default[1], set())
    values: dict[str, Any] = {}
    held: frozenset[str] = frozenset()
    deletes, found = False, list[Loser]()
    for name, (strategy, share) in sorted(shares.items()):
        part = replace(conflict, contested=frozenset(share)) if share else conflict
        answer = _ask(strategy, name, part)
        if isinstance(answer, Ask):
            answer, lost = _by_rules(part, policy, answer, row)
            found += lost
        else:
            found.append(_loser(conflict, answer, f"strategy {name}", share, row))
        if isinstance(answer, Ask):
            return answer
        if isinstance(answer, Write):
            deletes = deletes or answer.values is None
            values.update(answer.values or {})
            held |= answer.held
    composed = Write(values, held=held) if values else Keep()
    merged = [share for name, (_, share) in shares.items() if name.startswith(MERGED)]
    if not deletes and (why := parted(conflict, composed, frozenset[str]().union(*merged))):
        return Ask(why)
    if losers is not None:
        losers.extend(found)
    return Write(None) if deletes else composed


def _by_rules(
    conflict: Conflict, policy: Policy, asked: Ask, row: int
) -> tuple[Resolution, list[Loser]]:
    """The answer of the rules where they settle all that was asked, with what lost by which; else
    the question.
    """
    found = settled(policy.rules, conflict)
    if found is None:
        return asked, []
    answer, used = found
    losers: list[Loser] = []
    for rule in used:
        side = Keep() if rule.take == "target" else Write({})
        share = set[str]() if rule.field is None else {rule.field}
        loser = _loser(conflict, side, f"rule {rule.text}", share, row)
        losers.append(loser if rule.take else replace(loser, winner="value"))
    return answer, losers


def _waiting(conflict: Conflict, policy: Policy, losers: list[Loser], row: int) -> Resolution:
    """A key on hold waits on, but for a rule that was remembered since."""
    found: list[Loser] = []
    answer = ask_strategies(conflict, policy, found, row) if policy.rules else Ask()
    if not any(loser.by.startswith("rule ") for loser in found):
        return Ask("the key waits for a person")
    losers.extend(found)
    return answer


def _ask(strategy: Strategy, name: str, conflict: Conflict) -> Resolution:
    try:
        answer: Any = strategy(conflict)
    except Exception as error:  # noqa: BLE001 - a user's code: the record waits, the run goes on
        return Ask(f"strategy {name!r} raised {type(error).__name__}: {error}")
    if not isinstance(answer, (Write, Keep, Ask)):
        return Ask(f"strategy {name!r} returned {type(answer).__name__}, not Write, Keep or Ask")
    if isinstance(answer, Write) and answer.values is not None:
        unknown = sorted(set(answer.values) - set(conflict.source or conflict.target or {}))
        if unknown:
            return Ask(f"strategy {name!r} wrote unknown fields: {', '.join(unknown)}")
    return answer


def _fitting(answer: Resolution, schema: pa.Schema) -> Resolution:
    """The answer, or a question where it writes a value that its field can't hold."""
    if not isinstance(answer, Write) or answer.values is None:
        return answer
    for name, value in answer.values.items():
        try:
            arrow.array([value], arrow.type_of(schema, name))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            return Ask(f"the value written to {name!r} does not fit: {error}")
    return answer


def _loser(conflict: Conflict, answer: Resolution, by: str, share: set[str], row: int) -> Loser:
    wrote = isinstance(answer, Write)
    lost = conflict.target if wrote else conflict.source
    shown = share or set(lost or {})
    return Loser(
        row,
        conflict.kind,
        by,
        "source" if wrote else "target",
        {name: value for name, value in (lost or {}).items() if name in shown},
    )


def _take(
    verdict: Verdict,
    row: int,
    conflict: Conflict,
    answer: Resolution,
    names: Sequence[str],
    patches: dict[str, dict[int, Any]],
) -> None:
    if isinstance(answer, Ask):
        verdict.action[row] = Action.QUEUE
        verdict.write[row] = False
        verdict.agreed[row] = False
        verdict.waiting[row] = (conflict, answer.reason)
        return
    contested = np.array([name in conflict.contested for name in names])
    if isinstance(answer, Keep):
        verdict.kept[row] = contested
        return
    if answer.values is None:
        verdict.action[row] = Action.DELETE if conflict.target is not None else Action.NONE
        return
    written = np.array([name in answer.values for name in names])
    apart = np.array([name in answer.held for name in names])
    verdict.kept[row] = contested & ~written | apart
    verdict.agreed[row] &= ~written
    if conflict.target is None:
        verdict.action[row], verdict.write[row] = Action.INSERT, True
        verdict.kept[row] = False
    else:
        verdict.action[row] = Action.UPDATE
        verdict.write[row] |= written
    for name, value in answer.values.items():
        if conflict.source is None or not _same(conflict.source.get(name), value):
            patches.setdefault(name, {})[row] = value
    if conflict.source is None and conflict.target is not None:
        for name in names:  # a record whose source is gone keeps what is not written
            patches.setdefault(name, {}).setdefault(row, conflict.target[name])


def _leave(verdict: Verdict, row: int) -> None:
    """Leave a record that the target refused as the target has it, and remember that as decided."""
    left = {Action.INSERT: Effect.DELETE_UPDATE, Action.DELETE: Effect.UPDATE_DELETE}
    action = Action(verdict.action[row])
    verdict.effect[row] = left.get(action, Effect(verdict.effect[row]))
    verdict.kept[row] = verdict.write[row]
    verdict.write[row] = False
    verdict.action[row] = Action.NONE


def _same(source: Any, value: Any) -> bool:
    return type(source) is type(value) and source == value


def patched(values: pa.Table, patches: Mapping[str, Mapping[int, Any]]) -> pa.Table:
    """The table with single values replaced.

    Raises pa.ArrowInvalid where a value is not of the column's type.
    """
    for name, changes in patches.items():
        column = arrow.one_chunk(values.column(name))
        mask = np.zeros(len(column), np.bool_)
        mask[list(changes)] = True
        replaced = arrow.replace(column, mask, [changes[row] for row in sorted(changes)])
        values = values.set_column(values.schema.get_field_index(name), name, replaced)
    return values
