"""Repair: settle just the records that a comparison found to differ.

They go through the same classify, resolve and apply as in a run, under the lease: strategies,
holds and guards hold here too. What is late is left to the next run, what is apart stays so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from syncline import decide, gone
from syncline.difference import Standing
from syncline.errors import InputError
from syncline.guard import check_drift
from syncline.verify import PAUSE, compared

if TYPE_CHECKING:
    from syncline.compare import Comparison, VerifyReport
    from syncline.difference import Sample
    from syncline.ledger import Document
    from syncline.project import Project
    from syncline.run import Opened
    from syncline.sync import Progress, RunSummary, Syncing


@dataclass(slots=True)
class RepairReport:
    """What a repair did.

    `found` records differed; `left` says how many of them still do, or wait, by word; `samples` are
    some of those. `run_id` is None where there was nothing to repair.
    """

    mapping: str
    run_id: str | None = None
    status: Literal["equal", "left"] = "equal"
    found: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    conflicts: int = 0
    queued: int = 0
    dead_letters: int = 0
    left: dict[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0
    samples: list[Sample] = field(default_factory=list["Sample"])

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values, but for dates and decimals inside samples."""
        return asdict(self)


def repair(
    project: Project,
    name: str,
    *,
    agree: Callable[[VerifyReport], None] | None = None,
    limit: int = 10,
    pause: float = PAUSE,
    on_progress: Callable[[Progress], None] | None = None,
) -> RepairReport:
    """Verify a mapping, settle what differs, and verify that again.

    `agree` is called with what differs before anything is written; it raises to leave it at that.
    Raises LeaseHeld where a run has the lease, GuardStopped before the first delete of too many,
    InputError where the mapping has changed since its last run (only a run may rebase it).
    """
    began = time.monotonic()
    with compared(project, name, limit=limit, pause=pause, on_progress=on_progress) as comparison:
        report = RepairReport(name, found=comparison.report.differences)
        if report.found:
            _check_mapping(comparison.run, comparison.document)
            if agree is not None:
                agree(comparison.report)
            with decide.under_lease(project, name, "repair") as syncing:
                _send(syncing, comparison)
                _take_over(report, syncing.summary("repair"))
            _look_again(report, comparison)
        report.seconds = round(time.monotonic() - began, 3)
        return report


def _check_mapping(run: Opened, document: Document) -> None:
    if check_drift(run, document, frozenset()):
        raise InputError(
            f"{run.name}: the mapping changed since its last run; a repair would mix old and new",
            hint=f"syncline run {run.name}",
        )


def _send(syncing: Syncing, comparison: Comparison) -> None:
    """Settle what differs: records that the source has first, deletes last."""
    _check_mapping(syncing.run, syncing.document)
    syncing.read = comparison.report.read  # what the guard's share of conflicts is taken of
    for keys in comparison.keys.differing():
        decide.again(syncing, [str(key) for key in keys.to_pylist()])
    decide.retry_refused(syncing)
    if comparison.report.extra and syncing.run.sees_gone:
        # Proven anew, as in a run: what was gone when it was looked at may have come back.
        gone.reconcile(syncing)


def _take_over(report: RepairReport, summary: RunSummary) -> None:
    report.run_id = summary.run_id
    for name in ("inserted", "updated", "deleted", "conflicts", "queued", "dead_letters"):
        setattr(report, name, getattr(summary, name))


def _look_again(report: RepairReport, comparison: Comparison) -> None:
    after = comparison.again()
    waits = after.apart.get(Standing.WAITS.name.lower(), 0)
    left = {
        "missing": after.missing,
        "extra": after.extra or 0,
        "different": after.different,
        "waits": waits,
        "dead_letters": after.dead_letters,
    }
    report.left = {word: number for word, number in left.items() if number}
    report.status = "left" if report.left else "equal"
    report.samples = [one for one in after.samples if one.what in report.left]
