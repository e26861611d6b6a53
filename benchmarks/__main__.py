"""`python -m benchmarks`: the cases, their contenders taking turns, round by round."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.cases import CASES, Case
from benchmarks.measure import Failed, await_idle
from benchmarks.report import Result, save, surroundings
from benchmarks.stage import Stage, staged

RESULTS: Final = Path(__file__).resolve().parent / "results"


def main() -> int:
    """Run the cases; 1 where a target came out wrong."""
    asked = _arguments()
    console = Console(width=max(110, Console().width))
    cases = [case for case in CASES if not asked.case or case.name in asked.case]
    with staged(asked.rows) as stage:
        around = surroundings(stage.version, asked.rows)
        console.print(", ".join(f"{name} {value}" for name, value in around.items()))
        results: list[Result] = []
        for case in cases:
            try:
                results.append(
                    _measured(case, stage, console, repeat=asked.repeat, patience=asked.patience)
                )
            except Failed as error:
                console.print(f"{case.name}: {error}", style="red", markup=False)
                return 1
            console.print(results[-1].table())
            console.print(*results[-1].verdicts(), sep="\n")
    around["load_at_end"] = [round(load, 2) for load in os.getloadavg()]
    console.print(f"every target was right; saved {save(results, around, asked.output)}")
    return 0


def _measured(
    case: Case, stage: Stage, console: Console, *, repeat: int, patience: float
) -> Result:
    """The rounds of a case. Who goes first changes, so that none always follows the same other."""
    case.setup(stage)
    result = Result(case, {contender.name: [] for contender in case.contenders})
    for round_ in range(repeat):
        case.change(stage, round_)
        turn = round_ % len(case.contenders)
        for contender in (*case.contenders[turn:], *case.contenders[:turn]):
            contender.prepare(stage)
            stage.settle()
            await_idle(patience)
            run = contender.run(stage, round_)
            contender.check(stage)
            result.measured[contender.name].append(run)
            console.print(
                f"{case.name} {round_ + 1}/{repeat} {contender.name}: {run.sample.wall:.2f} s"
            )
    return result


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the source")
    parser.add_argument("--repeat", type=int, default=5, help="rounds of each case")
    names = [case.name for case in CASES]
    parser.add_argument("--case", action="append", choices=names, help="only this one; repeatable")
    waits = "seconds to wait, before each measurement, for others on this machine to be done"
    parser.add_argument("--patience", type=float, default=0, help=waits)
    parser.add_argument("--output", type=Path, default=RESULTS, help="where samples are saved")
    asked = parser.parse_args()
    if asked.rows < 10 or asked.repeat < 1:
        parser.error("at least 10 rows and 1 round")
    return asked


if __name__ == "__main__":
    sys.exit(main())
