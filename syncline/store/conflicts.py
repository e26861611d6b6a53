"""Conflicts in the queue: finding them, one by one or by filter, and what happened to each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    and_,
    cast,
    func,
    select,
)

from syncline.conflict import Kind
from syncline.errors import InputError
from syncline.store.keys import among, is_live, key_digest, split
from syncline.store.model import LIVE, Decision, Entry, Event, History, State
from syncline.store.tables import conflicts, history, name_line

Sort = Literal["newest", "oldest", "updated", "mapping", "kind", "key"]
_PIECE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Filter:
    """Which conflicts are meant: those for which every part that is given holds.

    `state` None is any. `field` is one that is contested. `since` and `until` (exclusive) are when
    the conflict was opened. `text`: each of its words is somewhere in key, reason or a value that
    is not masked, in any case. `ids` None is any.
    """

    mapping: str | None = None
    state: Collection[State] | None = LIVE
    field: str | None = None
    kind: Kind | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    ids: Collection[int] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A conflict as a list shows it, without its records."""

    id: int
    state: State
    version: int
    mapping: str
    key: Mapping[str, Any]
    kind: Kind
    contested: frozenset[str]
    reason: str
    created_at: datetime
    updated_at: datetime
    decided_by: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some conflicts of a filter, and how many it has in all."""

    lines: tuple[Line, ...]
    total: int
    offset: int

    @property
    def more(self) -> bool:
        """Whether there are conflicts behind this page."""
        return self.offset + len(self.lines) < self.total


@dataclass(frozen=True, slots=True)
class Tally:
    """How many conflicts a filter has, in all and by each of its parts."""

    total: int
    by_state: Mapping[str, int]
    by_mapping: Mapping[str, int]
    by_kind: Mapping[str, int]
    by_field: Mapping[str, int]
    """Of contested fields: one conflict may count for several."""


_ID: Final[Any] = conflicts.c.id
_ORDERS: Final[Mapping[Sort, tuple[Any, ...]]] = {
    "newest": (_ID.desc(),),
    "oldest": (_ID,),
    "updated": (conflicts.c.updated_at.desc(), _ID.desc()),
    "mapping": (conflicts.c.mapping, _ID.desc()),
    "kind": (conflicts.c.kind, _ID.desc()),
    "key": (conflicts.c.mapping, cast(conflicts.c.key, String), _ID.desc()),
}
_LINE: Final = (
    conflicts.c.id, conflicts.c.state, conflicts.c.version, conflicts.c.mapping, conflicts.c.key,
    conflicts.c.kind, conflicts.c.contested, conflicts.c.reason, conflicts.c.created_at,
    conflicts.c.updated_at, conflicts.c.decision,
)  # fmt: skip


def page(connection: Connection, where: Filter, sort: Sort, limit: int, offset: int) -> Page:
    """One page of a filter, in the order of `sort`."""
    held = condition(connection, where)
    wanted = select(_ID).where(held).order_by(*_ORDERS[sort]).limit(limit).offset(offset)
    # First the numbers, then the rows: sorting would drag the records along.
    ids = list(connection.scalars(wanted))
    found: dict[int, Line] = {}
    for piece in split(ids):
        rows = connection.execute(select(*_LINE).where(among(connection, _ID, piece)))
        found |= {row.id: _line(row) for row in rows}
    total = connection.scalar(select(func.count()).select_from(conflicts).where(held)) or 0
    return Page(tuple(found[number] for number in ids if number in found), total, offset)


def tally(connection: Connection, where: Filter) -> Tally:
    """What a filter holds, counted."""
    parts = (
        conflicts.c.state, conflicts.c.mapping, conflicts.c.kind, conflicts.c.contested,
    )  # fmt: skip
    query = select(*parts, func.count().label("n"))
    query = query.where(condition(connection, where)).group_by(*parts)
    total, found = 0, tuple(dict[str, int]() for _ in range(4))
    for row in connection.execute(query):
        total += row.n
        names = [[row.state], [row.mapping], [row.kind], row.contested]
        for counts, several in zip(found, names, strict=True):
            for name in several:
                counts[name] = counts.get(name, 0) + row.n
    by_state, by_mapping, by_kind, by_field = (
        dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))) for counts in found
    )
    return Tally(total, by_state, by_mapping, by_kind, by_field)


def versions(connection: Connection, where: Filter) -> dict[int, int]:
    """The version of every conflict of a filter, by number, in their order."""
    query = select(_ID, conflicts.c.version).where(condition(connection, where)).order_by(_ID)
    return {row.id: row.version for row in connection.execute(query)}


def after(connection: Connection, where: Filter, last: int) -> list[Entry]:
    """The next entries of a filter behind the number `last`, whole, in their order."""
    query = select(conflicts).where(condition(connection, where)).where(last < _ID)
    rows = connection.execute(query.order_by(_ID).limit(_PIECE))
    return [entry_of(row) for row in rows]


def condition(connection: Connection, where: Filter) -> ColumnElement[bool]:
    """The filter as a condition."""
    return and_(True, *_parts(connection, where))


def _parts(connection: Connection, where: Filter) -> Iterator[ColumnElement[bool]]:
    columns = conflicts.c
    if where.ids is not None:
        yield among(connection, columns.id, list(where.ids))
    if where.state is not None:
        yield columns.state.in_([one.value for one in where.state])
    if where.mapping is not None:
        yield columns.mapping == where.mapping
    if where.kind is not None:
        yield columns.kind == where.kind.value
    if where.since is not None:
        yield columns.created_at >= where.since
    if where.until is not None:
        yield columns.created_at < where.until
    position = func.strpos if connection.dialect.name == "postgresql" else func.instr
    if where.field is not None:
        yield position(cast(columns.contested, String), name_line(where.field)) > 0
    for word in where.text.casefold().split():
        yield position(columns.search, word) > 0


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
            found[row.ledger_key] = entry_of(row)
    return found


def listed(connection: Connection, where: Filter, limit: int, offset: int) -> list[Entry]:
    """Whole entries, newest first."""
    query = select(conflicts).where(condition(connection, where)).order_by(_ID.desc())
    return [entry_of(row) for row in connection.execute(query.limit(limit).offset(offset))]


def one(connection: Connection, entry_id: int, *, lock: bool = False) -> Entry:
    """The entry. Raises InputError where there is none."""
    query = select(conflicts).where(entry_id == _ID)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        message = f"there is no conflict {entry_id}"
        raise InputError(message, hint="syncline conflicts list")
    return entry_of(row)


def locked(connection: Connection, ids: Sequence[int]) -> list[Entry]:
    """These entries, locked until the transaction ends; in one order, so that no two deadlock."""
    query = select(conflicts).where(among(connection, _ID, list(ids))).order_by(_ID)
    return [entry_of(row) for row in connection.execute(query.with_for_update())]


def decided(connection: Connection, mapping: str) -> list[Entry]:
    """Decisions that wait to be written, in the order they were queued."""
    query: Select[Any] = (
        select(conflicts)
        .where(conflicts.c.mapping == mapping)
        .where(conflicts.c.state == State.DECIDED.value)
        .order_by(_ID)
    )
    return [entry_of(row) for row in connection.execute(query)]


def settled(connection: Connection) -> dict[str, datetime]:
    """The mappings with decisions that wait to be written, each with its latest one's time."""
    query = (
        select(conflicts.c.mapping, func.max(conflicts.c.updated_at))
        .where(conflicts.c.state == State.DECIDED.value)
        .group_by(conflicts.c.mapping)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def events(connection: Connection, entry_id: int) -> list[History]:
    """All that happened to a conflict, oldest first."""
    query = select(history).where(history.c.conflict_id == entry_id).order_by(history.c.id)
    return [
        History(
            at=row.at, event=Event(row.event), run_id=row.run_id, by=row.by, note=row.note,
            source=row.source, target=row.target, decision=_decision(row.decision),
        )
        for row in connection.execute(query)
    ]  # fmt: skip


def entry_of(row: Row[Any]) -> Entry:
    """The entry of a row that has all columns."""
    return Entry(
        id=row.id, state=State(row.state), mapping=row.mapping, key=row.key,
        ledger_key=row.ledger_key, kind=Kind(row.kind), source=row.source, target=row.target,
        baseline=row.baseline, contested=row.contested, source_moved=row.source_moved,
        target_moved=row.target_moved, clock_source=row.clock_source,
        clock_target=row.clock_target, clock_digits=row.clock_digits,
        source_prints=row.source_prints, target_prints=row.target_prints, reason=row.reason,
        created_at=row.created_at, updated_at=row.updated_at, decision=_decision(row.decision),
        run_id=row.run_id, version=row.version, types=row.types, together=row.together,
    )  # fmt: skip


def _line(row: Any) -> Line:
    return Line(
        id=row.id, state=State(row.state), version=row.version, mapping=row.mapping, key=row.key,
        kind=Kind(row.kind), contested=row.contested, reason=row.reason,
        created_at=row.created_at, updated_at=row.updated_at,
        decided_by=row.decision["user"] if row.decision else None,
    )  # fmt: skip


def _decision(content: dict[str, Any] | None) -> Decision | None:
    return None if content is None else Decision(**content)
