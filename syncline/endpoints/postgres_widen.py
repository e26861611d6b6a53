"""A wider type for a column of PostgreSQL; default, NOT NULL, indexes and collation stay."""

from __future__ import annotations

from typing import Final

from syncline.endpoints import postgres_catalog as catalog
from syncline.endpoints.postgres_session import Session
from syncline.endpoints.postgres_sql import ident, literal
from syncline.endpoints.postgres_types import native_type
from syncline.errors import CredentialsRefused, InputError, RunFailed
from syncline.record import Type

# Whoever waits for the table would wait behind us: not for long.
PATIENCE: Final = "SET LOCAL lock_timeout = '10s'"
WIDEN: Final = "ALTER TABLE {table} ALTER COLUMN {column} TYPE {type}{collation}"
# Without COLLATE the column would get its type's own.
COLLATION: Final = """
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(l.collname) AS name
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
WHERE a.attrelid = {oid} AND a.attname = {column} AND a.attcollation <> t.typcollation
"""
_MAY: Final = {
    "int2", "int4", "float4", "numeric", "varchar", "time", "timestamp", "timestamptz",
}  # fmt: skip


def widen(session: Session, table: str, name: str, type_: Type) -> None:
    """Give the column that type. Raises InputError with the statement as its hint where the column
    is of another kind (a domain, a char(n)), or PostgreSQL refuses.
    """
    found = catalog.require(session, table)
    collation = "".join(
        f" COLLATE {row[0]}"
        for row in session.rows(COLLATION.format(oid=found.oid, column=literal(name)))
    )
    statement = WIDEN.format(
        table=catalog.spelled(table),
        column=ident(name),
        type=native_type(type_),
        collation=collation,
    )
    native = found.natives[name]
    if native.is_domain or native.is_array or native.base not in _MAY:
        raise InputError(f"it is declared {native.declared}", hint=statement)
    session.run(PATIENCE)
    try:
        session.run(statement)
    except (InputError, RunFailed, CredentialsRefused) as error:
        raise InputError(str(error), hint=statement) from error
