"""What the tests of verify and repair ask of a project, and how they read what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syncline.compare import VerifyReport
from syncline.repair import RepairReport, repair
from syncline.verify import verify
from tests.integration.project_bench import ProjectBench, now

Make = Callable[..., ProjectBench]
DELTA = "delta: {cursor: updated_at}\n"
LEDGER = "conflicts: merge\ndeletes: {mode: mirror, guard: 50%}\n"
ALIKE: tuple[Any, ...] = ("equal", 0, 0, 0, {}, 0, {})
SOURCE_WINS = "deletes: {mode: mirror, guard: 50%}\nconflicts: {strategy: source, detect: ledger}\n"


def look(bench: ProjectBench, **options: Any) -> VerifyReport:
    return verify(bench.project, bench.name, pause=0, **options)


def mend(bench: ProjectBench, **options: Any) -> RepairReport:
    return repair(bench.project, bench.name, pause=0, **options)


def told(report: VerifyReport) -> tuple[Any, ...]:
    """What a report says, but for how many are equal."""
    return (
        report.status,
        report.missing,
        report.extra,
        report.different,
        report.fields,
        report.late,
        report.apart,
    )


def adds_up(report: VerifyReport) -> bool:
    """Every source record is counted once (of the extra, none of these tests' has a source)."""
    gone = report.apart.get("gone", 0)
    counted = report.equal + report.missing + report.different + report.late
    counted += sum(report.apart.values()) - gone + report.dead_letters + report.outside
    return counted == report.read


def contested(make: Make) -> ProjectBench:
    """Person 3, edited on both sides under `manual`, and queued."""
    bench = make(10, rest="conflicts: manual\n")
    bench.source.edit(3, name="From source", updated_at=now())
    bench.target.edit(3, name="From target")
    assert bench.run().queued == 1
    return bench
