"""Sync: one run of a mapping.

Read -> map -> classify -> resolve -> apply -> checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from syncline import decide, drift, evolve, gone, holds, ledger
from syncline.endpoints.base import Mode, Read, Transaction
from syncline.errors import CheckpointVoid
from syncline.guard import (
    check_drift,
    check_empty_source,
    check_letters,
    check_lookups,
    check_queue_share,
    letter_limit,
)
from syncline.keys import Keys
from syncline.ledger import Checkpoint, Document, Lease, Unfinished
from syncline.progress import Busy
from syncline.pulse import Watch
from syncline.read import Page, pages
from syncline.retry import Patience
from syncline.run import (
    Cancelled,
    Opened,
    Progress,
    RunOptions,
    RunSummary,
    opened,
    terms_of,
)
from syncline.settle import Outcome, settle
from syncline.store.dead_letters import identity
from syncline.store.store import Store
from syncline.summary import recorded, summary_of

__all__ = ["Cancelled", "Progress", "RunOptions", "RunSummary", "Syncing", "run"]

if TYPE_CHECKING:
    from syncline.project import Project

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")

DEFAULT: Final = RunOptions()
_NOT_LOGGED: Final = {"mapping", "run_id", "position", "position_before"}
MANY: Final = 1_000_000
"""More than ever wait: the limits of dead letters and the guard of conflicts see to that."""


def run(project: Project, name: str, options: RunOptions = DEFAULT) -> RunSummary:
    """Run one mapping: bring its target in step with its source.

    Raises MappingErrors and InputError (exit 2) before the first write, GuardStopped (3), LeaseHeld
    (4), and SynclineError for what may pass (1). Whatever it raises, the checkpoint covers exactly
    the records that landed, and the next run goes on from there.
    """
    with Store.open(project.store_url) as store:
        run_id = store.start_run(name, options.mode or "delta", trigger=options.trigger)
        with recorded(store, name, run_id):
            summary = _run(project, name, options, store, run_id)
            store.finish_run(run_id, summary.status, summary.as_dict())
            log.info(
                "run finished",
                **{k: v for k, v in summary.as_dict().items() if k not in _NOT_LOGGED},
            )
            return summary


def _run(project: Project, name: str, options: RunOptions, store: Store, run_id: str) -> RunSummary:
    with opened(project, name, batch_size=options.batch_size, create=True) as run_:
        run_.target.prepare(run_.spec)
        with ledger.hold(run_.target, run_.spec, store.has_ended) as lease:
            store.interrupt_others(run_id)
            wide = evolve.widened(run_, lease, options.allow)
            return Syncing(wide, lease, store, run_id, options).go()


class Syncing:
    """One run under its lease: counts what it does, and knows how far it is."""

    def __init__(
        self, run_: Opened, lease: Lease, store: Store, run_id: str, options: RunOptions
    ) -> None:
        self.run, self.lease, self.store, self.options = run_, lease, store, options
        self.run_id = run_id
        self.began, self.before = time.monotonic(), lease.document.checkpoint
        self.drift = tuple(str(one) for one in drift.found(run_, lease.document) if one.stops)
        self.total = Outcome()
        self.read = self.bytes = self.batches = 0
        self.busy = Busy()
        self.estimate: int | None = None
        self.queued: set[str] = set()
        self.waited: set[str] = set()  # what is tried again counts as one conflict
        self.letters: set[str] = set()
        self.guarantee = ""
        self.gone: Keys | None = None
        """The ledger keys that a delta told are gone; None where keys are to be compared."""
        self.reconciled = False
        self.patience = Patience(run_.retry_seconds, run_.gates)
        self._furthest = 0
        self.watch: Watch | None = None
        self._restart = options.restart
        self._doubted = Outcome()
        self.limit = letter_limit(run_.mapping, run_.bound.source_info.row_estimate)

    @property
    def document(self) -> Document:
        """The mapping's state, as it will be written with the next commit."""
        return self.lease.document

    def go(self) -> RunSummary:
        """Run to the end, and say what was done."""
        mode = self.begin()
        try:
            horizon = self.read_through(mode)
        except CheckpointVoid as void:
            if mode != "delta":
                raise
            log.warning("the checkpoint can't be continued from: full sync", reason=str(void))
            mode = "full"
            horizon = self.read_through(mode)
        return self.end(mode, horizon)

    def begin(self) -> Mode:
        """Check that the run may write, and do what goes before its read; the mode of that."""
        rebased = check_drift(self.run, self.document, self.options.allow)
        self.look()
        self.patience.call(lambda: decide.write_decided(self))
        self.patience.call(lambda: holds.mend(self))
        return self._mode(rebased)

    def look(self) -> None:
        """Learn by what terms records are settled, and how the source is."""
        self.terms = terms_of(
            self.run,
            self.document,
            run_id=self.run_id,
            epoch=self.lease.epoch,
            waiting=holds.waiting(self.run, self.store),
        )
        self.watch = Watch(self.run, self.document)

    def end(self, mode: Mode, horizon: str) -> RunSummary:
        """Do what goes after the read of all, move the checkpoint there, and say what was done."""
        self.patience.call(lambda: decide.retry_refused(self))
        if (
            self.run.sees_gone
            and mode != "backfill"
            and (mode == "full" or self.run.mapping.deletes.reconcile == "always")
        ):
            self.patience.call(lambda: gone.reconcile(self))
            self.reconciled = gone.tells(self.run)
        if mode != "backfill":
            self._finish(horizon, self.lease.started.isoformat())
        if self.watch is not None:
            self.watch.say()
        return self.summary(mode)

    def _mode(self, rebased: bool) -> Mode:
        mode = self.options.mode
        if mode == "backfill":
            return mode
        unfinished = self.document.unfinished is not None
        no_delta = self.run.read.by == "none" or self.document.checkpoint is None
        return "full" if mode == "full" or rebased or unfinished or no_delta else "delta"

    def read_through(self, mode: Mode) -> str:
        """Read everything, whatever connections are lost meanwhile; the horizon to checkpoint.

        A full sync goes on behind the last page that was committed, with its first horizon. A delta
        and a backfill begin again in a new snapshot: what was settled already is then unchanged.
        """
        from syncline import shards  # which runs parts of a sync, as this module does

        if mode == "full" and (horizon := shards.read(self)) is not None:
            return horizon
        before = self.read

        def attempt() -> str:
            self._end_doubt()  # before anything asks how far the sync is
            if mode != "full":
                self.read = before
            return self._read(mode)

        return self.patience.call(attempt)

    def _read(self, mode: Mode) -> str:
        """Read and settle everything this mode reads; the horizon to checkpoint."""
        since = (
            self.document.checkpoint.position
            if mode == "delta" and self.document.checkpoint
            else None
        )
        unfinished = self.unfinished if mode == "full" else None
        after, until = (unfinished.after, unfinished.until) if unfinished else (None, None)
        spec, window = self.run.reads(mode), self.options.window
        # Before it, not beside it: a second reader of SQLite waits for a writer who waits for us.
        drift.check_source(self.run)
        with self.run.source.read(
            spec, mode=mode, since=since, after=after, until=until, window=window
        ) as read:
            self.guarantee = read.guarantee.level
            tells = mode == "delta" and gone.told_by(read.guarantee, self.document)
            self.gone = gone.no_keys(self.run) if tells else None
            if mode != "full":
                self._settle_pages(read, full=False)
                return read.horizon
            if unfinished is None:
                unfinished = Unfinished(
                    read.horizon, self.run.bound.digest, started_empty=self.target_is_empty()
                )
            self.document.unfinished = unfinished
            rows = self.run.bound.source_info.row_estimate
            left = None if rows is None else rows - unfinished.read + self.read
            self.estimate = max(left, 0) if left is not None else None
            self.begun()
            self._settle_pages(read, full=True)
            if self.read + unfinished.read == 0 and self.lease.shard is None:
                self.check_empty_source()
            return unfinished.horizon

    def begun(self) -> None:
        """A full sync has begun: from here on it is gone on with, also after a lost connection."""
        self._restart = False

    @property
    def unfinished(self) -> Unfinished | None:
        """The full sync that this one goes on with; None where it begins anew."""
        if self._restart:
            return None
        unfinished = self.document.unfinished
        return unfinished if unfinished and unfinished.digest == self.run.bound.digest else None

    def target_is_empty(self) -> bool:
        """Whether neither the target nor its ledger has anything."""
        with self.run.target.begin(self.run.spec, write=False) as tx:
            return tx.is_empty() and tx.ledger_is_empty()

    def check_empty_source(self) -> None:
        """Stop where nothing was read, the target has records, and they have been synced before."""
        if self.document.checkpoint is not None and not self.target_is_empty():
            check_empty_source(self.run, self.options.allow)

    def _settle_pages(self, read: Read, *, full: bool) -> None:
        unfinished = self.document.unfinished if full else None
        fresh = unfinished is not None and unfinished.started_empty
        with self.run.bound.mapper() as mapper:
            if unfinished is None and self.options.mode != "backfill":
                check_lookups(self.document, mapper.lookup_digests)
            elif unfinished is not None and unfinished.after is None and self.lease.shard is None:
                self.document.lookups = mapper.lookup_digests  # of the first attempt, from here on
            shape = self.terms.shape
            for page in pages(
                self.watch.over(read.batches()) if self.watch else read.batches(),
                mapper,
                shape,
                self.run.source_key,
                sees_gone=self.run.sees_gone,
                compared=shape.ledger or not fresh,
                busy=self.busy,
                look=None if fresh else self.run.looks(shape),
            ):
                if page.gone is not None and self.gone is not None:
                    self.gone.add(page.gone)
                if page.read:
                    self._settle_page(page, full=full, fresh=fresh)
                if self.options.cancelled is not None and self.options.cancelled():
                    raise Cancelled(
                        f"{self.run.name} was cancelled after {self.read} records",
                        hint="run it again to go on from there",
                    )

    def _settle_page(self, page: Page, *, full: bool, fresh: bool) -> None:
        # A backfill meanwhile must not move a full sync that is unfinished.
        unfinished = self.document.unfinished if full else None

        def work(tx: Transaction) -> Outcome:
            outcome = settle(tx, page.batch, self.terms, fresh=fresh, seen=page.seen)
            if unfinished is not None:
                read = unfinished.read + page.read
                self.document.unfinished = replace(unfinished, after=page.position, read=read)
            outcome.read = page.read
            return outcome

        with self.busy.of("target"):
            self.transact(work)
        self.bytes += page.bytes
        self.batches += 1
        if self.read > self._furthest:  # reading again what was read before is no progress
            self._furthest = self.read
            self.patience.progressed()
        self.report(self.progress())
        if self.options.on_batch is not None:
            self.options.on_batch(page.batch)

    def transact(
        self, work: Callable[[Transaction], Outcome], *, before: Callable[[], None] = lambda: None
    ) -> Outcome:
        """Do some work in a transaction of our own; what it leaves is durable before it commits.

        `before` is called just before that. A transaction that is lost to another one, or with its
        connection, is tried again, whole, once it is known not to have landed.
        """
        self.patience.call(self._end_doubt)
        outcome = self.patience.call(lambda: self._attempt(work, before))
        self._landed(outcome)
        return outcome

    def _end_doubt(self) -> None:
        """Learn what became of a commit that was given up in doubt; count it if it did land."""
        if self.lease.in_doubt and self.lease.landed():
            self._landed(self._doubted)

    def _landed(self, outcome: Outcome) -> None:
        self.count(outcome)
        outcome.release(self.store, self.terms)

    def _attempt(
        self, work: Callable[[Transaction], Outcome], before: Callable[[], None]
    ) -> Outcome:
        if self.lease.in_doubt and self.lease.landed():
            return self._doubted
        with self.lease.transaction() as tx:
            drift.check_target(self.run, tx.columns())
            outcome = work(tx)
            self._check_queue(outcome)
            before()
            outcome.store(self.store)
            check_letters(self.run, len(self.letters), outcome.letters, self.limit)
            self._doubted = outcome
            self.lease.commit(tx)
            return outcome

    def _check_queue(self, outcome: Outcome) -> None:
        waits = len(outcome.waiting)
        rows = outcome.inserted + outcome.updated + outcome.deleted + outcome.unchanged + waits
        kinds = {one.conflict.kind for one in outcome.waiting}
        queued, seen = len(self.queued) + waits, self.read + rows
        check_queue_share(self.run, queued, seen, kinds, self.options.allow)

    def count(self, outcome: Outcome) -> None:
        """Add what a transaction did to the run's total."""
        self.read += outcome.read
        for name in ("inserted", "updated", "deleted", "unchanged", "conflicts"):
            setattr(self.total, name, getattr(self.total, name) + getattr(outcome, name))
        landed = set(outcome.released)
        waits = {waiting.ledger_key for waiting in outcome.waiting}
        self.total.conflicts -= len(waits & self.waited)
        self.waited |= waits
        self.queued = (self.queued - landed) | waits
        self.letters = (self.letters - landed) | {
            letter.ledger_key or identity(letter) for letter in outcome.letters
        }

    def report(self, at: Progress) -> None:
        """Tell how far the run is: to the log, and to whoever asked."""
        log.debug("batch", **{k: v for k, v in at.as_dict().items() if k != "mapping"})
        if self.options.on_progress is not None:
            self.options.on_progress(at)

    def progress(self) -> Progress:
        """How far the run is."""
        total = self.total
        return Progress(
            self.run.name,
            self.read,
            total.inserted + total.updated + total.deleted,
            time.monotonic() - self.began,
            self.estimate,
            self.bytes,
            self.batches,
            replace(self.busy),
        )

    def _finish(self, horizon: str, started: str) -> None:
        """Move the checkpoint to the horizon: everything before it is durable."""

        def work(tx: Transaction) -> Outcome:
            self.lease.forget_shards(tx)
            self.document.checkpoint = Checkpoint(
                horizon, started, self.run_id, self.guarantee, self.reconciled
            )
            self.document.unfinished = None
            drift.remember(self.run, self.document)
            return Outcome()

        self.transact(work)

    def summary(self, mode: str) -> RunSummary:
        """What the run did so far."""
        return summary_of(self, mode)
