"""Rows into PostgreSQL: by binary COPY, and one upsert where the table is not new."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final

import psycopg
from pairing import SINCE

UPSERT: Final = """
INSERT INTO by_hand SELECT * FROM arrived
ON CONFLICT (user_id) DO UPDATE SET
  full_name = excluded.full_name,
  email = excluded.email,
  status = excluded.status,
  balance = excluded.balance,
  region = excluded.region,
  updated_at = excluded.updated_at
"""
TYPES: Final = ("int8", "text", "text", "text", "numeric", "int4", "timestamptz")


def write(rows: Iterable[tuple[Any, ...]]) -> None:
    """Write all rows in one transaction."""
    with psycopg.connect(os.environ["TARGET_URL"]) as target, target.cursor() as cursor:
        table = "by_hand"
        if SINCE is not None:
            cursor.execute("CREATE TEMPORARY TABLE arrived (LIKE by_hand)")
            table = "arrived"
        with cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)".encode()) as copy:
            copy.set_types(TYPES)
            for row in rows:
                copy.write_row(row)
        if SINCE is not None:
            cursor.execute(UPSERT)
