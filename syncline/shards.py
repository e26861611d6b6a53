"""Shards: a full sync divided into ranges of keys, that several workers bring at once.

Why it is right, in the terms of a full sync that is not divided:

- **Ranges.** The source tells positions that divide its key order (`Source.split`), and reads each
  range up to and with one of them, by its own collation: each key is in exactly one range.
- **Horizon.** It is taken before the first shard reads, and kept until the last is done, also
  across runs. Each shard reads a later snapshot; whatever committed since the horizon is read by
  the next delta once more. So a record whose key moved from a range not yet read into one already
  read, which no shard sees, comes with that delta, and where it moved the other way and was written
  twice, the old key is gone for the key scan that follows the last shard.
- **Fence.** One run holds the mapping's lease; its shards write under the lease's epoch. Each shard
  has a state row of its own (epoch, holder, how far it is), which its every transaction locks and
  writes: rows, ledger and position of a shard commit together. Whoever takes the mapping's lease
  raises the epoch of all these rows (`syncline.ledger`), so a worker left over from a dead run
  writes nothing more; whoever takes over a shard becomes its holder, so neither does a worker that
  was only frozen. Shards never wait for each other's state.
- **Done.** The checkpoint moves to the horizon in a transaction that comes after every shard's row
  says it is done. A run that is killed leaves its shards as they are, and the next, with however
  many workers, goes on with each where it stopped.
- **Across shards.** Records that swap a unique value and stand in two shards refuse each other;
  both are parked and written together at the end of the run, as records of two batches are. Two
  shards that lock each other's rows are a deadlock: the database ends one, which is tried again.
  Deletes are found once, after all shards, by the run itself. The guards of conflicts and dead
  letters hold for each shard, and for their sum once all are done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from syncline import drift, ledger
from syncline.crew import Crew, Job
from syncline.endpoints.base import Transaction
from syncline.errors import RunFailed
from syncline.guard import check_letters, check_queue_share
from syncline.progress import Busy, Progress
from syncline.run import Opened, RunOptions
from syncline.settle import Outcome
from syncline.state import Document, Unfinished
from syncline.store.model import State
from syncline.store.store import Store
from syncline.sync import MANY, Syncing

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")

PER_WORKER: Final = 4
"""Ranges for each worker, in a large table: one that was cut too large then costs little."""
BATCHES: Final = 4
"""Batches in such a range: with fewer, reading and writing hardly overlap."""
COUNTS: Final = ("inserted", "updated", "deleted", "unchanged", "conflicts")


def read(syncing: Syncing) -> str | None:
    """Bring everything by shards; the horizon to checkpoint, or None where it is not divided.

    A full sync that began divided ends divided, whatever `workers` is by now.
    """
    if syncing.lease.shard is not None or not (is_divided(syncing) or divide(syncing)):
        return None
    left = begin_again(syncing)
    _bring(syncing, left)
    return collect(syncing)


def is_divided(syncing: Syncing) -> bool:
    """Whether the full sync to go on with was divided."""
    return syncing.unfinished is not None and syncing.unfinished.shards > 0


def parts_of(syncing: Syncing) -> int:
    """Into how many ranges a full sync is to be divided; 1 where that gains nothing."""
    rows, batch = syncing.run.bound.source_info.row_estimate, syncing.run.read.batch_rows
    return parts_for(workers_of(syncing), rows, batch)


def parts_for(workers: int, rows: int | None, batch: int) -> int:
    """Into how many ranges so many rows, read by batches of that size, are divided for workers."""
    if workers == 1 or rows is None:
        return workers
    batches = -(-rows // batch)
    return min(PER_WORKER * workers, max(min(workers, batches), batches // BATCHES))


def workers_of(syncing: Syncing) -> int:
    """How many workers there are to be."""
    asked = syncing.options.workers
    return syncing.run.mapping.workers if asked is None else asked


def divide(syncing: Syncing) -> bool:
    """Divide a full sync that is about to begin; says whether it is.

    One that is already under way undivided stays so, and a source that can't tell where to divide
    is read as a whole.
    """
    parts = parts_of(syncing)
    if syncing.unfinished is not None or parts == 1:
        return False
    return syncing.patience.call(lambda: _divide(syncing, parts, least=2))


def divide_for_steps(syncing: Syncing) -> None:
    """Divide a full sync, into a single shard where more are not to be had."""
    if not is_divided(syncing):
        syncing.patience.call(lambda: _divide(syncing, parts_of(syncing), least=1))


def _divide(syncing: Syncing, parts: int, least: int) -> bool:
    run, whole = syncing.run, syncing.unfinished
    drift.check_source(run)
    cuts: Sequence[str] = ()
    if whole is None:
        with run.source.read(run.read, mode="full") as first:
            horizon = first.horizon  # before the first shard reads anything
        whole = Unfinished(horizon, run.bound.digest, started_empty=syncing.target_is_empty())
        if run.bound.program.lookups:
            with run.bound.mapper() as mapper:
                syncing.document.lookups = mapper.lookup_digests
        cuts = run.source.split(run.read, parts) if parts > 1 else ()
    ends = [*cuts, None]
    if len(ends) < least:
        return False

    def work(tx: Transaction) -> Outcome:
        for shard, (after, until) in enumerate(zip([whole.after, *cuts], ends, strict=True)):
            part = replace(whole, after=after, until=until)
            document = replace(syncing.document, unfinished=part, shards=0, tally={})
            syncing.lease.put_shard(tx, shard, document)
        syncing.document.unfinished = replace(whole, shards=len(ends))
        syncing.document.shards = max(syncing.document.shards, len(ends))
        return Outcome()

    syncing.transact(work)
    syncing.begun()
    log.info("full sync divided", shards=len(ends), workers=workers_of(syncing))
    return True


def begin_again(syncing: Syncing) -> list[int]:
    """Set the counts of all shards to nothing; those that are not done yet."""
    unfinished = syncing.unfinished
    left: list[int] = []
    known = 0

    def work(tx: Transaction) -> Outcome:
        nonlocal known
        left.clear()
        known = 0
        if unfinished is not None:  # a later run's lease is the one that counts
            started = syncing.lease.started.isoformat()
            syncing.document.unfinished = replace(unfinished, started=started)
        for shard in range(unfinished.shards if unfinished else 0):
            document = _told(tx, shard)
            document.tally = {}
            syncing.lease.put_shard(tx, shard, document)
            if document.unfinished is not None and not document.unfinished.done:
                left.append(shard)
            known += document.unfinished.read if document.unfinished else 0
        return Outcome()

    syncing.transact(work)
    rows = syncing.run.bound.source_info.row_estimate
    syncing.estimate = None if rows is None else max(rows - known, 0)
    syncing.guarantee = syncing.run.source.guarantee(syncing.run.read).level
    return left


def _told(tx: Transaction, shard: int) -> Document:
    row = tx.state(shard)
    if row is None or not row.document:
        raise RunFailed(f"shard {shard} has no state", hint="run it again with --restart")
    return Document.load(row.document)


def _bring(syncing: Syncing, left: Sequence[int]) -> None:
    """Bring these shards: in processes of their own, or one after the other here."""
    workers = min(workers_of(syncing), len(left))
    heard = Heard(syncing, max(workers, 1))
    options = syncing.options
    if workers > 1:
        job = Job(
            root=str(syncing.run.project.root),
            mapping=syncing.run.name,
            run_id=syncing.run_id,
            epoch=syncing.lease.epoch,
            batch_size=options.batch_size,
            allow=tuple(options.allow),
        )
        Crew(job, workers, heard.hear, options.cancelled).work(left)
        return
    for shard in left:
        inside = replace(options, on_progress=partial(heard.hear, shard))
        work(syncing.run, syncing.store, shard, syncing.lease.epoch, syncing.run_id, inside)


class Heard:
    """What the shards tell of their progress, put together as the run's own."""

    def __init__(self, syncing: Syncing, workers: int) -> None:
        self._syncing, self._workers = syncing, workers
        self._told: dict[int, Progress] = {}

    def hear(self, shard: int, at: Progress) -> None:
        """A shard committed a batch."""
        self._told[shard] = at
        syncing, told = self._syncing, self._told.values()
        busy = Busy()
        for one in told:
            busy.add(one.busy)
        syncing.report(
            replace(
                syncing.progress(),
                read=sum(one.read for one in told),
                written=sum(one.written for one in told),
                bytes=sum(one.bytes for one in told),
                batches=sum(one.batches for one in told),
                busy=busy,
                workers=self._workers,
            )
        )


