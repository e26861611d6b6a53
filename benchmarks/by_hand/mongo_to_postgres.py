"""MongoDB to PostgreSQL: pymongo, the fields made in Python, and COPY."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from into_postgres import write
from pairing import BATCH, SINCE
from pymongo import MongoClient


def rows() -> Iterator[tuple[Any, ...]]:
    """The documents as rows of the target."""
    since = {} if SINCE is None else {"updated_at": {"$gte": datetime.fromisoformat(SINCE)}}
    with MongoClient[dict[str, Any]](os.environ["MONGO_URL"], tz_aware=True) as client:
        for found in client.get_default_database().customers.find(since, batch_size=BATCH):
            yield (
                found["_id"],
                f"{found['first_name']} {found['last_name']}",
                found["email"].strip().lower(),
                "active" if found["is_active"] else "inactive",
                found["balance"].to_decimal(),
                found["region_id"] * 10,
                found["updated_at"],
            )


write(rows())
