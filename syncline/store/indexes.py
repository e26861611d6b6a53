"""The tables with the index that makes a key's live conflict the only one: as migrations know them.

That index is not with its table, because to name an option of PostgreSQL brings SQLAlchemy's
dialect of it, twenty modules that a run with its store in SQLite has no use for.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, text

from syncline.store.tables import conflicts, metadata

__all__ = ["metadata"]

_LIVE: Final = text("state IN ('open', 'decided', 'stale')")

Index(
    "syncline_store_conflicts_live",
    conflicts.c.key_digest,
    unique=True,
    sqlite_where=_LIVE,
    postgresql_where=_LIVE,
)
