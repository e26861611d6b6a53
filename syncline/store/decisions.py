"""Decisions: each step that one takes from open to applied, for one conflict or for thousands.

Optimistic: whoever decides says which version of the entry, and which images, they saw. Of two
decisions on one conflict the second is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from syncline.errors import DecisionRefused
from syncline.store.arrival import remember
from syncline.store.conflicts import locked, one
from syncline.store.drafts import forget
from syncline.store.keys import among, is_live, key_digest, split
from syncline.store.model import Decision, Entry, Event, State
from syncline.store.tables import conflicts

_ADVICE: Final[Mapping[State, str]] = {
    State.DECIDED: "take the decision back first: syncline conflicts undo {id}",
    State.STALE: "a side moved; the next run shows it again: syncline run {mapping}",
}


def decide(
    connection: Connection, entry_id: int, decision: Decision, now: datetime,
    version: int | None = None,
) -> Entry:  # fmt: skip
    """From open to decided.

    Raises DecisionRefused where it is not open, or moved since it was seen.
    """
    entry = one(connection, entry_id, lock=True)
    why = refusal(entry, decision, version)
    if why:
        hint = _ADVICE.get(entry.state, "look again: syncline conflicts show {id}")
        raise DecisionRefused(
            f"conflict {entry_id} {why}", hint=hint.format(id=entry_id, mapping=entry.mapping)
        )
    _decided(connection, {entry_id: decision}, now)
    return one(connection, entry_id)


def refusal(entry: Entry, decision: Decision | None, version: int | None = None) -> str:
    """Why the entry can't be decided so; empty where it can."""
    if entry.state is not State.OPEN:
        by = f" by {entry.decision.user}" if entry.decision else ""
        return f"is {entry.state}{by}, so it can't be decided"
    if version is not None and version != entry.version:
        return "has changed since it was shown"
    if decision is None:
        return ""
    seen = (decision.source_prints, decision.target_prints)
    if seen != (entry.source_prints, entry.target_prints):
        return "has moved since it was shown"
    return ""


def decide_all(
    connection: Connection, seen: Mapping[int, int], made: Callable[[Entry], Decision | str],
    now: datetime,
) -> tuple[list[int], dict[int, str]]:  # fmt: skip
    """From open to decided, of every entry that still has the version that was seen.

    `made` gives the decision, or why there is none. Gives the numbers of those decided, and why the
    others were not.
    """
    taken: list[int] = []
    refused: dict[int, str] = dict.fromkeys(seen, "is not there")
    for piece in split(sorted(seen), 1_000):
        wanted: dict[int, Decision] = {}
        for entry in locked(connection, piece):
            made_of_it = made(entry) if entry.state is State.OPEN else None
            if isinstance(made_of_it, str):
                refused[entry.id] = made_of_it
            elif why := refusal(entry, made_of_it, seen[entry.id]):
                refused[entry.id] = why
            elif made_of_it is not None:
                wanted[entry.id] = made_of_it
        if wanted:
            _decided(connection, wanted, now)
        taken += wanted
    done = set(taken)
    return taken, {number: why for number, why in refused.items() if number not in done}


def _decided(connection: Connection, wanted: Mapping[int, Decision], now: datetime) -> None:
    by_maker: dict[tuple[str, str], list[int]] = {}
    for number, decision in wanted.items():
        by_maker.setdefault((decision.user, decision.note), []).append(number)
    for (user, note), ids in by_maker.items():
        remember(connection, Event.DECIDED, ids, now, by=user, note=note, images=False)
        forget(connection, user, ids)
    statement = (
        update(conflicts)
        .where(conflicts.c.id == bindparam("entry_id"))
        .values(
            state=State.DECIDED.value,
            decision=bindparam("made", type_=conflicts.c.decision.type),
            updated_at=now,
            version=conflicts.c.version + 1,
        )
    )
    connection.execute(
        statement, [{"entry_id": n, "made": _written(made)} for n, made in wanted.items()]
    )


