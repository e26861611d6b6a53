"""PostgreSQL sessions: ADBC connections with explicit transactions, and their pool."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal, cast

import pyarrow as pa

from syncline.endpoints.postgres_errors import connect_error, translate
from syncline.endpoints.postgres_sql import literal
from syncline.endpoints.postgres_url import conninfo, parsed
from syncline.endpoints.postgres_watch import GRACE, Watch
from syncline.errors import RunFailed, SynclineError, Unreachable

Tls = Literal["verify", "require", "off"]

# Values must have one text form whatever the server's or the role's defaults are, and a transaction
# that waits for the engine is not idle.
SETTINGS: Final = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "idle_in_transaction_session_timeout": "0",
    # Keys are looked up by index: at the default of 4, 50,000 of 1,000,000 hash the whole table.
    "random_page_cost": "1.1",
    # For a tenth of a table's keys a merge join reads all of the table in key order: 0.7 s a
    # million rows where the index takes 0.2 s. Without an index there is still the hash join.
    "enable_mergejoin": "off",
    "jit": "off",  # compiled for each statement, for less work than the compiling is
    "client_min_messages": "error",  # libpq would write notices to our stderr
}
# A black hole on the way ends a statement after about a minute.
KEEPALIVES: Final = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# Who a session is: of several servers behind one address, each began at another time.
WHO: Final = "pg_catalog.pg_backend_pid(), pg_catalog.pg_postmaster_start_time()::text"
# Whether the server works for a session, and does not wait for its client. Another server can't
# tell: then it may.
SERVED: Final = """
SELECT pg_catalog.pg_postmaster_start_time()::text <> {began} OR EXISTS (
  SELECT FROM pg_catalog.pg_stat_activity
  WHERE pid = {pid} AND wait_event_type IS DISTINCT FROM 'Client'
) AS served
"""
CANCEL: Final = """
SELECT pg_catalog.pg_postmaster_start_time()::text = {began} AND pg_catalog.pg_cancel_backend({pid})
"""
_COPY = "adbc.postgresql.use_copy"
_BATCH = "adbc.postgresql.batch_size_hint_bytes"
_PIECE_ROWS: Final = 1_000


class Parameters:
    """libpq's connection string, which holds the password: never shown.

    `user_timeout` is what it says of `tcp_user_timeout`; `connect_seconds` how long it may take to
    connect, to the last of its hosts.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.text = conninfo(settings)
        self.user_timeout = str(settings["tcp_user_timeout"])
        hosts = 1 + str(settings.get("host", "")).count(",")
        timeout = str(settings["connect_timeout"])
        # Each may have an address of both kinds.
        self.connect_seconds = 2 * hosts * int(timeout) if timeout.isdecimal() else 0

    def __repr__(self) -> str:
        return "Parameters(..)"


