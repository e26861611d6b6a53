"""The inbox: webhooks that were verified, each kept once, until a run answers it and beyond.

A message stays long after it was answered: a sender that missed our answer sends it again, with the
same id, for days (Standard Webhooks 1.0, "Webhook scheme").
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from syncline.store.database import reading, writing
from syncline.store.tables import inbox

KEPT: Final = timedelta(days=14)
"""Longer than any sender tries again, and far longer than a signature's time is accepted."""


@dataclass(frozen=True, slots=True)
class Received:
    """A webhook that waits for a run of its mapping."""

    id: int
    mapping: str
    message_id: str
    kind: str
    received_at: datetime


class Inbox:
    """Made by `Store.inbox`; raises as every method of Store does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, mapping: str, message_id: str, kind: str = "") -> bool:
        """Keep a message; False where it was there already, and changes nothing."""
        now = datetime.now(UTC)
        with writing(self._engine) as connection:
            connection.execute(
                delete(inbox).where(inbox.c.received_at < now - KEPT).where(inbox.c.launched != "")
            )
            row = {
                "mapping": mapping, "message_id": message_id, "kind": kind, "received_at": now,
                "launched": "",
            }  # fmt: skip
            try:
                with connection.begin_nested():
                    connection.execute(insert(inbox), row)
            except IntegrityError:  # known, or another copy of it came in at the same moment
                return False
            return True

    def waiting(self) -> list[Received]:
        """The messages that no run answers yet, oldest first."""
        query = select(inbox).where(inbox.c.launched == "").order_by(inbox.c.id)
        with reading(self._engine) as connection:
            return [
                Received(row.id, row.mapping, row.message_id, row.kind, row.received_at)
                for row in connection.execute(query)
            ]

    def answered(self, mapping: str, up_to: int, run_id: str) -> None:
        """This run answers the mapping's messages up to this id. Idempotent."""
        with writing(self._engine) as connection:
            connection.execute(
                update(inbox)
                .where(inbox.c.mapping == mapping)
                .where(inbox.c.id <= up_to)
                .where(inbox.c.launched == "")
                .values(launched=run_id)
            )
