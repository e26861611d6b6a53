"""Conflicts: a version, the fields' types, a text to search, and the index of lists."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TABLE = "syncline_store_conflicts"


def upgrade() -> None:
    """Add the columns and the index.

    What is queued already is found by its key and reason; by its values once a run refreshes it,
    since which of them are masked is written in the mapping.
    """
    op.add_column(_TABLE, sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
    op.add_column(_TABLE, sa.Column("types", sa.Text(), nullable=False, server_default="{}"))
    op.add_column(_TABLE, sa.Column("search", sa.Text(), nullable=False, server_default=""))
    table = sa.table(_TABLE, sa.column("search"), sa.column("key"), sa.column("reason"))
    op.execute(table.update().values(search=sa.func.lower(table.c.key + " " + table.c.reason)))
    op.create_index(
        "syncline_store_conflicts_listed",
        _TABLE,
        ["state", "mapping", "kind", "created_at", "updated_at"],
    )
