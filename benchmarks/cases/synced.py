"""Contenders that many cases share: syncline's run, and what makes it ready and checks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from benchmarks import customers
from benchmarks.case import Contender, Measured
from benchmarks.measure import Failed
from benchmarks.stage import Stage

MEMORY: Final = 350 << 20
"""The promised peak of resident memory."""
COPY_IN: Final = "COPY {table} FROM STDIN (FORMAT binary)"
ARRIVED: Final = "CREATE TEMPORARY TABLE arrived (LIKE by_hand)"

Expected = Callable[[int, int], Any]
"""What a count must be, given the rows of the source and the number of the round."""


def always(value: Any) -> Expected:
    """The same count, whatever the rows."""
    return lambda _rows, _round: value


def sync(mapping: str, **expected: Expected) -> Callable[[Stage, int], Measured]:
    """A run of syncline that has to say what is expected of it."""

    def run(stage: Stage, round_: int) -> Measured:
        sample, (said,) = stage.syncline("run", mapping)
        wanted = {name: of(stage.rows, round_) for name, of in expected.items()}
        if {name: said[name] for name in wanted} != wanted:
            raise Failed(f"syncline says {said}, and should have done {wanted}")
        return Measured(sample, said["seconds"])

    return run


def full(
    name: str, table: str, *, limit: float | None = None, ledger: bool, memory: int | None = MEMORY
) -> Contender:
    """A full sync of the customers into a table that is made anew for each run."""
    return Contender(
        name,
        sync(table, mode=always("full"), inserted=lambda rows, _: rows),
        lambda stage: customers.create_target(stage, table),
        lambda stage: customers.check(stage, table, ledger=stage.rows if ledger else 0),
        limit=limit,
        memory=memory,
    )


def delta(
    name: str,
    table: str,
    updated: Expected,
    *,
    limit: float | None = None,
    memory: int | None = MEMORY,
    **expected: Expected,
) -> Contender:
    """A delta of the customers that writes this many records, into a table with a ledger."""
    return Contender(
        name,
        sync(table, mode=always("delta"), updated=updated, **expected),
        check=lambda stage: customers.check(stage, table, ledger=stage.rows),
        limit=limit,
        memory=memory,
    )


def copied(stage: Stage, _round: int = 0) -> Measured:
    """Copy all fields into `by_hand`, binary."""
    return Measured(stage.pipe(customers.FIELDS, COPY_IN.format(table="by_hand")))


def upserted(stage: Stage, round_: int) -> Measured:
    """Bring what changed in this round into `by_hand`: by COPY and one upsert."""
    changed = f"{customers.FIELDS} WHERE {customers.CHANGED_SINCE.format(round=round_)}"
    arrive = COPY_IN.format(table="arrived")
    return Measured(stage.pipe(changed, ARRIVED, arrive, customers.UPSERT))


def start_from(stage: Stage, *mappings: str) -> None:
    """Fill the table made by hand, and those of these mappings."""
    for table in ("by_hand", *mappings):
        customers.create_target(stage, table)
    copied(stage)
    for mapping in mappings:
        stage.syncline("run", mapping)


BY_HAND: Final = Contender(
    "COPY to a temporary table, upsert",
    upserted,
    check=lambda stage: customers.check(stage, "by_hand"),
)
