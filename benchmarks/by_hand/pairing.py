"""What the scripts between two databases share: the query, and batches of what it gives."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

BATCH: Final = 5_000
COLUMNS: Final = ("user_id", "full_name", "email", "status", "balance", "region", "updated_at")
SINCE: Final = sys.argv[1] if len(sys.argv) > 1 else None
"""The least `updated_at` to bring; None for all."""
QUERY: Final = """
SELECT
  id AS user_id,
  concat_ws(' ', first_name, last_name) AS full_name,
  lower(trim(email)) AS email,
  CASE WHEN is_active THEN 'active' ELSE 'inactive' END AS status,
  balance,
  region_id * 10 AS region,
  updated_at
FROM customers
""" + (" WHERE updated_at >= %s" if SINCE else "")
VALUES: Final = (SINCE,) if SINCE else ()


def batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """The rows, as many at a time as are written at once."""
    given = iter(rows)
    while batch := list(islice(given, BATCH)):
        yield batch
