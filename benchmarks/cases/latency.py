"""One row changes: how long until the target has it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Final

from benchmarks import customers
from benchmarks.case import Case, Contender, Measured
from benchmarks.cases.synced import BY_HAND, always, delta, start_from
from benchmarks.stage import Stage

CHANGES: Final = 20
"""How many rows change, one after the other, where one process waits for each."""


def _synced(stage: Stage) -> None:
    customers.load(stage)
    customers.map_to(stage, "ledgered", "conflicts: {strategy: merge}")
    start_from(stage, "ledgered")


def _change(stage: Stage, round_: int) -> None:
    which = f"id = {round_ + 1}"
    stage.run("source", customers.CHANGE_SOURCE.format(round=round_, which=which))


def _by_script(stage: Stage, round_: int) -> Measured:
    since = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=round_)
    return Measured(stage.script("one_row", "once", since.isoformat()))


def _loop(script: str) -> Contender:
    """A process that changes a row, brings it over, sees that it is there, and so on.

    What is measured is one change, the median of them.
    """

    def run(stage: Stage, _round: int) -> Measured:
        sample = stage.script(script, "loop", str(CHANGES))
        each = json.loads(sample.output)
        return Measured(
            replace(
                sample,
                wall=median(each["seconds"]),
                cpu=median(each["cpu_seconds"]),
                server_cpu=None,
                others_cpu=None,
            )
        )

    return Contender(f"{script}.py", run)


LATENCY: Final = (
    Case(
        name="one-row",
        what="one row changes, one process brings it",
        contenders=(
            Contender(
                "by hand: one_row.py",
                _by_script,
                check=lambda stage: customers.check(stage, "by_hand"),
            ),
            replace(BY_HAND, name="by hand: psql | psql, upsert"),
            delta("syncline run", "ledgered", always(1)),
        ),
        setup=_synced,
        change=_change,
        rows=100_000,
    ),
    Case(
        name="one-row-loop",
        what="one row changes, a process that is there already brings it",
        contenders=(_loop("one_row"), _loop("one_row_by_syncline")),
        setup=_synced,
        rows=100_000,
    ),
)
