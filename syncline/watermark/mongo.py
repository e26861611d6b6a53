"""The watermark `timestamp` of MongoDB: bounded by how late a write shows after its own time.

The horizon H is taken before the first read, and a delta reads `cursor >= H`.

- A cursor of dates: H = the server's clock, less a margin. Let a document get the cursor value t
  and be visible (on a majority, where there is one) at v. A read that began at r sees it if v <= r.
  If v > r, it is seen next time provided t >= H = r - margin; so it is lost only where v - t >
  margin: where its writer's clock is slow, its write took long, or its replication lagged, by more
  than that in sum. On a replica set H is no later than the last majority-committed write, so that
  the lag of the majority does not count against the margin.
- A cursor of numbers or texts: H = the largest value there is. A document whose smaller value
  shows later is lost: such a cursor must be handed out in the order in which writes show.

Documents whose cursor is null, missing or of another type have no place in the order; every delta
reads them all, in a pass of their own.

Another replica set is another database: that stops. A collection that was made again, and whose
largest cursor is before the one seen last, was restored: that stops, lest a full sync write the
past over the present.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from bson import json_util
from bson.decimal128 import Decimal128

from syncline.endpoints.base import Guarantee, ReadSpec
from syncline.endpoints.mongo_connection import Connection, Document
from syncline.endpoints.mongo_paths import reader
from syncline.errors import CheckpointVoid, GuardStopped, InputError
from syncline.record import Type
from syncline.watermark import dump, load

MARGIN: Final = timedelta(seconds=10)
"""How much later than the time it carries a write may show and still be found."""

DATES: Final = Guarantee(
    "bounded",
    "a change is found if it moved the cursor, and shows within"
    f" {MARGIN.seconds} s of the time that the cursor carries",
)
VALUES: Final = Guarantee(
    "bounded", "a change is found if it raised the cursor above every value that showed before it"
)
NONE: Final = Guarantee("none", "only a full read sees what changed")

_BSON: Final[Mapping[str, str]] = {
    "timestamptz": "date",
    "timestamp": "date",
    "date": "date",
    "smallint": "number",
    "integer": "number",
    "bigint": "number",
    "real": "number",
    "double": "number",
    "decimal": "number",
    "text": "string",
}
ALLOW: Final = "syncline run NAME --full --allow other-database, once it is the one you mean"
_EXACTLY: Final = json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=True)


@dataclass(frozen=True)
class Cursor:
    """The path by which a delta goes, and the BSON type that its values have."""

    path: str
    bson: str

    @property
    def guarantee(self) -> Guarantee:
        """What a delta by this cursor promises."""
        return DATES if self.bson == "date" else VALUES

    def placed(self, start: object) -> Document:
        """Give the filter for documents whose cursor is not before `start` (None: any at all)."""
        bound = {} if start is None else {"$gte": start}
        return {self.path: {"$type": self.bson, "$not": {"$type": "array"}, **bound}}

    def unplaced(self) -> Document:
        """Give the filter for documents whose cursor is null, missing or of another type."""
        return {
            "$or": [
                {self.path: {"$not": {"$type": self.bson}}},
                {self.path: {"$type": "array"}},
            ]
        }


def cursor_of(path: str, type_: Type) -> Cursor:
    """Give the cursor. Raises InputError for a type that has no order to go by."""
    bson = _BSON.get(type_.name)
    if bson is None:
        raise InputError(f"a {type_} can't be a cursor: {path}", hint="a date, number or text can")
    return Cursor(path, bson)


def guarantee(spec: ReadSpec) -> Guarantee:
    """Give what a delta of these documents promises."""
    if spec.by != "timestamp" or spec.cursor is None:
        return NONE
    return cursor_of(spec.cursor, spec.columns[spec.cursor]).guarantee


def take(
    connection: Connection,
    table: str,
    cursor: Cursor,
    since: str | None,
    identity: Mapping[str, str],
) -> str:
    """Give the horizon now, as JSON. To be called before the first read.

    It is never before `since`: where the largest number was deleted, the next is still above it.
    Raises GuardStopped where the server's clock has gone back.
    """
    seen = largest(connection, table, cursor)
    start = None if since is None else start_of(since, cursor, identity, lambda: seen)
    at = _clock(connection) if cursor.bson == "date" else seen
    if start is not None and (at is None or _is_before(at, start)):
        if cursor.bson == "date" and at is not None and cast("Any", start) - at > MARGIN:
            raise GuardStopped(
                "other-database", f"the source's clock is at {at}, before its checkpoint of {start}"
            )
        at = start
    facts = {"at": _text(at), "seen": _text(seen), "cursor": cursor.path}
    return dump("timestamp", {**facts, "identity": dict(identity)})


def start_of(
    since: str | None, cursor: Cursor, identity: Mapping[str, str], seen: Callable[[], object]
) -> object:
    """Give the cursor value from which a delta reads, inclusive; None for all.

    `seen` gives the largest value there is now. Raises CheckpointVoid where the checkpoint is of
    another cursor or another collection, GuardStopped where that is a restored one, or of another
    replica set.
    """
    facts = load(since, "timestamp")
    then = cast("dict[str, str]", facts.get("identity") or {})
    check_replica_set(then, identity)
    if facts.get("cursor") != cursor.path:
        raise CheckpointVoid(f"the checkpoint is of the cursor {facts.get('cursor')}")
    if then != dict(identity):
        if _is_before(latest := seen(), _value(facts.get("seen"))):
            raise GuardStopped(
                "other-database",
                "the source went back in time, as by a restored backup: the collection was made "
                f"again, and its largest {cursor.path} is {latest}, before the checkpoint's",
                hint=ALLOW,
            )
        raise CheckpointVoid("the collection is not the one of the checkpoint: it was made again")
    return _value(facts["at"])


def check_replica_set(then: Mapping[str, str], identity: Mapping[str, str]) -> None:
    """Raise GuardStopped where the collection is of another replica set than the checkpoint's."""
    was, now = then.get("replica_set"), identity.get("replica_set")
    if was and now and was != now:
        raise GuardStopped(
            "other-database",
            f"this is another database: its replica set is {now}, the checkpoint's was {was}",
            hint=ALLOW,
        )


def _is_before(now: Any, then: Any) -> bool:
    """Whether one value is before another; what can't be compared is not."""
    now, then = (v.to_decimal() if isinstance(v, Decimal128) else v for v in (now, then))
    try:
        return now is not None and then is not None and bool(now < then)
    except TypeError:
        return False


def _text(value: object) -> str:
    return json_util.dumps(value, json_options=_EXACTLY)


def _value(text: object) -> Any:
    return None if text is None else json_util.loads(str(text), json_options=_EXACTLY)


def _clock(connection: Connection) -> datetime:
    now, committed = connection.clocks()
    return min(now, committed) - MARGIN


def largest(connection: Connection, table: str, cursor: Cursor) -> Any:
    """Give the largest value of the cursor; None where there is none."""
    found = list(
        connection.collection(table)
        .find(cursor.placed(None), {cursor.path: 1})
        .sort(cursor.path, -1)
        .limit(1)
    )
    return reader(cursor.path)(found[0]) if found else None
