"""SQLite's catalogue: tables, and what they are."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from syncline.endpoints.base import Column, ForeignKey, TableInfo
from syncline.endpoints.sql_dialect import Dialect, digest, is_own
from syncline.endpoints.sql_session import Row, Session
from syncline.endpoints.sqlite_header import change_counter
from syncline.endpoints.sqlite_values import declared_type
from syncline.watermark import CHANGES

_HIDDEN = {
    0: False,
    2: True,
    3: True,
}  # 2 and 3: generated; 1: a virtual table's own, which has no values


def table_names(session: Session) -> list[str]:
    """Give the names of all user tables and views, sorted."""
    rows = session.rows("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    return sorted(name for (name,) in rows if not name.startswith("sqlite_") and not is_own(name))


def kind_of(session: Session, table: str) -> str | None:
    """Give `table` or `view`; None where there is none of exactly that name."""
    rows = session.rows(
        "SELECT type FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?", (table,)
    )
    return rows[0][0] if rows else None


def table_info(session: Session, dialect: Dialect, path: Path, table: str) -> TableInfo | None:
    """Describe a table or view; None where there is none."""
    kind = kind_of(session, table)
    if kind is None:
        return None
    rows = session.rows(
        'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)', (table,)
    )
    key = tuple(name for name, *_, at, _ in sorted(rows, key=lambda row: row[4]) if at)
    whole = _whole_key(rows, key)
    without_rowid = _without_rowid(session, table)
    columns = {
        row[0]: _column(row, in_key=row[0] in key and (whole or without_rowid))
        for row in rows
        if row[5] in _HIDDEN
    }
    triggers = session.rows(
        "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE"
        " LIMIT 1",
        (table,),
    )
    return TableInfo(
        name=table,
        columns=columns,
        primary_key=key,
        unique=_unique(session, table, key, columns),
        foreign_keys=_foreign_keys(session, table),
        is_view=kind == "view",
        rewrites=bool(triggers),
        identity=_identity(session, path, columns),
        row_estimate=_estimate(session, dialect, table)
        if kind == "table" and not without_rowid
        else None,
    )


def content_of(session: Session, path: Path) -> dict[str, str]:
    """What moves in the file's header, as of the session's transaction.

    `changes` only grows, unless an older content is put back. `schema` moves with any DDL, with
    VACUUM and where SQLite itself restores a backup: a table may then be another of the same name.
    Within a transaction no other can be writing to the file's header, or be rolled back in it.
    """
    version = session.rows("PRAGMA schema_version")[0][0]
    return {CHANGES: change_counter(path), "schema": str(version)}


def _column(row: Row, *, in_key: bool) -> Column:
    name, native, not_null, default, _, hidden = row
    type_, opaque = declared_type(native)
    return Column(
        name=name,
        type=type_,
        nullable=not (not_null or in_key),
        has_default=default is not None,
        generated=_HIDDEN[hidden],
        native=native,
        opaque=opaque,
    )


def _whole_key(rows: list[Row], key: tuple[str, ...]) -> bool:
    """Whether the primary key is the rowid itself, which is never NULL.

    Other keys may be, in SQLite.
    """
    return len(key) == 1 and any(row[0] == key[0] and row[1].upper() == "INTEGER" for row in rows)


def _without_rowid(session: Session, table: str) -> bool:
    rows = session.rows(
        "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", (table,)
    )
    return bool(rows and rows[0][0])


def _unique(
    session: Session, table: str, key: tuple[str, ...], columns: dict[str, Column]
) -> tuple[tuple[str, ...], ...]:
    sets = [key] if key else []
    indexes = session.rows(
        'SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial', (table,)
    )
    for (index,) in indexes:
        names = [
            name for (name,) in session.rows("SELECT name FROM pragma_index_info(?)", (index,))
        ]
        if None not in names:  # an index over an expression names no column
            sets.append(tuple(names))
    known = [s for s in sets if all(name in columns and not columns[name].nullable for name in s)]
    return tuple(dict.fromkeys(known))


def _foreign_keys(session: Session, table: str) -> tuple[ForeignKey, ...]:
    parts: dict[int, list[Row]] = defaultdict(list)
    for row in session.rows(
        'SELECT id, seq, "table", "from", "to" FROM pragma_foreign_key_list(?)', (table,)
    ):
        parts[row[0]].append(row)
    return tuple(_foreign_key(session, rows) for _, rows in sorted(parts.items()))


def _foreign_key(session: Session, rows: list[Row]) -> ForeignKey:
    rows = sorted(rows, key=lambda row: row[1])
    referred: tuple[Any, ...] = tuple(row[4] for row in rows)
    if None in referred:  # REFERENCES parent, without columns: its primary key
        keys = session.rows(
            "SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (rows[0][2],)
        )
        referred = tuple(name for (name,) in keys)
    return ForeignKey(tuple(row[3] for row in rows), rows[0][2], referred)


def _identity(session: Session, path: Path, columns: dict[str, Column]) -> dict[str, str]:
    """The file's inode: another file behind the URL has another; VACUUM and restarts keep it."""
    system = f"inode {path.stat().st_ino}"
    return {"system": system, **content_of(session, path), "catalogue": digest(columns)}


def _estimate(session: Session, dialect: Dialect, table: str) -> int | None:
    rows = session.rows(f"SELECT MAX(rowid) FROM {dialect.table(table)}")  # noqa: S608 - quoted
    return rows[0][0] if rows and isinstance(rows[0][0], int) and rows[0][0] >= 0 else None
