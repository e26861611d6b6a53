"""Runs in the control store: begun, finished, listed; and the chunks of backfills that are done."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from syncline.errors import InputError
from syncline.store.keys import digest
from syncline.store.model import Chunk, Run
from syncline.store.tables import chunks, runs


def new_run_id(now: datetime) -> str:
    """An id that sorts by time: UTC to the microsecond, then 32 random bits."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"


def start(connection: Connection, mapping: str, mode: str, trigger: str, now: datetime) -> str:
    """Record that a run began."""
    run_id = new_run_id(now)
    connection.execute(
        insert(runs),
        {
            "run_id": run_id, "mapping": mapping, "mode": mode, "trigger": trigger,
            "status": "running", "started_at": now, "error": "",
        },
    )  # fmt: skip
    return run_id


def finish(
    connection: Connection, run_id: str, status: str, summary: Mapping[str, Any], error: str, *,
    now: datetime,
) -> None:  # fmt: skip
    """Record how it ended. Raises InputError for a run that never began.

    A delta may turn out to be a full sync: the summary knows.
    """
    ended: dict[str, Any] = {
        "status": status, "summary": dict(summary), "error": error, "finished_at": now,
    }  # fmt: skip
    if mode := summary.get("mode"):
        ended["mode"] = mode
    changed = connection.execute(update(runs).where(runs.c.run_id == run_id).values(ended))
    if changed.rowcount != 1:
        message = f"there is no run {run_id}"
        raise InputError(message, hint="syncline runs list")


def known(connection: Connection, run_id: str) -> bool:
    """Whether there is a run of this id."""
    found = connection.execute(select(runs.c.run_id).where(runs.c.run_id == run_id))
    return found.first() is not None


def interrupt_others(connection: Connection, run_id: str, *, now: datetime) -> None:
    """Record that the mapping's runs from before this one that never ended were cut off."""
    this = select(runs.c.mapping).where(runs.c.run_id == run_id).scalar_subquery()
    connection.execute(
        update(runs)
        .where(runs.c.mapping == this)
        .where(runs.c.status == "running")
        .where(runs.c.mode != "verify")
        .where(runs.c.run_id < run_id)
        .values(status="interrupted", error="it ended without a word", finished_at=now)
    )


def listed(
    connection: Connection, mapping: str | None, limit: int, before: str | None = None
) -> list[Run]:
    """Runs, newest first; `before` is the id of one, whose like and later ones are left out."""
    query = select(runs).order_by(runs.c.run_id.desc()).limit(limit)
    if mapping is not None:
        query = query.where(runs.c.mapping == mapping)
    if before is not None:
        query = query.where(runs.c.run_id < before)
    return [_run(row) for row in connection.execute(query)]


def one(connection: Connection, run_id: str) -> Run:
    """The run. Raises InputError where there is none."""
    row = connection.execute(select(runs).where(runs.c.run_id == run_id)).first()
    if row is None:
        message = f"there is no run {run_id}"
        raise InputError(message, hint="syncline runs list")
    return _run(row)


def _run(row: Row[Any]) -> Run:
    return Run(
        run_id=row.run_id, mapping=row.mapping, mode=row.mode, trigger=row.trigger,
        status=row.status, started_at=row.started_at, finished_at=row.finished_at,
        summary=row.summary or {}, error=row.error,
    )  # fmt: skip


def synced(connection: Connection) -> dict[str, datetime]:
    """The checkpoint's time of each mapping, from its newest run that ended well."""
    newest = (
        select(func.max(runs.c.run_id))
        .where(runs.c.status.in_(["ok", "waiting"]))
        .where(runs.c.mode.not_in(["verify", "plan"]))
        .group_by(runs.c.mapping)
    )
    found: dict[str, datetime] = {}
    for row in connection.execute(select(runs).where(runs.c.run_id.in_(newest))):
        summary: Mapping[str, Any] = row.summary or {}
        checkpoint = summary.get("checkpoint")
        if checkpoint is not None:
            found[row.mapping] = datetime.fromisoformat(checkpoint)
    return found


def _named(chunk: Chunk) -> str:
    return digest(repr(chunk.start), repr(chunk.end))


def chunks_left(
    connection: Connection, mapping: str, backfill: str, wanted: Iterable[Chunk]
) -> list[Chunk]:
    """Those chunks of a backfill that are not done yet, in the order given."""
    done = set(
        connection.scalars(
            select(chunks.c.chunk)
            .where(chunks.c.mapping == mapping)
            .where(chunks.c.backfill == digest(backfill))
        )
    )
    return [chunk for chunk in wanted if _named(chunk) not in done]


def chunk_done(
    connection: Connection, mapping: str, backfill: str, chunk: Chunk, run_id: str, *, now: datetime
) -> None:
    """Remember that a chunk is done. Idempotent."""
    same = (
        (chunks.c.mapping == mapping)
        & (chunks.c.backfill == digest(backfill))
        & (chunks.c.chunk == _named(chunk))
    )
    connection.execute(delete(chunks).where(same))
    connection.execute(
        insert(chunks),
        {
            "mapping": mapping, "backfill": digest(backfill), "chunk": _named(chunk),
            "run_id": run_id, "done_at": now,
        },
    )  # fmt: skip


def forget_chunks(connection: Connection, mapping: str, backfill: str) -> None:
    """Begin a backfill again from its first chunk."""
    connection.execute(
        delete(chunks)
        .where(chunks.c.mapping == mapping)
        .where(chunks.c.backfill == digest(backfill))
    )