def collect(syncing: Syncing) -> str:
    """Add up what the shards did, once all are done; the horizon to checkpoint.

    Raises RunFailed where one is not.
    """
    unfinished = syncing.unfinished
    if unfinished is None:
        raise RunFailed(f"{syncing.run.name}: its shards are of another full sync")
    with syncing.run.target.begin(syncing.run.spec, write=False) as tx:
        documents = [_told(tx, shard) for shard in range(unfinished.shards)]
    parts = [one.unfinished for one in documents if one.unfinished is not None]
    open_ = len(documents) - sum(part.done for part in parts)
    if open_:
        raise RunFailed(
            f"{syncing.run.name}: {open_} of {len(documents)} shards are not done",
            hint=f"syncline run {syncing.run.name} goes on with them",
        )
    total = syncing.total
    for tally in (one.tally for one in documents):
        syncing.read += tally.get("read", 0)
        for name in COUNTS:
            setattr(total, name, getattr(total, name) + tally.get(name, 0))
    _waiting(syncing)
    if sum(part.read for part in parts) == 0:
        syncing.check_empty_source()
    return unfinished.horizon


def _waiting(syncing: Syncing) -> None:
    """Learn from the control store what the shards of this run left behind, and hold the guards."""
    run, store = syncing.run, syncing.store
    entries = store.conflicts(mapping=run.name, state=State.OPEN, limit=MANY)
    letters = [one for one in store.dead_letters(run.name, MANY) if one.run_id == syncing.run_id]
    syncing.queued |= {one.ledger_key for one in entries if one.run_id == syncing.run_id}
    syncing.waited |= syncing.queued
    kinds = {one.kind for one in entries}
    check_queue_share(run, len(syncing.queued), syncing.read, kinds, syncing.options.allow)
    check_letters(run, 0, letters, syncing.limit)
    syncing.letters |= {one.ledger_key or one.error for one in letters}


