"""Dividing a PostgreSQL table: positions between the ranges of a full read, from a sample of pages.

A few hundred pages, picked at random by the server, tell where the keys lie: 20 ms for a million
rows, whatever the key's type, since the server sorts the sample as it sorts the read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from syncline.endpoints.base import ReadSpec
from syncline.endpoints.postgres_catalog import PgTable, require
from syncline.endpoints.postgres_read import Selection, column_sql, key_texts
from syncline.endpoints.postgres_session import Pool, Session
from syncline.endpoints.postgres_sql import conjunction

_READ_NOW: Final = "ISOLATION LEVEL READ COMMITTED READ ONLY"
_PAGES: Final = 400
"""Pages looked at: enough that eight ranges come out within some tenths of each other."""
SIZE: Final = """
SELECT greatest(pg_catalog.pg_relation_size({oid}),
                (SELECT sum(pg_catalog.pg_relation_size(relid))
                 FROM pg_catalog.pg_partition_tree({oid})))
       / pg_catalog.current_setting('block_size')::float8 AS pages
"""
SAMPLE: Final = """
SELECT {columns} FROM {table} AS t TABLESAMPLE SYSTEM ({percent}){where} ORDER BY {order}
"""


def split(pool: Pool, spec: ReadSpec, parts: int) -> Sequence[str]:
    """See `Source.split`. A view, or a foreign table, has no pages to look at."""
    with pool.session(_READ_NOW) as session:
        table = require(session, spec.table)
        if table.info.is_view or parts < 2:  # noqa: PLR2004 - one part is the whole
            return ()
        texts = _sampled(session, table, spec)
    at = [len(texts) * part // parts for part in range(1, parts)]
    return tuple(dict.fromkeys(texts[place] for place in at if place < len(texts)))


def _sampled(session: Session, table: PgTable, spec: ReadSpec) -> list[str]:
    pages = int(session.rows(SIZE.format(oid=table.oid))[0][0] or 0)
    percent = 100.0 if pages <= _PAGES else max(100.0 * _PAGES / pages, 1e-4)
    types = {name: spec.columns[name] for name in spec.key}
    selection = Selection(table, types)
    # A key with a NULL has no place that a read could go on behind.
    there = [f"{column_sql(n)} IS NOT NULL" for n in spec.key if table.info.columns[n].nullable]
    query = SAMPLE.format(
        columns=selection.sql,
        table=table.sql,
        percent=f"{percent:.4f}",
        where=conjunction(there),
        order=", ".join(map(column_sql, spec.key)),
    )
    records, misfits = selection.decode(session.table(query))
    keys = key_texts(records, misfits, types)
    return [json.dumps(key, ensure_ascii=False) for key in keys]
