"""What the SQL endpoints' shared parts must know of a database: its SQL, its values, its errors."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from syncline.endpoints.base import Column, TableInfo
from syncline.endpoints.sql_session import Fault, Session
from syncline.endpoints.sql_values import Array, Bound, Field
from syncline.errors import InputError
from syncline.record import Misfit, Type

STATE: Final = "syncline_state"
LEDGER: Final = "syncline_ledger_"
_LONGEST_NAME: Final = 64  # MySQL's limit; SQLite has none


@dataclass(frozen=True, slots=True)
class Term:
    """One term of ORDER BY: how rows are compared by it, and the field whose value continues it."""

    sql: str
    selected: str
    """The SQL whose value, handed back as a parameter, compares as `sql` does."""
    field: Field
    exact: bool = False
    """Whether `selected` is the bytes of a text, not the text."""

    def param(self, dialect: Dialect, value: Any) -> Any:
        """Give a value of `selected`, as a query answered it, as a parameter to compare with."""
        return value if self.exact else dialect.stored(self.field, value)


class Dialect(ABC):
    """One database's SQL, values and errors."""

    mark: ClassVar[str]
    """How a parameter is written in SQL."""
    lock: ClassVar[str]
    """What a SELECT ends with so that its rows can't move before COMMIT."""
    begin_snapshot: ClassVar[tuple[str, ...]]
    begin_write: ClassVar[tuple[str, ...]]
    begin_plan: ClassVar[tuple[str, ...]]
    """How a transaction begins.

    One that reads, one that writes, one that sees the newest but may not write.
    """
    keys_at_once: ClassVar[int]
    """How many keys of one column one query asks for."""
    errors: tuple[type[Exception], ...]

    @abstractmethod
    def fault(self, error: Exception) -> Fault:
        """Give the meaning of one of the driver's errors."""

    def starting(self, driver: Any) -> None:  # noqa: B027 - only SQLite needs to be told
        """Take note that a statement begins on the driver's connection."""

    @abstractmethod
    def quote(self, name: str) -> str:
        """Quote one identifier, whatever it holds."""

    @abstractmethod
    def table(self, name: str) -> str:
        """Quote the name of a table of the catalogue."""

    @abstractmethod
    def selected(self, wanted: Field) -> str:
        """Give the SQL that reads the column without losing anything."""

    @abstractmethod
    def terms(self, wanted: Field, *, unique: bool) -> tuple[Term, ...]:
        """Give the terms that order rows by the column.

        `unique`: equal ones can't be two records.
        """

    def compared(self, wanted: Field) -> str:
        """Give the SQL of the column where it is compared with parameters."""
        return self.quote(wanted.name)

    def stored(self, wanted: Field, value: Any) -> Any:  # noqa: ARG002 - for other databases
        """Give a value of `compared`, as a query answered it, as a parameter to compare with."""
        return value

    @abstractmethod
    def read(
        self, wanted: Field, values: Sequence[Any], *, key: bool = False
    ) -> tuple[Array, list[Misfit]]:
        """Give what a query answered for a column as Arrow.

        A key must be in a form that `forms` finds.
        """

    @abstractmethod
    def bind(self, wanted: Field, array: Array) -> Bound:
        """Give an Arrow column as parameters."""

    def forms(self, wanted: Field, value: Any) -> Sequence[Any]:  # noqa: ARG002 - for other databases
        """Give every form in which a bound key value may be stored."""
        return (value,)

    def exactly(self, wanted: Field) -> str | None:  # noqa: ARG002 - for other databases
        """Give the SQL by which equal texts are the same characters, where `=` may see less."""
        return None

    def unordered(self, cursor: Field) -> str:
        """Give the condition of the rows whose cursor says nothing of when they changed."""
        return f"({self.quote(cursor.name)} IS NULL)"

    @abstractmethod
    def counted(self, wanted: Field) -> str:
        """Give the SQL by which equal values of the column are one key."""

    @abstractmethod
    def between(self, wanted: Field, op: str, text: str) -> tuple[str, Any]:
        """Give the condition `column op value` for a user's text, and its parameter."""

    @abstractmethod
    def filter(self, column: Column, op: str) -> str | None:
        """Give `column op ?` for a whole number; None where the database sees it otherwise."""

    @abstractmethod
    def cursor(self, session: Session) -> Any:
        """Give a driver's cursor that streams its rows."""

    def marks(self, count: int) -> str:
        """Give `count` parameters, with commas."""
        return ", ".join([self.mark] * count)


def state_name(mapping: str) -> str:
    """Give the name of a mapping's ledger table.

    Names differ wherever mappings do, also where the database folds case or cuts them.
    """
    plain = LEDGER + mapping
    if re.fullmatch(r"[a-z][a-z0-9_]*", mapping) and len(plain) <= _LONGEST_NAME - 10:
        return plain
    digest = hashlib.sha256(mapping.encode()).hexdigest()[:8]
    readable = re.sub(r"[^a-z0-9_]", "_", mapping.lower())[: _LONGEST_NAME - len(LEDGER) - 10]
    return f"{LEDGER}{readable}__{digest}"


def is_own(table: str) -> bool:
    """Whether a table is one of syncline's own."""
    return table == STATE or table.startswith(LEDGER)


def fields_of(info: TableInfo, wanted: Mapping[str, Type]) -> dict[str, Field]:
    """Give the columns of the catalogue that a spec names.

    Raises InputError for one that is not there.
    """
    missing = [name for name in wanted if name not in info.columns]
    if missing:
        raise InputError(
            f"table {info.name} has no column {', '.join(missing)}",
            hint=f"it has {', '.join(info.columns)}",
        )
    return {name: Field(info.columns[name], type_) for name, type_ in wanted.items()}


def is_unique(info: TableInfo, key: Iterable[str]) -> bool:
    """Whether the table can't hold two records of one key."""
    names = set(key)
    return any(names.issuperset(one) for one in info.unique)


def digest(columns: Mapping[str, Column]) -> str:
    """Give a short digest of names and native types, to notice that a table was altered."""
    told = [(c.name, c.native, c.nullable, c.generated) for c in columns.values()]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
