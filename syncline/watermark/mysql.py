"""The horizon of MySQL and MariaDB: the start of the oldest open transaction, less a margin.

Taken before the snapshot of a read: whatever commits later has stamped its rows later, if it
stamped them with this server's NOW(). Bounded, not exact: nobody else's clock is covered.

- Let H be taken at h, before the snapshot s. NOW() is the start n of the statement that stamps a
  row, in the transaction T that commits at c. Where c is before s, the read has the row.
- Else T was open at h, or it had not begun to write. In the first case it stands in INNODB_TRX,
  with a start that is at most the margin after the n of its first statement: H <= n. In the second
  n is at most the margin before h: H <= n. The next delta reads it.
- A log that is durable only up to before where it was, or another table under the name whose latest
  cursor is before the one seen last, is a copy restored, or another database: that stops.
- INNODB_TRX is a copy of up to 0.1 s of age (`_oldest`), and a prepared XA transaction has no start
  to go by: it holds H where it was (https://mariadb.com/kb/en/information-schema-innodb_trx-table/).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from syncline.endpoints.base import Guarantee, Holder, Pulse
from syncline.endpoints.sql_session import Session
from syncline.errors import (
    CheckpointVoid,
    CredentialsRefused,
    GuardStopped,
    InputError,
    SynclineError,
    Unreachable,
)
from syncline.record import Type
from syncline.watermark import LOG, load, sql

BOUNDED: Final = Guarantee(
    "bounded",
    "a change is found if its transaction set the cursor from this server's NOW(); one that"
    " leaves the cursor as it"
    " is, or sets it from another clock, is missed until the next full run",
)
CURSORS: Final = frozenset({"timestamp", "timestamptz", "date"})
# A statement fixes NOW() a moment before InnoDB begins its transaction: measured, one second
# covers it.
MARGIN_SECONDS: Final = 1
WITHOUT_SESSION: Final = "a transaction without a session, the server's own or a prepared one"
_TICK: Final = timedelta(seconds=1)
_TRIES: Final = 40
_PAUSE_SECONDS: Final = 0.13

# trx_started is local time of the server's process, whatever the session's time zone.
OLDEST: Final = """
SELECT /* {token} */ NOW(6),
       LEAST(NOW(6), COALESCE(CONVERT_TZ(
         MIN(CASE WHEN trx_is_read_only = 0 AND trx_mysql_thread_id <> CONNECTION_ID()
                  THEN trx_started END), 'SYSTEM', '+00:00'), NOW(6))) - INTERVAL {margin} SECOND,
       MAX(trx_mysql_thread_id = CONNECTION_ID() AND trx_query LIKE '%%{token}%%')
  FROM information_schema.INNODB_TRX
"""
HOLDER: Final = """
SELECT UTC_TIMESTAMP(6), t.trx_mysql_thread_id, CONVERT_TZ(t.trx_started, 'SYSTEM', '+00:00'),
       p.USER, p.COMMAND
  FROM information_schema.INNODB_TRX t
  LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id
 WHERE t.trx_is_read_only = 0 AND t.trx_mysql_thread_id <> CONNECTION_ID()
 ORDER BY t.trx_started LIMIT 1
"""
CLOCK: Final = "SELECT UTC_TIMESTAMP(6)"
REPLICA: Final = """
SELECT COUNT(*) FROM information_schema.PROCESSLIST
 WHERE USER = 'system user' AND COMMAND <> 'Daemon'
"""
ZONE: Final = """
SELECT @@global.time_zone, @@system_time_zone,
       TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(),
                     CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', @@global.time_zone))
"""
# MariaDB's name of it, and MySQL's. What is durable goes back only where the files are others.
DURABLE: Final = """
SHOW GLOBAL STATUS
 WHERE Variable_name IN ('Innodb_lsn_flushed', 'Innodb_redo_log_flushed_to_disk_lsn')
