"""Wave: some chunks of a backfill, brought at once under one lease.

Each worker is a thread with connections of its own and a seat: a state row of its own beside the
mapping's, under the epoch of its lease, as a shard of a full sync has (`syncline.shards`). So
chunks do not wait for each other, and none of a dead wave writes once the next run has the lease.
"""

from __future__ import annotations

import contextvars
import queue
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from syncline import decide, evolve, ledger
from syncline.endpoints.base import Range
from syncline.errors import SynclineError
from syncline.guard import check_drift
from syncline.run import RunOptions, RunSummary, layout_of, opened
from syncline.store.store import Store
from syncline.summary import recorded
from syncline.sync import Syncing

if TYPE_CHECKING:
    from syncline.ledger import Lease
    from syncline.project import Project


def wave(
    project: Project, name: str, windows: Sequence[Range], options: RunOptions, workers: int
) -> Iterator[RunSummary]:
    """Bring these windows, so many at once; their summaries, in the same order.

    Raises what a run raises, once those under way have ended.
    """
    with (
        Store.open(project.store_url) as store,
        opened(project, name, batch_size=options.batch_size) as opened_,
        ledger.hold(opened_.target, opened_.spec, store.has_ended) as lease,
    ):
        run = evolve.widened(opened_, lease, options.allow)
        ledger.layout_number(lease.document, layout_of(run.bound))
        with _seats(lease, min(workers, len(windows))) as seats:
            free: queue.SimpleQueue[int] = queue.SimpleQueue()
            for place in seats:
                free.put(place)

            def one(window: Range) -> RunSummary:
                place = free.get()
                try:
                    wanted = replace(options, window=window)
                    return bring_one(project, name, store, place, lease.epoch, wanted)
                finally:
                    free.put(place)

            yield from _at_once(one, windows, len(seats))


def _at_once(
    one: Callable[[Range], RunSummary], windows: Sequence[Range], workers: int
) -> Iterator[RunSummary]:
    with ThreadPoolExecutor(workers, thread_name_prefix="backfill") as pool:
        waiting = [pool.submit(contextvars.copy_context().run, one, each) for each in windows]
        try:
            for future in waiting:
                yield future.result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def _seats(lease: Lease, count: int) -> Generator[range]:
    seats = seat(lease, count)
    try:
        yield seats
    finally:
        with suppress(SynclineError):
            unseat(lease)


def first_seat(lease: Lease) -> int:
    """The first state row past those of the shards of a full sync that is unfinished."""
    unfinished = lease.document.unfinished
    return unfinished.shards if unfinished else 0


def seat(lease: Lease, count: int) -> range:
    """So many state rows beside the mapping's own, free to be taken; also those that a wave which
    was killed left behind.
    """
    first = first_seat(lease)
    seats = range(first, first + count)
    with lease.transaction() as tx:
        for number in seats:
            document = replace(lease.document, unfinished=None, shards=0, tally={})
            lease.put_shard(tx, number, document)
        lease.document.shards = max(lease.document.shards, seats.stop)
        lease.commit(tx)
    return seats


def unseat(lease: Lease) -> None:
    """The seats say nothing any more; whoever still has one writes nothing."""
    first = first_seat(lease)
    with lease.transaction() as tx:
        for number in range(first, lease.document.shards):
            lease.put_shard(tx, number, None)
        lease.document.shards = first
        lease.commit(tx)


def bring_one(
    project: Project, name: str, store: Store, place: int, epoch: int, options: RunOptions
) -> RunSummary:
    """Bring one window in a seat, under the mapping's lease of that epoch, as a run of its own.

    Raises what a run raises, LeaseHeld where another worker has the seat.
    """
    options = replace(options, mode="backfill")
    run_id = store.start_run(name, "backfill", trigger=options.trigger)
    with (
        recorded(store, name, run_id),
        opened(project, name, batch_size=options.batch_size, create=True) as run,
        ledger.hold_shard(run.target, run.spec, place, epoch) as lease,
    ):
        syncing = Syncing(run, lease, store, run_id, options)
        check_drift(run, syncing.document, options.allow)
        syncing.look()
        syncing.read_through("backfill")
        syncing.patience.call(lambda: decide.retry_refused(syncing))
        summary = syncing.summary("backfill")
        store.finish_run(run_id, summary.status, summary.as_dict())
        return summary
