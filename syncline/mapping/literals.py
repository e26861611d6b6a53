"""Constants of a mapping in SQL: what YAML holds, as a value of a canonical type that provably
fits.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import duckdb

from syncline.mapping.coerce import coerce
from syncline.mapping.duck import literal, rows
from syncline.mapping.expression import ExpressionError
from syncline.record import Type

_BIGINT: Final = range(-(2**63), 2**63)
_DIGITS: Final = 38


def constant(value: Any) -> tuple[str, Type | None]:  # noqa: PLR0911 - one a kind of value
    """The constant in SQL and its type (None: NULL). Raises ExpressionError for what can't
    be one.
    """
    match value:
        case None:
            return "NULL", None
        case bool():
            return str(value).upper(), Type("bool")
        case int() if value in _BIGINT:
            return f"CAST({value} AS BIGINT)", Type("bigint")
        case int() if len(str(abs(value))) <= _DIGITS:
            return f"CAST('{value}' AS DECIMAL({_DIGITS},0))", Type("decimal", _DIGITS, 0)
        case float() if math.isfinite(value):
            return f"CAST('{value!r}' AS DOUBLE)", Type("double")
        case str() if "\0" not in value:
            return f"CAST({literal(value)} AS VARCHAR)", Type("text")
        case list() | dict():
            return f"CAST({literal(json.dumps(value, ensure_ascii=False))} AS VARCHAR)", Type(
                "json"
            )
        case _:
            raise ExpressionError(f"{value!r} can't be a constant")


def fitted(connection: duckdb.DuckDBPyConnection, value: Any, *types: Type | None) -> str:
    """The constant in SQL, coerced to each of the types in turn (None: left as it is).

    Raises ExpressionError where it does not fit one of them.
    """
    sql, source = constant(value)
    for target in types:
        if target is None or source == target:
            continue
        coerced = coerce(sql, source, target)
        if coerced is None:
            raise ExpressionError(f"{value!r} is no {target}")
        if coerced.bad is not None and source is not None:
            try:
                misfit = rows(connection, f"SELECT coalesce({coerced.bad}, false)")[0][0]
            except duckdb.Error as error:
                raise ExpressionError(f"{value!r} is no {target}: {error}") from None
            if misfit:
                raise ExpressionError(f"{value!r} {coerced.reason}")
        sql, source = coerced.value, target
    return sql
