"""MariaDB to PostgreSQL: an unbuffered cursor, and COPY."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC
from typing import Any

from into_postgres import write
from mysql import connect
from pairing import QUERY, VALUES
from pymysql.cursors import SSCursor


def rows() -> Iterator[tuple[Any, ...]]:
    """The rows; MariaDB's times have no zone, and PostgreSQL's here do."""
    with closing(connect(SSCursor)) as source, source.cursor() as cursor:
        cursor.execute(QUERY, VALUES)
        for *plain, updated_at in cursor:
            yield (*plain, updated_at.replace(tzinfo=UTC))


write(rows())
