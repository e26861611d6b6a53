"""SQLite's SQL and errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final

from syncline.endpoints.base import Column
from syncline.endpoints.fit import parse_text
from syncline.endpoints.sql_dialect import Dialect, Term
from syncline.endpoints.sql_session import Fault, FaultKind, Session
from syncline.endpoints.sql_text import prepared, written
from syncline.endpoints.sql_values import Array, Bound, Field, read_values
from syncline.endpoints.sqlite_values import affinity, bound, key_forms
from syncline.record import Misfit, Type

UTC_TEXT: Final = "syncline_utc"
"""The SQL function by which instants compare whatever ISO form they are written in."""
DAY: Final = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
_NUMERIC: Final = {"bool", "smallint", "integer", "bigint", "real", "double"}
_INSTANTS: Final = {"timestamp", "timestamptz"}
_SEVERAL_FORMS: Final = {"timestamp", "timestamptz", "time", "uuid", "decimal"}
_LOCKED = (
    "close what holds the file, or let it be read while it is written: PRAGMA journal_mode=WAL"
)
_FAULTS: Final[dict[int, tuple[FaultKind, str]]] = {
    sqlite3.SQLITE_BUSY: ("transient", _LOCKED),
    sqlite3.SQLITE_LOCKED: ("transient", _LOCKED),
    sqlite3.SQLITE_INTERRUPT: ("unreachable", "the statement timeout of the connection ran out"),
    sqlite3.SQLITE_CANTOPEN: ("unreachable", "does its directory exist, and may you write there?"),
    sqlite3.SQLITE_IOERR: ("unreachable", ""),
    sqlite3.SQLITE_READONLY: ("credentials", "the file, or its directory, may only be read"),
    sqlite3.SQLITE_PERM: ("credentials", ""),
    sqlite3.SQLITE_AUTH: ("credentials", ""),
    sqlite3.SQLITE_NOTADB: ("input", "the file is no SQLite database"),
    sqlite3.SQLITE_FULL: ("failed", "make room on the file's disk, then run it again"),
    sqlite3.SQLITE_TOOBIG: ("value", ""),
    sqlite3.SQLITE_MISMATCH: ("value", ""),
    sqlite3.SQLITE_CONSTRAINT: ("constraint", ""),
}
_CONSTRAINTS: Final[dict[int, FaultKind]] = {
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: "duplicate",
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: "duplicate",
    sqlite3.SQLITE_CONSTRAINT_ROWID: "duplicate",
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: "value",
    3091: "value",  # SQLITE_CONSTRAINT_DATATYPE (STRICT tables), which Python 3.11 has no name for
}
_ABSENT: Final = ("no such table", "no such column", "has no column named", "no such view")


class SqliteDialect(Dialect):
    """See `Dialect`."""

    mark: ClassVar[str] = "?"
    # A writer has the whole file from BEGIN IMMEDIATE on: no row of it can move.
    lock: ClassVar[str] = ""
    begin_snapshot: ClassVar[tuple[str, ...]] = ("BEGIN",)
    begin_write: ClassVar[tuple[str, ...]] = ("BEGIN IMMEDIATE",)
    begin_plan: ClassVar[tuple[str, ...]] = ("BEGIN",)
    keys_at_once: ClassVar[int] = 1000
    errors = (sqlite3.Error,)

    def fault(self, error: Exception) -> Fault:
        """See `Dialect.fault`."""
        code: int = getattr(error, "sqlite_errorcode", 0) or 0
        message = str(error)
        if code in _CONSTRAINTS:
            return Fault(_CONSTRAINTS[code], message)
        if code & 0xFF in _FAULTS:
            kind, hint = _FAULTS[code & 0xFF]
            return Fault(kind, message, hint)
        if isinstance(error, sqlite3.OperationalError) and any(word in message for word in _ABSENT):
            return Fault("input", message)
        return Fault("value" if isinstance(error, sqlite3.DataError) else "failed", message)

    def starting(self, driver: Any) -> None:
        """See `Dialect.starting`."""
        driver.start()

    def quote(self, name: str) -> str:
        """See `Dialect.quote`."""
        return '"' + name.replace('"', '""') + '"'

    def table(self, name: str) -> str:
        """See `Dialect.table`."""
        return self.quote(name)

    def selected(self, wanted: Field) -> str:
        """See `Dialect.selected`."""
        return self.quote(wanted.name)

    def terms(self, wanted: Field, *, unique: bool) -> tuple[Term, ...]:
        """See `Dialect.terms`."""
        del unique  # compared byte by byte, distinct keys are never equal
        return (Term(self.counted(wanted), self.quote(wanted.name), wanted),)

    def counted(self, wanted: Field) -> str:
        """See `Dialect.counted`."""
        name = self.quote(wanted.name)
        return name if wanted.column.type.name in _NUMERIC else f"{name} COLLATE BINARY"

    def exactly(self, wanted: Field) -> str | None:
        """See `Dialect.exactly`."""
        sql = self.counted(wanted)
        return None if sql == self.quote(wanted.name) else sql

    def read(
        self, wanted: Field, values: Sequence[Any], *, key: bool = False
    ) -> tuple[Array, list[Misfit]]:
        """See `Dialect.read`."""
        declared = wanted.column.opaque or wanted.column.type.name != wanted.type.name
        array, misfits = read_values(wanted, values, partial(prepared, declared=declared))
        if not key or wanted.type.name not in _SEVERAL_FORMS:
            return array, misfits
        for row, form in enumerate(self.bind(wanted, array).values):
            if form is not None and not self._is_found(wanted, values[row], form):
                reason = "a key in this form can't be looked up"
                misfits.append(Misfit(row, wanted.name, reason, str(values[row])))
        return array, misfits

    def _is_found(self, wanted: Field, value: Any, form: Any) -> bool:
        # Numbers compare by value: only texts and bytes have forms.
        return isinstance(value, int | float) or value in self.forms(wanted, form)

    def bind(self, wanted: Field, array: Array) -> Bound:
        """See `Dialect.bind`."""
        return bound(wanted, array)

    def forms(self, wanted: Field, value: Any) -> Sequence[Any]:
        """See `Dialect.forms`."""
        return key_forms(wanted, value)

    def unordered(self, cursor: Field) -> str:
        """See `Dialect.unordered`.

        Values of another class than the cursor's tell no time either.
        """
        name = self.quote(cursor.name)
        if cursor.type.name in _INSTANTS:
            return f"(typeof({name}) <> 'text' OR {name} NOT GLOB '{DAY}')"
        return f"(typeof({name}) NOT IN ({classes(cursor)}))"

    def between(self, wanted: Field, op: str, text: str) -> tuple[str, Any]:
        """See `Dialect.between`."""
        value, name = parse_text(text, wanted.type), self.quote(wanted.name)
        if wanted.type.name in _INSTANTS:
            return f"{UTC_TEXT}({name}) {op} ?", written(value)
        if wanted.type.name in {"date", "time"}:
            return f"{name} {op} ?", value.isoformat()
        if wanted.type.name == "decimal":
            return f"CAST({name} AS NUMERIC) {op} ?", float(value)
        return f"{self.counted(wanted)} {op} ?", value

    def filter(self, column: Column, op: str) -> str | None:
        """See `Dialect.filter`. What is no number is let through, to be told as a misfit."""
        if column.type.name not in _NUMERIC or affinity(column.native) in {"TEXT", "BLOB"}:
            return None
        name = self.quote(column.name)
        return f"({name} {op} ? OR typeof({name}) IN ('text', 'blob'))"

    def cursor(self, session: Session) -> Any:
        """See `Dialect.cursor`."""
        return session.driver.cursor()


def classes(cursor: Field) -> str:
    """Give the storage classes, as SQL, that values of a cursor have."""
    return "'text'" if cursor.type.name in {"text", "date"} else "'integer', 'real'"


def orders(type_: Type, native: str) -> bool:
    """Whether SQLite's own order of a column is the order of its values."""
    if type_.name == "decimal":
        return affinity(native) == "NUMERIC"
    return type_.name in _NUMERIC | _INSTANTS | {"text", "date"}