"""
_UTC: Final = frozenset({"UTC", "Etc/UTC", "GMT", "+00:00", "Z"})


def durable(session: Session) -> dict[str, str]:
    """Up to where the server's log is durable, as a fact of a table's identity, where it tells."""
    found = session.rows(DURABLE)
    return {LOG: str(found[0][1])} if found else {}


def latest(session: Session, table: str, column: str) -> str | None:
    """Give the latest value of the cursor, both names quoted; None where there is none."""
    value = session.rows(f"SELECT MAX({column}) FROM {table}")[0][0]  # noqa: S608 - quoted
    return None if value is None else str(value)


def start_of(since: str | None, cursor: str, identity: Mapping[str, str], seen: str | None) -> Any:
    """See `sql.start_of`. `seen` is the latest value there is now.

    A table that was made again and lacks what was seen last was restored from a dump: GuardStopped
    is raised, lest a full sync write the past over the present.
    """
    try:
        return sql.start_of(since, cursor, identity)
    except CheckpointVoid:
        facts = load(since, "timestamp")
        if facts.get("cursor") == cursor and _is_before(seen, facts.get("seen")):
            told = f"its latest {cursor} is {seen}, and was {facts['seen']}"
            raise sql.restored(f"the table was made again, and {told}") from None
        raise


def _is_before(seen: str | None, then: str | None) -> bool:
    """Whether by seconds: an altered column may round what it holds."""
    try:
        now, was = (datetime.fromisoformat(str(value)[:19]) for value in (seen, then))
    except ValueError:  # none, or a zero date
        return False
    return now < was


def take(session: Session, start: str | None) -> str | None:
    """Give the horizon now, as text in UTC, on a session that is not the one to be read by.

    `start` is where the delta begins; an XA transaction that is prepared and open keeps the horizon
    there (None: every row), since nobody can tell when it began. Raises CredentialsRefused without
    the PROCESS privilege, InputError on a replica, GuardStopped where the clock went back past
    `start`, Unreachable where the list of transactions can't be had fresh.
    """
    try:
        if session.rows(REPLICA)[0][0]:
            raise InputError(
                "the source is a replica: what it applies was stamped by its primary's clock,"
                " some time before",
                hint="read from the primary",
            )
        now, oldest = _oldest(session)
    except CredentialsRefused as error:
        user = session.rows("SELECT CURRENT_USER()")[0][0]
        name, _, host = str(user).rpartition("@")
        raise CredentialsRefused(
            f"user {user} can't see when other sessions' transactions began, which a timestamp"
            " cursor needs",
            hint=f"GRANT PROCESS ON *.* TO '{name}'@'{host}', or read in full: remove `delta`"
            " from the mapping",
        ) from error
    if start is not None and now < start:
        raise GuardStopped(
            "other-database",
            f"the source's clock is at {now}, before its checkpoint of {start}",
            hint="syncline run NAME --full --allow other-database, once it is the database you"
            " mean",
        )
    return start if _has_prepared(session) else oldest


def pulse(session: Session) -> Pulse:
    """The server's clock, and whose transaction holds the horizon back.

    Raises CredentialsRefused without the PROCESS privilege.
    """
    found = session.rows(HOLDER)
    if not found:
        return Pulse(_instant(session.rows(CLOCK)[0][0]))
    clock, thread, began, user, command = found[0]
    now = _instant(clock)
    # Cut to the second, so that one of this moment would seem to have been open since the last.
    since = min(now, _instant(began) + _TICK)
    if user is not None:
        who = f"session {thread} of {user} ({command})"
        return Pulse(now, Holder(who, since, f"KILL {thread}"))
    # No session has it. Besides those prepared there are InnoDB's own: statistics, a rollback.
    who = "a prepared XA transaction" if _has_prepared(session) else WITHOUT_SESSION
    return Pulse(now, Holder(who, since, "XA RECOVER"))


def _instant(text: Any) -> datetime:
    return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)


def _oldest(session: Session) -> tuple[str, str]:
    """The clock, and the horizon.

    The list is a copy, renewed only where nobody has read it for 0.1 s: it is fresh where it shows
    the very statement that asks.
    """
    token = f"syncline:{secrets.token_hex(8)}"
    statement = OLDEST.format(token=token, margin=MARGIN_SECONDS)
    session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT")
    try:
        for _ in range(_TRIES):
            now, oldest, fresh = session.rows(statement)[0]
            if fresh:
                return str(now), str(oldest)
            time.sleep(_PAUSE_SECONDS)
    finally:
        session.run("ROLLBACK")
    raise Unreachable(
        "information_schema.INNODB_TRX is read so often by others that it never gets renewed",
        hint="let monitoring ask for it less than ten times a second",
    )


def _has_prepared(session: Session) -> bool:
    try:
        return bool(session.rows("XA RECOVER"))
    except SynclineError:
        # MySQL shows them to XA_RECOVER_ADMIN only; those of open sessions are in INNODB_TRX.
        return False


def condition(
    session: Session, column: str, type_: Type, start: str
) -> tuple[str, tuple[Any, ...]]:
    """Give the condition of the rows whose cursor is not before `start`, and its parameters.

    A DATETIME has no zone: its values are the writers' wall clock, the server's or UTC. Where the
    server's is behind UTC, or moves with summer time, the delta begins as much earlier.
    """
    if type_.name not in CURSORS:
        raise InputError(
            f"the cursor {column} is {type_}, not a time that the server's clock could have set"
        )
    moved = 0 if type_.name == "timestamptz" else _behind(session)
    low = f"%s - INTERVAL {moved} SECOND" if moved else "%s"
    if type_.name == "date":
        low = f"DATE({low})"
    return f"{column} >= {low}", (start,)


def _behind(session: Session) -> int:
    zone, system, offset = session.rows(ZONE)[0]
    if zone in _UTC or (zone == "SYSTEM" and system in _UTC):
        return 0
    return max(0, -int(offset or 0)) + 3600
