"""Conflicts arriving in the queue: how each meets the one that is already there, in whole batches.

Idempotent: a conflict seen again as it was changes nothing, so a batch delivered twice leaves one
entry a key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, literal, select, update

from syncline.store import values
from syncline.store.keys import among, digest, is_live, key_digest, split
from syncline.store.model import Event, State, Waiting
from syncline.store.tables import conflicts, history

_SETS: Final = frozenset({"contested", "source_moved", "target_moved"})
_SEARCHED: Final = 20_000
"""So many characters of a record can be found by text."""


class _Known(NamedTuple):
    id: int
    state: State
    content_digest: str
    source_prints: str
    target_prints: str


def queue(connection: Connection, waiting: Sequence[Waiting], now: datetime) -> None:
    """Open, refresh or reopen an entry for each; where a key comes twice the later one counts."""
    by_mapping: dict[str, dict[str, Waiting]] = defaultdict(dict)
    for one in waiting:
        by_mapping[one.mapping][key_digest(one.mapping, one.ledger_key)] = one
    for mapping in sorted(by_mapping):  # in one order, so that no two writers deadlock
        _lock(connection, mapping)
        for piece in split(list(by_mapping[mapping].items())):
            _queue_piece(connection, dict(piece), now)


def _lock(connection: Connection, mapping: str) -> None:
    # Two that insert the same key at once would both see none; SQLite has one writer anyway.
    if connection.dialect.name == "postgresql":
        lock = int.from_bytes(bytes.fromhex(digest("queue", mapping))[:8], "little", signed=True)
        connection.execute(select(func.pg_advisory_xact_lock(lock)))


def _queue_piece(connection: Connection, arriving: Mapping[str, Waiting], now: datetime) -> None:
    known = _known(connection, list(arriving))
    rows = {key: _row(one, key, now) for key, one in arriving.items()}
    fresh = [row for key, row in rows.items() if key not in known]
    moved: dict[Event, list[tuple[_Known, dict[str, Any]]]] = defaultdict(list)
    for key, entry in known.items():
        event = _meets(entry, rows[key])
        if event:
            moved[event].append((entry, rows[key]))
    for event, pairs in moved.items():
        _move(connection, event, pairs, now)
    if fresh:
        connection.execute(insert(conflicts), [row | {"created_at": now} for row in fresh])
        _opened(connection, [row["key_digest"] for row in fresh], now)


def _meets(entry: _Known, row: Mapping[str, Any]) -> Event | None:
    """What an arriving conflict means to the live entry of its key."""
    same_prints = (entry.source_prints, entry.target_prints) == (
        row["source_prints"], row["target_prints"]
    )  # fmt: skip
    match entry.state:
        case State.STALE:  # the fresh look that it waited for
            return Event.REOPENED
        case State.DECIDED:  # on these very images the decision stands, and waits to be written
            return None if same_prints else Event.STALE
        case _:
            return None if entry.content_digest == row["content_digest"] else Event.REFRESHED


def _known(connection: Connection, keys: list[str]) -> dict[str, _Known]:
    query = (
        select(
            conflicts.c.key_digest, conflicts.c.id, conflicts.c.state, conflicts.c.content_digest,
            conflicts.c.source_prints, conflicts.c.target_prints,
        )
        .where(among(connection, conflicts.c.key_digest, keys))
        .where(is_live())
        .with_for_update()
    )  # fmt: skip
    return {
        row.key_digest: _Known(
            row.id, State(row.state), row.content_digest, row.source_prints, row.target_prints
        )
        for row in connection.execute(query)
    }


def _row(one: Waiting, key: str, now: datetime) -> dict[str, Any]:
    conflict = one.conflict
    row: dict[str, Any] = {
        "state": State.OPEN.value,
        "mapping": one.mapping,
        "key_digest": key,
        "ledger_key": one.ledger_key,
        "key": dict(one.key),
        "kind": conflict.kind.value,
        "source": None if conflict.source is None else dict(conflict.source),
        "target": None if conflict.target is None else dict(conflict.target),
        "baseline": dict(conflict.baseline),
        "contested": conflict.contested,
        "source_moved": conflict.source_moved,
        "target_moved": conflict.target_moved,
        "clock_source": conflict.clock_source,
        "clock_target": conflict.clock_target,
        "clock_digits": conflict.clock_digits,
        "source_prints": one.source_prints,
        "target_prints": one.target_prints,
    }
    # Without the reason: seen again as it was, a conflict waits for another one, and a decision on
    # what was shown must not be refused for that.
    content = values.encode(
        {name: sorted(row[name]) if name in _SETS else row[name] for name in row}
        | ({"together": sorted(map(sorted, conflict.together))} if conflict.together else {})
    )
    return row | {
        "content_digest": digest(content),
        "reason": one.reason,
        "decision": None,
        "run_id": one.run_id,
        "updated_at": now,
        "types": dict(one.types),
        "together": conflict.together,
        "search": searched(one),
    }


def searched(one: Waiting) -> str:
    """The text by which a conflict is found: key, reason, and every value that is not masked.

    Case-folded; of a long record the beginning.
    """
    conflict = one.conflict
    sides = (conflict.source or {}, conflict.target or {})
    shown = (v for side in sides for name, v in side.items() if name not in one.masked)
    words = [one.mapping, *map(_word, one.key.values()), one.reason, *map(_word, shown)]
    return "\n".join(dict.fromkeys(filter(None, words))).casefold()[:_SEARCHED]


def _word(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return value.hex() if isinstance(value, bytes) else str(value)


def _move(
    connection: Connection, event: Event, pairs: list[tuple[_Known, dict[str, Any]]], now: datetime
) -> None:
    remember(connection, event, [entry.id for entry, _ in pairs], now, run_id=pairs[0][1]["run_id"])
    columns = [name for name in pairs[0][1] if name not in {"mapping", "key_digest"}]
    statement = (
        update(conflicts)
        .where(conflicts.c.id == bindparam("entry_id"))
        .values({name: bindparam(f"to_{name}", type_=conflicts.c[name].type) for name in columns})
        .values(version=conflicts.c.version + 1)
    )
    connection.execute(
        statement,
        [{"entry_id": e.id} | {f"to_{name}": row[name] for name in columns} for e, row in pairs],
    )
    if event is Event.STALE:  # a run brought the fresh look with it
        remember(
            connection, Event.REOPENED, [entry.id for entry, _ in pairs], now,
            run_id=pairs[0][1]["run_id"], images=False,
        )  # fmt: skip


def _opened(connection: Connection, keys: list[str], now: datetime) -> None:
    chosen = (
        select(
            conflicts.c.id, literal(now, history.c.at.type), literal(Event.OPENED.value),
            conflicts.c.run_id, literal("", history.c.by.type), conflicts.c.reason,
        )
        .where(among(connection, conflicts.c.key_digest, keys))
        .where(is_live())
        .order_by(conflicts.c.id)
    )  # fmt: skip
    connection.execute(
        insert(history).from_select(["conflict_id", "at", "event", "run_id", "by", "note"], chosen)
    )


def remember(
    connection: Connection, event: Event, ids: Sequence[int], now: datetime, *,
    run_id: str = "", by: str = "", note: str = "", images: bool = True,
) -> None:  # fmt: skip
    """Write an event into the history, with the images and decision that it is about to replace."""
    names = ["conflict_id", "at", "event", "run_id", "by", "note"]
    wanted: list[Any] = [
        conflicts.c.id, literal(now, history.c.at.type), literal(event.value), literal(run_id),
        literal(by, history.c.by.type), literal(note, history.c.note.type),
    ]  # fmt: skip
    if images:
        names += ["source", "target", "decision"]
        wanted += [conflicts.c.source, conflicts.c.target, conflicts.c.decision]
    for piece in split(ids):
        chosen = (
            select(*wanted).where(among(connection, conflicts.c.id, piece)).order_by(conflicts.c.id)
        )
        connection.execute(insert(history).from_select(names, chosen))