class Session:
    """One ADBC connection. Not for two threads at once; it may move between threads.

    Errors are syncline's; with `writing`, those about rows are `RowsRefused`. A session whose
    connection failed is `broken` and does not go back to its pool. So is one whose server was
    silent for `statement_timeout` and a grace (0: without end): see `postgres_watch`.
    """

    def __init__(self, parameters: Parameters, where: str, statement_timeout: float) -> None:
        import adbc_driver_manager as adbc
        from adbc_driver_postgresql import dbapi

        self.broken = False
        self.writing = False
        self._open = False
        self._prepared: set[str] = set()
        self._timeout = statement_timeout
        self._parameters, self._where = parameters, where
        limit = statement_timeout + GRACE if statement_timeout else 0
        self._watch = Watch(parameters.user_timeout, limit and limit + parameters.connect_seconds)
        try:
            # Autocommit: transactions are begun and ended by statements that can be read below.
            with self._watch:
                self._connection: Any = cast("Any", dbapi).connect(
                    parameters.text + self._watch.parameter, autocommit=True
                )
        except adbc.Error as error:
            self._watch.close()
            raise connect_error(error, where) from None
        self._watch.limit = limit
        settings = {**SETTINGS, "statement_timeout": self._milliseconds}
        calls = ", ".join(
            f"set_config({literal(k)}, {literal(v)}, false)" for k, v in settings.items()
        )
        try:
            *_, self._pid, self._began = self.rows(f"SELECT {calls}, {WHO}")[0]
        except SynclineError:
            self.close()
            raise

    @property
    def _milliseconds(self) -> str:
        return str(round(self._timeout * 1000))

    def run(self, statement: str) -> None:
        """Run a statement that answers nothing of interest."""
        with self._watch, self._cursor(copy=False) as cursor:
            cursor.execute(statement)

    def table(self, query: str, *, copy: bool = True) -> pa.Table:
        """The answer of a query, as one table. `copy=False` for what COPY can't wrap (FETCH)."""
        with self._watch, self._cursor(copy=copy) as cursor:
            cursor.execute(query)
            return cast("pa.Table", cursor.fetch_arrow_table())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The answer of a small query as Python rows."""
        answer = self.table(query, copy=False)
        return list(zip(*(column.to_pylist() for column in answer.columns), strict=True))

    def prepared(self, statement: str, query: str, argument: int) -> list[tuple[Any, ...]]:
        """The answer of a small query with `$1`, planned once a session: `name(type of $1)`."""
        if statement not in self._prepared:
            self.run(f"PREPARE {statement} AS {query}")
            self._prepared.add(statement)
        return self.rows(f"EXECUTE {statement.partition('(')[0]}({argument})")

    def stream(self, query: str, batch_bytes: int) -> Iterator[pa.RecordBatch]:
        """The answer of one query, batch by batch as the server sends it.

        The statement lasts as long as its reader takes, so it has no statement timeout: a server
        that is silent for that long is asked by another session whether it works for this one.
        Left early, the query is cancelled.
        """
        self.run("SET LOCAL statement_timeout = 0")
        with self._cursor(copy=True) as cursor:
            cursor.adbc_statement.set_options(**{_BATCH: batch_bytes})
            done = False
            self._watch.served = self._is_served
            try:
                with self._watch:
                    cursor.execute(query)
                    batches = cast("Iterator[pa.RecordBatch]", cursor.fetch_record_batch())
                while (batch := self._next(batches)) is not None:
                    yield batch
                done = True
            finally:
                self._watch.served = None
                if not done:
                    self._cancel()
        self.run(f"SET LOCAL statement_timeout = {self._milliseconds}")

    def _next(self, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
        with self._watch:
            return next(batches, None)

    def _cancel(self) -> None:
        # libpq's own cancel waits for its answer without end, on a socket that nobody can tell.
        self.broken = True
        if not self._asked(CANCEL, unknown=False):
            self._watch.shut()

    def _is_served(self) -> bool:
        return self._asked(SERVED, unknown=True)

    def _asked(self, question: str, *, unknown: bool) -> bool:
        """What the server, asked by another session, says of this one; False where it is silent,
        and `unknown` where it lets no session in. Never raises.
        """
        query = question.format(began=literal(self._began), pid=self._pid)
        try:
            other = Session(self._parameters, self._where, self._timeout)
        except Unreachable:
            return False
        except SynclineError:  # a password that was changed, say
            return unknown
        try:
            return bool(other.rows(query)[0][0])
        except SynclineError:
            return False
        finally:
            other.close()

    def ingest(self, schema: str | None, name: str, rows: pa.Table) -> None:
        """Append rows by binary COPY. Without `schema`, to a temporary table."""
        with self._watch, self._cursor(copy=True) as cursor:
            where = {"temporary": True} if schema is None else {"db_schema_name": schema}
            # ADBC encodes a piece whole before it sends it: of several, the server takes in one
            # while the next is encoded.
            pieces = rows.to_reader(max_chunksize=_PIECE_ROWS)
            cursor.adbc_ingest(name, pieces, mode="append", **where)

    def begin(self, how: str) -> None:
        """`BEGIN <how>`."""
        self.run(f"BEGIN {how}")
        self._open = True

    def commit(self) -> None:
        """COMMIT. Raises Unreachable where the answer was lost."""
        self.run("COMMIT")
        self._open = False

    def end(self) -> None:
        """Roll back what was not committed. Never raises: a session that can't is broken."""
        self.writing = False
        if self._open and not self.broken:
            try:
                self.run("ROLLBACK")
            except SynclineError:
                self.broken = True
        self._open = False

    @contextmanager
    def savepoint(self, name: str = "syncline") -> Generator[None]:
        """All of the block or nothing of it, inside a transaction."""
        self.run(f"SAVEPOINT {name}")
        try:
            yield
        except Exception:
            if not self.broken:
                self.run(f"ROLLBACK TO SAVEPOINT {name}")
                self.run(f"RELEASE SAVEPOINT {name}")
            raise
        self.run(f"RELEASE SAVEPOINT {name}")

    def close(self) -> None:
        """Close the connection, whatever state it is in. Idempotent."""
        with self._watch, suppress(Exception):
            self._connection.close()
        self._watch.close()

    @contextmanager
    def _cursor(self, *, copy: bool) -> Generator[Any]:
        import adbc_driver_manager as adbc

        cursor = None
        try:
            cursor = self._connection.cursor()
            if not copy:
                cursor.adbc_statement.set_options(**{_COPY: "false"})
            yield cursor
        except (adbc.Error, pa.ArrowException, OSError) as error:
            raise self._failed(error) from None
        finally:
            if cursor is not None:
                with self._watch, suppress(Exception):
                    cursor.close()

    def _failed(self, error: Exception) -> Exception:
        if self._watch.cut:
            self.broken = True
            return Unreachable(
                f"{self._where}: nothing was heard for {self._watch.limit:g} s, though the"
                " connection stands; it was given up"
            )
        translated = translate(error, writing=self.writing)
        # An Arrow stream tells a lost connection only in words.
        if isinstance(error, OSError | pa.ArrowException) and isinstance(translated, RunFailed):
            translated = Unreachable(str(translated))
        if isinstance(translated, Unreachable):
            self.broken = True
        return translated


