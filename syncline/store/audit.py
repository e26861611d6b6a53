"""The audit log: who or what decided each conflict, and the values that lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Text, cast, or_, select

from syncline.store import values
from syncline.store.keys import digest, insert_into, split
from syncline.store.model import AuditEntry
from syncline.store.tables import audit


def put(connection: Connection, entries: Sequence[AuditEntry], now: datetime) -> None:
    """Append entries; a transaction tried again says nothing twice."""
    for piece in split(entries):
        rows = {row["content_digest"]: row for row in (_row(entry, now) for entry in piece)}
        statement = insert_into(connection.dialect.name, audit).on_conflict_do_nothing(
            index_elements=["content_digest"]
        )
        connection.execute(statement, list(rows.values()))


def listed(
    connection: Connection,
    mapping: str | None,
    limit: int,
    text: str | None,
    *,
    run_id: str | None = None,
    before: int | None = None,
) -> list[AuditEntry]:
    """Entries, newest first; `text` is looked for in any case, as `Store.audit_log` says."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if mapping is not None:
        query = query.where(audit.c.mapping == mapping)
    if run_id is not None:
        query = query.where(audit.c.run_id == run_id)
    if before is not None:
        query = query.where(audit.c.id < before)
    if text:
        columns = (audit.c.key, audit.c.loser, audit.c.note, audit.c.by, audit.c.winner)
        written = json.dumps(text)[1:-1]  # keys and values are kept as ASCII
        query = query.where(
            or_(
                *(
                    cast(column, Text).icontains(wanted, autoescape=True)
                    for column in columns
                    for wanted in {text, written}
                )
            )
        )
    return [_entry(row) for row in connection.execute(query)]


def _row(entry: AuditEntry, now: datetime) -> dict[str, Any]:
    row: dict[str, Any] = {
        "mapping": entry.mapping,
        "key": dict(entry.key),
        "run_id": entry.run_id,
        "kind": entry.kind,
        "by": entry.by,
        "winner": entry.winner,
        "loser": dict(entry.loser),
        "note": entry.note,
    }
    return row | {"at": entry.at or now, "content_digest": digest(values.encode(row))}


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        mapping=row.mapping, key=row.key, run_id=row.run_id, kind=row.kind, by=row.by,
        winner=row.winner, loser=row.loser, note=row.note, id=row.id, at=row.at,
    )  # fmt: skip
