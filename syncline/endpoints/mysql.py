"""MySQL and MariaDB: a server's database as source and target."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from ipaddress import ip_address
from typing import Any, Final

from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions
from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from syncline.endpoints.base import DeltaBy, Guarantee, Pulse, TableInfo, TargetSpec
from syncline.endpoints.digest import Digest, DigestSpec
from syncline.endpoints.mysql_catalog import place_of, table_info, table_names
from syncline.endpoints.mysql_dialect import MysqlDialect
from syncline.endpoints.mysql_digest import MysqlDigest, streamed, table_query
from syncline.endpoints.mysql_transaction import LEDGER_KEY_BYTES, MysqlTransaction
from syncline.endpoints.mysql_values import column_type, native_type
from syncline.endpoints.mysql_widen import widen
from syncline.endpoints.sql import UNTRACKED, Delta, SqlEndpoint
from syncline.endpoints.sql_dialect import STATE, state_name
from syncline.endpoints.sql_session import Row, Session
from syncline.endpoints.sql_values import Field
from syncline.endpoints.sql_write import SqlTransaction
from syncline.errors import InputError
from syncline.record import Type
from syncline.watermark import mysql as watermark
from syncline.watermark.sql import horizon

MODE: Final = (
    "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
    ","
    "NO_AUTO_VALUE_ON_ZERO"  # a key of 0 is 0, not the next number
)
STATE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS {table} (
  mapping     VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
  epoch       BIGINT NOT NULL,
  holder      LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  lease_until DATETIME(6) NULL,
  document    LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
)"""
LEDGER_TABLE: Final = """
CREATE TABLE IF NOT EXISTS {table} (
  k      {key} NOT NULL PRIMARY KEY,
  s      BLOB NOT NULL,
  t      BLOB NULL,
  held   BLOB NULL,
  gone   SMALLINT NOT NULL,
  hold   SMALLINT NOT NULL,
  layout INT NOT NULL,
  epoch  BIGINT NOT NULL
)"""
_STREAM_SECONDS: Final = 86_400
"""How long the server waits for us to take rows: as long as the slowest target may need."""


def _plain(value: Decimal, _mapping: object = None) -> str:
    return format(value, "f")  # 1E-8 would be a double


# Times and decimals stay text: Arrow reads whole columns of them, and no value is lost on the way.
_TEXTS: Final = (
    FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP, FIELD_TYPE.TIME,
    FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL,
)  # fmt: skip
_CONVERSIONS: Final[dict[Any, Callable[..., Any]]] = {
    **{k: v for k, v in conversions.items() if k not in _TEXTS},
    Decimal: _plain,
}


