"""Other data, copied as it is: real flights, TPC-H's line items, a wide table with documents."""

from __future__ import annotations

from typing import Final

from benchmarks.case import Case, Contender, Measured
from benchmarks.cases.synced import COPY_IN, MEMORY, always, sync
from benchmarks.datasets import DATASETS, Dataset
from benchmarks.stage import Stage

CONFLICTS: Final = {"plain": "{detect: none}", "ledgered": "{strategy: merge}"}


def _case(data: Dataset) -> Case:
    def setup(stage: Stage) -> None:
        data.fill(stage)
        for table, conflicts in CONFLICTS.items():
            stage.write_mapping(table, data.mapping(table, conflicts))

    def prepare(stage: Stage, table: str) -> None:
        stage.run("target", f"DROP TABLE IF EXISTS {table}", data.create(table))
        stage.forget(table)

    def copied(stage: Stage, _round: int) -> Measured:
        return Measured(stage.pipe(data.query, COPY_IN.format(table="by_hand")))

    def synced(name: str, table: str) -> Contender:
        return Contender(
            name,
            sync(table, mode=always("full"), inserted=lambda rows, _: rows),
            lambda stage: prepare(stage, table),
            lambda stage: check(stage, table),
            memory=MEMORY,
        )

    def check(stage: Stage, table: str) -> None:
        target = f"SELECT {', '.join(data.columns)} FROM {table}"
        stage.compare(data.query, target, table)

    return Case(
        name=data.table,
        what=f"full load: {data.what}",
        contenders=(
            Contender(
                "COPY | COPY",
                copied,
                lambda stage: prepare(stage, "by_hand"),
                lambda stage: check(stage, "by_hand"),
            ),
            synced("syncline without ledger", "plain"),
            synced("syncline with ledger", "ledgered"),
        ),
        setup=setup,
        rows=data.rows,
        most=data.rows if data.table == "flights" else None,
    )


DATA: Final = tuple(map(_case, DATASETS))
