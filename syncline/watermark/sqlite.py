"""SQLite's horizon: the largest cursor value seen.

It has no clock of its own, and nobody else's is used.

- There is one writer at a time (https://www.sqlite.org/isolation.html). Let a read have seen all
  commits up to the largest value H. A later commit whose writer took its cursor value while it held
  the write lock took it after every commit that was seen, so the value is >= H by a clock that does
  not go back: the next delta, inclusive of H, reads it.
- A value taken before the lock was had may be below H: such a row is missed. Bounded, not exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from syncline.endpoints.base import Guarantee
from syncline.endpoints.sql_session import Session
from syncline.endpoints.sql_values import Field
from syncline.endpoints.sqlite_dialect import DAY, UTC_TEXT, SqliteDialect, classes
from syncline.endpoints.sqlite_values import day_before, utc_text
from syncline.errors import CheckpointVoid
from syncline.watermark import load, sql

BOUNDED: Final = Guarantee(
    "bounded",
    "a delta reads every record whose cursor is at or past the largest one seen: a record that"
    " commits later "
    "with a smaller cursor, or changes without moving it, is missed until the next full run",
)
_INSTANTS: Final = {"timestamp", "timestamptz"}


def largest(session: Session, dialect: SqliteDialect, table: str, cursor: Field) -> Any:
    """Give the largest value of the cursor in the session's snapshot, as it is stored.

    Instants in UTC.
    """
    if cursor.type.name in _INSTANTS:
        return _latest(session, dialect, table, cursor)
    return _largest(session, dialect, table, cursor)


def start_of(since: str | None, cursor: str, identity: Mapping[str, str], seen: Any) -> Any:
    """See `sql.start_of`. `seen` is the largest value there is now.

    A backup that SQLite restored in the file moves its schema by one, and what was seen last is not
    there any more: GuardStopped is raised, lest a full sync write the past over the present. A
    swapped table takes two statements or more.
    """
    try:
        return sql.start_of(since, cursor, identity)
    except CheckpointVoid:
        facts = load(since, "timestamp")
        same_cursor = facts.get("cursor") == cursor
        if same_cursor and _next_schema(facts, identity) and _behind(seen, facts.get("at")):
            why = f"the largest {cursor} is {seen}, which is before the checkpoint's"
            raise sql.restored(why) from None
        raise


def _next_schema(facts: Mapping[str, Any], identity: Mapping[str, str]) -> bool:
    was, now = facts.get("identity", {}).get("schema"), identity.get("schema")
    return bool(was and now) and int(now or 0) == int(was) + 1


def _behind(seen: Any, at: Any) -> bool:
    comparable = seen is not None and isinstance(seen, str) == isinstance(at, str)
    return comparable and at is not None and bool(seen < at)


def changed(dialect: SqliteDialect, cursor: Field, seen: Any) -> tuple[str, tuple[Any, ...]] | None:
    """Give the condition of the rows at or past a value of the cursor; None where all rows are."""
    if seen is None:
        return None
    name = dialect.quote(cursor.name)
    if cursor.type.name not in _INSTANTS:
        return f"({dialect.counted(cursor)} >= ? AND typeof({name}) IN ({classes(cursor)}))", (
            seen,
        )
    # The day before as text is what an index can answer; what remains compares as instants. Text
    # that is no instant stays in: it is told as a misfit.
    exact = f"({UTC_TEXT}({name}) >= ? OR {UTC_TEXT}({name}) IS NULL)"
    return f"({name} >= ? AND {name} GLOB '{DAY}' AND {exact})", (day_before(seen), seen)


def _largest(session: Session, dialect: SqliteDialect, table: str, cursor: Field) -> Any:
    name = dialect.counted(cursor)
    rows = session.rows(
        f"SELECT MAX({name}) FROM {dialect.table(table)}"  # noqa: S608 - quoted
        f" WHERE typeof({dialect.quote(cursor.name)}) IN ({classes(cursor)})"
    )
    return rows[0][0]


def _latest(session: Session, dialect: SqliteDialect, table: str, cursor: Field) -> str | None:
    """The latest instant: among the rows of the last days as text, the spellings being several."""
    name, source = dialect.quote(cursor.name), dialect.table(table)
    told = f"typeof({name}) = 'text' AND {name} GLOB '{DAY}'"
    last = session.rows(
        f"SELECT {name} FROM {source} WHERE {told} AND {UTC_TEXT}({name}) IS NOT NULL"  # noqa: S608 - quoted
        f" ORDER BY {dialect.counted(cursor)} DESC LIMIT 1"
    )
    if not last:
        return None
    rows = session.rows(
        f"SELECT MAX({UTC_TEXT}({name})) FROM {source} WHERE {name} >= ? AND {told}",  # noqa: S608 - quoted
        (day_before(str(utc_text(last[0][0]))),),
    )
    return rows[0][0]