class Pool:
    """Up to `size` idle sessions of one database are kept; more are opened at need."""

    def __init__(
        self, url: str, *, connect_timeout: float, statement_timeout: float, tls: Tls, size: int
    ) -> None:
        self._parameters, self.where = parameters(url, connect_timeout, tls)
        self._timeout = statement_timeout
        self._size = size
        self._idle: list[Session] = []
        self._lock = threading.Lock()

    @contextmanager
    def session(self, how: str) -> Generator[Session]:
        """A session inside `BEGIN <how>`, rolled back at the end unless committed."""
        session = self._take(how)
        try:
            yield session
        finally:
            session.end()
            self._give(session)

    def _take(self, how: str) -> Session:
        while True:
            with self._lock:
                session = self._idle.pop() if self._idle else None
            fresh = session is None
            session = session or Session(self._parameters, self.where, self._timeout)
            try:
                session.begin(how)
            except SynclineError:
                session.close()
                if fresh:
                    raise
                # An idle one may be dead since the server was restarted: try the next, then a new
                # one.
            else:
                return session

    def _give(self, session: Session) -> None:
        with self._lock:
            if not session.broken and len(self._idle) < self._size:
                self._idle.append(session)
                return
        session.close()

    def close(self) -> None:
        """Close the idle sessions. Idempotent."""
        with self._lock:
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()


def parameters(url: str, connect_timeout: float, tls: Tls) -> tuple[Parameters, str]:
    """Libpq's connection string for a URL, and `host:port/database` for messages.

    TLS: `verify` is verify-full, except to loopback or a socket, where none is asked for. What the
    URL itself says (`sslmode=`, `sslrootcert=`) holds. Raises InputError for what is no URL.
    """
    given = parsed(url)
    host = given.get("host", "")
    settings: dict[str, Any] = {
        "application_name": "syncline",
        "connect_timeout": max(2, round(connect_timeout)),  # libpq takes 1 as 2
        "client_encoding": "UTF8",
        **KEEPALIVES,
        **_tls(tls, local=is_local(host)),
        **given,
    }
    where = f"{host or 'local socket'}:{given.get('port', 5432)}/{given.get('dbname', '')}"
    return Parameters(settings), where


def is_local(host: str) -> bool:
    """Whether a host is this machine: a socket, localhost, or a loopback address."""
    if host in {"", "localhost"} or host.startswith(("/", "@")):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(tls: Tls, *, local: bool) -> dict[str, str]:
    if tls == "off" or (tls == "verify" and local):
        return {"sslmode": "disable"}
    if tls == "require":
        return {"sslmode": "require"}
    own = Path.home() / ".postgresql" / "root.crt"
    # The driver brings its own OpenSSL, which does not know where this system keeps its
    # authorities.
    roots = str(own) if own.exists() else ssl.get_default_verify_paths().cafile or "system"
    return {"sslmode": "verify-full", "sslrootcert": roots}
