"""The functions that an expression may call: DuckDB's own scalar ones whose result depends on
nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import duckdb

from syncline.mapping.duck import rows

_CATALOGUE: Final = """
SELECT lower(function_name), function_type, coalesce(stability, ''), macro_definition, parameters
FROM duckdb_functions()
WHERE function_type IN ('scalar', 'aggregate', 'window', 'table', 'table_macro')
   OR (function_type = 'macro' AND schema_name = 'main')
"""
_NOT_PROMISED: Final = "its result may differ between versions of DuckDB"
_INTERNAL: Final = "it looks into DuckDB itself"
_REFUSED: Final = {
    "hash": f"{_NOT_PROMISED}: use md5() or sha256()",
    "current_localtime": "it depends on the clock",
    "current_localtimestamp": "it depends on the clock",
    "version": _INTERNAL,
    "icu_sort_key": _NOT_PROMISED,
    "create_sort_key": _NOT_PROMISED,
    "index_key": _INTERNAL,
    "json_serialize_sql": _INTERNAL,
    "json_deserialize_sql": _INTERNAL,
    "json_serialize_plan": _INTERNAL,
    "parse_duckdb_log_message": _INTERNAL,
    "combine": _INTERNAL,
    "finalize": _INTERNAL,
    "to_aggregate_state": _INTERNAL,
    "make_type": _INTERNAL,
    "invoke": _INTERNAL,
    "getenv": "it reads the environment",
    "unnest": "it makes several records of one",
    "generate_subscripts": "it makes several records of one",
    "regexp_split_to_table": "it makes several records of one",
    "try_cast_to_type": _INTERNAL,
}
_CLOCK_WORDS: Final = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
)
_SESSION_WORDS: Final = frozenset(
    {"current_user", "session_user", "user", "current_role", "current_catalog", "current_schema"}
)


@dataclass(frozen=True, slots=True)
class Macro:
    """A function that DuckDB defines by an expression; it may be called if that expression may."""

    definition: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Functions:
    """DuckDB's functions by what they are."""

    scalar: frozenset[str]
    macros: Mapping[str, tuple[Macro, ...]]
    kinds: Mapping[str, str]

    def refusal(self, name: str, arguments: int) -> str | None:
        """Why the function may not be called, or None; of a macro, only its name is judged here."""
        if name in _REFUSED:
            return f"{name}() is refused: {_REFUSED[name]}"
        if name == "age" and arguments == 1:
            return "age() of one value depends on the clock: give it two"
        if name.startswith("__internal"):
            return f"{name}() is refused: {_INTERNAL}"
        if name in self.scalar or name in self.macros:
            return None
        return self._why(name)

    def _why(self, name: str) -> str:
        match self.kinds.get(name):
            case "aggregate":
                return f"{name}() works over many records: an expression sees one"
            case "window":
                return f"{name}() is a window function: an expression sees one record"
            case "table" | "table_macro":
                return (
                    f"{name}() reads a table, a file or an address: an expression sees one record"
                )
            case "scalar":
                return f"{name}() is not consistent: it may give another value each time"
            case _:
                return f"there is no function {name}()"


def word_refusal(name: str) -> str | None:
    """Why a bare word that SQL takes for a value may not stand, or None."""
    word = name.lower()
    if word in _CLOCK_WORDS:
        return f"{word} depends on the clock"
    return f"{word} depends on the session" if word in _SESSION_WORDS else None


@cache
def _read(connection: duckdb.DuckDBPyConnection) -> Functions:
    stable: set[str] = set()
    unstable: set[str] = set()
    macros: dict[str, list[Macro]] = {}
    kinds: dict[str, str] = {}
    for name, kind, stability, definition, parameters in rows(connection, _CATALOGUE):
        kinds.setdefault(name, kind)
        if kind == "macro":
            macros.setdefault(name, []).append(Macro(definition, tuple(parameters)))
        elif kind == "scalar":
            (stable if stability == "CONSISTENT" else unstable).add(name)
    scalar = frozenset(stable - unstable)
    return Functions(scalar, {name: tuple(found) for name, found in macros.items()}, kinds)


def functions_of(connection: duckdb.DuckDBPyConnection) -> Functions:
    """The functions of this DuckDB; read once."""
    return _read(connection)
