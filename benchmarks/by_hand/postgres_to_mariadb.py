"""PostgreSQL to MariaDB: a server-side cursor, and inserts of many rows each."""

from __future__ import annotations

import os
from contextlib import closing

import psycopg
from mysql import connect
from pairing import BATCH, QUERY, SINCE, VALUES, batches

# pymysql makes one statement of many rows of what has this shape.
INSERT = """
INSERT INTO by_hand (user_id, full_name, email, status, balance, region, updated_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
UPDATE = """
ON DUPLICATE KEY UPDATE
  full_name = VALUES(full_name),
  email = VALUES(email),
  status = VALUES(status),
  balance = VALUES(balance),
  region = VALUES(region),
  updated_at = VALUES(updated_at)
"""

with (
    psycopg.connect(os.environ["SOURCE_URL"], options="-c timezone=UTC") as source,
    source.cursor("customers") as cursor,
    closing(connect()) as target,
    target.cursor() as writer,
):
    statement = INSERT if SINCE is None else INSERT + UPDATE
    cursor.itersize = BATCH
    cursor.execute(QUERY, VALUES)
    for rows in batches(cursor):
        writer.executemany(statement, rows)
    target.commit()
