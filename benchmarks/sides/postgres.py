"""PostgreSQL: a source by its `xmin`, and a target."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from benchmarks import customers
from benchmarks.sides import COLUMNS

if TYPE_CHECKING:
    from benchmarks.sides import Row
    from benchmarks.stage import Stage


class PostgresSource:
    """As in the cases between two PostgreSQL."""

    connection = "source"
    place = "table: public.customers"
    key = "id"
    delta = ""
    settles_in = 0.0

    def fill(self, stage: Stage) -> None:
        """By generate_series."""
        customers.load(stage)

    def change(self, stage: Stage, round_: int) -> str:
        """Stamped with a day of their own: xmin does not look at clocks."""
        which = customers.A_TENTH.format(round=round_)
        stage.run("source", customers.CHANGE_SOURCE.format(round=round_, which=which))
        return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=round_)).isoformat()

    def rows(self, stage: Stage) -> Iterator[Row]:
        """By the SELECT that the peers read."""
        return _rows(stage.url("source"), f"{customers.FIELDS} ORDER BY id")


class PostgresTarget:
    """As in the cases between two PostgreSQL."""

    connection = "target"
    place = "table: public.{table}"
    key = "user_id"
    clock = "updated_at"

    def empty(self, stage: Stage, *tables: str) -> None:
        """In place of those that are there."""
        for table in tables:
            customers.create_target(stage, table)

    def rows(self, stage: Stage, table: str) -> Iterator[Row]:
        """As they are."""
        return _rows(stage.url("target"), f"SELECT {COLUMNS} FROM {table} ORDER BY user_id")


def _rows(url: str, query: str) -> Iterator[Row]:
    with psycopg.connect(url) as connection, connection.cursor("rows") as cursor:
        cursor.itersize = 5_000
        cursor.execute(query.encode())
        yield from cursor
