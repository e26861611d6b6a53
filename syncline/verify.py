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

Several workers share it by ranges of keys (`syncline.ranges`), each with connections, snapshots and
both looks of its own; the counts add up to those of one worker. A record that is deleted between
the looks of two parts may be counted in both.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from syncline.compare import Comparison, VerifyReport
from syncline.difference import APART
from syncline.errors import InputError
from syncline.log import redacted
from syncline.ranges import WHOLE, Part, divide
from syncline.run import Opened, opened
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
    workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> VerifyReport:
    """Compare the two sides of a mapping; `limit` samples are shown. `each` trusts no checksum: all
    records are read and compared here. So many `workers` (None: what the mapping says) share it.

    Takes no lease and disturbs no run. Raises as `plan` does, and InputError where there is no
    target table yet.
    """
    count = project.mapping(name).workers if workers is None else workers
    parts = parts_of(project, name, count, each=each) if count > 1 else [WHOLE]
    if len(parts) > 1:
        return _at_once(project, name, parts, count, limit, pause, each, on_progress)
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
    with (
        Store.open(project.store_url) as store,
        _both(project, name) as run,
        suspects(whole_numbers=run.spec.ledger_key.is_integer) as keys,
    ):
        comparison = Comparison(run, store, keys, limit, on_progress, each=each)
        with _recorded(store, comparison.report):
            comparison.compare(pause)
        yield comparison


@contextmanager
def _both(project: Project, name: str) -> Generator[Opened]:
    with opened(project, name) as run:
        if run.bound.target_info is None:
            raise InputError(
                f"{name}: the target {run.spec.table} is not there yet, so there is nothing to "
                "compare",
                hint=f"syncline run {name}",
            )
        yield run


@contextmanager
def _recorded(store: Store, report: VerifyReport) -> Generator[None]:
    """What is done within fills the report, which the control store then has."""
    report.run_id = store.start_run(report.mapping, "verify")
    try:
        yield
    except BaseException as error:
        was_asked = isinstance(error, Cancelled | KeyboardInterrupt)
        status = "cancelled" if was_asked else "failed"
        text = redacted(f"{type(error).__name__}: {error}")
        store.finish_run(report.run_id, status, {}, error=text)
        raise
    shown = {name: value for name, value in report.as_dict().items() if name != "samples"}
    store.finish_run(report.run_id, "ok" if report.differences == 0 else "differs", shown)


# --- by parts ---


def parts_of(project: Project, name: str, workers: int, *, each: bool = False) -> list[Part]:
    """The parts that so many workers can compare side by side; a single one where it can't be
    divided. Raises as `verify` does.
    """
    with _both(project, name) as run:
        return divide(run, workers, each=each)


def compare(
    project: Project,
    name: str,
    part: Part,
    *,
    limit: int = 10,
    pause: float = PAUSE,
    each: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> VerifyReport:
    """Compare one part, wherever; nothing is recorded. Raises as `verify` does."""
    with (
        Store.open(project.store_url) as store,
        _both(project, name) as run,
        suspects(whole_numbers=run.spec.ledger_key.is_integer) as keys,
    ):
        comparison = Comparison(run, store, keys, limit, on_progress, part=part, each=each)
        comparison.compare(pause)
        return comparison.report


def joined(
    project: Project, name: str, reports: Sequence[VerifyReport], seconds: float, limit: int = 10
) -> VerifyReport:
    """The report of all parts, recorded as one; they took so many seconds together."""
    whole = VerifyReport(name)
    with Store.open(project.store_url) as store, _recorded(store, whole):
        _join(whole, reports, seconds, limit)
    return whole


COUNTS: Final = ("read", "equal", "missing", "different", "late", "dead_letters", "outside")


def _join(whole: VerifyReport, reports: Sequence[VerifyReport], seconds: float, limit: int) -> None:
    for name in (*COUNTS, "travelled"):
        setattr(whole, name, sum(getattr(one, name) for one in reports))
    for one in reports:
        for counts, more in ((whole.fields, one.fields), (whole.apart, one.apart)):
            for name, count in more.items():
                counts[name] = counts.get(name, 0) + count
    extra = [one.extra for one in reports if one.extra is not None]
    whole.extra = sum(extra) if extra else None
    whole.status = "differs" if whole.differences else "equal"
    whole.by, whole.why = reports[0].by, reports[0].why
    whole.checkpoint = min((one.checkpoint for one in reports if one.checkpoint), default=None)
    whole.seconds = round(seconds, 3)
    whole.rows_per_second = round(whole.read / seconds) if seconds > 0 else 0
    rightly = {standing.name.lower() for standing in APART}
    found = [sample for one in reports for sample in one.samples]
    whole.samples = sorted(found, key=lambda sample: sample.what in rightly)[:limit]


def _at_once(
    project: Project,
    name: str,
    parts: Sequence[Part],
    workers: int,
    limit: int,
    pause: float,
    each: bool,
    on_progress: Callable[[Progress], None] | None,
) -> VerifyReport:
    """Compare the parts in so many threads, which mostly wait for databases."""
    whole, began = VerifyReport(name), time.monotonic()
    heard = _Heard(on_progress)

    def one(number: int) -> VerifyReport:
        tell = partial(heard.hear, number)
        part = parts[number]
        return compare(project, name, part, limit=limit, pause=pause, each=each, on_progress=tell)

    with (
        Store.open(project.store_url) as store,
        _recorded(store, whole),
        ThreadPoolExecutor(workers, thread_name_prefix="verify") as pool,
    ):
        waiting = [
            pool.submit(contextvars.copy_context().run, one, number) for number in range(len(parts))
        ]
        try:
            reports = [future.result() for future in waiting]
        finally:
            heard.over = True
            for future in waiting:
                future.cancel()
        _join(whole, reports, time.monotonic() - began, limit)
    return whole


class _Heard:
    """What the parts tell of their progress, put together; once it is over, they end."""

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self._on_progress, self._lock = on_progress, threading.Lock()
        self._told: dict[int, Progress] = {}
        self.over = False

    def hear(self, number: int, at: Progress) -> None:
        """A part came further. Raises Cancelled where nobody waits for it any more."""
        with self._lock:
            if self.over:
                raise Cancelled(f"the comparison of {at.mapping} has ended")
            self._told[number] = at
            if self._on_progress is not None:
                read = sum(one.read for one in self._told.values())
                seconds = max(one.seconds for one in self._told.values())
                self._on_progress(replace(at, read=read, seconds=seconds))
