"""MariaDB or MySQL: a source by its `updated_at`, and a target. Times are in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pymysql
from pymysql.cursors import Cursor, SSCursor

from benchmarks import customers
from benchmarks.sides import COLUMNS, money, utc
from syncline.testing.servers.server import credentials

if TYPE_CHECKING:
    from pymysql.connections import Connection

    from benchmarks.sides import Row
    from benchmarks.stage import Stage

CREATE_SOURCE: Final = """
CREATE TABLE customers (
  id bigint PRIMARY KEY,
  first_name varchar(100),
  last_name varchar(100),
  email varchar(200),
  is_active boolean,
  balance decimal(14,2),
  score double,
  created_at datetime(6),
  updated_at datetime(6),
  region_id integer,
  notes text,
  born date,
  INDEX (updated_at)
)
"""
FILL_SOURCE: Final = """
INSERT INTO customers
SELECT
  seq,
  concat('first', seq),
  concat('last', seq),
  concat(' Mail', seq, '@Example.com'),
  seq % 2 = 0,
  round(seq * 1.17, 2),
  sin(seq) * 50 + 50,
  timestamp '2024-01-01 00:00:00' + interval seq second,
  timestamp '2025-01-01 00:00:00' + interval seq second,
  seq % 50,
  concat('note ', seq),
  date '1980-01-01' + interval seq % 10000 day
FROM seq_1_to_{rows}
"""
CHANGE_SOURCE: Final = """
UPDATE customers SET
  email = concat(' Mail', id, '.{round}@Example.com'),
  balance = balance + 1,
  updated_at = utc_timestamp(6)
WHERE id % 10 = {round} % 10
"""
CREATE_TARGET: Final = """
CREATE TABLE {table} (
  user_id bigint PRIMARY KEY,
  full_name varchar(200),
  email varchar(200),
  status varchar(20),
  balance decimal(14,2),
  region integer,
  updated_at datetime(6)
)
"""


class MariaDBSource:
    """With an index on the clock, as a table has that is read by it."""

    connection = "mariadb"
    place = "table: customers"
    key = "id"
    delta = "delta: {by: timestamp, cursor: updated_at}"
    settles_in = 1.5

    def fill(self, stage: Stage) -> None:
        """By its own sequence."""
        view = f"CREATE VIEW mapped AS {customers.FIELDS}"
        _run(stage, CREATE_SOURCE, FILL_SOURCE.format(rows=stage.rows), view)

    def make_fields(self, stage: Stage) -> None:
        """The table `fields`: what a target has to hold, as plain columns."""
        _run(stage, f"CREATE TABLE fields (PRIMARY KEY (user_id)) AS {customers.FIELDS}")

    def change(self, stage: Stage, round_: int) -> str:
        """Stamped by the server's clock, which the watermark goes by."""
        since = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
        _run(stage, CHANGE_SOURCE.format(round=round_))
        return since

    def rows(self, stage: Stage) -> Iterator[Row]:
        """By the same SELECT as elsewhere."""
        return _rows(stage, f"{customers.FIELDS} ORDER BY id")


class MariaDBTarget:
    """In a database that is made anew."""

    connection = "mariadb"
    place = "table: {table}"
    key = "user_id"
    clock = "updated_at"

    def empty(self, stage: Stage, *tables: str) -> None:
        """In a new database."""
        stage.servers.get("mariadb").fresh_database("bench")
        _run(stage, *(CREATE_TARGET.format(table=table) for table in tables))

    def rows(self, stage: Stage, table: str) -> Iterator[Row]:
        """As they are."""
        return _rows(stage, f"SELECT {COLUMNS} FROM {table} ORDER BY user_id")


def _connected(stage: Stage, cursor: type[Cursor]) -> Connection[Any]:
    host, port, user, password = credentials(stage.url("mariadb"))
    return pymysql.connect(
        host=host,
        port=port or 3306,
        user=user,
        password=password,
        database="bench",
        init_command="SET time_zone = '+00:00'",
        cursorclass=cursor,
    )


def _run(stage: Stage, *statements: str) -> None:
    with closing(_connected(stage, Cursor)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


def _rows(stage: Stage, query: str) -> Iterator[Row]:
    with closing(_connected(stage, SSCursor)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        for key, name, email, status, balance, region, at in cursor:
            yield key, name, email, status, money(balance), int(region), utc(at)
