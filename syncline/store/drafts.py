"""Drafts: decisions that were refused, each kept for who made it until they decide or discard it.

Per user and conflict there is one. What was typed is kept as it was typed, so that nothing is lost;
whoever shows it hides what the mapping masks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, insert, select

from syncline.store.database import reading, writing
from syncline.store.keys import among, digest, split
from syncline.store.model import Side, Take
from syncline.store.tables import drafts

MOST: Final = 500
"""Drafts of one user; the oldest give way."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody was about to decide on a conflict, and why it was refused.

    `take`, `sides`, `texts` and `note` as they were chosen; a text None is NULL.
    """

    conflict: int
    take: Take
    sides: Mapping[str, Side] = field(default_factory=dict[str, Side])
    texts: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    note: str = ""
    reason: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Drafts:
    """Made by `Store.drafts`; raises as every method of Store does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, user: str, draft: Draft) -> None:
        """Keep one, in the place of an earlier one of this user for this conflict."""
        who = _who(user)
        row = {
            "who": who, "by": user, "conflict_id": draft.conflict, "reason": draft.reason,
            "at": draft.at, "choice": {
                "take": draft.take, "sides": dict(draft.sides), "texts": dict(draft.texts),
                "note": draft.note,
            },
        }  # fmt: skip
        newest = (
            select(drafts.c.id).where(drafts.c.who == who).order_by(drafts.c.id.desc()).limit(MOST)
        )
        with writing(self._engine) as connection:
            forget(connection, user, [draft.conflict])
            connection.execute(insert(drafts), row)
            kept = list(connection.scalars(newest))
            old = delete(drafts).where(drafts.c.who == who).where(drafts.c.id < kept[-1])
            connection.execute(old)

    def of(self, user: str, conflict: int) -> Draft | None:
        """The user's draft for a conflict."""
        with reading(self._engine) as connection:
            query = select(drafts).where(drafts.c.who == _who(user))
            row = connection.execute(query.where(drafts.c.conflict_id == conflict)).first()
            return None if row is None else _draft(row)

    def by(self, user: str) -> list[Draft]:
        """The user's drafts, newest first."""
        query = select(drafts).where(drafts.c.who == _who(user)).order_by(drafts.c.id.desc())
        with reading(self._engine) as connection:
            return [_draft(row) for row in connection.execute(query)]

    def drop(self, user: str, conflict: int) -> bool:
        """Forget one; whether there was one."""
        with writing(self._engine) as connection:
            return forget(connection, user, [conflict]) > 0


def forget(connection: Connection, user: str, conflicts: Sequence[int]) -> int:
    """The user has decided these, or discards what they wanted: their drafts go; how many."""
    gone = 0
    for piece in split(conflicts):
        held = (drafts.c.who == _who(user)) & among(connection, drafts.c.conflict_id, piece)
        gone += connection.execute(delete(drafts).where(held)).rowcount
    return gone


def _who(user: str) -> str:
    return digest(user)


def _draft(row: Any) -> Draft:
    return Draft(conflict=row.conflict_id, reason=row.reason, at=row.at, **row.choice)
