"""Status: where a mapping stands: its checkpoint, how far behind it is, what it promises, what
waits.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from syncline import drift, ledger
from syncline.pulse import Watch
from syncline.run import opened
from syncline.store.store import Store

if TYPE_CHECKING:
    from syncline.project import Project


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A mapping's state.

    `lag_seconds` is the age of the last sync; `lease` the run that holds it, if one does; `drift`
    what became of the columns of both tables since the last run.
    """

    mapping: str
    checkpoint: str | None
    synced_at: str | None
    lag_seconds: float | None
    guarantee: str
    why: str
    strategy: str
    detect: str
    holds: int
    open_conflicts: int
    decided: int
    dead_letters: int
    unfinished: int | None
    lease: str | None
    drift: list[str]
    warnings: list[str]

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        return asdict(self)


def status(project: Project, name: str) -> StatusReport:
    """Look at a mapping's state; changes nothing.

    Raises as `plan` does.
    """
    with opened(project, name) as run, Store.open(project.store_url) as store:
        holds, row, document = 0, None, ledger.Document()
        if run.bound.target_info is not None:
            row, document = ledger.peek(run.target, run.spec)
            if run.spec.ledger:
                with run.target.begin(run.spec, write=False) as tx:
                    holds = tx.ledger_holds().num_rows
        point = document.checkpoint
        promise = run.source.guarantee(run.read)
        counts = store.counts(name)
        held = (
            row is not None
            and row.holder
            and row.lease_until is not None
            and row.lease_until > row.now
        )
        return StatusReport(
            mapping=name,
            checkpoint=point.position if point else None,
            synced_at=point.synced_at if point else None,
            lag_seconds=_age(point.synced_at) if point else None,
            guarantee=promise.level,
            why=promise.why,
            strategy=run.mapping.conflicts.strategy,
            detect=run.bound.detect,
            holds=holds,
            open_conflicts=counts.open_conflicts,
            decided=counts.decided,
            dead_letters=counts.dead_letters,
            unfinished=document.unfinished.read if document.unfinished else None,
            lease=row.holder if held and row is not None else None,
            drift=[str(each) for each in drift.found(run, document)],
            warnings=list(Watch(run, document).warnings()),
        )


def _age(instant: str) -> float:
    return round((datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds(), 1)
