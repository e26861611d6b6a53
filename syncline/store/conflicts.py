"""Conflicts in the queue: finding them, and each step a decision takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, update

from syncline.conflict import Kind
from syncline.errors import InputError
from syncline.store.arrival import remember
from syncline.store.keys import among, is_live, key_digest, split
from syncline.store.model import Decision, Entry, Event, History, State
from syncline.store.tables import conflicts, history, name_line


def waiting(connection: Connection, mapping: str, ledger_keys: Sequence[str]) -> dict[str, Entry]:
    """The live entry of each key that has one."""
    found: dict[str, Entry] = {}
    for piece in split([key_digest(mapping, key) for key in ledger_keys]):
        query = (
            select(conflicts)
            .where(among(connection, conflicts.c.key_digest, piece))
            .where(is_live())
        )
        for row in connection.execute(query):
            found[row.ledger_key] = _entry(row)
    return found


def listed(
    connection: Connection,
    *,
    mapping: str | None,
    state: State | Collection[State] | None,
    field: str | None,
    kind: Kind | None,
    limit: int,
    offset: int,
) -> list[Entry]:
    """Entries, newest first."""
    query = select(conflicts).order_by(conflicts.c.id.desc()).limit(limit).offset(offset)
    if mapping is not None:
        query = query.where(conflicts.c.mapping == mapping)
    if state is not None:
        states = [state] if isinstance(state, State) else list(state)
        query = query.where(conflicts.c.state.in_([one.value for one in states]))
    if kind is not None:
        query = query.where(conflicts.c.kind == kind.value)
    if field is not None:
        query = _contesting(query, field, connection.dialect.name)
    return [_entry(row) for row in connection.execute(query)]


def _contesting(query: Select[Any], field: str, dialect: str) -> Select[Any]:
    from sqlalchemy import String, cast

    position = func.strpos if dialect == "postgresql" else func.instr
    return query.where(position(cast(conflicts.c.contested, String), name_line(field)) > 0)


def one(connection: Connection, entry_id: int, *, lock: bool = False) -> Entry:
    """The entry. Raises InputError where there is none."""
    query = select(conflicts).where(conflicts.c.id == entry_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        message = f"there is no conflict {entry_id}"
        raise InputError(message, hint="syncline conflicts list")
    return _entry(row)


def decided(connection: Connection, mapping: str) -> list[Entry]:
    """Decisions that wait to be written, in the order they were queued."""
    query = (
        select(conflicts)
        .where(conflicts.c.mapping == mapping)
        .where(conflicts.c.state == State.DECIDED.value)
        .order_by(conflicts.c.id)
    )
    return [_entry(row) for row in connection.execute(query)]


def decide(connection: Connection, entry_id: int, decision: Decision, now: datetime) -> Entry:
    """From open to decided. Raises InputError where it is not open, or moved since it was seen."""
    entry = one(connection, entry_id, lock=True)
    if entry.state is not State.OPEN:
        raise InputError(
            f"conflict {entry_id} is {entry.state}, so it can't be decided",
            hint=_ADVICE.get(entry.state, "").format(id=entry_id, mapping=entry.mapping),
        )
    seen = (decision.source_prints, decision.target_prints)
    if seen != (entry.source_prints, entry.target_prints):
        message = f"conflict {entry_id} has moved since it was shown"
        raise InputError(message, hint=f"look again: syncline conflicts show {entry_id}")
    remember(
        connection, Event.DECIDED, [entry_id], now, by=decision.user, note=decision.note,
        images=False,
    )  # fmt: skip
    _set(connection, [entry_id], now, state=State.DECIDED, decision=_written(decision))
    return one(connection, entry_id)


_ADVICE: Mapping[State, str] = {
    State.DECIDED: "take the decision back first: syncline conflicts resolve {id} --undo",
    State.STALE: "a side moved; the next run shows it again: syncline run {mapping}",
}


def undo(connection: Connection, entry_id: int, now: datetime) -> Entry:
    """From decided to open. Raises InputError where it is not decided."""
    entry = one(connection, entry_id, lock=True)
    if entry.state is not State.DECIDED:
        message = f"conflict {entry_id} is {entry.state}, so there is no decision to take back"
        raise InputError(message, hint=f"syncline conflicts show {entry_id}")
    remember(connection, Event.UNDONE, [entry_id], now)
    _set(connection, [entry_id], now, state=State.OPEN, decision=None)
    return one(connection, entry_id)


def settle(
    connection: Connection, ids: Sequence[int], state: State, now: datetime, *,
    run_id: str, note: str,
) -> None:  # fmt: skip
    """From decided to applied or stale; one that is not decided (any more) stays as it is."""
    event = Event.APPLIED if state is State.APPLIED else Event.STALE
    for piece in split(ids):
        query = (
            select(conflicts.c.id)
            .where(among(connection, conflicts.c.id, piece))
            .where(conflicts.c.state == State.DECIDED.value)
            .with_for_update()
        )
        still = list(connection.scalars(query))
        remember(connection, event, still, now, run_id=run_id, note=note)
        if state is State.STALE:
            _set(connection, still, now, state=state, decision=None)
        else:  # what was decided stays readable on the entry
            _set(connection, still, now, state=state)


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


def events(connection: Connection, entry_id: int) -> list[History]:
    """All that happened to a conflict, oldest first."""
    query = select(history).where(history.c.conflict_id == entry_id).order_by(history.c.id)
    return [
        History(
            at=row.at, event=Event(row.event), run_id=row.run_id, by=row.by, note=row.note,
            source=row.source, target=row.target, decision=_read(row.decision),
        )
        for row in connection.execute(query)
    ]  # fmt: skip


def _set(connection: Connection, ids: Sequence[int], now: datetime, **to: Any) -> None:
    changes = {name: v.value if isinstance(v, State) else v for name, v in to.items()}
    for piece in split(ids):
        connection.execute(
            update(conflicts)
            .where(among(connection, conflicts.c.id, piece))
            .values(updated_at=now, **changes)
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
    }


def _read(content: dict[str, Any] | None) -> Decision | None:
    return None if content is None else Decision(**content)


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        id=row.id, state=State(row.state), mapping=row.mapping, key=row.key,
        ledger_key=row.ledger_key, kind=Kind(row.kind), source=row.source, target=row.target,
        baseline=row.baseline, contested=row.contested, source_moved=row.source_moved,
        target_moved=row.target_moved, clock_source=row.clock_source,
        clock_target=row.clock_target, clock_digits=row.clock_digits,
        source_prints=row.source_prints, target_prints=row.target_prints, reason=row.reason,
        created_at=row.created_at, updated_at=row.updated_at, decision=_read(row.decision),
        run_id=row.run_id,
    )  # fmt: skip
