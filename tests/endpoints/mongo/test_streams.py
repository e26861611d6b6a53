"""MongoDB's deltas by change stream, read from a replica set or what poses as one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from bson.timestamp import Timestamp
from pymongo import monitoring
from pymongo.database import Database

from syncline.endpoints.base import ReadSpec
from syncline.endpoints.mongo import MongoEndpoint
from syncline.errors import CheckpointVoid, GuardStopped
from syncline.watermark.mongo_stream import time_of
from tests.conftest import REPLICA_SET, NewDatabase
from tests.endpoints.mongo.support import Row, source, types_of

pytestmark = pytest.mark.mongo
SPEC = source({"v": "text"}, by="stream")


@pytest.fixture
def mongo_url(new_database: NewDatabase) -> str:
    """A database of a server that has change streams."""
    return new_database(REPLICA_SET)


def horizon_of(mongo: MongoEndpoint, database: Database[Row], spec: ReadSpec = SPEC) -> str:
    """The horizon of a full read. What was written last before it comes again: that is aside."""
    database.aside.insert_one({})
    with mongo.read(spec, mode="full") as read:
        list(read.batches())
        return read.horizon


def delta(
    mongo: MongoEndpoint,
    since: str,
    spec: ReadSpec = SPEC,
    *,
    meanwhile: Callable[[], object] = lambda: None,
) -> tuple[list[Row], list[Any], str]:
    """The records and the keys of gone ones of a delta, and its horizon; `meanwhile` runs before
    each batch.
    """
    rows: list[Row] = []
    gone: list[Any] = []
    with mongo.read(spec, mode="delta", since=since) as read:
        for batch in read.batches():
            meanwhile()
            rows += batch.records.to_pylist()
            gone += [tuple(row.values()) for row in batch.gone.to_pylist()] if batch.gone else []
    return rows, gone, read.horizon


def test_the_best_delta_is_the_stream_where_there_is_one(
    mongo: MongoEndpoint, database: Database[Row], mongo_url: str
) -> None:
    """A collection of a replica set has one; a view, or a standalone server's, goes by a cursor."""
    database.docs.insert_one({"_id": 1, "v": "a"})
    info = mongo.describe("docs")
    assert info is not None
    assert mongo.best_delta(info, "at") == mongo.best_delta(info, None) == "stream"
    promise = mongo.guarantee(SPEC)
    assert (promise.level, promise.tells_gone) == ("exact", True)
    alone = MongoEndpoint(mongo_url)
    if not alone.describe("docs"):
        alone.create_table("docs", types_of({"_id": "bigint"}), {})
    info = alone.describe("docs")
    assert info is not None
    if "replica_set" not in info.identity:
        assert (alone.best_delta(info, "at"), alone.best_delta(info, None)) == ("timestamp", "none")
    alone.close()


