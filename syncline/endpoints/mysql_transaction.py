"""A transaction on MySQL or MariaDB."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, cast

from syncline.endpoints.base import Fetched, Mask, Refused, TableInfo, TargetSpec, Written
from syncline.endpoints.digest import Digest
from syncline.endpoints.mysql_catalog import place_of
from syncline.endpoints.mysql_dialect import MysqlDialect
from syncline.endpoints.mysql_digest import MysqlDigest, ledger_query, streamed
from syncline.endpoints.sql_dialect import state_name
from syncline.endpoints.sql_lookup import condition_for
from syncline.endpoints.sql_session import Row, Session
from syncline.endpoints.sql_values import Field
from syncline.endpoints.sql_write import SqlTransaction
from syncline.errors import CredentialsRefused, InputError, SynclineError

LEDGER_KEY_BYTES: Final = 700
"""The longest key of a ledger: what fits an index at every page size."""
_FEW: Final = 16
"""Rows that are updated one by one: a temporary table costs more."""
_SPARE_BYTES: Final = 65_536
_CHECK_FAILED: Final = re.compile(r"CONSTRAINT `[^`]*\.([^`]+)` failed")


class MysqlTransaction(SqlTransaction):
    """See `SqlTransaction`. Ledger keys are bytes: no collation holds two of them equal."""

    upsert = "REPLACE"

    def __init__(
        self,
        session: Session,
        dialect: MysqlDialect,
        spec: TargetSpec,
        info: TableInfo,
        *,
        writes: bool,
        packet: int,
    ) -> None:
        super().__init__(session, dialect, spec, info, writes=writes)
        self._packet = packet
        self._may_stage = True

    def exists(self, table: str) -> bool:
        """See `Ledger.exists`."""
        return place_of(self._session, table) is not None

    def now(self) -> datetime:
        """See `Ledger.now`."""
        return cast("datetime", self.instant(self._session.rows("SELECT UTC_TIMESTAMP(6)")[0][0]))

    def instant(self, value: Any) -> datetime | None:
        """See `Ledger.instant`."""
        return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)

    def stored(self, value: datetime) -> Any:
        """See `Ledger.stored`."""
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")

    def packed(self, key: Any) -> Any:
        """See `Ledger.packed`."""
        if not isinstance(key, str):
            return key
        told = key.encode()
        if len(told) > LEDGER_KEY_BYTES:
            raise InputError(f"a key of {len(told)} bytes is too long for a ledger: {key[:60]!r}..")
        return told

    def unpacked(self, key: Any) -> Any:
        """See `Ledger.unpacked`."""
        return key.decode() if isinstance(key, bytes) else key

    def ledger_digest(self) -> Digest | None:
        """See `base.Transaction.ledger_digest`."""
        if not self._has(state_name(self._mapping)):
            return None

        def run(query: str, params: tuple[Any, ...]) -> Iterator[list[Row]]:
            return streamed(self._session, self._dialect, query, params)

        return MysqlDigest(ledger_query(self._table, whole=self._whole), (), run, whole=self._whole)

    def insert(self, rows: Any) -> Written:
        """See `base.Transaction.insert`."""
        return self._judged(super().insert(rows))

    def update(self, rows: Any, changed: Mapping[str, Mask], current: Fetched) -> Written:
        """See `base.Transaction.update`."""
        return self._judged(super().update(rows, changed, current))

    def _judged(self, written: Written) -> Written:
        """A document that MariaDB's own check refuses (33 levels deep, say) is refused for good."""
        judged = [
            replace(one, kind="value")
            if (found := _CHECK_FAILED.search(one.message)) and self._is_document(found[1])
            else one
            for one in written.refused
        ]
        return replace(written, refused=tuple(judged))

    def _is_document(self, name: str) -> bool:
        found = self._fields.get(name)
        return found is not None and found.column.type.name == "json"

    def write_fields(
        self, names: Sequence[str], values: Sequence[Row], keys: Sequence[Row]
    ) -> None:
        """See `SqlTransaction.write_fields`."""
        if len(keys) > _FEW and self._may_stage:
            try:
                return self._write_staged(names, values, keys)
            except CredentialsRefused:
                self._may_stage = False  # no CREATE TEMPORARY TABLES: one by one, then
        sets = ", ".join(f"{self._dialect.quote(name)} = %s" for name in names)
        for value, key in zip(values, keys, strict=True):
            where, params = condition_for(self._dialect, self._key, [key], exact=True)
            self._session.run(
                f"UPDATE {self._target} SET {sets} WHERE {where}",  # noqa: S608 - quoted
                (*value, *params),
                refusable=True,
            )
        return None

    def _write_staged(
        self, names: Sequence[str], values: Sequence[Row], keys: Sequence[Row]
    ) -> None:
        """Write through a temporary table of the same column types, joined by key."""
        quote = self._dialect.quote
        columns = [quote(name) for name in (*self._key, *names)]
        stage = quote("syncline_stage")
        self._session.run(
            f"CREATE TEMPORARY TABLE {stage} ENGINE=InnoDB AS"  # noqa: S608 - quoted
            f" SELECT {', '.join(columns)} FROM {self._target} WHERE 1 = 0"
        )
        try:
            self._session.many(
                f"INSERT INTO {stage} ({', '.join(columns)})"  # noqa: S608 - quoted
                f" VALUES ({self._dialect.marks(len(columns))})",
                [(*key, *value) for key, value in zip(keys, values, strict=True)],
                refusable=True,
            )
            sets = ", ".join(f"r.{quote(name)} = s.{quote(name)}" for name in names)
            self._session.run(
                f"UPDATE {stage} s STRAIGHT_JOIN {self._target} r ON {self._joined()} SET {sets}",  # noqa: S608
                refusable=True,
            )
        finally:
            with suppress(SynclineError):
                self._session.run(f"DROP TEMPORARY TABLE IF EXISTS {stage}")

    def _joined(self) -> str:
        terms: list[str] = []
        for wanted in self._key.values():
            name = self._dialect.quote(wanted.name)
            terms.append(f"r.{name} = s.{name}")
            if self._dialect.exactly(wanted):
                terms.append(f"CAST(r.{name} AS BINARY) = CAST(s.{name} AS BINARY)")
        return " AND ".join(terms)

    def _parameters(
        self, fields: Mapping[str, Field], rows: Any
    ) -> tuple[list[Row], dict[int, Refused]]:
        values, refused = super()._parameters(fields, rows)
        room = self._packet - _SPARE_BYTES
        if rows.nbytes * 2 < room:  # quoting at most doubles a value
            return values, refused
        for row, value in enumerate(values):
            size = sum(
                len(self._session.driver.escape(v)) for v in value if isinstance(v, str | bytes)
            )
            if size > room:
                reason = (
                    f"its {size} bytes are more than the server takes at once (max_allowed_packet)"
                )
                refused.setdefault(row, Refused(row, "value", reason))
        return values, refused
