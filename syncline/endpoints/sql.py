"""What the SQLite and the MySQL/MariaDB endpoints share.

A pool of sessions, and the Protocols over a dialect.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlalchemy import Engine

from syncline.endpoints.base import (
    Comparison,
    DeltaBy,
    Guarantee,
    Mode,
    Pulse,
    Range,
    Read,
    ReadSpec,
    TableInfo,
    TargetSpec,
    Transaction,
)
from syncline.endpoints.digest import Digest, DigestSpec
from syncline.endpoints.sql_dialect import Dialect, Term, fields_of, is_unique, state_name
from syncline.endpoints.sql_lookup import look_up
from syncline.endpoints.sql_read import Pass, SqlRead, ending, split
from syncline.endpoints.sql_session import Session, opened, take
from syncline.endpoints.sql_values import Field
from syncline.endpoints.sql_write import SqlTransaction
from syncline.errors import CheckpointVoid, InputError
from syncline.record import Misfit, Type


def _there(info: TableInfo | None, table: str) -> TableInfo:
    if info is None:
        raise InputError(
            f"there is no table {table}", hint="table names are spelled as the database has them"
        )
    return info


@dataclass(frozen=True, slots=True)
class Delta:
    """What makes a read a delta: the horizon that it begins at, as JSON."""

    since: str | None


UNTRACKED = Guarantee("none", "nothing tells what changed here: every run reads all records")


class SqlEndpoint(ABC):
    """One SQL database, opened: a `base.Endpoint`.

    Sessions come from a pool; a read holds one until it is closed, a transaction likewise.
    """

    product: str
    reads_while_written = False
    engine: Engine
    bounded: Guarantee
    """What a delta by a cursor promises here."""

    @property
    @abstractmethod
    def dialect(self) -> Dialect:
        """The database's SQL, values and errors."""

    # --- what differs by database ---

    @abstractmethod
    def version(self) -> str:
        """See `base.Source.version`."""

    @abstractmethod
    def tables(self) -> Sequence[str]:
        """See `base.Source.tables`."""

    @abstractmethod
    def describe(self, table: str) -> TableInfo | None:
        """See `base.Source.describe`."""

    @abstractmethod
    def best_delta(self, info: TableInfo, cursor: str | None) -> DeltaBy:
        """See `base.Source.best_delta`."""

    @abstractmethod
    def native_type(self, type_: Type, *, key: bool = False) -> str:
        """See `base.Target.native_type`."""

    @abstractmethod
    def fits(self, type_: Type) -> Type:
        """See `base.Target.fits`."""

    @abstractmethod
    def prepare(self, spec: TargetSpec) -> None:
        """See `base.Target.prepare`."""

    @abstractmethod
    def snapshot(
        self, session: Session, info: TableInfo, cursor: Field | None, delta: Delta | None
    ) -> tuple[str, Guarantee, tuple[str, tuple[Any, ...]] | None]:
        """Begin the snapshot of a read.

        Gives the horizon, the guarantee, and the condition with its parameters that the rows of
        the delta meet (None: all rows do). Raises as `watermark.sql.start_of` does.
        """

    @abstractmethod
    def transaction(
        self,
        session: Session,
        spec: TargetSpec,
        info: TableInfo,
        *,
        writes: bool,
    ) -> SqlTransaction:
        """Give the transaction object over a session in a transaction."""

    @abstractmethod
    def info(self, session: Session, table: str) -> TableInfo | None:
        """Describe a table by a session of our own, in its transaction if it has one."""

    @abstractmethod
    def pulse_of(self, session: Session) -> Pulse:
        """What `pulse` tells, by a session."""

    def digest(self, spec: DigestSpec) -> Digest | str:  # noqa: ARG002 - one that can overrides it
        """See `base.Source.digest`."""
        return f"{self.product} computes no checksums"

    def check_writable(self, session: Session, table: str) -> None:  # noqa: B027 - may be nothing
        """Raise InputError where the table can't take part in a transaction."""

    # --- reading ---

    def guarantee(self, spec: ReadSpec) -> Guarantee:
        """See `base.Source.guarantee`."""
        return self.bounded if spec.by == "timestamp" else UNTRACKED

    def pulse(self, spec: ReadSpec, since: str | None) -> Pulse | None:
        """See `base.Source.pulse`."""
        del since
        if spec.by != "timestamp":
            return None
        with self._session() as session:
            return self.pulse_of(session)

    @contextmanager
    def read(
        self,
        spec: ReadSpec,
        *,
        mode: Mode,
        since: str | None = None,
        after: str | None = None,
        until: str | None = None,
        window: Range | None = None,
    ) -> Generator[Read]:
        """See `base.Source.read`."""
        info = self._told(spec.table)
        fields = fields_of(info, spec.columns)
        cursor = (
            fields_of(info, {spec.cursor: spec.columns[spec.cursor]})[spec.cursor]
            if spec.cursor
            else None
        )
        tracked = cursor if spec.by == "timestamp" else None
        if mode == "delta" and tracked is None:
            raise CheckpointVoid(f"nothing tells what changed in {spec.table}: it has no cursor")
        delta = Delta(since) if mode == "delta" else None
        with self._session() as session:
            horizon, guarantee, changed = self.snapshot(session, info, tracked, delta)
            yield SqlRead(
                session,
                self.dialect,
                spec.table,
                fields,
                spec.key,
                self._passes(spec, info, fields, mode, changed, until, window),
                horizon=horizon,
                guarantee=guarantee,
                batch_rows=spec.batch_rows,
                batch_bytes=spec.batch_bytes,
                after=after,
            )

    def split(self, spec: ReadSpec, parts: int) -> Sequence[str]:
        """See `base.Source.split`: by as many small queries as there are parts, or a few more."""
        info = self._told(spec.table)
        order = self._by_key(spec, info, fields_of(info, spec.columns))
        if info.is_view or parts < 2:  # noqa: PLR2004 - one part is the whole
            return ()
        with self._session() as session:

            def cut(rows: int) -> list[str]:
                # Where statistics are too low the parts are as large as they say, but more.
                step = rows // parts + 1  # so that the last record ends no part
                return split(session, self.dialect, spec.table, order, step, 4 * parts)

            if info.row_estimate and (found := cut(info.row_estimate)):
                return found
            table = self.dialect.table(spec.table)
            return cut(int(session.rows(f"SELECT COUNT(*) FROM {table}")[0][0]))  # noqa: S608 - quoted

    def fetch(self, spec: ReadSpec, keys: pa.Table) -> tuple[pa.Table, tuple[Misfit, ...]]:
        """See `base.Source.fetch`."""
        info = self._told(spec.table)
        fields = fields_of(info, spec.columns)
        key = {name: fields[name] for name in spec.key}
        with self._session() as session:
            self._begin(session, self.dialect.begin_snapshot)
            found = look_up(session, self.dialect, spec.table, key, fields, keys)
        return found.rows, found.misfits

    def keys(self, spec: ReadSpec) -> Iterator[pa.Table]:
        """See `base.Source.keys`."""
        only = {name: spec.columns[name] for name in spec.key}
        narrow = ReadSpec(
            spec.table, spec.key, only, batch_rows=spec.batch_rows, batch_bytes=spec.batch_bytes
        )
        with self.read(narrow, mode="full") as read:
            for batch in read.batches():
                yield batch.records

    def duplicate_keys(self, table: str, key: Sequence[str]) -> Sequence[tuple[Any, ...]]:
        """See `base.Source.duplicate_keys`."""
        info = self._told(table)
        fields = fields_of(
            info, {name: info.columns[name].type for name in key if name in info.columns}
        )
        missing = [name for name in key if name not in fields]
        if missing:
            raise InputError(f"table {table} has no column {', '.join(missing)}")
        if is_unique(info, key):
            return ()
        names = [self.dialect.quote(name) for name in key]
        groups = [self.dialect.counted(field) for field in fields.values()]
        shown = ", ".join(f"MIN({name})" for name in names)
        empty = " OR ".join(f"{name} IS NULL" for name in names)
        source = self.dialect.table(table)
        with self._session() as session:
            nulls = session.rows(
                f"SELECT {', '.join(names)} FROM {source} WHERE {empty} LIMIT 5"  # noqa: S608 - quoted
            )
            twice = session.rows(
                f"SELECT {shown} FROM {source} WHERE NOT ({empty})"  # noqa: S608 - quoted
                f" GROUP BY {', '.join(groups)} HAVING COUNT(*) > 1 LIMIT 5"
            )
        return (*nulls, *twice)[:5]

    # --- writing ---

    def create_table(self, table: str, key: Mapping[str, Type], fields: Mapping[str, Type]) -> None:
        """See `base.Target.create_table`."""
        quote = self.dialect.quote
        columns = [f"{quote(n)} {self.native_type(t, key=True)} NOT NULL" for n, t in key.items()]
        columns += [f"{quote(n)} {self.native_type(t)}" for n, t in fields.items()]
        columns.append(f"PRIMARY KEY ({', '.join(map(quote, key))})")
        with self._session() as session:
            session.run(
                f"CREATE TABLE {self.dialect.table(table)} ({', '.join(columns)}){self.options()}"
            )

    def add_column(self, table: str, name: str, type_: Type) -> None:
        """See `base.Target.add_column`."""
        quote = self.dialect.quote
        with self._session() as session:
            session.run(
                f"ALTER TABLE {self.dialect.table(table)} "
                f"ADD COLUMN {quote(name)} {self.native_type(type_)}"
            )

    def options(self) -> str:
        """Give what CREATE TABLE ends with."""
        return ""

    @contextmanager
    def begin(self, spec: TargetSpec, *, write: bool = True) -> Generator[Transaction]:
        """See `base.Target.begin`."""
        with self._session() as session:
            if write:
                self.check_writable(session, spec.table)
            self._begin(session, self.dialect.begin_write if write else self.dialect.begin_plan)
            try:
                yield self.transaction(
                    session, spec, self._pinned(session, spec.table), writes=write
                )
            finally:
                self._roll_back(session)

    def drop_ledger(self, spec: TargetSpec) -> None:
        """See `base.Target.drop_ledger`."""
        with self._session() as session:
            session.run(f"DROP TABLE IF EXISTS {self.dialect.table(state_name(spec.mapping))}")

    def close(self) -> None:
        """Give back every connection. Idempotent."""
        self.engine.dispose()

    # --- parts ---

    def _session(self) -> AbstractContextManager[Session]:
        return opened(self.engine, self.dialect)

    def _take(self) -> Session:
        return take(self.engine, self.dialect)

    def _told(self, table: str) -> TableInfo:
        return _there(self.describe(table), table)

    def _pinned(self, session: Session, table: str) -> TableInfo:
        """Describe a table that nobody can alter from here to the end of the transaction.

        MariaDB and MySQL keep a table as it is from the first statement on that names it; a writer
        of SQLite has the whole file.
        """
        session.rows(f"SELECT 1 FROM {self.dialect.table(table)} LIMIT 0")  # noqa: S608 - quoted
        return _there(self.info(session, table), table)

    def _begin(self, session: Session, statements: Sequence[str]) -> None:
        for statement in statements:
            session.run(statement)

    def _roll_back(self, session: Session) -> None:
        try:
            session.driver.rollback()
        except self.dialect.errors:
            session.discard()  # what broke it has been raised; this connection is spent

    def _passes(
        self,
        spec: ReadSpec,
        info: TableInfo,
        fields: Mapping[str, Field],
        mode: Mode,
        changed: tuple[str, tuple[Any, ...]] | None,
        until: str | None,
        window: Range | None,
    ) -> tuple[Pass, ...]:
        by_key = self._by_key(spec, info, fields)
        if mode == "delta" and spec.cursor:
            return self._delta_passes(fields[spec.cursor], by_key, changed)
        where, params = self.filtered(spec.filters, info)
        if mode == "backfill" and window is not None:
            conditions, bounds = self._windowed(spec, fields, window)
            where, params = (*where, *conditions), (*params, *bounds)
            if window.by == "cursor" and spec.cursor:
                by_key = (*self.dialect.terms(fields[spec.cursor], unique=True), *by_key)
        whole = Pass(where, params, by_key)
        return (ending(self.dialect, whole, until) if until else whole,)

    def _by_key(
        self, spec: ReadSpec, info: TableInfo, fields: Mapping[str, Field]
    ) -> tuple[Term, ...]:
        unique = is_unique(info, spec.key)
        return tuple(
            term for name in spec.key for term in self.dialect.terms(fields[name], unique=unique)
        )

    def _delta_passes(
        self, cursor: Field, by_key: tuple[Term, ...], changed: tuple[str, tuple[Any, ...]] | None
    ) -> tuple[Pass, ...]:
        order = (*self.dialect.terms(cursor, unique=True), *by_key)
        apart = self.dialect.unordered(cursor)
        condition, params = changed or (f"NOT {apart}", ())
        return Pass((condition,), params, order), Pass((apart,), (), by_key)

    def filtered(
        self, filters: Sequence[Comparison], info: TableInfo
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """Give the conditions of the filters that mean the same here, and their parameters."""
        pairs = [
            (sql, one.value)
            for one in filters
            if one.column in info.columns
            and (sql := self.dialect.filter(info.columns[one.column], one.op)) is not None
        ]
        return tuple(sql for sql, _ in pairs), tuple(value for _, value in pairs)

    def _windowed(
        self, spec: ReadSpec, fields: Mapping[str, Field], window: Range
    ) -> tuple[list[str], list[Any]]:
        name = spec.key[0] if window.by == "key" else spec.cursor
        if name is None:
            raise InputError(f"{spec.table} has no cursor to backfill by", hint="backfill --by key")
        told = [
            self.dialect.between(fields[name], op, bound)
            for op, bound in ((">=", window.start), ("<", window.end))
            if bound is not None
        ]
        return [sql for sql, _ in told], [param for _, param in told]
