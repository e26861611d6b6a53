"""What moved in the control store: cheap to ask every second, whoever wrote it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from syncline.store.keys import is_live
from syncline.store.model import Counts, State
from syncline.store.tables import audit, conflicts, dead_letters, history, runs


@dataclass(frozen=True, slots=True)
class Pulse:
    """Marks that move when something of their kind does. Two pulses are compared, nothing else."""

    conflicts: int
    """The newest event of any conflict."""
    dead_letters: tuple[int, int]
    """How many, and the newest. One that failed again moves `runs`."""
    runs: tuple[str, int]
    """The newest run, and how many have not ended."""
    audit: int


def pulse(connection: Connection) -> Pulse:
    """The marks now."""
    letters = connection.execute(
        select(func.count(), func.max(dead_letters.c.id)).select_from(dead_letters)
    ).one()
    newest = connection.scalar(select(func.max(runs.c.run_id)))
    going = connection.scalar(select(func.count()).where(runs.c.status == "running"))
    return Pulse(
        conflicts=connection.scalar(select(func.max(history.c.id))) or 0,
        dead_letters=(letters[0], letters[1] or 0),
        runs=(newest or "", going or 0),
        audit=connection.scalar(select(func.max(audit.c.id))) or 0,
    )


@dataclass(frozen=True, slots=True)
class Moved:
    """One event of a conflict, as others are told of it: no values, which may be masked."""

    mark: int
    conflict: int
    mapping: str
    event: str
    by: str


def moved_since(connection: Connection, mark: int, limit: int) -> list[Moved]:
    """The events of conflicts after a mark, the newest `limit` of them, oldest first."""
    query = (
        select(history.c.id, history.c.conflict_id, conflicts.c.mapping, history.c.event)
        .add_columns(history.c.by)
        .join(conflicts, conflicts.c.id == history.c.conflict_id)
        .where(history.c.id > mark)
        .order_by(history.c.id.desc())
        .limit(limit)
    )
    return [Moved(*row) for row in reversed(connection.execute(query).all())]


def counts(connection: Connection, mapping: str) -> Counts:
    """What waits, of one mapping."""
    state = conflicts.c.state
    for_person = case((state.in_([State.OPEN.value, State.STALE.value]), 1), else_=0)
    for_writing = case((state == State.DECIDED.value, 1), else_=0)
    waiting = (
        select(func.sum(for_person), func.sum(for_writing))
        .where(conflicts.c.mapping == mapping)
        .where(is_live())
    )
    letters = select(func.count()).where(dead_letters.c.mapping == mapping)
    people, writes = connection.execute(waiting).one()
    return Counts(
        open_conflicts=int(people or 0),
        decided=int(writes or 0),
        dead_letters=connection.execute(letters).scalar_one(),
    )
