"""SQLite: a target."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Final

from benchmarks.sides import COLUMNS, money, utc

if TYPE_CHECKING:
    from benchmarks.sides import Row
    from benchmarks.stage import Stage

# As the mapping's `create: true` would make it: decimals and times are text.
CREATE_TARGET: Final = """
CREATE TABLE {table} (
  user_id INTEGER PRIMARY KEY,
  full_name TEXT,
  email TEXT,
  status TEXT,
  balance DECIMALTEXT(14,2),
  region INTEGER,
  updated_at TIMESTAMPTZ
)
"""


class SqliteTarget:
    """In a file that is made anew."""

    connection = "sqlite"
    place = "table: {table}"
    key = "user_id"
    clock = "updated_at"

    def empty(self, stage: Stage, *tables: str) -> None:
        """In a new file, that readers and a writer can share."""
        for path in stage.project.glob(f"{stage.sqlite.name}*"):
            path.unlink()
        with closing(sqlite3.connect(stage.sqlite)) as connection, connection:
            connection.execute("PRAGMA journal_mode = wal")
            for table in tables:
                connection.execute(CREATE_TARGET.format(table=table))

    def rows(self, stage: Stage, table: str) -> Iterator[Row]:
        """Decimals and times as what their texts say."""
        query = f"SELECT {COLUMNS} FROM {table} ORDER BY user_id"
        with closing(sqlite3.connect(stage.sqlite)) as connection:
            for key, name, email, status, balance, region, at in connection.execute(query):
                instant = utc(datetime.fromisoformat(at))
                yield key, name, email, status, money(balance), region, instant
