"""Brings the control store to this version's tables, once, however many processes open it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text

from syncline.errors import InputError
from syncline.store.database import named_failures, shown, writing
from syncline.store.tables import VERSION_TABLE

HEAD: Final = "0004"
"""The newest migration; a test holds it against the migrations themselves."""
MIGRATIONS: Final = Path(__file__).parent / "migrations"
_VERSION: Final = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - a constant
_LOCK: Final = 0x73796E63  # any number that is always the same: "sync"


def migrate(engine: Engine) -> None:
    """Bring the store to HEAD. A store already there costs one query, and Alembic is not imported.

    Raises InputError where the store was made by a newer syncline.
    """
    if _version(engine) == HEAD:
        return
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":  # SQLite is locked by BEGIN IMMEDIATE
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        _upgrade(connection)


def _version(engine: Engine) -> str | None:
    from sqlalchemy.exc import DBAPIError

    with named_failures(engine), engine.connect() as connection:
        try:
            return connection.exec_driver_sql(_VERSION).scalar()
        except DBAPIError:
            connection.rollback()
            if not inspect(connection).has_table(VERSION_TABLE):
                return None
        # It was not what was missing, or another process has made it meanwhile.
        return connection.exec_driver_sql(_VERSION).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    current = context.get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        message = (
            f"the control store {shown(connection.engine.url)} is at version {current}, "
            f"and this syncline knows up to {HEAD}"
        )
        raise InputError(message, hint="upgrade syncline: pip install --upgrade syncline")
    if current != HEAD:
        command.upgrade(config, HEAD)