def test_a_delta_gives_what_changed_once_as_it_is_now_and_what_is_gone(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Several events of a document are one record, of its last state; the others stay unread."""
    docs = database.docs
    docs.insert_many([{"_id": n, "v": "old"} for n in range(6)])
    since = horizon_of(mongo, database)
    docs.update_one({"_id": 1}, {"$set": {"v": "first"}})
    docs.update_one({"_id": 1}, {"$set": {"v": "last"}})
    docs.replace_one({"_id": 2}, {"v": "replaced"})
    docs.delete_one({"_id": 3})
    docs.insert_one({"_id": 7, "v": "new"})
    docs.insert_one({"_id": 8, "v": "short-lived"})
    docs.delete_one({"_id": 8})
    docs.delete_one({"_id": 4})
    docs.insert_one({"_id": 4, "v": "again"})
    rows, gone, horizon = delta(mongo, since)
    records = {row["_id"]: row["v"] for row in rows}
    assert records == {1: "last", 2: "replaced", 7: "new", 4: "again"}
    assert len(rows) == len(records)
    assert sorted(gone) == [(3,), (8,)]
    assert delta(mongo, horizon) == ([], [], horizon)


def test_what_was_read_before_may_come_again_and_says_the_same(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """The same delta twice, as after a kill: its horizon is where it began until it has ended."""
    docs = database.docs
    docs.insert_one({"_id": 1, "v": "a"})
    since = horizon_of(mongo, database)
    docs.insert_many([{"_id": n, "v": "b"} for n in range(2, 9)])
    spec = source({"v": "text"}, by="stream", batch_rows=2)
    with mongo.read(spec, mode="delta", since=since) as read:
        batches = read.batches()
        next(batches)
        assert json.loads(read.horizon) == json.loads(since)
        batches.close()
        assert json.loads(read.horizon) == json.loads(since)
    docs.update_one({"_id": 2}, {"$set": {"v": "c"}})
    rows, _, _ = delta(mongo, since, spec)
    assert {row["_id"]: row["v"] for row in rows} == {2: "c", **dict.fromkeys(range(3, 9), "b")}


def test_an_idle_stream_moves_on_with_the_rest_of_the_server(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Its checkpoint does not stay where the oplog will forget it."""
    database.docs.insert_one({"_id": 1, "v": "a"})
    since = horizon_of(mongo, database)
    database.other.insert_many([{"n": n} for n in range(5)])
    rows, gone, horizon = delta(mongo, since)
    assert (rows, gone) == ([], [])
    assert json.loads(horizon)["at"] > json.loads(since)["at"]


def test_a_busy_source_does_not_keep_a_delta_from_ending(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """What is written after the delta began is the next one's."""
    docs = database.docs
    docs.insert_one({"_id": 0, "v": "a"})
    since = horizon_of(mongo, database)
    docs.insert_many([{"_id": n, "v": "a"} for n in range(1, 9)])
    fresh = iter(range(100, 10_000))

    def write() -> None:
        docs.insert_many([{"_id": next(fresh), "v": "later"} for _ in range(3)])

    spec = source({"v": "text"}, by="stream", batch_rows=2)
    rows, _, horizon = delta(mongo, since, spec, meanwhile=write)
    assert [row["_id"] for row in rows] == list(range(1, 9))
    rows, _, _ = delta(mongo, horizon)
    assert [row["_id"] for row in rows] == list(range(100, next(fresh)))


def test_large_documents_come_in_batches_that_are_resumed_exactly(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A page of events is more than one batch where its documents pass the batch's bytes."""
    docs = database.docs
    docs.insert_one({"_id": 0, "v": "a"})
    since = horizon_of(mongo, database)
    docs.insert_many([{"_id": n, "v": "x" * 50_000} for n in range(1, 201)])
    spec = source({"v": "text"}, by="stream", batch_rows=150, batch_bytes=1 << 20)

    def read(after: str | None = None) -> list[tuple[list[int], str]]:
        with mongo.read(spec, mode="delta", since=since, after=after) as opened:
            return [(b.records["_id"].to_pylist(), b.position) for b in opened.batches()]

    batches = read()
    keys = [key for batch, _ in batches for key in batch]
    assert keys == list(range(1, 201))
    # The first is of the fewest that are asked for at once; it tells how large they are.
    assert max(len(batch) for batch, _ in batches[1:]) <= 21
    seen = 0
    for batch, position in batches:
        seen += len(batch)
        assert [key for more, _ in read(position) for key in more] == keys[seen:]


@pytest.mark.parametrize(
    ("types", "ids", "keys"),
    [
        ({"_id": "text"}, [ObjectId("65" * 12)], [("65" * 12,)]),
        ({"_id": "text"}, ["a", "A", "á "], [("a",), ("A",), ("á ",)]),
        ({"_id.a": "bigint", "_id.b": "text"}, [{"a": 1, "b": "x"}], [(1, "x")]),
        ({"_id": "timestamptz(3)"}, [datetime(2024, 1, 1, tzinfo=UTC)], None),
        ({"_id": "bigint"}, [1, "no number"], [(1,)]),
    ],
    ids=["ObjectId", "text", "composite", "date", "mixed"],
)
def test_the_keys_of_deleted_documents_are_told_in_the_mappings_types(
    mongo: MongoEndpoint,
    database: Database[Row],
    types: dict[str, str],
    ids: list[Any],
    keys: list[Any] | None,
) -> None:
    """Whatever an `_id` is; one that is no key of the mapping was no record of it."""
    database.docs.insert_many([{"_id": key, "v": "a"} for key in ids])
    columns = types_of({**types, "v": "text"})
    spec = ReadSpec("docs", tuple(types), columns, by="stream")
    since = horizon_of(mongo, database, spec)
    database.docs.delete_many({})
    rows, gone, _ = delta(mongo, since, spec)
    assert rows == []
    assert sorted(gone) == sorted(keys if keys is not None else [(key,) for key in ids])


def test_deletes_are_not_told_by_a_key_that_the_stream_does_not_have(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A delete's event names the `_id` alone: the guarantee says that keys are compared."""
    database.docs.insert_many([{"_id": n, "code": f"c{n}", "v": "a"} for n in range(3)])
    spec = ReadSpec("docs", ("code",), types_of({"code": "text", "v": "text"}), by="stream")
    promise = mongo.guarantee(spec)
    assert (promise.level, promise.tells_gone) == ("exact", False)
    assert "keys are compared" in promise.why
    since = horizon_of(mongo, database, spec)
    database.docs.update_one({"_id": 1}, {"$set": {"v": "b"}})
    database.docs.delete_one({"_id": 2})
    rows, gone, _ = delta(mongo, since, spec)
    assert (rows, gone) == ([{"code": "c1", "v": "b"}], [])


class Reads(monitoring.CommandListener):
    """After which time each read of `docs` asked to be, None where it did not ask."""

    def __init__(self) -> None:
        self.after: list[Timestamp | None] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if "docs" in {event.command.get("find"), event.command.get("aggregate")}:
            concern = event.command.get("readConcern", {})
            assert concern.get("level") == "majority"
            self.after.append(concern.get("afterClusterTime"))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Only what is asked counts."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Only what is asked counts."""


@pytest.fixture
def reads() -> Iterator[Reads]:
    """Listens to the clients that are made from here on."""
    listener = Reads()
    monitoring.register(listener)
    yield listener
    monitoring._LISTENERS.command_listeners.remove(listener)


def test_no_read_is_behind_what_was_seen(
    mongo_url: str, mongo: MongoEndpoint, database: Database[Row], reads: Reads
) -> None:
    """Whichever member answers, and in another process that goes on with a full read: a majority
    alone may be one of before the horizon, on a member that is behind.
    """
    database.docs.insert_many([{"_id": n, "v": "a"} for n in range(6)])
    spec = source({"v": "text"}, by="stream", batch_rows=2)
    with mongo.read(spec, mode="full") as read:
        horizon, position = read.horizon, next(read.batches()).position
    taken = Timestamp(*json.loads(horizon)["at"])
    later = MongoEndpoint(mongo_url)
    with later.read(spec, mode="full", after=position) as read:
        reads.after.clear()
        assert sum(batch.records.num_rows for batch in read.batches()) == 4
    assert reads.after
    assert all(after is not None and after >= taken for after in reads.after)
    database.docs.update_one({"_id": 1}, {"$set": {"v": "b"}})
    database.docs.delete_one({"_id": 2})
    with later.read(replace(spec, batch_rows=10), mode="delta", since=horizon) as read:
        reads.after.clear()
        (batch,) = read.batches()
        assert batch.gone is not None
        later.fetch(spec, batch.gone)
    assert len(reads.after) == 3  # the stream, what changed, and the probe
    assert all(after is not None and after > taken for after in reads.after)
    later.close()


def test_f24_a_position_that_the_oplog_no_longer_reaches_is_void(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """The server says that the stream can't be resumed: nothing is skipped in silence."""
    database.docs.insert_one({"_id": 1, "v": "a"})
    facts = json.loads(horizon_of(mongo, database))
    with pytest.raises(CheckpointVoid, match="does not go on from the checkpoint"):
        delta(mongo, json.dumps({**facts, "at": [1_000_000_000, 1]}))


@pytest.mark.parametrize("how", ["dropped", "made again", "of another delta"])
def test_a_checkpoint_of_another_collection_or_delta_is_void(
    mongo: MongoEndpoint, database: Database[Row], how: str
) -> None:
    """What happened to the collection as a whole is not told by keys."""
    database.docs.insert_one({"_id": 1, "v": "a"})
    since = horizon_of(mongo, database)
    if how == "of another delta":
        since = json.dumps({**json.loads(since), "by": "timestamp"})
    else:
        database.docs.drop()
        database.docs.insert_one({"_id": 2, "v": "b"})
    if how == "dropped":  # servers that tell collections apart are void by that already
        spec = source({"v": "text"}, by="stream")
        info = mongo.describe("docs")
        assert info is not None
        since = json.dumps({**json.loads(since), "identity": dict(info.identity)})
        with pytest.raises(CheckpointVoid, match="drop of docs"):
            delta(mongo, since, spec)
        return
    with pytest.raises(CheckpointVoid):
        delta(mongo, since)


def test_f55_a_source_whose_oplog_has_not_the_last_event_stops(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A database restored from a backup, that has moved on since: a full sync would write its past
    over what came after.
    """
    docs = database.docs
    docs.insert_one({"_id": 0, "v": "a"})
    since = horizon_of(mongo, database)
    docs.insert_one({"_id": 1, "v": "b"})
    with docs.watch(start_at_operation_time=Timestamp(*json.loads(since)["at"])) as stream:
        token = stream.next()["_id"]["_data"]
    if len(token) > 20:
        pytest.skip(
            "a token of this server names its event: none can be made of one that never was"
        )
    unknown = f"{token[:10]}{int(token[10:18], 16) + 1_000:08X}{token[18:]}"
    facts = json.loads(since) | {"token": json.dumps({"_data": unknown})}
    with pytest.raises(GuardStopped) as stopped:
        delta(mongo, json.dumps(facts))
    assert stopped.value.reason == "other-database"


def test_a_server_behind_its_checkpoint_stops_the_delta(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A checkpoint from the future means another or a restored server."""
    database.docs.insert_one({"_id": 1, "v": "a"})
    facts = json.loads(horizon_of(mongo, database))
    seconds, number = facts["at"]
    with pytest.raises(GuardStopped) as stopped:
        delta(mongo, json.dumps({**facts, "at": [seconds + 3600, number]}))
    assert stopped.value.reason == "other-database"


def test_a_token_tells_its_time() -> None:
    """By the first digits of its KeyString; what is no such token tells none."""
    # As a MongoDB gave them: of an event, and of a place between events.
    event = "8267C867A2000000192B042C0100296E5A1004D3284E04D8914467A2160201812E4C4C"
    assert time_of({"_data": event}) == Timestamp(0x67C867A2, 0x19)
    assert time_of({"_data": "8267C867A3000000012B0429296E1404"}) == Timestamp(0x67C867A3, 1)
    assert time_of({"_data": "01" + "0" * 40}) is None
    assert time_of({"_data": b"82"}) is None
    assert time_of({"_data": "82635019"}) is None
    assert time_of(None) is None
