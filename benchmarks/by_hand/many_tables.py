"""Many tables between two PostgreSQL, one connection to each: `many_tables.py all|changed TABLE..`.

All rows by COPY; or what is newer than the target's newest, by one query and upsert a table.
"""

from __future__ import annotations

import os
import sys

import psycopg

what, *tables = sys.argv[1:]
with (
    psycopg.connect(os.environ["SOURCE_URL"]) as source,
    psycopg.connect(os.environ["TARGET_URL"]) as target,
):
    for table in tables:
        if what == "all":
            out, into = f"COPY {table} TO STDOUT", f"COPY by_hand_{table} FROM STDIN"
            with (
                source.cursor().copy(f"{out} (FORMAT binary)".encode()) as read,
                target.cursor().copy(f"{into} (FORMAT binary)".encode()) as write,
            ):
                for block in read:
                    write.write(block)
        else:
            newest = target.execute(f"SELECT max(updated_at) FROM by_hand_{table}".encode())
            changed = source.execute(
                f"SELECT * FROM {table} WHERE updated_at > %s".encode(), newest.fetchone()
            ).fetchall()
            target.cursor().executemany(
                f"INSERT INTO by_hand_{table} VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE "
                "SET name = excluded.name, amount = excluded.amount, "
                "updated_at = excluded.updated_at".encode(),
                changed,
            )
        target.commit()
