"""Run by Alembic: every migration in the transaction that the store has begun and locked."""

from alembic import context

from syncline.store.indexes import metadata
from syncline.store.tables import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite alters a table by making it again
)
with context.begin_transaction():
    context.run_migrations()
