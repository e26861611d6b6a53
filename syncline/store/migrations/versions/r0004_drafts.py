"""Decisions that were refused, kept as drafts; and the groups of fields that move as one."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_CONFLICTS = "syncline_store_conflicts"
_DRAFTS = "syncline_store_drafts"


def upgrade() -> None:
    """Make the table and add the column. What is queued already knows its groups once a run
    refreshes it.
    """
    op.add_column(_CONFLICTS, sa.Column("together", sa.Text(), nullable=False, server_default="[]"))
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        _DRAFTS,
        sa.Column("id", number, primary_key=True),
        sa.Column("who", sa.String(32), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("conflict_id", number, sa.ForeignKey(f"{_CONFLICTS}.id"), nullable=False),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(f"{_DRAFTS}_one", _DRAFTS, ["who", "conflict_id"], unique=True)
