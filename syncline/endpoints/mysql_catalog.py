"""The catalogue of MySQL and MariaDB: tables, and what they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from syncline.endpoints.base import Column, ForeignKey, TableInfo
from syncline.endpoints.mysql_values import column_type, rewrites
from syncline.endpoints.sql_dialect import digest, is_own
from syncline.endpoints.sql_session import Row, Session

_TABLE_KINDS = ("BASE TABLE", "VIEW", "SYSTEM VERSIONED")


@dataclass(frozen=True, slots=True)
class Place:
    """A table as the server finds it.

    Its database, its name, and its storage engine (None: a view).
    """

    database: str
    name: str
    engine: str | None
    is_view: bool
    rows: int | None
    created: str

    @property
    def at(self) -> tuple[str, str]:
        """Database and name, as parameters."""
        return self.database, self.name


def table_names(session: Session) -> list[str]:
    """Give the names of all user tables and views of the connection's database, sorted."""
    rows = session.rows(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
        " AND TABLE_TYPE IN (%s, %s, %s)",
        _TABLE_KINDS,
    )
    return sorted(name for (name,) in rows if not is_own(name))


def place_of(session: Session, table: str) -> Place | None:
    """Find a table by `table` or `database.table`, spelled exactly; None where there is none."""
    database, _, name = table.rpartition(".") if "." in table else ("", "", table)
    rows = session.rows(
        "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE, TABLE_TYPE, TABLE_ROWS, CREATE_TIME"
        " FROM information_schema.TABLES WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND"
        " TABLE_NAME = %s"
        " AND TABLE_TYPE IN (%s, %s, %s)",
        (database or None, name, *_TABLE_KINDS),
    )
    found = [row for row in rows if row[1] == name and (not database or row[0] == database)]
    if not found:
        return None
    schema, name, engine, kind, count, created = found[0]
    return Place(schema, name, engine, kind == "VIEW", count, str(created or ""))


def table_info(session: Session, table: str, *, mariadb: bool, system: str) -> TableInfo | None:
    """Describe a table or view; None where there is none."""
    place = place_of(session, table)
    if place is None:
        return None
    documents = _documents(session, place) if mariadb else frozenset[str]()
    rows = session.rows(
        "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA FROM"
        " information_schema.COLUMNS"
        " WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION",
        place.at,
    )
    columns = {row[0]: _column(row, is_json=row[0] in documents) for row in rows}
    unique = _unique(session, place)
    identity = {"relation": place.created, "catalogue": digest(columns)}
    return TableInfo(
        name=table,
        columns=columns,
        primary_key=unique.get("PRIMARY", ()),
        unique=tuple(
            dict.fromkeys(
                names
                for names in unique.values()
                if all(n in columns and not columns[n].nullable for n in names)
            )
        ),
        foreign_keys=_foreign_keys(session, place),
        is_view=place.is_view,
        rewrites=_rewrites(session, place, rows, columns, mariadb=mariadb),
        identity={"system": system, **identity} if system else identity,
        row_estimate=place.rows,
    )


def _column(row: Row, *, is_json: bool) -> Column:
    name, native, nullable, default, extra = row
    type_, opaque = column_type(native, is_json=is_json)
    return Column(
        name=name,
        type=type_,
        nullable=nullable == "YES",
        has_default=default not in {None, "NULL"} or "auto_increment" in extra.lower(),
        generated=_is_generated(extra),
        native=native,
        opaque=opaque,
    )


def _is_generated(extra: str) -> bool:
    # MySQL's DEFAULT_GENERATED is a default that is an expression, which may be written over.
    return any(
        word in extra.upper() for word in ("VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT")
    )


def _documents(session: Session, place: Place) -> frozenset[str]:
    """The columns that MariaDB's JSON made: a LONGTEXT and a check that it is valid."""
    rows = session.rows(
        "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS"
        " WHERE CONSTRAINT_SCHEMA = %s AND TABLE_NAME = %s",
        place.at,
    )
    names = [
        clause[len("json_valid(`") : -len("`)")]
        for (clause,) in rows
        if clause.startswith("json_valid(`")
    ]
    return frozenset(name.replace("``", "`") for name in names)


def _unique(session: Session, place: Place) -> dict[str, tuple[str, ...]]:
    rows = session.rows(
        "SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS"
        " WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0 ORDER BY INDEX_NAME,"
        " SEQ_IN_INDEX",
        place.at,
    )
    sets: dict[str, list[str | None]] = defaultdict(list)
    for index, name in rows:
        sets[index].append(name)
    # An index over an expression names no column.
    return {
        index: tuple(n for n in names if n) for index, names in sets.items() if None not in names
    }


def _foreign_keys(session: Session, place: Place) -> tuple[ForeignKey, ...]:
    rows = session.rows(
        "SELECT CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME,"
        " REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE"
        " WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND REFERENCED_TABLE_NAME IS NOT NULL"
        " ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION",
        place.at,
    )
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[0]].append(row)
    return tuple(_foreign_key(group, place) for group in groups.values())


def _foreign_key(rows: Sequence[Row], place: Place) -> ForeignKey:
    _, _, schema, table, _ = rows[0]
    name = table if schema == place.database else f"{schema}.{table}"
    return ForeignKey(tuple(row[1] for row in rows), name, tuple(row[4] for row in rows))


def _rewrites(
    session: Session,
    place: Place,
    rows: Sequence[Row],
    columns: dict[str, Column],
    *,
    mariadb: bool,
) -> bool:
    triggers = session.rows(
        "SELECT 1 FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = %s"
        " AND EVENT_OBJECT_TABLE = %s AND EVENT_MANIPULATION <> 'DELETE' LIMIT 1",
        place.at,
    )
    touched = any("on update" in str(row[4]).lower() for row in rows)
    return (
        bool(triggers)
        or touched
        or any(rewrites(c.native, is_json=not mariadb) for c in columns.values())
    )
