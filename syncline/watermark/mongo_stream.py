"""The watermark `stream` of MongoDB: the change stream of a collection, from where it was read to.

The horizon H is the time of the last operation that a majority had when the read began, and a delta
reads the events from its checkpoint up to the H of its own.

- Nothing is missed. The oplog gives operations one order, by their times, and a majority has an
  operation only if it has all before it. So of a write at time t that a majority ever has: if
  t <= H, every read by majority that is not behind H sees it (`Connection.causal` asks for that by
  afterClusterTime, whichever member answers); if t > H, it is in the stream behind H. A write that
  is rolled back, by a majority never had, is in neither.
- The event says only that a document changed. What it is now is read again, by a read that is not
  behind the event, so that events delivered twice, or in part, do no harm; a document that is
  absent then was deleted, or will be inserted again by an event that is still to come.
- A delta ends behind H, not behind the last event: where the stream's token is at H or past it, or
  where an event later than H comes. A token begins with its time ("hex-encoded tokens allow you to
  compare and sort"). Of a server whose tokens tell no time, an answer without events, asked for
  after H was known, is taken for the end.
- The next delta resumes behind the last token. One of an event the server must find again: in a
  database restored from a backup it does not, and the run stops. Without a token it starts at H.

It rests on the oplog reaching back to the checkpoint; where it does not, the server says so, and
the sync is full. On a sharded cluster a change may wait for the next run where its shard's clock is
not yet past H. Documents that fall out of a capped collection are in no stream.

https://www.mongodb.com/docs/manual/changeStreams/#resume-tokens
https://www.mongodb.com/docs/manual/core/causal-consistency-read-write-concerns/
https://github.com/mongodb/mongo/blob/master/jstests/replsets/operation_time_read_and_write_concern.js
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from bson import json_util
from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure

from syncline.endpoints.base import Guarantee
from syncline.endpoints.mongo_connection import Connection, Document
from syncline.endpoints.mongo_errors import reporting, told
from syncline.errors import CheckpointVoid, GuardStopped, Transient, Unreachable
from syncline.watermark import dump, load
from syncline.watermark.mongo import ALLOW, check_replica_set

if TYPE_CHECKING:
    from pymongo.change_stream import ChangeStream
    from pymongo.client_session import ClientSession

LAG_SECONDS: Final = 60
"""A member that has just been elected may not know yet how far the majority was."""
STILL_SECONDS: Final = 60.0
"""How long a stream may stand before H; a shard without writes tells its time every ten seconds."""

EXACT: Final = Guarantee(
    "exact",
    "every change that a majority has, and every delete, is in the change stream behind the"
    " checkpoint; where the oplog no longer reaches back to it, the sync is full",
    tells_gone=True,
)
WITHOUT_KEYS: Final = Guarantee(
    "exact",
    "every change that a majority has is in the change stream behind the checkpoint; where the"
    " oplog no longer reaches back to it, the sync is full. A delete there names the _id, not the"
    " mapping's key: keys are compared",
)
CAPPED: Final = Guarantee(
    "exact",
    "every change that a majority has is in the change stream behind the checkpoint; where the"
    " oplog no longer reaches back to it, the sync is full. What falls out of a capped collection"
    " is not: keys are compared",
)

_ALL_OF_IT: Final = {"drop", "rename", "dropDatabase", "invalidate"}
"""Operations on the collection as a whole, behind which its stream has nothing more to say."""
_VOID: Final = frozenset({136, 222, 260, 280, 286, 326, 10334, 40576, 40585, 40647, 50811})
"""CappedPositionLost, CloseChangeStream, InvalidResumeToken, ChangeStreamFatalError,
ChangeStreamHistoryLost, OplogQueryMinTsMissing, BSONObjectTooLarge (an event over 16 MB), and what
servers say of a token they can't read: there is no going on from there."""
_NOT_FOUND: Final = "resume token was not found"
"""What a ChangeStreamFatalError says of an event that the oplog, which reaches back to its time,
does not have."""
_WANTED: Final = {"operationType": 1, "documentKey": 1, "clusterTime": 1}
_AWAIT_MS: Final = 100
"""How long the server waits for another event before it says that there is none."""
_EXACTLY: Final = json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=True)
_HEX_TIME: Final = "82"
"""A KeyString's mark of a timestamp, which takes the 16 digits behind it."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a stream was read: a time, and the token of the last event where one is known."""

    at: Timestamp
    token: Mapping[str, Any] | None = None

    def dump(self, identity: Mapping[str, str]) -> str:
        """As a horizon."""
        facts: dict[str, Any] = {
            "at": [self.at.time, self.at.inc],
            "identity": dict(identity),
        }
        if self.token is not None:
            facts["token"] = json_util.dumps(self.token, json_options=_EXACTLY)
        return dump("stream", facts)

    @classmethod
    def load(cls, text: str | None, identity: Mapping[str, str]) -> Position:
        """The position of a horizon.

        Raises CheckpointVoid where it is of another kind or of another collection, GuardStopped
        where it is of another replica set.
        """
        facts = load(text, "stream")
        check_replica_set(facts.get("identity") or {}, identity)
        if facts.get("identity") != dict(identity):
            raise CheckpointVoid(
                "the collection is not the one of the checkpoint: it was made again"
            )
        seconds, number = facts["at"]
        token = facts.get("token")
        return cls(
            Timestamp(int(seconds), int(number)),
            json_util.loads(str(token), json_options=_EXACTLY) if token else None,
        )


