"""The source's columns as expressions see them: how a name finds its column, and as which type it
is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Final

from syncline.endpoints.base import TableInfo
from syncline.mapping.duck import identifier, seen_as, storage
from syncline.mapping.expression import ExpressionError, Name, word_problem
from syncline.record import Type

_NAMES_SHOWN: Final = 12


def shortened(names: Iterable[str]) -> str:
    """The first of some names, for a message."""
    found = list(names)
    return ", ".join(found[:_NAMES_SHOWN]) + ", .." * (len(found) > _NAMES_SHOWN)


class Columns:
    """The columns of a table, with the types that the mapping reads them as.

    A name finds its column exactly as written, else by its letters whatever their case, if only one
    has them. A path in a document is one column, named with its dots.
    """

    def __init__(self, info: TableInfo, declared: Mapping[str, Type]) -> None:
        self.info = info
        self.types = {name: column.type for name, column in info.columns.items()} | dict(declared)

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.types:
            found.setdefault(name.casefold(), []).append(name)
        return found

    @cached_property
    def aliases(self) -> dict[str, str]:
        """What each column is called in DuckDB, which does not tell `Name` from `name`."""
        aliases: dict[str, str] = {}
        taken: set[str] = set()
        for name in self.types:
            alias, number = name, 2
            while alias.casefold() in taken:
                alias, number = f"{name} #{number}", number + 1
            taken.add(alias.casefold())
            aliases[name] = alias
        return aliases

    def resolve(self, name: Name | str) -> str:
        """The column of that name. Raises ExpressionError where there is none, or more than one."""
        written = name if isinstance(name, str) else ".".join(name)
        if written in self.types:
            return written
        found = self._folded.get(written.casefold(), [])
        if len(found) == 1:
            return found[0]
        if found:
            raise ExpressionError(
                f"`{written}` may be any of {', '.join(found)}: write it as one of them"
            )
        raise ExpressionError(self._unknown(name, written))

    def _unknown(self, name: Name | str, written: str) -> str:
        parts = tuple(written.split(".")) if isinstance(name, str) else name
        if refusal := word_problem(parts):
            return f"{refusal}, and {self.info.name} has no such column"
        message = f"{self.info.name} has no column `{written}`"
        parent = ".".join(parts[:-1])
        if parent in self.types and self.types[parent].name == "json":
            return f"{message}; of a JSON column take {parent} ->> '$.{parts[-1]}'"
        near = get_close_matches(written, list(self.types), 1)
        advice = f"; did you mean `{near[0]}`?" if near else ""
        if self.info.open_columns:
            return f"{message} in its sample{advice} Give its type in `source.types` if it is there"
        if near:
            return message + advice
        return f"{message}; it has {shortened(self.types)}"

    def reference(self, column: str) -> str:
        """The column in SQL, as expressions see it."""
        return f"s.{identifier(self.aliases[column])}"

    def raw_alias(self, column: str) -> str:
        """What the column is called where it is meant as it was read."""
        return f"{self.aliases[column]} (raw)" if self.is_view(column) else self.aliases[column]

    def raw(self, column: str) -> str:
        """The column in SQL, as it was read."""
        return f"s.{identifier(self.raw_alias(column))}"

    def is_view(self, column: str) -> bool:
        """Whether expressions see the column as another type than it is read in."""
        return seen_as(self.types[column]) != storage(self.types[column])

    def nothing(self, columns: Iterable[str]) -> str:
        """A query of no record with these columns as expressions see them, by which DuckDB tells
        types.
        """
        typed = (
            f"CAST(NULL AS {seen_as(self.types[name])}) AS {identifier(self.aliases[name])}"
            for name in columns
        )
        return f"(SELECT {', '.join((*typed, '1'))} WHERE false) s"


def view_misfit(column: str, type_: Type) -> str:
    """The condition under which a column's value (SQL) can't be seen by an expression as what it
    is.
    """
    if type_.name == "json":
        return f"{column} IS NOT NULL AND NOT json_valid({column})"
    finer = (
        f"length(rtrim(split_part({column}, '.', 2), '0')) > 10 OR contains(lower({column}), 'e')"
    )
    return f"{column} IS NOT NULL AND (TRY_CAST({column} AS DECIMAL(38,10)) IS NULL OR {finer})"