def undo(connection: Connection, entry_id: int, now: datetime, *, user: str = "") -> Entry:
    """From decided to open. Raises DecisionRefused where it is not decided."""
    entry = one(connection, entry_id, lock=True)
    if entry.state is not State.DECIDED:
        message = f"conflict {entry_id} is {entry.state}, so there is no decision to take back"
        raise DecisionRefused(message, hint=f"syncline conflicts show {entry_id}")
    remember(connection, Event.UNDONE, [entry_id], now, by=user)
    _set(connection, [entry_id], now, state=State.OPEN, decision=None)
    return one(connection, entry_id)


def undo_all(connection: Connection, ids: Sequence[int], now: datetime, *, user: str) -> list[int]:
    """From decided to open, those of these that are decided; their numbers."""
    undone: list[int] = []
    for piece in split(ids):
        still = _in_state(connection, piece)
        remember(connection, Event.UNDONE, still, now, by=user)
        _set(connection, still, now, state=State.OPEN, decision=None)
        undone += still
    return undone


def applied(
    connection: Connection, entries: Sequence[Entry], now: datetime, *, run_id: str
) -> None:
    """From decided to applied.

    An entry whose decision was taken back while it was being written gets it back: it is on the
    target.
    """
    by_id = {entry.id: entry for entry in entries}
    for piece in split(list(by_id)):
        still = _in_state(connection, piece)
        remember(connection, Event.APPLIED, still, now, run_id=run_id)
        _set(connection, still, now, state=State.APPLIED)
        for number in _in_state(connection, piece, State.OPEN):
            _undone_too_late(connection, by_id[number], now, run_id)


def _undone_too_late(connection: Connection, entry: Entry, now: datetime, run_id: str) -> None:
    is_now = one(connection, entry.id)
    prints = (is_now.source_prints, is_now.target_prints)
    if entry.decision is None or prints != (entry.source_prints, entry.target_prints):
        return
    note = "taken back too late: it was being written"
    remember(connection, Event.APPLIED, [entry.id], now, run_id=run_id, note=note)
    made = _written(entry.decision)
    _set(connection, [entry.id], now, state=State.APPLIED, decision=made)


def refuse(
    connection: Connection, ids: Sequence[int], now: datetime, *,
    run_id: str, note: str,
) -> None:  # fmt: skip
    """From decided to stale; one that is not decided (any more) stays as it is."""
    for piece in split(ids):
        still = _in_state(connection, piece)
        remember(connection, Event.STALE, still, now, run_id=run_id, note=note)
        _set(connection, still, now, state=State.STALE, decision=None)


def _in_state(
    connection: Connection, ids: Sequence[int], state: State = State.DECIDED
) -> list[int]:
    query = (
        select(conflicts.c.id)
        .where(among(connection, conflicts.c.id, ids))
        .where(conflicts.c.state == state.value)
        .order_by(conflicts.c.id)
        .with_for_update()
    )
    return list(connection.scalars(query))


def supersede(
    connection: Connection, mapping: str, ledger_keys: Sequence[str], now: datetime, *,
    run_id: str, reason: str,
) -> None:  # fmt: skip
    """From open or stale to superseded, for the keys that have such an entry.

    A decided one is left to whoever writes it, which finds it written, or stale.
    """
    for piece in split([key_digest(mapping, key) for key in ledger_keys]):
        query = (
            select(conflicts.c.id)
            .where(among(connection, conflicts.c.key_digest, piece))
            .where(is_live())
            .where(conflicts.c.state != State.DECIDED.value)
            .with_for_update()
        )
        ids = list(connection.scalars(query))
        remember(connection, Event.SUPERSEDED, ids, now, run_id=run_id, note=reason)
        _set(connection, ids, now, state=State.SUPERSEDED)


def _set(connection: Connection, ids: Sequence[int], now: datetime, **to: Any) -> None:
    changes = {name: v.value if isinstance(v, State) else v for name, v in to.items()}
    for piece in split(ids):
        connection.execute(
            update(conflicts)
            .where(among(connection, conflicts.c.id, piece))
            .values(updated_at=now, version=conflicts.c.version + 1, **changes)
        )


def _written(decision: Decision) -> dict[str, Any]:
    return {
        "take": decision.take,
        "user": decision.user,
        "at": decision.at,
        "source_prints": decision.source_prints,
        "target_prints": decision.target_prints,
        "values": dict(decision.values),
        "note": decision.note,
        "sides": dict(decision.sides),
    }