def take(connection: Connection, table: str, since: Position | None = None) -> Timestamp:
    """Give H: the time of the last operation that a majority has. To be called before any read.

    It is never before `since`. Raises GuardStopped where the server is behind that by more than a
    new primary can be.
    """
    at = committed(connection, table)
    if since is not None and at < since.at:
        if since.at.time - at.time > LAG_SECONDS:
            raise GuardStopped(
                "other-database",
                f"the source's last operation is of {at.as_datetime()}, before its checkpoint of"
                f" {since.at.as_datetime()}",
                hint=ALLOW,
            )
        at = since.at
    connection.saw(at)
    return at


def committed(connection: Connection, table: str) -> Timestamp:
    """The time of the last operation that a majority has, as the primary knows it."""
    with reporting():
        # Of a read by majority, this is the time of what it read; of a ping it may be later.
        answer = connection.database.command(
            {
                "find": table,
                "limit": 1,
                "singleBatch": True,
                "projection": {"_id": 1},
                "readConcern": {"level": "majority"},
            }
        )
    return cast("Timestamp", answer["operationTime"])


def missing(connection: Connection, table: str, catalogue: Mapping[str, Any]) -> str:
    """Why a collection has no change stream for us; empty where it has one. Asks the server.

    Raises Unreachable and Transient where it can't be told now.
    """
    if not connection.replicated:
        return "a standalone server of MongoDB has no change streams"
    if (kind := str(catalogue.get("type", "collection"))) != "collection":
        return f"a {kind} has no change stream"
    try:
        with reporting():
            at = committed(connection, table)
            with _watch(connection, table, Position(at), None):
                return ""
    except (Transient, Unreachable):
        raise
    except Exception as error:  # noqa: BLE001 - whatever else it says, it gives no stream
        return f"the server gives no change stream: {error}"


class Changes:
    """The keys (`_id`) of the documents that changed behind a position, up to a time.

    `token` is where it is. To be used by one thread at a time.
    """

    def __init__(
        self,
        connection: Connection,
        table: str,
        start: Position,
        until: Timestamp,
        session: ClientSession | None,
    ) -> None:
        self._connection, self._table, self._until = connection, table, until
        self.token = start.token
        with _continued():
            self._stream = _watch(connection, table, start, session)

    def close(self) -> None:
        """Give the server's cursor back."""
        self._stream.close()

    def __iter__(self) -> Iterator[Any]:
        """Give the keys in the order of the changes.

        Raises CheckpointVoid where the stream can't be gone on with, Unreachable where it stands.
        """
        still = time.monotonic()
        before = self.token
        while True:
            with _continued():
                event = self._stream.try_next()
            if event is None:
                if self._at_end():
                    self.token = self._stream.resume_token
                    return
                if self._stream.resume_token != before:
                    still, before = time.monotonic(), self._stream.resume_token
                elif time.monotonic() - still > STILL_SECONDS:
                    raise Unreachable(
                        f"mongodb: the change stream of {self._table} stands still before"
                        f" {self._until.as_datetime()}"
                    )
                continue
            still = time.monotonic()
            if cast("Timestamp", event["clusterTime"]) > self._until:
                return
            if (kind := str(event["operationType"])) in _ALL_OF_IT:
                raise CheckpointVoid(f"the change stream has ended: {kind} of {self._table}")
            self.token = self._stream.resume_token
            if "documentKey" in event:
                self._connection.saw(cast("Timestamp", event["clusterTime"]))
                yield event["documentKey"]["_id"]

    def _at_end(self) -> bool:
        at = time_of(self._stream.resume_token)
        return at is None or at >= self._until


def time_of(token: Mapping[str, Any] | None) -> Timestamp | None:
    """The time that a resume token begins with; None where it tells none."""
    data = token.get("_data") if token is not None else None
    if not isinstance(data, str) or not data.startswith(_HEX_TIME):
        return None
    digits = data[2:18]
    try:
        return Timestamp(int(digits[:8], 16), int(digits[8:], 16))
    except ValueError:
        return None


def _watch(
    connection: Connection, table: str, start: Position, session: ClientSession | None
) -> ChangeStream[Document]:
    return connection.collection(table).watch(
        [{"$project": _WANTED}],
        resume_after=start.token,
        start_at_operation_time=None if start.token is not None else start.at,
        max_await_time_ms=_AWAIT_MS,
        session=session,
    )


@contextmanager
def _continued() -> Generator[None]:
    """Tell what the server says against going on from a position as that, the rest as ever.

    Raises CheckpointVoid, and GuardStopped where the server is another or was restored.
    """
    with reporting():
        try:
            yield
        except OperationFailure as error:
            if error.code in _VOID and _NOT_FOUND in str(error):
                raise GuardStopped(
                    "other-database",
                    "the source has another history, as a restored backup has: its oplog reaches"
                    " back to the checkpoint, and has not the last event that was read",
                    hint=ALLOW,
                ) from error
            if error.code in _VOID:
                raise CheckpointVoid(
                    f"the change stream does not go on from the checkpoint: {told(error)}"
                ) from error
            raise
