"""MongoDB: a source by its `updated_at`, and a target."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from bson import Decimal128
from pymongo import MongoClient, UpdateOne

from benchmarks.sides import money, utc

if TYPE_CHECKING:
    from collections.abc import Generator

    from pymongo.database import Database

    from benchmarks.sides import Row
    from benchmarks.stage import Stage

BATCH: Final = 5_000


class MongoSource:
    """With an index on the clock, as a collection has that is read by it."""

    connection = "mongo"
    place = "collection: customers"
    key = "_id"
    delta = "delta: {by: timestamp, cursor: updated_at}"
    settles_in = 10.5

    def fill(self, stage: Stage) -> None:
        """The same customers as elsewhere."""
        documents = map(_customer, range(1, stage.rows + 1))
        with _database(stage) as database:
            while batch := list(islice(documents, BATCH)):
                database.customers.insert_many(batch, ordered=False)
            database.customers.create_index("updated_at")

    def change(self, stage: Stage, round_: int) -> str:
        """Stamped by the clock of now, which the watermark goes by; BSON keeps milliseconds."""
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        keys = iter(range(round_ % 10 or 10, stage.rows + 1, 10))
        with _database(stage) as database:
            while batch := list(islice(keys, BATCH)):
                writes = [
                    UpdateOne(
                        {"_id": key},
                        {
                            "$set": {
                                "email": f" Mail{key}.{round_}@Example.com",
                                "updated_at": now,
                            },
                            "$inc": {"region_id": 1},
                        },
                    )
                    for key in batch
                ]
                database.customers.bulk_write(writes, ordered=False)
        return now.isoformat()

    def rows(self, stage: Stage) -> Iterator[Row]:
        """The fields, made in Python."""
        with _database(stage) as database:
            for found in database.customers.find(batch_size=BATCH).sort("_id"):
                yield (
                    found["_id"],
                    f"{found['first_name']} {found['last_name']}",
                    found["email"].strip().lower(),
                    "active" if found["is_active"] else "inactive",
                    money(found["balance"].to_decimal()),
                    found["region_id"] * 10,
                    utc(found["updated_at"]),
                )


class MongoTarget:
    """Documents whose `_id` is the key."""

    connection = "mongo"
    place = "collection: {table}"
    key = "_id"
    clock = "{from: updated_at, truncate: ms}"  # BSON keeps milliseconds

    def empty(self, stage: Stage, *tables: str) -> None:
        """In a new database; a collection is made by the first write."""
        del tables
        stage.servers.get("mongo").fresh_database("bench")

    def rows(self, stage: Stage, table: str) -> Iterator[Row]:
        """As they are."""
        with _database(stage) as database:
            for found in database[table].find(batch_size=BATCH).sort("_id"):
                yield (
                    found["_id"],
                    found["full_name"],
                    found["email"],
                    found["status"],
                    money(found["balance"].to_decimal()),
                    found["region"],
                    utc(found["updated_at"]),
                )


def _customer(key: int) -> dict[str, Any]:
    return {
        "_id": key,
        "first_name": f"first{key}",
        "last_name": f"last{key}",
        "email": f" Mail{key}@Example.com",
        "is_active": key % 2 == 0,
        "balance": Decimal128(key * Decimal("1.17")),
        "score": math.sin(key) * 50 + 50,
        "created_at": datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=key),
        "updated_at": datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=key),
        "region_id": key % 50,
        "notes": f"note {key}",
        "born": datetime(1980, 1, 1, tzinfo=UTC) + timedelta(days=key % 10000),
    }


@contextmanager
def _database(stage: Stage) -> Generator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](stage.url("mongo"), tz_aware=True) as client:
        yield client["bench"]
