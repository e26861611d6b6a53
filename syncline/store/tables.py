"""The tables of the control store, the same on SQLite and PostgreSQL."""

# ruff: noqa: ARG002 - the dialect is part of a method that SQLAlchemy calls
from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator

from syncline.store import values


class Utc(TypeDecorator[datetime]):
    """An instant in UTC. SQLite keeps no zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Value(TypeDecorator[Any]):
    """Any record value as exact JSON text (`store.values`); None is NULL.

    Text, not jsonb: jsonb refuses NUL and rewrites numbers.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To text."""
        return None if value is None else values.encode(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From text."""
        return None if value is None else values.decode(value)


class Names(TypeDecorator[frozenset[str]]):
    """A set of field names: one JSON string a line, so that SQL can look for one (`name_line`)."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Iterable[str] | None, dialect: Dialect) -> str:
        """To lines, sorted."""
        return "\n" + "".join(json.dumps(name) + "\n" for name in sorted(value or ()))

    def process_result_value(self, value: str | None, dialect: Dialect) -> frozenset[str]:
        """From lines."""
        return frozenset(json.loads(line) for line in (value or "").splitlines() if line)


class Groups(TypeDecorator[tuple[frozenset[str], ...]]):
    """Groups of field names, as JSON lists."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Iterable[Iterable[str]] | None, dialect: Dialect) -> str:
        """To a list of lists, each sorted."""
        return json.dumps([sorted(group) for group in value or ()])

    def process_result_value(
        self, value: str | None, dialect: Dialect
    ) -> tuple[frozenset[str], ...]:
        """From lists."""
        return tuple(frozenset(group) for group in json.loads(value or "[]"))


def name_line(name: str) -> str:
    """What a `Names` column contains if, and only if, it has this name."""
    return f"\n{json.dumps(name)}\n"


class Words(TypeDecorator[str]):
    """Text for people (an error, a note). PostgreSQL can't hold a NUL, so it is shown as U+2400."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Without NUL and lone surrogates."""
        if value is None:
            return None
        return value.replace("\0", "\u2400").encode("utf-8", "backslashreplace").decode("utf-8")


metadata = MetaData()

_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER by itself

