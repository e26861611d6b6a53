"""The PostgreSQL endpoint: a source and a target, over ADBC."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import pyarrow as pa

from syncline.endpoints import postgres_catalog as catalog
from syncline.endpoints import postgres_digest as digest
from syncline.endpoints import postgres_ledger as ledger
from syncline.endpoints import postgres_source as source
from syncline.endpoints.base import (
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
from syncline.endpoints.postgres_read import LOCK
from syncline.endpoints.postgres_session import Pool, Tls
from syncline.endpoints.postgres_split import split
from syncline.endpoints.postgres_sql import ident, literal
from syncline.endpoints.postgres_types import FINEST_SECONDS, native_type
from syncline.endpoints.postgres_widen import widen
from syncline.endpoints.postgres_write import PostgresTransaction
from syncline.record import Misfit, Type
from syncline.watermark import postgres_holder

VERSION: Final = "SELECT current_setting('server_version') AS version"
CREATE_TABLE: Final = "CREATE TABLE {table} ({columns}, PRIMARY KEY ({key}))"
# Serializes those that prepare at once: CREATE TABLE IF NOT EXISTS alone can fail on the
# catalogue's unique index.
ALONE: Final = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended({name}, 0))"
WRITE: Final = "ISOLATION LEVEL READ COMMITTED READ WRITE"
LOOK: Final = "ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresEndpoint:
    """A PostgreSQL database, 13 or later, as `Source` and `Target` (the contract is in `base`).

    `connect_timeout` and `statement_timeout` are in seconds, 0 for none; a statement that streams a
    read to its end has none. `tls="verify"` is sslmode=verify-full, but to loopback or a socket no
    TLS is asked for; what the URL says of TLS holds. Up to `pool_size` idle connections are kept.
    Nothing is connected before the first call.
    """

    product = "postgresql"
    reads_while_written = True

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float = 10,
        statement_timeout: float = 0,
        tls: Tls = "verify",
        pool_size: int = 4,
    ) -> None:
        self._pool = Pool(
            url,
            connect_timeout=connect_timeout,
            statement_timeout=statement_timeout,
            tls=tls,
            size=pool_size,
        )

    def __repr__(self) -> str:
        return f"PostgresEndpoint({self._pool.where!r})"

    def version(self) -> str:
        """See `Source.version`."""
        with self._pool.session(source.READ_NOW) as session:
            return str(session.rows(VERSION)[0][0])

    def tables(self) -> Sequence[str]:
        """See `Source.tables`: as `schema.table`."""
        with self._pool.session(source.READ_NOW) as session:
            return catalog.table_names(session)

    def describe(self, table: str) -> TableInfo | None:
        """See `Source.describe`."""
        with self._pool.session(source.READ_NOW) as session:
            found = catalog.load(session, table)
            return found.info if found else None

    def close(self) -> None:
        """See `Source.close`."""
        self._pool.close()

    # --- source -----------------------------------------------------------------------------------

    def best_delta(self, info: TableInfo, cursor: str | None) -> DeltaBy:
        """See `Source.best_delta`."""
        return source.best_delta(info, cursor)

    def guarantee(self, spec: ReadSpec) -> Guarantee:
        """See `Source.guarantee`."""
        return source.guarantee(spec)

    def pulse(self, spec: ReadSpec, since: str | None) -> Pulse | None:
        """See `Source.pulse`."""
        if spec.by == "none":
            return None
        with self._pool.session(source.READ_NOW) as session:
            return postgres_holder.pulse(session.rows, spec.by, since)

    def read(
        self,
        spec: ReadSpec,
        *,
        mode: Mode,
        since: str | None = None,
        after: str | None = None,
        until: str | None = None,
        window: Range | None = None,
    ) -> AbstractContextManager[Read]:
        """See `Source.read`."""
        return source.open_read(self._pool, spec, mode, since, after, until, window)

    def split(self, spec: ReadSpec, parts: int) -> Sequence[str]:
        """See `Source.split`."""
        return split(self._pool, spec, parts)

    def fetch(self, spec: ReadSpec, keys: pa.Table) -> tuple[pa.Table, tuple[Misfit, ...]]:
        """See `Source.fetch`."""
        return source.fetch(self._pool, spec, keys)

    def keys(self, spec: ReadSpec) -> Iterator[pa.Table]:
        """See `Source.keys`."""
        return source.all_keys(self._pool, spec)

    def digest(self, spec: DigestSpec) -> Digest | str:
        """See `Source.digest`."""
        return digest.table_digest(self._pool, spec)

    def duplicate_keys(self, table: str, key: Sequence[str]) -> Sequence[tuple[Any, ...]]:
        """See `Source.duplicate_keys`."""
        return source.duplicate_keys(self._pool, table, key)

    # --- target -----------------------------------------------------------------------------------

    def native_type(self, type_: Type, *, key: bool = False) -> str:  # noqa: ARG002
        """See `Target.native_type`; here a key's column is declared as any other."""
        return native_type(type_)

    def fits(self, type_: Type) -> Type:
        """See `Target.fits`: every type is held, seconds with at most 6 fractional digits."""
        has_seconds = type_.name in {"time", "timestamp", "timestamptz"}
        if has_seconds and (type_.precision or 0) >= FINEST_SECONDS:
            return Type(type_.name)
        return type_

    def create_table(self, table: str, key: Mapping[str, Type], fields: Mapping[str, Type]) -> None:
        """See `Target.create_table`. Raises InputError where the table is there already."""
        columns = [f"{ident(n)} {native_type(t)}" for n, t in {**key, **fields}.items()]
        statement = CREATE_TABLE.format(
            table=catalog.spelled(table),
            columns=", ".join(columns),
            key=", ".join(map(ident, key)),
        )
        with self._pool.session(WRITE) as session:
            session.run(statement)
            session.commit()

    def add_column(self, table: str, name: str, type_: Type) -> None:
        """See `Target.add_column`."""
        column = f"{ident(name)} {native_type(type_)}"
        with self._pool.session(WRITE) as session:
            session.run(f"ALTER TABLE {catalog.spelled(table)} ADD COLUMN {column}")
            session.commit()

    def widen_column(self, table: str, name: str, type_: Type) -> None:
        """See `Target.widen_column`."""
        with self._pool.session(WRITE) as session:
            widen(session, table, name, type_)
            session.commit()

    def prepare(self, spec: TargetSpec) -> None:
        """See `Target.prepare`: both tables stand in the target table's schema."""
        with self._pool.session(WRITE) as session:
            schema = catalog.require(session, spec.table).schema
            session.run(ALONE.format(name=literal(f"syncline {schema}")))
            ledger.prepare(session, spec, schema)
            session.commit()

    @contextmanager
    def begin(self, spec: TargetSpec, *, write: bool = True) -> Generator[Transaction]:
        """See `Target.begin`."""
        with self._pool.session(WRITE if write else LOOK) as session:
            # What the catalogue says of the table must hold as long as values are appended in
            # binary form.
            session.run(LOCK.format(table=catalog.spelled(spec.table)))
            yield PostgresTransaction(session, spec, write=write)

    def drop_ledger(self, spec: TargetSpec) -> None:
        """See `Target.drop_ledger`."""
        with self._pool.session(WRITE) as session:
            found = catalog.load(session, spec.table)
            # The target table may be gone already: then the ledger stands where its name says.
            schema = found.schema if found else catalog.schema_of(session, spec.table)
            ledger.drop(session, spec.mapping, schema)
            session.commit()