class MysqlEndpoint(SqlEndpoint):
    """One database of a MySQL or MariaDB server, named by `mysql://` or `mariadb://user:password@host:port/database`.

    `connect_timeout` and `statement_timeout` are seconds (0: no limit; a read of many rows has none
    but each wait for the next of them). `tls`: `verify` checks the server's certificate and name,
    except on this machine; `require` encrypts without checking; `off`. `?ssl_ca=FILE` names the
    authority.
    `product` is exact from the first connection on.
    """

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
        parsed = url_of(url)
        self.product = "mariadb" if url.startswith("mariadb") else "mysql"
        self._dialect = MysqlDialect()
        self._limit = statement_timeout
        self._release: tuple[int, ...] = ()
        self._system, self._packet = "", 0
        self._shown = parsed.render_as_string(hide_password=True)
        arguments: dict[str, Any] = {
            "charset": "utf8mb4",
            "autocommit": True,  # transactions begin where we say so
            "binary_prefix": True,
            "conv": _CONVERSIONS,
            "connect_timeout": max(1, round(connect_timeout)),
            **_tls(parsed, tls),
        }
        if statement_timeout:
            arguments["read_timeout"] = arguments["write_timeout"] = round(statement_timeout) + 5
        self.engine = create_engine(
            parsed.set(drivername="mysql+pymysql", query=_kept(parsed)),
            connect_args=arguments,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=connect_timeout,
            pool_pre_ping=True,
        )
        event.listen(self.engine, "connect", self._set_up)
        event.listen(self.engine, "invalidate", _let_go)
        if statement_timeout:
            event.listen(self.engine, "checkout", self._set_limit)

    def __repr__(self) -> str:
        return f"MysqlEndpoint({self._shown!r})"

    @property
    def dialect(self) -> MysqlDialect:
        """See `SqlEndpoint.dialect`."""
        return self._dialect

    def version(self) -> str:
        """See `base.Source.version`."""
        with self._session() as session:
            return str(session.rows("SELECT VERSION()")[0][0])

    def tables(self) -> Sequence[str]:
        """See `base.Source.tables`."""
        with self._session() as session:
            return table_names(session)

    def describe(self, table: str) -> TableInfo | None:
        """See `base.Source.describe`.

        MariaDB has no id of its data that is not its machine's: no `system`. Both tell how far
        their log is.
        """
        with self._session() as session:
            info = self.info(session, table)
            return info and replace(info, identity={**watermark.durable(session), **info.identity})

    def info(self, session: Session, table: str) -> TableInfo | None:
        """See `SqlEndpoint.info`."""
        return table_info(session, table, mariadb=self.product == "mariadb", system=self._system)

    def best_delta(self, info: TableInfo, cursor: str | None) -> DeltaBy:
        """See `base.Source.best_delta`."""
        column = info.columns.get(cursor) if cursor else None
        return "timestamp" if column and column.type.name in watermark.CURSORS else "none"

    def native_type(self, type_: Type, *, key: bool = False) -> str:
        """See `base.Target.native_type`."""
        mariadb = self._is_mariadb()
        return native_type(
            type_,
            key=key,
            # Neither folds case nor pads: distinct texts are distinct keys.
            collation="utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin",
            has_uuid=mariadb and self._release >= (10, 7),
        )

    def fits(self, type_: Type) -> Type:
        """See `base.Target.fits`."""
        declared = self.native_type(type_).split(" CHARACTER SET")[0].lower()
        return column_type(declared, is_json=declared == "json")[0]

    def widen_column(self, table: str, name: str, type_: Type) -> None:
        """See `base.Target.widen_column`."""
        native = self.native_type(type_)
        with self._session() as session:
            widen(session, self.dialect, table, name, native)

    def options(self) -> str:
        """See `SqlEndpoint.options`."""
        return " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4"

    def prepare(self, spec: TargetSpec) -> None:
        """See `base.Target.prepare`."""
        statements = [STATE_TABLE.format(table=STATE)]
        if spec.ledger:
            key = "BIGINT" if spec.ledger_key.is_integer else f"VARBINARY({LEDGER_KEY_BYTES})"
            table = self.dialect.table(state_name(spec.mapping))
            statements.append(LEDGER_TABLE.format(table=table, key=key))
        with self._session() as session:
            for statement in statements:
                session.run(statement + self.options())

    def check_writable(self, session: Session, table: str) -> None:
        """See `SqlEndpoint.check_writable`."""
        place = place_of(session, table)
        if place is not None and place.engine not in {"InnoDB", None}:
            raise InputError(
                f"table {table} is stored by {place.engine}, which has no transactions",
                hint=f"ALTER TABLE {table} ENGINE=InnoDB",
            )

    def snapshot(
        self, session: Session, info: TableInfo, cursor: Field | None, delta: Delta | None
    ) -> tuple[str, Guarantee, tuple[str, tuple[Any, ...]] | None]:
        """See `SqlEndpoint.snapshot`."""
        if self._limit:  # a long read is no hung statement: the socket's timeout tells one
            session.run(self._limit_statement(0))
        if cursor is None:
            self._begin(session, self.dialect.begin_snapshot)
            return "{}", UNTRACKED, None
        column = self.dialect.quote(cursor.name)
        # Before the snapshot: what has committed by the time of the horizon must be in it.
        with self._session() as other:
            seen = watermark.latest(other, self.dialect.table(info.name), column)
            start = None
            if delta:
                start = watermark.start_of(delta.since, cursor.name, info.identity, seen)
            at = watermark.take(other, start)
            changed = watermark.condition(other, column, cursor.column.type, start or "1000-01-01")
        self._begin(session, self.dialect.begin_snapshot)
        told = horizon(at, cursor.name, info.identity, seen=seen)
        return told, self.bounded, changed if start else None

    def digest(self, spec: DigestSpec) -> Digest | str:
        """See `base.Source.digest`."""
        info = self._told(spec.table)
        conditions, params = self.filtered(spec.filters, info)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        of = table_query(self.dialect, info, spec, where)
        if isinstance(of, str):
            return of

        def run(query: str, params: tuple[Any, ...]) -> Iterator[list[Row]]:
            with self._session() as session:
                self.snapshot(session, info, None, None)
                yield from streamed(session, self.dialect, query, params)

        return MysqlDigest(of, params, run, whole=spec.whole)

    def transaction(
        self,
        session: Session,
        spec: TargetSpec,
        info: TableInfo,
        *,
        writes: bool,
    ) -> SqlTransaction:
        """See `SqlEndpoint.transaction`."""
        return MysqlTransaction(
            session, self.dialect, spec, info, writes=writes, packet=self._packet
        )

    def pulse_of(self, session: Session) -> Pulse:
        """See `SqlEndpoint.pulse_of`."""
        return watermark.pulse(session)

    def _is_mariadb(self) -> bool:
        if not self._release:
            self._take().close()
        return self.product == "mariadb"

    def _set_up(self, driver: Any, _record: object) -> None:
        """Make every new connection strict, in UTC, and learn what server it is."""
        with driver.cursor() as cursor:
            cursor.execute(
                f"SET SESSION sql_mode = '{MODE}', time_zone = '+00:00', net_write_timeout ="
                f" {_STREAM_SECONDS}"
            )
            cursor.execute("SELECT VERSION(), @@max_allowed_packet")
            version, packet = cursor.fetchone()
            self.product = "mariadb" if "mariadb" in version.lower() else "mysql"
            self._release = tuple(int(part) for part in version.split("-")[0].split(".")[:2])
            self._packet = int(packet)
            if self.product == "mysql":
                cursor.execute("SELECT @@server_uuid")
                self._system = str(cursor.fetchone()[0])

    def _set_limit(self, driver: Any, *_: object) -> None:
        """Limit the statements of a connection that is taken out of the pool."""
        with driver.cursor() as cursor:
            cursor.execute(self._limit_statement(self._limit))

    def _limit_statement(self, seconds: float) -> str:
        if self.product == "mariadb":
            return f"SET SESSION max_statement_time = {float(seconds)}"
        return f"SET SESSION max_execution_time = {round(seconds * 1000)}"


