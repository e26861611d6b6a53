"""PostgreSQL to SQLite: a server-side cursor, and `executemany` in one transaction."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import Any

import psycopg
from pairing import BATCH, QUERY, SINCE, VALUES, batches

INSERT = "INSERT INTO by_hand VALUES (?, ?, ?, ?, ?, ?, ?)"
UPDATE = """
ON CONFLICT (user_id) DO UPDATE SET
  full_name = excluded.full_name,
  email = excluded.email,
  status = excluded.status,
  balance = excluded.balance,
  region = excluded.region,
  updated_at = excluded.updated_at
"""


def stored(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row as SQLite keeps it: decimals and times as text."""
    *plain, balance, region, updated_at = row
    return (*plain, str(balance), region, updated_at.isoformat(" "))


with (
    psycopg.connect(os.environ["SOURCE_URL"], options="-c timezone=UTC") as source,
    closing(sqlite3.connect(os.environ["SQLITE_URL"].removeprefix("sqlite:///"))) as target,
    source.cursor("customers") as cursor,
    target,
):
    statement = INSERT if SINCE is None else INSERT + UPDATE
    cursor.itersize = BATCH
    cursor.execute(QUERY, VALUES)
    for rows in batches(cursor):
        target.executemany(statement, map(stored, rows))
