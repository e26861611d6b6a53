"""The outbox: webhooks to be sent, durable before anyone tries, each with when it is tried next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from syncline.store.database import reading, writing
from syncline.store.tables import outbox

KEPT: Final = timedelta(days=30)
"""How long a message that was sent, or given up, is still listed."""


class Sending(Enum):
    """Where a message stands."""

    WAITING = "waiting"
    """It is tried at `next_at`."""
    SENT = "sent"
    """The receiver took it."""
    GONE = "gone"
    """The receiver said that it is gone for good (410): nothing is sent to it until resumed."""
    GIVEN_UP = "given-up"
    """It failed too often; `Outbox.resume` lets it try again."""


@dataclass(frozen=True, slots=True)
class Message:
    """A webhook to be sent. `body` is what is signed and sent, to the byte, at every attempt."""

    id: int
    message_id: str
    receiver: str
    kind: str
    mapping: str
    body: str
    state: Sending
    attempts: int
    next_at: datetime
    error: str
    created_at: datetime


class Outbox:
    """Made by `Store.outbox`; raises as every method of Store does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, message_id: str, receiver: str, kind: str, mapping: str, body: str) -> bool:
        """Keep a message to be sent; False where this one was put before, and changes nothing.

        To a receiver that is gone it is kept, and not sent.
        """
        now = datetime.now(UTC)
        with writing(self._engine) as connection:
            _forget(connection, now)
            gone = connection.scalar(
                select(exists().where(_to(receiver), outbox.c.state == Sending.GONE.value))
            )
            row: dict[str, Any] = {
                "message_id": message_id, "receiver": receiver, "kind": kind, "mapping": mapping,
                "body": body, "state": (Sending.GONE if gone else Sending.WAITING).value,
                "attempts": 0, "next_at": now, "error": "", "created_at": now, "updated_at": now,
            }  # fmt: skip
            try:
                with connection.begin_nested():
                    connection.execute(insert(outbox), row)
            except IntegrityError:
                return False
            return True

    def claim(self, receiver: str, *, seconds: float, limit: int = 1) -> list[Message]:
        """Take messages that are due; no one else gets them for so many seconds."""
        now = datetime.now(UTC)
        due = (
            select(outbox)
            .where(_to(receiver), outbox.c.state == Sending.WAITING.value, outbox.c.next_at <= now)
            .order_by(outbox.c.next_at, outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with writing(self._engine) as connection:
            found = [_message(row) for row in connection.execute(due)]
            connection.execute(
                update(outbox)
                .where(outbox.c.id.in_([each.id for each in found]))
                .values(next_at=now + timedelta(seconds=seconds), updated_at=now)
            )
            return found

    def sent(self, message: Message) -> None:
        """The receiver took it."""
        self._end(message, Sending.SENT, "")

    def failed(self, message: Message, error: str, *, again_in: float | None) -> None:
        """An attempt failed; it is tried again in so many seconds, or with None given up."""
        if again_in is None:
            self._end(message, Sending.GIVEN_UP, error)
            return
        now = datetime.now(UTC)
        with writing(self._engine) as connection:
            connection.execute(
                update(outbox)
                .where(outbox.c.id == message.id)
                .values(
                    attempts=message.attempts + 1, error=error, updated_at=now,
                    next_at=now + timedelta(seconds=again_in),
                )
            )  # fmt: skip

    def gone(self, message: Message, error: str) -> None:
        """The receiver is gone: this message and all others that wait for it are not sent."""
        self._end(message, Sending.GONE, error)
        with writing(self._engine) as connection:
            connection.execute(
                update(outbox)
                .where(_to(message.receiver), outbox.c.state == Sending.WAITING.value)
                .values(state=Sending.GONE.value, error=error, updated_at=datetime.now(UTC))
            )

    def resume(self, receiver: str) -> int:
        """Try again what was given up, or held back from a receiver that was gone; how many."""
        ended = [Sending.GONE.value, Sending.GIVEN_UP.value]
        now = datetime.now(UTC)
        with writing(self._engine) as connection:
            return connection.execute(
                update(outbox)
                .where(_to(receiver), outbox.c.state.in_(ended))
                .values(
                    state=Sending.WAITING.value, attempts=0, error="", next_at=now, updated_at=now
                )
            ).rowcount

    def listed(self, limit: int = 50) -> list[Message]:
        """Messages, newest first, to whatever receiver."""
        query = select(outbox).order_by(outbox.c.id.desc()).limit(limit)
        with reading(self._engine) as connection:
            return [_message(row) for row in connection.execute(query)]

    def _end(self, message: Message, state: Sending, error: str) -> None:
        with writing(self._engine) as connection:
            connection.execute(
                update(outbox)
                .where(outbox.c.id == message.id)
                .values(
                    state=state.value, attempts=message.attempts + 1, error=error,
                    updated_at=datetime.now(UTC),
                )
            )  # fmt: skip


def _to(receiver: str) -> Any:
    return outbox.c.receiver == receiver


def _forget(connection: Connection, now: datetime) -> None:
    ended = [Sending.SENT.value, Sending.GIVEN_UP.value]
    connection.execute(
        delete(outbox).where(outbox.c.state.in_(ended)).where(outbox.c.updated_at < now - KEPT)
    )


def _message(row: Any) -> Message:
    return Message(
        id=row.id, message_id=row.message_id, receiver=row.receiver, kind=row.kind,
        mapping=row.mapping, body=row.body, state=Sending(row.state), attempts=row.attempts,
        next_at=row.next_at, error=row.error, created_at=row.created_at,
    )  # fmt: skip
