"""The customers in each kind of database: a source that is filled and changed, or a target.

Whatever the database, `rows` gives the same tuples for the same customers, in the order of their
keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Final, Protocol

from benchmarks.measure import Failed
from benchmarks.stage import Stage

Row = tuple[int, str, str, str, Decimal, int, datetime]
COLUMNS: Final = "user_id, full_name, email, status, balance, region, updated_at"


class Source(Protocol):
    """The customers, in the table or collection `customers`."""

    connection: str
    place: str
    """How a mapping names a table of it."""
    key: str
    delta: str
    """What the mapping says of its deltas."""
    settles_in: float
    """Seconds after which a change that a delta has brought is in no later one."""

    def fill(self, stage: Stage) -> None:
        """Make them."""
        ...

    def change(self, stage: Stage, round_: int) -> str:
        """Change a tenth of them; the least `updated_at` of what was changed, as ISO text."""
        ...

    def rows(self, stage: Stage) -> Iterator[Row]:
        """What every target has to hold."""
        ...


class Target(Protocol):
    """What is made of them."""

    connection: str
    place: str
    key: str
    clock: str
    """The field `updated_at` of the mapping."""

    def empty(self, stage: Stage, *tables: str) -> None:
        """Make empty tables, that no run knows of."""
        ...

    def rows(self, stage: Stage, table: str) -> Iterator[Row]:
        """What one of them holds."""
        ...


def check(stage: Stage, source: Source, target: Target, table: str) -> None:
    """See that a target is what the source says. Raises Failed."""
    for expected, found in zip_longest(source.rows(stage), target.rows(stage, table)):
        if expected != found:
            raise Failed(f"{table} is wrong: {found}, where the source has {expected}")


def utc(value: datetime) -> datetime:
    """An instant in UTC; one without a zone is in UTC."""
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def money(value: object) -> Decimal:
    """A number with two digits."""
    return Decimal(str(value)).quantize(Decimal("0.01"))
