"""SQLite: a file as source and target."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from sqlalchemy import QueuePool, create_engine

from syncline.endpoints.base import DeltaBy, Guarantee, Pulse, TableInfo, TargetSpec
from syncline.endpoints.sql import UNTRACKED, Delta, SqlEndpoint
from syncline.endpoints.sql_dialect import STATE, state_name
from syncline.endpoints.sql_session import Row, Session, raise_fault
from syncline.endpoints.sql_values import Field
from syncline.endpoints.sql_write import SqlTransaction
from syncline.endpoints.sqlite_catalog import content_of, kind_of, table_info, table_names
from syncline.endpoints.sqlite_dialect import UTC_TEXT, SqliteDialect, orders
from syncline.endpoints.sqlite_values import native_type, stored_type, utc_text
from syncline.errors import InputError
from syncline.record import Type
from syncline.watermark import sqlite as watermark
from syncline.watermark.sql import horizon

STATE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS {table} (
  mapping     TEXT NOT NULL PRIMARY KEY,
  epoch       INTEGER NOT NULL,
  holder      TEXT NOT NULL,
  lease_until INTEGER,
  document    TEXT NOT NULL
)"""
LEDGER_TABLE: Final = """
CREATE TABLE IF NOT EXISTS {table} (
  k      {key} NOT NULL PRIMARY KEY,
  s      BLOB NOT NULL,
  t      BLOB,
  held   BLOB,
  gone   INTEGER NOT NULL,
  hold   INTEGER NOT NULL,
  layout INTEGER NOT NULL,
  epoch  INTEGER NOT NULL
){storage}"""
_STEPS: Final = 20_000
"""Steps of SQLite's machine between two looks at the clock, where a statement has a timeout."""


class SqliteEndpoint(SqlEndpoint):
    """One SQLite file, named by `sqlite:///absolute/path` (`sqlite:///./path` is relative).

    `connect_timeout` is how many seconds to wait for another's lock, `statement_timeout` how many a
    statement may run (0: as long as it takes). `tls` has no meaning here. A file that is not there
    has no tables; it is made when a table is. The file's journal mode is left as it is; its foreign
    keys are enforced, which SQLite leaves to each connection.
    """

    product = "sqlite"
    bounded = watermark.BOUNDED

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float = 10,
        statement_timeout: float = 0,
        tls: str = "verify",
        pool_size: int = 4,
    ) -> None:
        del tls
        self.path = path_of(url)
        self._dialect = SqliteDialect()
        self._wait, self._limit = connect_timeout, statement_timeout
        self.engine = create_engine(
            "sqlite://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=connect_timeout,
        )

    def __repr__(self) -> str:
        return f"SqliteEndpoint({str(self.path)!r})"

    @property
    def dialect(self) -> SqliteDialect:
        """See `SqlEndpoint.dialect`."""
        return self._dialect

    def version(self) -> str:
        """See `base.Source.version`."""
        return sqlite3.sqlite_version

    def tables(self) -> Sequence[str]:
        """See `base.Source.tables`."""
        if not self.path.exists():
            return []
        with self._session() as session:
            return table_names(session)

    def describe(self, table: str) -> TableInfo | None:
        """See `base.Source.describe`."""
        if not self.path.exists():
            return None
        with self._session() as session:
            self._begin(session, self.dialect.begin_snapshot)
            return self.info(session, table)

    def info(self, session: Session, table: str) -> TableInfo | None:
        """See `SqlEndpoint.info`."""
        return table_info(session, self.dialect, self.path, table)

    def best_delta(self, info: TableInfo, cursor: str | None) -> DeltaBy:
        """See `base.Source.best_delta`."""
        column = info.columns.get(cursor) if cursor else None
        return "timestamp" if column and orders(column.type, column.native) else "none"

    def native_type(self, type_: Type, *, key: bool = False) -> str:
        """See `base.Target.native_type`."""
        return native_type(type_, key=key)

    def fits(self, type_: Type) -> Type:
        """See `base.Target.fits`."""
        return stored_type(type_)

    def create_table(self, table: str, key: Mapping[str, Type], fields: Mapping[str, Type]) -> None:
        """See `base.Target.create_table`."""
        self._make_file()
        super().create_table(table, key, fields)

    def widen_column(self, table: str, name: str, type_: Type) -> None:
        """See `base.Target.widen_column`: SQLite alters no column's type."""
        raise InputError(
            f"SQLite can't alter the type of a column to {self.native_type(type_)}",
            hint=f"make the table {table} again, its column {name} {self.native_type(type_)}",
        )

    def prepare(self, spec: TargetSpec) -> None:
        """See `base.Target.prepare`."""
        self._make_file()
        statements = [STATE_TABLE.format(table=STATE)]
        if spec.ledger:
            whole = spec.ledger_key.is_integer
            statements.append(
                LEDGER_TABLE.format(
                    table=self.dialect.table(state_name(spec.mapping)),
                    key="INTEGER" if whole else "TEXT",
                    storage="" if whole else " WITHOUT ROWID",
                )
            )
        with self._session() as session:
            self._begin(session, self.dialect.begin_write)
            for statement in statements:
                session.run(statement)
            session.run("COMMIT")

    def drop_ledger(self, spec: TargetSpec) -> None:
        """See `base.Target.drop_ledger`."""
        if self.path.exists():
            super().drop_ledger(spec)

    def snapshot(
        self, session: Session, info: TableInfo, cursor: Field | None, delta: Delta | None
    ) -> tuple[str, Guarantee, tuple[str, tuple[Any, ...]] | None]:
        """See `SqlEndpoint.snapshot`. The first statement takes it; BEGIN alone does not."""
        self._begin(session, self.dialect.begin_snapshot)
        if cursor is None:
            session.rows("SELECT 1 FROM sqlite_master LIMIT 1")
            return "{}", UNTRACKED, None
        if not orders(cursor.type, cursor.column.native):
            raise InputError(
                f"{cursor.name} is declared {cursor.column.native}: SQLite can't order it as a"
                " cursor"
            )
        # As of this snapshot: `describe` may be older than the ledger that this run made in the
        # same file, or than another table put in this one's place.
        identity = {**info.identity, **content_of(session, self.path)}
        seen = watermark.largest(session, self.dialect, info.name, cursor)
        changed = None
        if delta:
            at = watermark.start_of(delta.since, cursor.name, identity, seen)
            changed = watermark.changed(self.dialect, cursor, at)
        return horizon(seen, cursor.name, identity), self.bounded, changed

    def transaction(
        self,
        session: Session,
        spec: TargetSpec,
        info: TableInfo,
        *,
        writes: bool,
    ) -> SqlTransaction:
        """See `SqlEndpoint.transaction`."""
        return SqliteTransaction(session, self.dialect, spec, info, writes=writes)

    def pulse_of(self, session: Session) -> Pulse:
        """See `SqlEndpoint.pulse_of`: writers come one after the other, by this machine's clock."""
        del session
        return Pulse(datetime.now(UTC))

    def _make_file(self) -> None:
        if not self.path.exists():
            try:
                with closing(sqlite3.connect(self.path)) as made:
                    made.execute("PRAGMA user_version")  # opens the file; connect alone does not
            except sqlite3.Error as error:
                raise_fault(self.dialect.fault(error), error, refusable=False)

    def _connect(self) -> TimedConnection:
        # mode=rw: a mistyped path must not become an empty database
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",
            uri=True,
            timeout=self._wait,
            isolation_level=None,  # transactions begin where we say so
            factory=TimedConnection,
            check_same_thread=False,  # a read may move to another thread; never two at once
        )
        # Bytes that are no UTF-8 become lone surrogates, which are no text: a misfit, not the
        # end of the read.
        connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
        connection.create_function(UTC_TEXT, 1, utc_text, deterministic=True)
        connection.execute("PRAGMA foreign_keys = ON")
        if self._limit:
            connection.limit(self._limit)
        return connection


