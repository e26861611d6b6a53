"""The control store's database: how it is opened and locked, and what its failures are called."""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError, StatementError

from syncline.errors import CredentialsRefused, InputError, RunFailed, SynclineError, Unreachable

_WAIT_SECONDS: Final = 30
"""How long a statement waits for another writer before it gives up."""
_WRITES: Final = "syncline_writes"


def parse(url: str) -> URL:
    """The store's URL, checked. Raises InputError; the message never has the password."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        message = "the control store's URL can't be read"
        raise InputError(message, hint=_FORMS) from None
    product = parsed.get_backend_name()
    if product in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if product != "sqlite":
        message = f"the control store can't be kept in {product}"
        raise InputError(message, hint=_FORMS)
    if not parsed.database or parsed.database == ":memory:":
        message = "the control store can't be in memory: it must outlive the run"
        raise InputError(message, hint=_FORMS)
    return parsed.set(drivername="sqlite+pysqlite")


_FORMS = "SYNCLINE_STORE_URL is sqlite:///FILE or postgresql://USER@HOST/DATABASE"


def shown(url: URL) -> str:
    """The URL for a person: neither password nor options."""
    return url.set(query={}, drivername=url.get_backend_name()).render_as_string(hide_password=True)


def connect(url: URL) -> Engine:
    """An engine on the store; nothing is opened yet."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    return create_engine(
        url,
        hide_parameters=True,  # values of records are not for messages
        pool_size=2,
        pool_pre_ping=True,  # a server may close sessions that are idle for long
        connect_args={
            "connect_timeout": 10,
            "application_name": "syncline",
            "options": f"-c statement_timeout=120000 -c lock_timeout={_WAIT_SECONDS * 1000}",
        },
    )


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": _WAIT_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(raw: Any, _record: Any) -> None:
    raw.isolation_level = None  # sqlite3 would begin, and commit before DDL, behind our back
    raw.execute("PRAGMA foreign_keys = ON")
    raw.execute("PRAGMA synchronous = FULL")  # what a call stored must survive a power cut
    if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        _switch_to_wal(raw)


def _switch_to_wal(raw: Any) -> None:
    # SQLite does not wait here, whatever the timeout: https://sqlite.org/wal.html
    import sqlite3

    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            raw.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.01, 0.05))  # noqa: S311
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and then writes is refused at once if another wrote in between,
    # so writers take the lock as they begin.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Generator[Connection]:
    """One transaction that reads."""
    with named_failures(engine), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Generator[Connection]:
    """One transaction that writes; durable when the block ends, undone where it raises."""
    writer = engine.execution_options(**{_WRITES: True})
    with named_failures(engine), writer.begin() as connection:
        yield connection


@contextmanager
def named_failures(engine: Engine) -> Generator[None]:
    """Turns a driver's errors into those of syncline; messages have no values and no password."""
    try:
        yield
    except SynclineError:
        raise
    except StatementError as error:  # DBAPIError is one
        raise _named(error, shown(engine.url)) from error
    except SQLAlchemyError as error:
        message = f"control store {shown(engine.url)}: {type(error).__name__}"
        raise RunFailed(message) from error


@dataclass(frozen=True, slots=True)
class _Failure:
    """A kind of failure: how a driver tells it (SQLSTATE, words), and what we call it."""

    called: type[SynclineError]
    hint: str
    states: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


# https://www.postgresql.org/docs/current/errcodes-appendix.html; libpq and SQLite have words only.
_FAILURES: Final = (
    _Failure(
        CredentialsRefused, "see SYNCLINE_STORE_URL", ("28", "42501"), ("authentication failed",)
    ),
    _Failure(
        InputError,
        "create the database, or mend SYNCLINE_STORE_URL",
        ("3D000",),
        ("does not exist", "not a database"),
    ),
    _Failure(
        InputError,
        "make the file and its folder ones that you may write, or name another store: "
        "SYNCLINE_STORE_URL",
        (),
        ("unable to open",),
    ),
    _Failure(
        Unreachable,
        "another process holds the store; run the same command again",
        ("55P03", "40", "57014"),
        ("locked",),
    ),
    _Failure(
        Unreachable,
        "run the same command again once the server of SYNCLINE_STORE_URL is up",
        ("08", "57P", "53300"),
        ("connection", "server closed"),
    ),
)


def _named(error: StatementError, where: str) -> SynclineError:
    cause = str(error.orig).strip().splitlines()  # the first line has no values
    message = f"control store {where}: {cause[0] if cause else type(error.orig).__name__}"
    state = getattr(error.orig, "sqlstate", None) or ""
    for failure in _FAILURES:
        words = any(word in message for word in failure.words)
        if state.startswith(failure.states) if state else words:
            return failure.called(message, hint=failure.hint)
    return RunFailed(message, hint="nothing was skipped: mend the store, then run again")


def make_directory(url: URL) -> None:
    """Make the directory of an SQLite store, as private as its content is."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    try:
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        message = f"control store {shown(url)}: {error.strerror}"
        raise InputError(message, hint="set SYNCLINE_STORE_URL to a place you may write") from error
