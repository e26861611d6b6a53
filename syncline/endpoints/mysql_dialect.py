"""MySQL's and MariaDB's SQL and errors."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final

from pymysql.cursors import SSCursor
from pymysql.err import Error, InterfaceError, MySQLError

from syncline.endpoints.base import Column
from syncline.endpoints.fit import parse_text
from syncline.endpoints.mysql_values import bound, compared_as, parts, read_as
from syncline.endpoints.sql_dialect import Dialect, Term
from syncline.endpoints.sql_session import Fault, FaultKind, Session
from syncline.endpoints.sql_text import prepared, written
from syncline.endpoints.sql_values import Array, Bound, Field, read_values
from syncline.record import Misfit

_NUMERIC: Final = {"bool", "smallint", "integer", "bigint", "real", "double", "decimal"}

# https://mariadb.com/kb/en/mariadb-error-codes/ and https://dev.mysql.com/doc/mysql-errors/8.4/en/
_FAULTS: Final[dict[FaultKind, frozenset[int]]] = {
    "unreachable": frozenset({
        1040, 1053, 1077, 1129, 1158, 1159, 1160, 1161, 1203, 1226, 1317, 1927, 1969,
        2002, 2003, 2005, 2006, 2012, 2013, 2014, 2026, 2055, 3024, 4031,
    }),
    "credentials": frozenset({
        1044, 1045, 1130, 1131, 1142, 1143, 1227, 1251, 1370, 1698, 2059, 3118, 4151,
    }),
    "input": frozenset({1046, 1049, 1051, 1054, 1103, 1109, 1146, 1290, 1347, 1356, 1792, 1836}),
    # 1020: changed since it was read (innodb_snapshot_isolation); 1205, 1213: lock wait, deadlock
    "transient": frozenset({1020, 1205, 1213, 1412, 1614}),
    "duplicate": frozenset({1022, 1062, 1169, 1586}),
    "constraint": frozenset({1216, 1217, 1451, 1452, 1644, 1761, 1762, 3819, 4025}),
    "value": frozenset({
        1048, 1118, 1138, 1264, 1265, 1292, 1300, 1364, 1366, 1367, 1406, 1411, 1416, 1441,
        1525, 1690, 1977, 3140, 3141, 3156, 3854, 3988, 4079,
    }),
}  # fmt: skip
_KINDS: Final[dict[int, FaultKind]] = {
    code: kind for kind, codes in _FAULTS.items() for code in codes
}


class MysqlDialect(Dialect):
    """See `Dialect`. Every statement is given parameters, so a `%` of its own is doubled."""

    mark: ClassVar[str] = "%s"
    lock: ClassVar[str] = " FOR UPDATE"
    begin_snapshot: ClassVar[tuple[str, ...]] = (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    )
    # READ COMMITTED: a record that moved must be seen as it is now when it is fetched again.
    begin_write: ClassVar[tuple[str, ...]] = (
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "START TRANSACTION READ WRITE",
    )
    begin_plan: ClassVar[tuple[str, ...]] = (
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "START TRANSACTION READ ONLY",
    )
    keys_at_once: ClassVar[int] = 2000
    errors = (MySQLError, OSError)

    def fault(self, error: Exception) -> Fault:
        """See `Dialect.fault`."""
        if isinstance(error, OSError | InterfaceError) or not isinstance(error, Error):
            return Fault("unreachable", f"the connection was lost: {error}")
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        message = str(error.args[1]) if len(error.args) > 1 else str(error)
        kind: FaultKind = _KINDS.get(code, "failed")
        return Fault(kind, f"{message} (error {code})")

    def quote(self, name: str) -> str:
        """See `Dialect.quote`."""
        return "`" + name.replace("`", "``").replace("%", "%%") + "`"

    def table(self, name: str) -> str:
        """See `Dialect.table`."""
        return ".".join(map(self.quote, name.split(".", 1)))

    def selected(self, wanted: Field) -> str:
        """See `Dialect.selected`."""
        return read_as(wanted.column, self.quote(wanted.name))

    def compared(self, wanted: Field) -> str:
        """See `Dialect.compared`."""
        return compared_as(wanted.column, self.quote(wanted.name))

    def stored(self, wanted: Field, value: Any) -> Any:
        """See `Dialect.stored`. A decimal that compares as text compares as a double."""
        return (
            Decimal(value)
            if isinstance(value, str) and wanted.column.type.name == "decimal"
            else value
        )

    def terms(self, wanted: Field, *, unique: bool) -> tuple[Term, ...]:
        """See `Dialect.terms`."""
        sql = self.compared(wanted)
        if parts(wanted.column.native)[0] in {"enum", "set"}:
            sql = (
                f"CAST({sql} AS CHAR)"  # they are ordered by index, and compared with text as text
            )
        first = Term(sql, sql, wanted)
        exact = None if unique else self.exactly(wanted)
        # A collation may hold two keys equal: their bytes then say which comes first.
        return (first,) if exact is None else (first, Term(exact, exact, wanted, exact=True))

    def exactly(self, wanted: Field) -> str | None:
        """See `Dialect.exactly`."""
        if wanted.column.type.name != "text" or wanted.column.opaque:
            return None
        return f"CAST(CONVERT({self.quote(wanted.name)} USING utf8mb4) AS BINARY)"

    def counted(self, wanted: Field) -> str:
        """See `Dialect.counted`."""
        return self.exactly(wanted) or self.compared(wanted)

    def read(
        self, wanted: Field, values: Sequence[Any], *, key: bool = False
    ) -> tuple[Array, list[Misfit]]:
        """See `Dialect.read`."""
        del key  # the database compares by value, whatever form a value is written in
        if wanted.type.name == "decimal":
            values = [str(v) if isinstance(v, int) else v for v in values]
        declared = wanted.column.type.name != wanted.type.name
        return read_values(wanted, values, partial(prepared, declared=declared))

    def bind(self, wanted: Field, array: Array) -> Bound:
        """See `Dialect.bind`."""
        return bound(wanted, array)

    def between(self, wanted: Field, op: str, text: str) -> tuple[str, Any]:
        """See `Dialect.between`."""
        value = parse_text(text, wanted.type)
        if wanted.type.name in {"timestamp", "timestamptz"}:
            value = written(value)
        elif wanted.type.name in {"date", "time"}:
            value = value.isoformat()
        return f"{self.compared(wanted)} {op} %s", value

    def filter(self, column: Column, op: str) -> str | None:
        """See `Dialect.filter`."""
        if column.type.name not in _NUMERIC:
            return None
        return f"{compared_as(column, self.quote(column.name))} {op} %s"

    def cursor(self, session: Session) -> Any:
        """See `Dialect.cursor`."""
        return SSCursor(session.driver)
