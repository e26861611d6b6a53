"""Who holds the horizon of PostgreSQL back: the oldest open transaction that the watermark waits
for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from syncline.endpoints.base import DeltaBy, Holder, Pulse
from syncline.endpoints.postgres_sql import literal
from syncline.errors import CheckpointVoid
from syncline.watermark import load
from syncline.watermark.postgres_xmin import SNAPSHOT

Query = Callable[[str], list[tuple[Any, ...]]]

CLOCK: Final = "SELECT pg_catalog.clock_timestamp()::text AS clock"
# A transaction that has written has an xid, which every role sees; when it began, and what its
# session does, are shown to its owner and to pg_read_all_stats.
OLDEST: Final = """
SELECT false AS prepared, a.pid::text AS id,
       coalesce(a.usename::text, a.backend_type, 'a system process') AS owner,
       nullif(a.application_name, '') AS application, a.state, a.xact_start::text AS since
FROM pg_catalog.pg_stat_activity a
WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.{told} IS NOT NULL ORDER BY {order} LIMIT 1
"""
PREPARED: Final = """
SELECT true AS prepared, p.gid AS id, p.owner::text AS owner, p.database::text AS application,
       'prepared' AS state, p.prepared::text AS since
FROM pg_catalog.pg_prepared_xacts p ORDER BY p.prepared LIMIT 1
"""


def pulse(query: Query, by: DeltaBy, since: str | None) -> Pulse:
    """The server's clock, and who holds the horizon back; `since` is the checkpoint's position."""
    clock = _instant(query(CLOCK)[0][0])
    by_xid = by == "xmin"
    told, order = (
        ("backend_xid", "pg_catalog.age(a.backend_xid) DESC")
        if by_xid
        else ("xact_start", "a.xact_start")
    )
    found = [
        *query(OLDEST.format(told=told, order=order)),
        *query(PREPARED),
    ]
    holders = [_holder(*row) for row in found]
    if by_xid and not _stands_still(query, since):
        holders = [holder for holder in holders if holder.since is not None]
    return Pulse(clock, min(holders, key=lambda h: h.since or clock, default=None))


def _stands_still(query: Query, since: str | None) -> bool:
    """Whether the horizon has not moved since the checkpoint."""
    try:
        return int(load(since, "xmin")["x"]) >= int(query(SNAPSHOT)[0][0])
    except CheckpointVoid:
        return False


def _holder(
    prepared: bool,
    number: str,
    owner: str,
    application: str | None,
    state: str | None,
    since: str | None,
) -> Holder:
    began = _instant(since) if since else None
    if prepared:
        who = f"a prepared transaction of {owner} in {application}"
        return Holder(who, began, f"ROLLBACK PREPARED {literal(number)}")
    who = f"session {number} of {owner}" + (f" ({application})" if application else "")
    if state:
        who += f", {state}"
    return Holder(who, began, f"SELECT pg_terminate_backend({number})")


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
