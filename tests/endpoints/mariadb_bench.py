"""What the tests of the MariaDB endpoint share: a second session, specs and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pymysql

from syncline.endpoints.base import ReadSpec, TableInfo, TargetSpec, Written
from syncline.endpoints.mysql import MysqlEndpoint
from syncline.testing.servers.server import credentials

LOOKALIKES = ["a", "A", "á", "a ", "b"]


def connected(url: str, **options: Any) -> pymysql.Connection[Any]:
    host, port, user, password = credentials(url)
    return pymysql.connect(
        host=host,
        port=port,
        user=user,
        password=password,
        database=urlsplit(url).path[1:],
        autocommit=True,
        **options,
    )


class Raw:
    """Somebody else's session on the same database, as strict or lax as it likes."""

    def __init__(self, url: str) -> None:
        self.connection = connected(url)
        self.users: list[str] = []

    def run(self, sql: str, *params: object) -> tuple[Any, ...]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params or None)
            return tuple(cursor.fetchall())

    def close(self) -> None:
        for user in self.users:
            self.run(f"DROP USER '{user}'@'%'")
        self.connection.close()


def info_of(endpoint: MysqlEndpoint, table: str = "t") -> TableInfo:
    info = endpoint.describe(table)
    assert info is not None
    return info


def read_spec(info: TableInfo, *key: str, rows: int = 1, **more: Any) -> ReadSpec:
    types = {name: column.type for name, column in info.columns.items()}
    return ReadSpec(info.name, key, types, batch_rows=rows, **more)


def target_spec(info: TableInfo, *key: str) -> TargetSpec:
    types = {name: column.type for name, column in info.columns.items() if not column.generated}
    return TargetSpec("m", info.name, {k: types.pop(k) for k in key}, types, ledger=True)


def table_of(spec: TargetSpec, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    types = {**spec.key, **spec.fields}
    return pa.table({n: pa.array([r.get(n) for r in rows], t.arrow) for n, t in types.items()})


def insert(endpoint: MysqlEndpoint, spec: TargetSpec, rows: Sequence[Mapping[str, Any]]) -> Written:
    with endpoint.begin(spec) as tx:
        written = tx.insert(table_of(spec, rows))
        tx.commit()
    return written


def all_of(endpoint: MysqlEndpoint, spec: ReadSpec, **how: Any) -> list[dict[str, Any]]:
    with endpoint.read(spec, mode=how.pop("mode", "full"), **how) as read:
        return [row for batch in read.batches() for row in batch.records.to_pylist()]


def user_with(raw: Raw, url: str, rights: str) -> str:
    """The URL of a new user who has these rights on the test's database."""
    parts = urlsplit(url)
    name = parts.path[1:]
    raw.run(f"CREATE USER '{name}'@'%' IDENTIFIED BY 'canary-pw'")
    raw.users.append(name)
    raw.run(f"GRANT {rights} ON `{name}`.* TO '{name}'@'%'")
    return parts._replace(netloc=f"{name}:canary-pw@{parts.hostname}:{parts.port}").geturl()
