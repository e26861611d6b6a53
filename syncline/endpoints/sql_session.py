"""A session: one pooled connection of a SQL database, whose errors become ours."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Protocol, TypeAlias, cast

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection

from syncline.endpoints.bisect import RowsRefused
from syncline.errors import (
    CredentialsRefused,
    InputError,
    RunFailed,
    SynclineError,
    Transient,
    Unreachable,
)

Row: TypeAlias = tuple[Any, ...]
FaultKind = Literal[
    "unreachable", "credentials", "input", "transient", "value", "constraint", "duplicate", "failed"
]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a driver's error means to us; `hint` is what the reader can do about it."""

    kind: FaultKind
    message: str
    hint: str = ""


class KeyTaken(RowsRefused):
    """A unique value of the rows is taken already: by their key, or by another unique index."""


class Faults(Protocol):
    """How one database's driver tells its errors."""

    errors: tuple[type[Exception], ...]
    """The exceptions that the driver raises."""

    def fault(self, error: Exception) -> Fault:
        """Give the meaning of one of them."""
        ...

    def starting(self, driver: Any) -> None:
        """Take note that a statement begins on the driver's connection."""
        ...


_RAISED: dict[str, type[SynclineError]] = {
    "unreachable": Unreachable,
    "credentials": CredentialsRefused,
    "input": InputError,
    "transient": Transient,
}


def raise_fault(fault: Fault, cause: Exception, *, refusable: bool) -> NoReturn:
    """Raise the error that the fault stands for.

    A refused row only where the caller expects one.
    """
    if refusable and fault.kind in {"value", "constraint"}:
        raise RowsRefused(cast("Any", fault.kind), fault.message) from cause
    if refusable and fault.kind == "duplicate":
        raise KeyTaken("constraint", fault.message) from cause
    raise _RAISED.get(fault.kind, RunFailed)(fault.message, hint=fault.hint) from cause


class Stream:
    """Rows of a statement that the database still produces."""

    def __init__(self, session: Session, cursor: Any) -> None:
        self._session, self._cursor = session, cursor

    def fetch(self, count: int) -> list[Row]:
        """Give the next rows, at most `count`; none are left where the list is empty."""
        with self._session.translated():
            return cast("list[Row]", list(self._cursor.fetchmany(count)))


class Session:
    """One connection out of the pool, given back by `close`.

    Rows the database refuses raise RowsRefused (KeyTaken where a unique value is taken) from calls
    with `refusable`, and RunFailed from the others.
    """

    def __init__(self, pooled: PoolProxiedConnection, faults: Faults) -> None:
        self._pooled, self._faults = pooled, faults
        self._driver: Any = pooled.driver_connection
        self._broken = False

    @property
    def driver(self) -> Any:
        """The driver's own connection."""
        return self._driver

    @contextmanager
    def translated(self, *, refusable: bool = False) -> Generator[None]:
        """Turn the driver's errors into ours."""
        self._faults.starting(self._driver)
        try:
            yield
        except self._faults.errors as error:
            fault = self._faults.fault(error)
            self._broken = self._broken or fault.kind == "unreachable"
            raise_fault(fault, error, refusable=refusable)

    def run(self, sql: str, params: Sequence[Any] = (), *, refusable: bool = False) -> int:
        """Run a statement; give how many rows it matched."""
        with self.translated(refusable=refusable):
            cursor = self._driver.cursor()
            try:
                cursor.execute(sql, tuple(params))
                return int(cursor.rowcount)
            finally:
                cursor.close()

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """Run a query; give all its rows."""
        with self.translated():
            cursor = self._driver.cursor()
            try:
                cursor.execute(sql, tuple(params))
                return cast("list[Row]", list(cursor.fetchall()))
            finally:
                cursor.close()

    def many(self, sql: str, rows: Sequence[Row], *, refusable: bool = False) -> None:
        """Run a statement once for each row of parameters."""
        if not rows:
            return
        with self.translated(refusable=refusable):
            cursor = self._driver.cursor()
            try:
                cursor.executemany(sql, rows)
            finally:
                cursor.close()

    def stream(self, sql: str, params: Sequence[Any], cursor: Any) -> Stream:
        """Run a query on a driver's cursor that does not hold all its rows at once."""
        with self.translated():
            cursor.execute(sql, tuple(params))
        return Stream(self, cursor)

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """All that is done inside, or none of it where it raises RowsRefused."""
        self.run("SAVEPOINT syncline_part")
        try:
            yield
        except RowsRefused:
            self.run("ROLLBACK TO SAVEPOINT syncline_part")
            self.run("RELEASE SAVEPOINT syncline_part")
            raise
        self.run("RELEASE SAVEPOINT syncline_part")

    @contextmanager
    def all_or_nothing(self) -> Generator[None]:
        """All that is done inside, savepoints and all, or none of it where it raises."""
        self.run("SAVEPOINT syncline_all")
        try:
            yield
        except Exception:
            if not self._broken:
                self.run("ROLLBACK TO SAVEPOINT syncline_all")
                self.run("RELEASE SAVEPOINT syncline_all")
            raise
        self.run("RELEASE SAVEPOINT syncline_all")

    def discard(self) -> None:
        """Never use this connection again: it is cut when the session closes."""
        self._broken = True

    def keep(self) -> None:
        """Take back `discard`: the connection is as good as new."""
        self._broken = False

    def close(self) -> None:
        """Give the connection back to the pool, what was not committed rolled back. Idempotent."""
        if self._broken:
            self._pooled.invalidate()
        self._pooled.close()


@contextmanager
def opened(engine: Engine, faults: Faults) -> Generator[Session]:
    """A session out of the pool, for the time of a `with`."""
    session = take(engine, faults)
    try:
        yield session
    finally:
        session.close()


def take(engine: Engine, faults: Faults) -> Session:
    """Take a session out of the pool; whoever takes it closes it."""
    try:
        return Session(engine.raw_connection(), faults)
    except PoolTimeout as error:
        raise Unreachable("no connection became free in time") from error
    except DBAPIError as error:
        cause = error.orig
        known = isinstance(cause, faults.errors)
        fault = faults.fault(cause) if known else Fault("unreachable", str(cause))
        raise_fault(fault, error, refusable=False)
    except faults.errors as error:
        raise_fault(faults.fault(error), error, refusable=False)
