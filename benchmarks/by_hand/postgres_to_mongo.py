"""PostgreSQL to MongoDB: a server-side cursor, and bulk writes."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from bson import Decimal128
from pairing import BATCH, COLUMNS, QUERY, SINCE, VALUES, batches
from pymongo import MongoClient, ReplaceOne

NAMES = ("_id", *COLUMNS[1:])


def document(row: tuple[Any, ...]) -> dict[str, Any]:
    """A row as MongoDB keeps it."""
    found: dict[str, Any] = dict(zip(NAMES, row, strict=True))
    found["balance"] = Decimal128(found["balance"])
    return found


with (
    psycopg.connect(os.environ["SOURCE_URL"]) as source,
    MongoClient[dict[str, Any]](os.environ["MONGO_URL"]) as client,
    source.cursor("customers") as cursor,
):
    cursor.itersize = BATCH
    cursor.execute(QUERY, VALUES)
    target = client.get_default_database().by_hand
    for rows in batches(cursor):
        documents = map(document, rows)
        if SINCE is None:
            target.insert_many(list(documents), ordered=False)
        else:
            writes = [ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents]
            target.bulk_write(writes, ordered=False)
