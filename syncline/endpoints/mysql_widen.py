"""A wider type for a column of MySQL and MariaDB; all else of its declaration stays."""

from __future__ import annotations

from typing import Final

from syncline.endpoints.mysql_dialect import MysqlDialect
from syncline.endpoints.mysql_values import parts
from syncline.endpoints.sql_session import Session
from syncline.errors import CredentialsRefused, InputError, RunFailed

# Whoever waits for the table would wait behind us: not for long.
PATIENCE: Final = "SET SESSION lock_wait_timeout = {seconds}"
_MAY: Final = {
    "tinyint", "smallint", "mediumint", "int", "float", "decimal", "varchar", "time", "datetime",
    "timestamp",
}  # fmt: skip


def widen(session: Session, dialect: MysqlDialect, table: str, name: str, native: str) -> None:
    """Give the column that native type. Raises InputError, the statement as its hint where there
    is one, where the column is of another kind, or the server refuses.

    MODIFY sets the whole declaration anew: it is the one that the server shows, but for the type.
    """
    quoted = dialect.table(table)
    line = _declared(session.rows(f"SHOW CREATE TABLE {quoted}")[0][1], name)
    was, rest = _split(line)
    base = parts(was)[0]
    type_ = native.partition(" CHARACTER SET")[0]
    if base == "timestamp":  # an instant of its own, where ours is a DATETIME
        type_ = type_.replace("DATETIME", "TIMESTAMP")
    modify = f"ALTER TABLE {quoted} MODIFY COLUMN {dialect.quote(name)} {type_}"
    statement = f"{modify}{rest}"
    if base not in _MAY:
        raise InputError(f"it is declared {was}", hint=statement)
    session.run(PATIENCE.format(seconds=10))
    try:
        session.run(modify + rest.replace("%", "%%"))
    except (InputError, RunFailed, CredentialsRefused) as error:
        raise InputError(str(error), hint=statement) from error
    finally:
        session.run(PATIENCE.format(seconds="DEFAULT"))


def _declared(created: str, name: str) -> str:
    """What SHOW CREATE TABLE says of a column, behind its name."""
    start = "`" + name.replace("`", "``") + "` "
    for line in created.splitlines():
        if line.strip().startswith(start):
            return line.strip()[len(start) :].removesuffix(",")
    raise InputError(f"SHOW CREATE TABLE says nothing of its column {name}")


def _split(line: str) -> tuple[str, str]:
    """Its type, and what stands behind that: `unsigned` and the like belong to the type."""
    depth = 0
    for at, letter in enumerate(line):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == " " and depth == 0:
            tail = line[at:]
            for word in (" unsigned", " zerofill"):
                tail = tail.removeprefix(word)
            return line[: len(line) - len(tail)], tail
    return line, ""
