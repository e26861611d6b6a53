"""Growth: the time per record, and the memory, of tables ten times as large as one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from benchmarks import customers
from benchmarks.case import Case, Contender, Measured
from benchmarks.cases.synced import COPY_IN, MEMORY
from benchmarks.measure import Failed
from benchmarks.stage import Stage

LIMIT: Final = 1.2
"""The promised ratio of the time per record, at ten times the records."""
TENTH, WHOLE, TENFOLD = "a tenth of the rows", "all rows", "ten times the rows"
SIZES: Final[dict[str, Callable[[int], int]]] = {
    TENTH: lambda rows: rows // 10,
    WHOLE: lambda rows: rows,
    TENFOLD: lambda rows: rows * 10,
}


def _table(size: str) -> str:
    return f"growth_{[*SIZES].index(size)}"


def _filled(stage: Stage) -> None:
    for size in SIZES:
        customers.map_to(
            stage, f"into_{_table(size)}", "conflicts: {strategy: merge}", source=_table(size)
        )


def _source(stage: Stage, size: str) -> None:
    """Fill the source of this size, where it has not been yet: the largest only if it is run."""
    table = _table(size)
    if stage.value("source", f"SELECT to_regclass('{table}')") == "None":
        stage.run(
            "source",
            customers.CREATE_SOURCE.format(table=table),
            customers.FILL_SOURCE.format(table=table, rows=SIZES[size](stage.rows)),
        )


def _syncline(size: str) -> Contender:
    def run(stage: Stage, _round: int) -> Measured:
        rows = SIZES[size](stage.rows)
        sample, (said,) = stage.syncline("run", f"into_{_table(size)}")
        if (said["mode"], said["inserted"]) != ("full", rows):
            raise Failed(f"syncline says {said}, and should have inserted {rows}")
        return Measured(sample, said["seconds"], rows)

    return _contender(f"syncline with ledger, {size}", size, f"into_{_table(size)}", run)


def _copy(size: str) -> Contender:
    table = f"copy_of_{_table(size)}"

    def run(stage: Stage, _round: int) -> Measured:
        query = customers.FIELDS.replace("FROM customers", f"FROM {_table(size)}")
        sample = stage.pipe(query, COPY_IN.format(table=table))
        return Measured(sample, records=SIZES[size](stage.rows))

    return _contender(f"COPY | COPY, {size}", size, table, run)


def _contender(
    name: str, size: str, table: str, run: Callable[[Stage, int], Measured]
) -> Contender:
    def prepare(stage: Stage) -> None:
        _source(stage, size)
        customers.create_target(stage, table)

    def check(stage: Stage) -> None:
        query = customers.FIELDS.replace("FROM customers", f"FROM {_table(size)}")
        stage.compare(query, customers.FIELDS_OF.format(table=table), table)
        stage.run("target", f"DROP TABLE {table}")  # the next needs its room on the disk
        stage.forget(table)

    return Contender(name, run, prepare, check, large=size == TENFOLD)


GROWTH: Final = Case(
    name="growth",
    what="full load, six transforms, of tables of different sizes; ratios are of the time per row",
    contenders=(
        replace(_syncline(WHOLE), memory=MEMORY),
        replace(_syncline(TENTH), memory=MEMORY),
        replace(_syncline(TENFOLD), memory=MEMORY, limit=LIMIT),
        *map(_copy, (WHOLE, TENTH, TENFOLD)),
    ),
    setup=_filled,
    per_record=True,
)
