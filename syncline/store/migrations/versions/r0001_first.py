"""The first tables: runs, conflicts and their history, dead letters, audit log, chunks."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_LIVE = sa.text("state IN ('open', 'decided', 'stale')")


def upgrade() -> None:
    """Make every table."""
    _runs()
    _conflicts()
    _history()
    _dead_letters()
    _audit()
    _chunks()


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _word(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _runs() -> None:
    op.create_table(
        "syncline_store_runs",
        sa.Column("run_id", sa.String(64), primary_key=True),
        _text("mapping"),
        _word("mode", 32),
        _word("trigger", 64),
        _word("status", 32),
        _instant("started_at"),
        _instant("finished_at", nullable=True),
        _text("summary", nullable=True),
        _text("error"),
    )
    op.create_index("syncline_store_runs_by_mapping", "syncline_store_runs", ["mapping", "run_id"])


def _conflicts() -> None:
    op.create_table(
        "syncline_store_conflicts",
        _id(),
        _word("state", 16),
        _text("mapping"),
        _word("key_digest", 32),
        _text("ledger_key"),
        _text("key"),
        _word("kind", 32),
        _text("source", nullable=True),
        _text("target", nullable=True),
        _text("baseline"),
        _text("contested"),
        _text("source_moved"),
        _text("target_moved"),
        _text("clock_source", nullable=True),
        _text("clock_target", nullable=True),
        _number("clock_digits"),
        _text("source_prints"),
        _text("target_prints"),
        _text("reason"),
        _word("content_digest", 32),
        _text("decision", nullable=True),
        _word("run_id", 64),
        _instant("created_at"),
        _instant("updated_at"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "syncline_store_conflicts_live",
        "syncline_store_conflicts",
        ["key_digest"],
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    )
    op.create_index(
        "syncline_store_conflicts_by_state",
        "syncline_store_conflicts",
        ["mapping", "state", "id"],
    )


def _history() -> None:
    op.create_table(
        "syncline_store_conflict_history",
        _id(),
        sa.Column(
            "conflict_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.ForeignKey("syncline_store_conflicts.id"),
            nullable=False,
        ),
        _instant("at"),
        _word("event", 16),
        _word("run_id", 64),
        _text("by"),
        _text("note"),
        _text("source", nullable=True),
        _text("target", nullable=True),
        _text("decision", nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "syncline_store_conflict_history_by_conflict",
        "syncline_store_conflict_history",
        ["conflict_id", "id"],
    )


def _dead_letters() -> None:
    op.create_table(
        "syncline_store_dead_letters",
        _id(),
        _text("mapping"),
        _word("identity", 40),
        _text("ledger_key", nullable=True),
        _text("source"),
        _text("error"),
        _text("field", nullable=True),
        _word("stage", 16),
        _number("attempts"),
        _word("run_id", 64),
        _instant("created_at"),
        _instant("updated_at"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "syncline_store_dead_letters_one",
        "syncline_store_dead_letters",
        ["identity"],
        unique=True,
    )
    op.create_index(
        "syncline_store_dead_letters_by_mapping", "syncline_store_dead_letters", ["mapping", "id"]
    )


def _audit() -> None:
    op.create_table(
        "syncline_store_audit",
        _id(),
        _instant("at"),
        _text("mapping"),
        _text("key"),
        _word("run_id", 64),
        _word("kind", 32),
        _text("by"),
        _text("winner"),
        _text("loser"),
        _text("note"),
        _word("content_digest", 32),
        sqlite_autoincrement=True,
    )
    op.create_index("syncline_store_audit_by_mapping", "syncline_store_audit", ["mapping", "id"])
    op.create_index(
        "syncline_store_audit_once", "syncline_store_audit", ["content_digest"], unique=True
    )


def _chunks() -> None:
    op.create_table(
        "syncline_store_chunks",
        _id(),
        _text("mapping"),
        _word("backfill", 32),
        _word("chunk", 32),
        _word("run_id", 64),
        _instant("done_at"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "syncline_store_chunks_one",
        "syncline_store_chunks",
        ["mapping", "backfill", "chunk"],
        unique=True,
    )