class TimedConnection(sqlite3.Connection):
    """A connection whose statements may be given a time, in seconds; `start` begins it anew."""

    _seconds: float = 0
    _until: float = 0

    def limit(self, seconds: float) -> None:
        """Interrupt any statement that takes longer."""
        self._seconds = seconds
        self.start()
        self.set_progress_handler(lambda: time.monotonic() > self._until, _STEPS)

    def start(self) -> None:
        """Note that a statement begins, or goes on."""
        self._until = time.monotonic() + self._seconds


class SqliteTransaction(SqlTransaction):
    """See `SqlTransaction`.

    Instants are kept as microseconds since 1970, by this machine's clock.
    """

    upsert = "INSERT OR REPLACE"

    def exists(self, table: str) -> bool:
        """See `Ledger.exists`."""
        return kind_of(self._session, table) is not None

    def now(self) -> datetime:
        """See `Ledger.now`: a file has no clock but that of who opens it."""
        return datetime.now(UTC)

    def instant(self, value: Any) -> datetime | None:
        """See `Ledger.instant`."""
        return None if value is None else datetime.fromtimestamp(value / 1_000_000, UTC)

    def stored(self, value: datetime) -> Any:
        """See `Ledger.stored`."""
        return round(value.timestamp() * 1_000_000)

    def write_fields(
        self, names: Sequence[str], values: Sequence[Row], keys: Sequence[Row]
    ) -> None:
        """See `SqlTransaction.write_fields`."""
        sets = ", ".join(f"{self._dialect.quote(name)} = ?" for name in names)
        terms: list[str] = []
        order: list[int] = []
        for place, wanted in enumerate(self._key.values()):
            exact = self._dialect.exactly(wanted)
            found = [self._dialect.quote(wanted.name), *([exact] if exact else [])]
            terms += [f"{sql} = ?" for sql in found]
            order += [place] * len(found)
        self._session.many(
            f"UPDATE {self._target} SET {sets} WHERE {' AND '.join(terms)}",  # noqa: S608 - quoted
            [(*value, *(key[at] for at in order)) for value, key in zip(values, keys, strict=True)],
            refusable=True,
        )


def path_of(url: str) -> Path:
    """Give the file that a `sqlite:///path` URL names.

    Raises InputError for one that names none.
    """
    parts = urlsplit(url)
    path = unquote(parts.path)
    if (
        parts.scheme not in {"sqlite", "sqlite+pysqlite"}
        or parts.netloc
        or path in {"", "/", "/:memory:"}
    ):
        raise InputError(
            "a SQLite connection names a file: sqlite:///absolute/path",
            hint="`:memory:` is not shared",
        )
    return Path(path[1:]) if path.startswith(("/./", "/../")) else Path("/" + path.lstrip("/"))
