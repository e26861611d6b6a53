"""`python -m benchmarks`: the cases, their contenders taking turns, round by round."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks import publish, report
from benchmarks.case import Case, Measured
from benchmarks.cases import CASES
from benchmarks.measure import Failed, await_idle
from benchmarks.relay import relayed
from benchmarks.results import Result, save, surroundings
from benchmarks.servers import Servers, started
from benchmarks.stage import Stage
from syncline.testing.servers import Kind, Unavailable

RESULTS: Final = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Bench:
    """What a whole run of the benchmark needs, and how it is asked to go."""

    servers: Servers
    console: Console
    asked: argparse.Namespace

    def measured(self, case: Case) -> Result:
        """The rounds of a case. Who goes first changes, so that none always follows the same other.

        Raises Unavailable where a server that it needs can't be had.
        """
        for kind in case.needs:
            self.servers.get(kind)
        rows = min(self.asked.rows or case.rows, case.most or sys.maxsize)
        stage = Stage(rows, self.servers, self.servers.root / "projects" / case.name)
        stage.empty()
        case.setup(stage)
        found: dict[str, list[Measured]] = {one.name: [] for one in case.contenders}
        for round_ in range(self.asked.repeat):
            for name, run in self._round(case, stage, round_):
                found[name].append(run)
                self.say(
                    f"{case.name} {round_ + 1}/{self.asked.repeat} {name}: {run.sample.wall:.3f} s"
                )
        return Result.of(case, rows, found, self._traffic(case, stage) if case.traffic else {})

    def _round(self, case: Case, stage: Stage, round_: int) -> Iterator[tuple[str, Measured]]:
        case.change(stage, round_)
        turn = round_ % len(case.contenders)
        for contender in (*case.contenders[turn:], *case.contenders[:turn]):
            contender.prepare(stage)
            self.servers.settle()
            await_idle(self.asked.patience)
            run = contender.run(stage, round_)
            contender.check(stage)
            yield contender.name, run

    def _traffic(self, case: Case, stage: Stage) -> dict[str, int]:
        """The bytes that each contender exchanges with the servers, in a round of its own."""
        found: dict[str, int] = {}
        with ExitStack() as ends:
            kinds: tuple[Kind, ...] = ("postgres", *case.needs)
            relays = {
                kind: ends.enter_context(relayed(self.servers.get(kind).url)) for kind in kinds
            }
            passed = 0
            for name, _ in self._round(case, replace(stage, relays=relays), self.asked.repeat):
                total = sum(relay.bytes for relay in relays.values())
                found[name], passed = total - passed, total
        return found

    def say(self, line: str, *, style: str | None = None) -> None:
        """Print a line as it is."""
        self.console.print(line, style=style, markup=False, highlight=False)


def main() -> int:
    """Run the cases; 1 where a target came out wrong."""
    asked = _arguments()
    cases = [case for case in CASES if not asked.case or case.name in asked.case]
    if not asked.large:
        cases = [_without_large(case) for case in cases]
    around = surroundings()
    path: Path | None = None
    results: list[Result] = []
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    with started() as servers:
        bench = Bench(servers, Console(width=max(120, Console().width)), asked)
        for case in cases:
            began = time.monotonic()
            try:
                result = bench.measured(case)
            except Unavailable as refusal:
                skipped[case.name] = str(refusal).partition("\n")[0]
                bench.say(f"{case.name} is left out: {refusal}", style="yellow")
            except Failed as error:
                failed[case.name] = str(error)
                bench.say(f"{case.name}: {error}", style="red")
            else:
                results.append(result)
                bench.console.print(report.table(result))
                bench.say("\n".join(result.verdicts()))
            bench.say(f"{case.name} took {time.monotonic() - began:.0f} s")
            # After each case: what was measured is kept, whatever becomes of the next.
            path = save(results, skipped, around, servers, asked.output)
    bench.say(f"saved {path}")
    for name, error in failed.items():
        bench.say(f"{name} came out wrong: {error.partition(chr(10))[0]}", style="red")
    if asked.publish and path and not failed:
        bench.say(f"wrote {publish.publish([path])}")
    return 1 if failed else 0


def _without_large(case: Case) -> Case:
    return replace(case, contenders=tuple(one for one in case.contenders if not one.large))


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    sizes = {case.name: case.rows for case in CASES}
    default = f"rows of the source; else {max(sizes.values()):,}, and fewer where a case says so"
    parser.add_argument("--rows", type=int, default=0, help=default)
    parser.add_argument("--repeat", type=int, default=3, help="rounds of each case")
    parser.add_argument(
        "--case", action="append", choices=list(sizes), help="only this one; repeatable"
    )
    parser.add_argument("--large", action="store_true", help="growth to ten times the rows, too")
    waits = "seconds to wait, before each measurement, for others on this machine to be done"
    parser.add_argument("--patience", type=float, default=0, help=waits)
    parser.add_argument("--output", type=Path, default=RESULTS, help="where samples are saved")
    writes = "write the tables and plots of docs/benchmarks.md from what was measured"
    parser.add_argument("--publish", action="store_true", help=writes)
    asked = parser.parse_args(given)
    if 0 < asked.rows < 1000 or asked.rows < 0 or asked.repeat < 1:
        parser.error("at least 1,000 rows and 1 round")
    return asked


if __name__ == "__main__":
    sys.exit(main())
