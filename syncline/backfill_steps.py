"""Backfill by steps: its chunks brought by processes of their own, wherever an engine puts them.

`begin` takes the mapping's lease in the name of a run and makes a seat for each group of chunks;
`bring` does the chunks of one group, beside the others, on any machine; `end` gives the lease up.
A seat is a state row under the lease's epoch, as in a wave (`syncline.wave`), so what is left over
of a dead run writes nothing once another has the lease. Between the steps no process holds it
(`syncline.steps`). The control store knows which chunks are done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from syncline import ledger
from syncline.backfill import Wanted, window_of
from syncline.errors import LeaseHeld
from syncline.run import Cancelled, layout_of, opened
from syncline.shards import COUNTS, PER_WORKER
from syncline.steps import LOOK, MANY, is_over, run_of
from syncline.store import Chunk, Store
from syncline.summary import recorded
from syncline.wave import bring_one, first_seat, seat, unseat

if TYPE_CHECKING:
    from syncline.project import Project
    from syncline.run import RunOptions, RunSummary

_SUMMED: Final = ("read", *COUNTS, "queued", "dead_letters")


@dataclass(frozen=True, slots=True)
class Group:
    """One of so many groups of a backfill's chunks: a slice of them, in order."""

    number: int
    of: int

    def chunks(self, asked: Wanted) -> Sequence[Chunk]:
        """Its chunks."""
        every = asked.chunks()
        return every[
            len(every) * self.number // self.of : len(every) * (self.number + 1) // self.of
        ]


def begin(
    project: Project,
    name: str,
    asked: Wanted,
    options: RunOptions,
    workers: int,
    *,
    ended: Callable[[str], bool] = lambda trigger: False,  # noqa: ARG005
) -> list[Group]:
    """Take the lease, unless all is done; the groups that hold a chunk that is not done.

    `options.trigger` names the run to the other steps, and `ended` says as for `steps.begin`.
    Raises as `sync.run` does.
    """
    with Store.open(project.store_url) as store:
        chunks = asked.chunks()
        left = set(store.chunks_left(name, asked.words, chunks))
        count = min(len(chunks), PER_WORKER * workers)
        groups = [Group(number, count) for number in range(count)]
        groups = [group for group in groups if left.intersection(group.chunks(asked))]
        if not groups:
            return []
        run_id = store.start_run(name, "backfill", trigger=options.trigger)
        with (
            recorded(store, name, run_id),
            opened(project, name, batch_size=options.batch_size, create=True) as run,
        ):
            run.target.prepare(run.spec)
            over = is_over(store, options.trigger, ended)
            with ledger.lend(run.target, run.spec, run_id, over) as lease:
                store.interrupt_others(run_id)
                ledger.layout_number(lease.document, layout_of(run.bound))
                seat(lease, count)
        return groups


def bring(
    project: Project, name: str, asked: Wanted, group: Group, options: RunOptions
) -> Iterator[tuple[Chunk, RunSummary]]:
    """Bring the chunks of a group that are not done, each with the summary of its run.

    Where another worker is at them (an engine may deliver a step twice), this one waits until they
    are done or it has died. Raises what a run raises, LeaseLost where the run no longer has the
    lease; chunks done before that stay done.
    """
    with Store.open(project.store_url) as store:
        run_id = run_of(store, name, options.trigger)
        with (
            recorded(store, name, run_id, ends=False),
            opened(project, name, batch_size=options.batch_size, create=True) as run,
            ledger.borrow(run.target, run.spec, run_id) as lease,
        ):
            place = first_seat(lease) + group.number
            own = f"{options.trigger} {group.number}"  # the lease's run is found by its trigger
            for chunk in group.chunks(asked):
                wanted = replace(options, window=window_of(asked.by, chunk), trigger=own)
                while store.chunks_left(name, asked.words, [chunk]):
                    try:
                        summary = bring_one(project, name, store, place, lease.epoch, wanted)
                    except LeaseHeld:
                        if options.cancelled is not None and options.cancelled():
                            raise Cancelled(f"{name} was cancelled") from None
                        time.sleep(LOOK)
                    else:
                        store.chunk_done(name, asked.words, chunk, summary.run_id)
                        yield chunk, summary


def end(project: Project, name: str, options: RunOptions) -> dict[str, Any] | None:
    """Give the lease up, and say what the chunks' runs counted; None where nothing was begun."""
    with Store.open(project.store_url) as store:
        runs = store.runs(name, MANY)
        if not any(one.trigger == options.trigger for one in runs):
            return None
        run_id = run_of(store, name, options.trigger)
        with (
            recorded(store, name, run_id),
            opened(project, name, batch_size=options.batch_size, create=True) as run,
            ledger.borrow(run.target, run.spec, run_id, last=True) as lease,
        ):
            unseat(lease)
            done = [
                one.summary
                for one in runs
                if one.trigger.startswith(f"{options.trigger} ") and one.summary
            ]
            total: dict[str, Any] = {"mapping": name, "run_id": run_id, "mode": "backfill"}
            total |= {key: sum(int(one[key]) for one in done) for key in _SUMMED}
            total["chunks"] = len(done)
            store.finish_run(run_id, "waiting" if total["queued"] else "ok", total)
            return total
