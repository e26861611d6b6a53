"""The watermark `timestamp` of PostgreSQL: bounded, and fast where the cursor has an index.

The horizon is the start of the oldest open transaction, taken before the first read, less a margin:
what is still to commit cannot have stamped its rows earlier, if it used this server's clock.

- Let H be taken at h, before the snapshot s, and let transaction T stamp its rows with now(), which
  is its own start t (https://www.postgresql.org/docs/current/functions-datetime.html).
- Where T committed before s, the read has its rows. Else T was open at h, and H <= t, or began
  after it, and H <= h <= t. Its rows carry t >= H: the next delta reads them.
- A prepared transaction is in no session's list, and holds H where it was. The margin covers that
  `xact_start` is set a moment after the clock was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from syncline.endpoints.base import Guarantee
from syncline.errors import InputError
from syncline.record import Type
from syncline.watermark import dump, load
from syncline.watermark.postgres_xmin import same_database, unchanged

Query = Callable[[str], list[tuple[Any, ...]]]

CHECKS: Final = """
SELECT pg_catalog.pg_is_in_recovery() AS standby,
       pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS allowed,
       current_setting('track_activities') = 'on' AS tracked,
       current_user::text AS role
"""
# Every database and backend kind: a worker of logical replication writes with its own clock reading
# too.
OLDEST: Final = """
SELECT (least(pg_catalog.clock_timestamp(),
              (SELECT min(a.xact_start) FROM pg_catalog.pg_stat_activity a
                WHERE a.pid <> pg_catalog.pg_backend_pid()))
        - interval '{margin} seconds')::text AS horizon,
       EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts p
         WHERE p.database = current_database()) AS prepared
"""
ZONE: Final = "SELECT reset_val::text AS zone FROM pg_catalog.pg_settings WHERE name = 'TimeZone'"

MARGIN_SECONDS: Final = 1
CURSOR_TYPES: Final = frozenset({"timestamptz", "timestamp", "date"})
GUARANTEE: Final = Guarantee(
    "bounded",
    "a change is found if its transaction set the cursor column from this server's now(); one that"
    " leaves the column as it is, or sets it from another clock, is not",
)
_UTC: Final = frozenset({"UTC", "Etc/UTC", "GMT", "Etc/GMT", "UCT", "Zulu"})
_INSTEAD: Final = "or set `delta: {by: xmin}`, which needs no such right"


def take(query: Query, since: str | None) -> str | None:
    """The horizon now, as text of a timestamptz, to be called before the snapshot is taken.

    `query` runs a statement outside of any older transaction. An open prepared transaction keeps
    the horizon where it was (`since`, None where there was none): nobody can tell when it began.
    Raises InputError where this server or role can't tell.
    """
    _check(query)
    oldest, prepared = query(OLDEST.format(margin=MARGIN_SECONDS))[0]
    if prepared:
        return load(since, "timestamp")["from"] if since else None
    return str(oldest)


def _check(query: Query) -> None:
    standby, allowed, tracked, role = query(CHECKS)[0]
    if standby:
        raise InputError(
            "the source is a standby, which does not know its primary's open transactions",
            hint=f"read from the primary, {_INSTEAD}",
        )
    if not allowed:
        raise InputError(
            f"a timestamp cursor needs to see other sessions' transactions; role {role} can't",
            hint=f'GRANT pg_read_all_stats TO "{role}", {_INSTEAD}',
        )
    if not tracked:
        raise InputError(
            "track_activities is off, and a timestamp cursor needs it",
            hint=f"turn it on, {_INSTEAD}",
        )


def horizon(at: str | None, cursor: str, identity: Mapping[str, str]) -> str:
    """The horizon as JSON; `at` None begins the next delta with every row."""
    return dump("timestamp", {"from": at, "cursor": cursor, **identity})


def start_of(
    since: str | None, at: str | None, cursor: str, identity: Mapping[str, str]
) -> str | None:
    """The instant from which a delta reads (inclusive), as text; None for every row.

    Raises GuardStopped and CheckpointVoid as `xmin` does, and where another column was the cursor.
    """
    then = load(since, "timestamp")
    same_database(then, identity)
    unchanged({**then, "cursor": cursor}, identity)
    start = then["from"] if then.get("cursor") == cursor else None
    if start is None or at is None:
        return start
    # The earlier of the two: a server clock set back stamps rows before the last horizon.
    return min(start, at, key=datetime.fromisoformat)


def condition(start: str | None, column: str, type_: Type, query: Query) -> str:
    """The SQL condition for rows whose cursor is not before `start`.

    Raises InputError where the cursor is no time.
    """
    if type_.name not in CURSOR_TYPES:
        raise InputError(
            f"the cursor {column} is {type_}, not a time that the server's clock could have set",
            hint=f"name a timestamp column, {_INSTEAD}",
        )
    if start is None:
        return f"{column} IS NOT NULL"
    instant = f"CAST('{datetime.fromisoformat(start).isoformat()}' AS timestamptz)"
    if type_.name == "timestamptz":
        return f"{column} >= {instant}"
    zone = str(query(ZONE)[0][0])
    # Without a zone the column has the writers' wall clock, taken to be the server's; where clocks
    # are set back in autumn, an hour comes twice.
    slack = "" if zone in _UTC else " - interval '1 hour'"
    local = f"(({instant} AT TIME ZONE '{zone.replace(chr(39), chr(39) * 2)}'){slack})"
    return f"{column} >= {local}::date" if type_.name == "date" else f"{column} >= {local}"
