"""What changed between two PostgreSQL, by psycopg: `one_row.py once SINCE`, `one_row.py loop N`."""

from __future__ import annotations

import os
import sys
from typing import Any

import psycopg
from changing import looped

CHANGED = """
SELECT
  id AS user_id,
  concat_ws(' ', first_name, last_name) AS full_name,
  lower(trim(email)) AS email,
  CASE WHEN is_active THEN 'active' ELSE 'inactive' END AS status,
  balance,
  region_id * 10 AS region,
  updated_at
FROM customers
WHERE updated_at >= %s
"""
UPSERT = """
INSERT INTO by_hand VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (user_id) DO UPDATE SET
  full_name = excluded.full_name,
  email = excluded.email,
  status = excluded.status,
  balance = excluded.balance,
  region = excluded.region,
  updated_at = excluded.updated_at
"""

how, argument = sys.argv[1:]
with (
    psycopg.connect(os.environ["SOURCE_URL"]) as source,
    psycopg.connect(os.environ["TARGET_URL"]) as target,
):

    def bring(since: Any) -> None:
        """Upsert what changed."""
        rows = source.execute(CHANGED, [since]).fetchall()
        source.commit()
        target.cursor().executemany(UPSERT, rows)
        target.commit()

    if how == "once":
        bring(argument)
    else:
        looped("by_hand", int(argument), bring)