# --- one shard ---


def work(
    run: Opened, store: Store, shard: int, epoch: int, run_id: str, options: RunOptions
) -> None:
    """Bring one shard of a run that holds the mapping's lease with this epoch.

    Raises LeaseLost where that run's lease was taken, LeaseHeld where another worker is at the
    shard, RunFailed where the mapping is no longer the one that was divided.
    """
    with ledger.hold_shard(run.target, run.spec, shard, epoch) as lease:
        unfinished = lease.document.unfinished
        if unfinished is None or unfinished.digest != run.bound.digest:
            raise RunFailed(
                f"{run.name}: the mapping changed while it ran",
                hint=f"syncline run {run.name} --full --restart",
            )
        if not unfinished.done:
            Shard(run, lease, store, run_id, options).bring()


class Shard(Syncing):
    """One shard under its own lease: what it has done is counted in its state row."""

    def bring(self) -> None:
        """Read and settle the shard's range from where it is, and mark it as done."""
        self.look()
        self.read_through("full")

        def done(_: Transaction) -> Outcome:
            unfinished = self.document.unfinished
            self.document.unfinished = replace(unfinished, done=True) if unfinished else None
            return Outcome()

        self.transact(done)

    def transact(
        self, work: Callable[[Transaction], Outcome], *, before: Callable[[], None] = lambda: None
    ) -> Outcome:
        """As of `Syncing`, and counted in the same transaction."""

        def counted(tx: Transaction) -> Outcome:
            outcome = work(tx)
            tally = dict(self.document.tally)
            for name in ("read", *COUNTS):
                tally[name] = tally.get(name, 0) + int(getattr(outcome, name))
            self.document.tally = tally
            return outcome

        return super().transact(counted, before=before)