runs = Table(
    "syncline_store_runs", metadata,
    Column("run_id", String(64), primary_key=True),
    Column("mapping", Text, nullable=False),
    Column("mode", String(32), nullable=False),
    Column("trigger", String(64), nullable=False),
    Column("status", String(32), nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("finished_at", Utc),
    Column("summary", Value),
    Column("error", Words, nullable=False),
    Index("syncline_store_runs_by_mapping", "mapping", "run_id"),
)  # fmt: skip

conflicts = Table(
    "syncline_store_conflicts", metadata,
    Column("id", _ID, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("mapping", Text, nullable=False),
    # Of mapping and ledger key: `keys.key_digest`.
    Column("key_digest", String(32), nullable=False),
    Column("ledger_key", Value, nullable=False),
    Column("key", Value, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("source", Value),
    Column("target", Value),
    Column("baseline", Value, nullable=False),
    Column("contested", Names, nullable=False),
    Column("source_moved", Names, nullable=False),
    Column("target_moved", Names, nullable=False),
    Column("clock_source", Value),
    Column("clock_target", Value),
    Column("clock_digits", Integer, nullable=False),
    Column("source_prints", Text, nullable=False),
    Column("target_prints", Text, nullable=False),
    Column("reason", Words, nullable=False),
    Column("content_digest", String(32), nullable=False),
    Column("decision", Value),
    Column("run_id", String(64), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    # Counts every change of the entry: whoever writes says which one they saw.
    Column("version", Integer, nullable=False, server_default="1"),
    # The types of the fields, so that an edited value is checked without opening a database.
    Column("types", Value, nullable=False, server_default="{}"),
    # The groups of fields that move as one: a decision takes each from one side.
    Column("together", Groups, nullable=False, server_default="[]"),
    # What a text is looked for in: key, reason and what is not masked, case-folded (`arrival`).
    Column("search", Words, nullable=False, server_default=""),
    # And one live entry a key: `indexes`.
    Index("syncline_store_conflicts_by_state", "mapping", "state", "id"),
    # All that a list filters and sorts by but text and fields: counting reads nothing else.
    Index(
        "syncline_store_conflicts_listed", "state", "mapping", "kind", "created_at", "updated_at"
    ),
    sqlite_autoincrement=True,
)  # fmt: skip

history = Table(
    "syncline_store_conflict_history", metadata,
    Column("id", _ID, primary_key=True),
    Column("conflict_id", _ID, ForeignKey("syncline_store_conflicts.id"), nullable=False),
    Column("at", Utc, nullable=False),
    Column("event", String(16), nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("by", Words, nullable=False),
    Column("note", Words, nullable=False),
    Column("source", Value),
    Column("target", Value),
    Column("decision", Value),
    Index("syncline_store_conflict_history_by_conflict", "conflict_id", "id"),
    sqlite_autoincrement=True,
)  # fmt: skip

drafts = Table(
    "syncline_store_drafts", metadata,
    Column("id", _ID, primary_key=True),
    # Digest of the user's name, which may be longer than an index entry.
    Column("who", String(32), nullable=False),
    Column("by", Words, nullable=False),
    Column("conflict_id", _ID, ForeignKey("syncline_store_conflicts.id"), nullable=False),
    # What they chose, as they typed it.
    Column("choice", Value, nullable=False),
    Column("reason", Words, nullable=False),
    Column("at", Utc, nullable=False),
    Index("syncline_store_drafts_one", "who", "conflict_id", unique=True),
    sqlite_autoincrement=True,
)  # fmt: skip

dead_letters = Table(
    "syncline_store_dead_letters", metadata,
    Column("id", _ID, primary_key=True),
    Column("mapping", Text, nullable=False),
    # Of mapping and ledger key, or record where its key could not be read.
    Column("identity", String(40), nullable=False),
    Column("ledger_key", Value),
    Column("source", Value, nullable=False),
    Column("error", Words, nullable=False),
    Column("field", Words),
    Column("stage", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    Index("syncline_store_dead_letters_one", "identity", unique=True),
    Index("syncline_store_dead_letters_by_mapping", "mapping", "id"),
    sqlite_autoincrement=True,
)  # fmt: skip

audit = Table(
    "syncline_store_audit", metadata,
    Column("id", _ID, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("mapping", Text, nullable=False),
    Column("key", Value, nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("by", Words, nullable=False),
    Column("winner", Words, nullable=False),
    Column("loser", Value, nullable=False),
    Column("note", Words, nullable=False),
    Column("content_digest", String(32), nullable=False),
    Index("syncline_store_audit_by_mapping", "mapping", "id"),
    Index("syncline_store_audit_once", "content_digest", unique=True),
    sqlite_autoincrement=True,
)  # fmt: skip

chunks = Table(
    "syncline_store_chunks", metadata,
    Column("id", _ID, primary_key=True),
    Column("mapping", Text, nullable=False),
    # Digest of how the backfill was asked for: the same words again go on where it stopped.
    Column("backfill", String(32), nullable=False),
    Column("chunk", String(32), nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("done_at", Utc, nullable=False),
    Index("syncline_store_chunks_one", "mapping", "backfill", "chunk", unique=True),
    sqlite_autoincrement=True,
)  # fmt: skip

inbox = Table(
    "syncline_store_inbox", metadata,
    Column("id", _ID, primary_key=True),
    Column("mapping", Text, nullable=False),
    Column("message_id", String(128), nullable=False),
    # What the sender calls it; the rest of the message is not kept, a run reads the source itself.
    Column("kind", Words, nullable=False),
    Column("received_at", Utc, nullable=False),
    # The run that answers it; empty until there is one.
    Column("launched", String(64), nullable=False),
    Index("syncline_store_inbox_once", "mapping", "message_id", unique=True),
    Index("syncline_store_inbox_by_run", "launched", "id"),
    sqlite_autoincrement=True,
)  # fmt: skip

outbox = Table(
    "syncline_store_outbox", metadata,
    Column("id", _ID, primary_key=True),
    Column("message_id", String(64), nullable=False),
    # Digest of the address: a receiver that is gone gets no more, another one does.
    Column("receiver", String(32), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("mapping", Text, nullable=False),
    Column("body", Words, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Utc, nullable=False),
    Column("error", Words, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    Index("syncline_store_outbox_once", "receiver", "message_id", unique=True),
    Index("syncline_store_outbox_due", "state", "next_at"),
    sqlite_autoincrement=True,
)  # fmt: skip

VERSION_TABLE = "syncline_store_version"
