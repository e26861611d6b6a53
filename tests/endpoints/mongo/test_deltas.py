"""MongoDB's deltas, backfills and filters."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import bson
import pytest
from bson import Decimal128, ObjectId
from pymongo.database import Database

from syncline.endpoints.base import Comparison, Range, ReadSpec
from syncline.endpoints.mongo import MongoEndpoint
from syncline.errors import CheckpointVoid, GuardStopped
from syncline.watermark.mongo import cursor_of, start_of
from tests.endpoints.mongo.support import (
    Row,
    read_all,
    source,
    types_of,
)


def test_a_delta_by_date_reads_the_margin_again_and_all_without_a_date(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Null, missing and mistyped cursors are read every time; old dates are not."""
    now = datetime.now(UTC).replace(microsecond=0)
    database.docs.insert_many([
        {"_id": 1, "at": now - timedelta(days=1)}, {"_id": 2, "at": None}, {"_id": 3},
        {"_id": 4, "at": "2024-01-01"}, {"_id": 5, "at": [now]},
        {"_id": 6, "at": now + timedelta(hours=1)},
    ])  # fmt: skip
    spec = source({"at": "timestamptz(3)"}, by="timestamp", cursor="at", batch_rows=2)
    with mongo.read(spec, mode="full") as read:
        horizon = read.horizon
        assert read.guarantee.level == "bounded"
        assert sum(batch.records.num_rows for batch in read.batches()) == 6
    rows, misfits = read_all(mongo, spec, mode="delta", since=horizon)
    assert sorted(row["_id"] for row in rows) == [2, 3, 4, 5, 6]
    assert {field for _, field, _ in misfits} == {"at"}
    assert len(misfits) == 2


def test_a_delta_by_number_goes_from_the_largest_seen(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A version counter is a cursor too; its horizon is inclusive and never goes back."""
    database.docs.insert_many([{"_id": n, "version": n} for n in range(5)])
    spec = source({"version": "bigint"}, by="timestamp", cursor="version")
    with mongo.read(spec, mode="full") as read:
        first = read.horizon
    database.docs.insert_one({"_id": 9, "version": 9})
    rows, _ = read_all(mongo, spec, mode="delta", since=first)
    assert [row["_id"] for row in rows] == [4, 9]
    with mongo.read(spec, mode="delta", since=first) as read:
        second = read.horizon
    database.docs.delete_one({"_id": 9})
    with mongo.read(spec, mode="delta", since=second) as read:
        assert json.loads(read.horizon)["at"] == json.loads(second)["at"]


def test_a_delta_by_decimals_goes_from_the_largest_seen(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A Decimal128 is a number too, though Python compares none."""
    database.docs.insert_many([{"_id": n, "version": Decimal128(f"{n}.5")} for n in range(3)])
    spec = source({"version": "decimal"}, by="timestamp", cursor="version")
    with mongo.read(spec, mode="full") as read:
        first = read.horizon
    database.docs.insert_one({"_id": 9, "version": Decimal128("10.25")})
    rows, _ = read_all(mongo, spec, mode="delta", since=first)
    assert [row["_id"] for row in rows] == [2, 9]


def test_a_clock_that_went_back_stops_the_delta(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A checkpoint from the future means another or a restored server."""
    database.docs.insert_one({"_id": 1, "at": datetime.now(UTC)})
    spec = source({"at": "timestamptz(3)"}, by="timestamp", cursor="at")
    with mongo.read(spec, mode="full") as read:
        facts = json.loads(read.horizon)
    future = bson.json_util.dumps(
        datetime.now(UTC) + timedelta(hours=1), json_options=bson.json_util.CANONICAL_JSON_OPTIONS
    )
    with pytest.raises(GuardStopped) as stopped:
        read_all(mongo, spec, mode="delta", since=json.dumps({**facts, "at": future}))
    assert stopped.value.reason == "other-database"


def test_a_checkpoint_of_another_cursor_or_collection_is_void(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A delta goes on only by what it was begun with."""
    database.docs.insert_one({"_id": 1, "a": 1, "b": 1})
    by_a, by_b = (source({n: "bigint"}, by="timestamp", cursor=n) for n in "ab")
    with mongo.read(by_a, mode="full") as read:
        horizon = read.horizon
    with pytest.raises(CheckpointVoid):
        read_all(mongo, by_b, mode="delta", since=horizon)
    facts = {**json.loads(horizon), "identity": {"uuid": "another"}}
    with pytest.raises(CheckpointVoid):
        read_all(mongo, by_a, mode="delta", since=json.dumps(facts))


@pytest.mark.parametrize("cursor", ["at", "n"])
def test_f23_f55_another_replica_set_or_a_restored_collection_stops(
    cursor: str, mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A collection that was made again is read in full only where it has what was seen last."""
    now = datetime.now(UTC).replace(microsecond=0)
    database.docs.insert_many([
        {"_id": 1, "at": now - timedelta(hours=1), "n": 1}, {"_id": 2, "at": now, "n": 2},
    ])  # fmt: skip
    spec = source({"at": "timestamptz(3)", "n": "bigint"}, by="timestamp", cursor=cursor)
    with mongo.read(spec, mode="full") as read:
        facts = json.loads(read.horizon)
    again = json.dumps({**facts, "identity": {"uuid": "another"}})
    with pytest.raises(CheckpointVoid, match="made again"):
        read_all(mongo, spec, mode="delta", since=again)
    identity = {**mongo._identity("docs"), "replica_set": "ours"}
    with pytest.raises(GuardStopped, match="replica set") as stopped:
        start_of(
            json.dumps({**facts, "identity": {"replica_set": "theirs"}}),
            cursor_of(cursor, spec.columns[cursor]),
            identity,
            lambda: None,
        )
    assert stopped.value.reason == "other-database"
    database.docs.delete_one({"_id": 2})
    with pytest.raises(GuardStopped, match="restored") as stopped:
        read_all(mongo, spec, mode="delta", since=again)
    assert stopped.value.reason == "other-database"


def test_a_backfill_compares_as_the_column_is_stored(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Bounds of ObjectIds, dates and numbers are of the column's BSON type."""
    ids = [ObjectId.from_datetime(datetime(2024, 1, day, tzinfo=UTC)) for day in range(1, 6)]
    database.docs.insert_many([
        {"_id": each, "at": datetime(2024, 1, n + 1, tzinfo=UTC), "n": n}
        for n, each in enumerate(ids)
    ])  # fmt: skip
    columns = types_of({"_id": "text", "n": "bigint", "at": "date"})
    spec = ReadSpec("docs", ("_id",), columns, cursor="at")
    rows, _ = read_all(mongo, spec, mode="backfill", window=Range("key", str(ids[1]), str(ids[3])))
    assert [row["n"] for row in rows] == [1, 2]
    window = Range("cursor", "2024-01-02", "2024-01-04")
    rows, _ = read_all(mongo, spec, mode="backfill", window=window)
    assert [row["n"] for row in rows] == [1, 2]


def test_a_filter_leaves_what_is_no_number_to_the_engine(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A text where a number is declared must reach the dead letters, not vanish."""
    database.docs.insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": 9}, {"_id": 3, "n": "9"}])
    spec = source({"n": "bigint"}, filters=(Comparison("n", ">", 5),))
    rows, misfits = read_all(mongo, spec)
    assert [row["_id"] for row in rows] == [2, 3]
    assert [(row, field) for row, field, _ in misfits] == [(1, "n")]
