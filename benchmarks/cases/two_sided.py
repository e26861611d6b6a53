"""Both sides edited: deltas in which some of the records that changed are conflicts."""

from __future__ import annotations

from typing import Final

from benchmarks import customers
from benchmarks.case import Case
from benchmarks.cases.synced import BY_HAND, delta, start_from
from benchmarks.stage import Stage

# The strategy `merge` gives a contested text to the source where that is not empty: so the target
# must come out as the source says, and every one of these edits must have been noticed.
EDIT_TARGET: Final = """
UPDATE {table} SET email = 'edited{round}.' || user_id || '@example.com'
WHERE user_id % 10 = {round} % 10 AND user_id / 10 % 100 < {percent}
"""


def _conflicts(percent: int) -> Case:
    def setup(stage: Stage) -> None:
        customers.load(stage)
        customers.map_to(stage, "ledgered", "conflicts: {strategy: merge}")
        start_from(stage, "ledgered")

    def change(stage: Stage, round_: int) -> None:
        which = customers.A_TENTH.format(round=round_)
        stage.run("source", customers.CHANGE_SOURCE.format(round=round_, which=which))
        for table in ("by_hand", "ledgered"):
            edit = EDIT_TARGET.format(table=table, round=round_, percent=percent)
            stage.run("target", edit)

    def conflicts(rows: int, round_: int) -> int:
        keys = range(round_ % 10 or 10, rows + 1, 10)
        return sum(key // 10 % 100 < percent for key in keys)

    return Case(
        name=f"conflicts-{percent}",
        what=f"delta of a tenth of the rows, {percent} % of them edited on the target too",
        setup=setup,
        change=change,
        contenders=(
            BY_HAND,
            delta(
                "syncline, strategy merge",
                "ledgered",
                lambda rows, _: rows // 10,
                conflicts=conflicts,
            ),
        ),
    )


TWO_SIDED: Final = tuple(map(_conflicts, (0, 1, 50)))