def _let_go(driver: Any, *_: object) -> None:
    """Have the driver not read the rest of a result, once collected, from a socket that is shut."""
    result = getattr(driver, "_result", None)
    if result is not None:
        result.unbuffered_active = False


def url_of(url: str) -> URL:
    """Read a connection's URL. Raises InputError where it names no database."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InputError("the connection's URL can't be read") from error
    if parsed.drivername.split("+")[0] not in {"mysql", "mariadb"} or not parsed.database:
        raise InputError(
            "a MySQL or MariaDB connection names a database:"
            " mysql://user:password@host:3306/database"
        )
    unknown = set(parsed.query) - {"ssl_ca", "unix_socket"}
    if unknown:
        raise InputError(f"unknown in the connection's URL: {', '.join(sorted(unknown))}")
    return parsed


def _kept(url: URL) -> dict[str, Any]:
    return {name: value for name, value in url.query.items() if name == "unix_socket"}


def _tls(url: URL, tls: str) -> dict[str, Any]:
    if tls == "off":
        return {"ssl_disabled": True}
    if tls not in {"verify", "require"}:
        raise InputError(f"tls: {tls} is none of verify, require, off")
    if "unix_socket" in url.query or _is_here(url.host or "localhost"):
        return {}  # encrypted where the server offers it, by pymysql's own choice
    authority = url.query.get("ssl_ca")
    context = ssl.create_default_context(cafile=str(authority) if authority else None)
    if tls == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
