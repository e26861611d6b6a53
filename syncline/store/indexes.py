"""The index that makes a key's live conflict the only one; of concern to migrations alone.

It is not with its table, because to name an option of PostgreSQL brings SQLAlchemy's dialect of it,
thirty modules that a run with its store in SQLite has no use for.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, text

from syncline.store.tables import conflicts

_LIVE: Final = text("state IN ('open', 'decided', 'stale')")

live: Final = Index(
    "syncline_store_conflicts_live",
    conflicts.c.key_digest,
    unique=True,
    sqlite_where=_LIVE,
    postgresql_where=_LIVE,
)
