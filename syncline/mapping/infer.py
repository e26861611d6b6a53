"""The canonical type of an expression's result, as DuckDB's binder tells it."""

# ruff: noqa: S608 - names are quoted and texts are literals by `duck`; nothing else is put in

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import duckdb

from syncline.mapping.duck import rows
from syncline.mapping.expression import ExpressionError
from syncline.record import Type

_DECIMAL: Final = re.compile(r"^DECIMAL\((\d+),(\d+)\)$")
_SAME: Final = {
    "BOOLEAN": "bool",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "FLOAT": "real",
    "DOUBLE": "double",
    "VARCHAR": "text",
    "BLOB": "bytes",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
}
_CAST: Final = {
    "TINYINT": ("SMALLINT", Type("smallint")),
    "UTINYINT": ("SMALLINT", Type("smallint")),
    "USMALLINT": ("INTEGER", Type("integer")),
    "UINTEGER": ("BIGINT", Type("bigint")),
    "UBIGINT": ("DECIMAL(20,0)", Type("decimal", 20, 0)),
    "HUGEINT": ("VARCHAR", Type("decimal")),
    "UHUGEINT": ("VARCHAR", Type("decimal")),
    "BIGNUM": ("VARCHAR", Type("decimal")),
    "TIMESTAMP_S": ("TIMESTAMP", Type("timestamp", 0)),
    "TIMESTAMP_MS": ("TIMESTAMP", Type("timestamp", 3)),
    "UUID": ("VARCHAR", Type("uuid")),
    "JSON": ("VARCHAR", Type("json")),
    "BIT": ("VARCHAR", Type("text")),
}


@dataclass(frozen=True, slots=True)
class Typed:
    """An expression whose result is stored as a canonical type (None: it is always NULL)."""

    sql: str
    type: Type | None


def infer(connection: duckdb.DuckDBPyConnection, sql: str, relation: str) -> Typed:
    """The expression with its type over a relation (in SQL). Raises ExpressionError where DuckDB
    refuses it.
    """
    try:
        found = str(rows(connection, f"DESCRIBE SELECT {sql} FROM {relation}")[0][1])
    except duckdb.Error as error:
        raise ExpressionError(_message(error)) from None
    if found == '"NULL"':
        return Typed(sql, None)
    if found in _SAME:
        return Typed(sql, Type(_SAME[found]))
    if match := _DECIMAL.match(found):
        return Typed(sql, Type("decimal", int(match[1]), int(match[2])))
    if found in _CAST:
        storage, type_ = _CAST[found]
        return Typed(f"CAST({sql} AS {storage})", type_)
    if found.startswith("ENUM"):
        return Typed(f"CAST({sql} AS VARCHAR)", Type("text"))
    if found.endswith("]") or found.startswith(("STRUCT(", "MAP(")):
        return Typed(f"CAST(to_json({sql}) AS VARCHAR)", Type("json"))
    raise ExpressionError(
        f"its result is {found}, which no database here holds: cast it, to text or another"
    )


def _message(error: duckdb.Error) -> str:
    """DuckDB's message without its class, its caret and its advice to the writer of a whole
    query.
    """
    lines = str(error).strip().splitlines()
    text = lines[0].split("Error: ", 1)[-1]
    candidates = [line.strip() for line in lines[1:] if "(" in line and "->" in line]
    return text.split(" You might need")[0] + (
        f" Known: {'; '.join(candidates[:3])}" if candidates else ""
    )
