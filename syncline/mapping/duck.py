"""DuckDB as a mapping sees it: in memory, in UTC, and locked down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import duckdb
import pyarrow as pa

from syncline.record import Type

_LOCKDOWN: Final = (
    "SET TimeZone = 'UTC'",
    "SET enable_progress_bar = false",
    "SET python_enable_replacements = false",
    "SET enable_external_access = false",
    "SET autoload_known_extensions = false",
    "SET autoinstall_known_extensions = false",
    "SET lock_configuration = true",
)
_NAMES: Final = {
    "bool": "BOOLEAN",
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double": "DOUBLE",
    "text": "VARCHAR",
    "bytes": "BLOB",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMPTZ",
    "uuid": "VARCHAR",
    "json": "VARCHAR",
}


def open_duckdb() -> duckdb.DuckDBPyConnection:
    """A new database in memory that reaches no file, no network and no extension, and stays so."""
    connection = duckdb.connect(":memory:", config={"threads": 2})
    for setting in _LOCKDOWN:
        connection.execute(setting).fetchall()
    return connection


def rows(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """The rows of a statement, fetched to the end: DuckDB lets no other start before."""
    return connection.execute(sql, list(parameters)).fetchall()


def to_arrow(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """The result of a query as an Arrow table."""
    return cast("pa.Table", connection.sql(sql).to_arrow_table())


def identifier(name: str) -> str:
    """A name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text constant, quoted."""
    return "'" + text.replace("'", "''") + "'"


def storage(type_: Type) -> str:
    """The DuckDB type in which values of a canonical type travel through a mapping's SELECT."""
    if type_.name != "decimal":
        return _NAMES[type_.name]
    return (
        "VARCHAR"
        if type_.is_unbounded_decimal
        else f"DECIMAL({type_.precision},{type_.scale or 0})"
    )


def seen_as(type_: Type) -> str:
    """The DuckDB type as which an expression sees a column of a canonical type."""
    if type_.is_unbounded_decimal:
        return "DECIMAL(38,10)"
    return "JSON" if type_.name == "json" else storage(type_)
