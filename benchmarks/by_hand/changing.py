"""One customer after the other is changed, brought over and looked for; each time is measured."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

import psycopg

CHANGE = """
UPDATE customers SET last_name = %s, updated_at = clock_timestamp() WHERE id = %s
RETURNING updated_at
"""


def looped(table: str, changes: int, bring: Callable[[datetime], None]) -> None:
    """Print the seconds and processor seconds of each `bring`, which is given when the change was.

    Fails where a change has not arrived.
    """
    seconds: list[float] = []
    used: list[float] = []
    with (
        psycopg.connect(os.environ["SOURCE_URL"], autocommit=True) as source,
        psycopg.connect(os.environ["TARGET_URL"], autocommit=True) as target,
    ):
        for key in range(1, changes + 1):
            name = uuid4().hex
            changed = source.execute(CHANGE, [name, key]).fetchone()
            assert changed is not None
            began, began_cpu = time.perf_counter(), time.process_time()
            bring(changed[0])
            seconds.append(time.perf_counter() - began)
            used.append(time.process_time() - began_cpu)
            query = f"SELECT full_name FROM {table} WHERE user_id = %s".encode()
            assert target.execute(query, [key]).fetchone() == (f"first{key} {name}",)
    print(json.dumps({"seconds": seconds, "cpu_seconds": used}))
