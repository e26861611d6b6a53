"""Verify: whether the two sides of a mapping are equal, on canonical mapped values.

What is guaranteed:

- Where each field is a plain column whose values both databases write alike (`syncline.spelling`),
  they compute checksums of the records by groups of keys, and only the records of groups that
  differ are looked at. Else every source record of one snapshot is mapped as a run maps it, and
  compared field by field, by 64-bit fingerprints of canonical values, with the target record of its
  key. So PostgreSQL compares with MongoDB, and `1.0` equals `1.00`. The report says which way was
  taken, and why. Nothing is written but the run's entry in the store.
- Nothing is called different on one look. What differs in the first is read again on both sides
  after a pause, and the second look decides. What differs in both and has a reason to (a conflict
  that waits, a decision, an edit that the strategy keeps) is `apart`, and counted by reason.
- Late is told from lost by the source itself. A record that differs is `late` only if its source
  moved since the baseline (where there is none: may have), and a delta from the present checkpoint,
  read after the second look, has it: then the next run reads it. A record that a sync lost is in no
  later delta, so it is never taken for late. As strong as the source's own promise (exact or
  bounded); an inclusive cursor reads some records again, which without a baseline count as late
  should they differ. A source without a delta is read whole by every run: there a record is late
  where its baseline shows that the source moved; without a baseline nothing is late.
- `extra` are records that came from the source and are proven gone from it, or outside `where`. A
  delete leaves no trace in a table, so one that the next run would mirror is `extra` until then.
  Without a ledger and not `exclusive` nothing tells such records from the target's own: `extra` is
  None, never 0.

Memory is bounded by the batch: keys that differ are kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from syncline.compare import Comparison, VerifyReport
from syncline.errors import InputError
from syncline.log import redacted
from syncline.run import opened
from syncline.store.store import Store
from syncline.suspects import suspects
from syncline.sync import Cancelled, Progress

if TYPE_CHECKING:
    from syncline.project import Project

PAUSE: Final = 1.0
"""Seconds between the two looks: longer than a batch of a run takes to commit."""


def verify(
    project: Project,
    name: str,
    *,
    limit: int = 10,
    pause: float = PAUSE,
    each: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> VerifyReport:
    """Compare the two sides of a mapping; `limit` samples are shown. `each` trusts no checksum: all
    records are read and compared here.

    Takes no lease and disturbs no run. Raises as `plan` does, and InputError where there is no
    target table yet.
    """
    with compared(
        project, name, limit=limit, pause=pause, each=each, on_progress=on_progress
    ) as comparison:
        return comparison.report


@contextmanager
def compared(
    project: Project,
    name: str,
    *,
    limit: int,
    pause: float = PAUSE,
    each: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Generator[Comparison]:
    """A comparison that has been made and recorded, with the keys that differ at hand."""
    with Store.open(project.store_url) as store, opened(project, name) as run:
        if run.bound.target_info is None:
            raise InputError(
                f"{name}: the target {run.spec.table} is not there yet, so there is nothing to "
                "compare",
                hint=f"syncline run {name}",
            )
        with suspects(whole_numbers=run.spec.ledger_key.is_integer) as keys:
            comparison = Comparison(run, store, keys, limit, on_progress, each=each)
            _record(comparison, store, pause)
            yield comparison


def _record(comparison: Comparison, store: Store, pause: float) -> None:
    report = comparison.report
    report.run_id = store.start_run(report.mapping, "verify")
    try:
        comparison.compare(pause)
    except BaseException as error:
        was_asked = isinstance(error, Cancelled | KeyboardInterrupt)
        status = "cancelled" if was_asked else "failed"
        text = redacted(f"{type(error).__name__}: {error}")
        store.finish_run(report.run_id, status, {}, error=text)
        raise
    shown = {name: value for name, value in report.as_dict().items() if name != "samples"}
    store.finish_run(report.run_id, "ok" if report.differences == 0 else "differs", shown)
