"""The tables of webhooks: the inbox of those that came in, the outbox of those to be sent."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "syncline_store_inbox",
        _id(),
        _text("mapping"),
        _word("message_id", 128),
        _text("kind"),
        _instant("received_at"),
        _word("launched", 64),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "syncline_store_inbox_once", "syncline_store_inbox", ["mapping", "message_id"], unique=True
    )
    op.create_index("syncline_store_inbox_by_run", "syncline_store_inbox", ["launched", "id"])
    op.create_table(
        "syncline_store_outbox",
        _id(),
        _word("message_id", 64),
        _word("receiver", 32),
        _word("kind", 64),
        _text("mapping"),
        _text("body"),
        _word("state", 16),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _instant("next_at"),
        _text("error"),
        _instant("created_at"),
        _instant("updated_at"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "syncline_store_outbox_once",
        "syncline_store_outbox",
        ["receiver", "message_id"],
        unique=True,
    )
    op.create_index("syncline_store_outbox_due", "syncline_store_outbox", ["state", "next_at"])


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _word(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _instant(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)
