"""Steps: a full sync of which each part runs in a process of its own, wherever an engine puts it.

`begin` takes the mapping's lease in the name of the run, divides the full sync and ends; `bring`
does one shard, beside others, on any machine; `end` adds up, finds deletes and moves the
checkpoint. Between the steps no process holds the lease: it runs on for a while (`LENT_SECONDS`),
and each step renews it. Where the run dies, the lease runs out, or is free as soon as the run is
known to have ended, and whichever run comes next goes on with the shards where they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from syncline import evolve, ledger, shards
from syncline.errors import LeaseHeld, LeaseLost
from syncline.run import Cancelled, RunOptions, RunSummary, opened
from syncline.store.store import Store
from syncline.summary import recorded
from syncline.sync import Syncing

if TYPE_CHECKING:
    from syncline.project import Project

LOOK: Final = 1.0
"""Seconds between two looks whether another worker is done."""
MANY: Final = 1_000


@dataclass(frozen=True, slots=True)
class Begun:
    """A full sync that was divided: its run, and the shards that are to be brought."""

    run_id: str
    shards: tuple[int, ...]


def begin(
    project: Project,
    name: str,
    options: RunOptions,
    *,
    ended: Callable[[str], bool] = lambda trigger: False,  # noqa: ARG005
) -> Begun:
    """Take the lease, do what goes before the read, divide it, and leave the rest to the steps.

    `options.trigger` names the run to the other steps. `ended` says, of the trigger of a run that
    holds the lease, whether it is over. Raises as `sync.run` does.
    """
    with Store.open(project.store_url) as store:
        run_id = store.start_run(name, "full", trigger=options.trigger)
        over = is_over(store, options.trigger, ended)
        with (
            recorded(store, name, run_id),
            opened(project, name, batch_size=options.batch_size, create=True) as run,
        ):
            run.target.prepare(run.spec)
            with ledger.lend(run.target, run.spec, run_id, over) as lease:
                store.interrupt_others(run_id)
                wide = evolve.widened(run, lease, options.allow)
                syncing = Syncing(wide, lease, store, run_id, replace(options, mode="full"))
                syncing.begin()
                shards.divide_for_steps(syncing)
                return Begun(run_id, tuple(shards.begin_again(syncing)))


def bring(project: Project, name: str, shard: int, options: RunOptions) -> None:
    """Bring one shard of the run that `options.trigger` names; done already, it does nothing.

    Where another worker is at it (an engine may deliver a step twice), this one waits until that is
    done or has died. Raises LeaseLost where the run no longer has the lease. A failure does not end
    the run: the engine may try the step again.
    """
    with Store.open(project.store_url) as store:
        run_id = run_of(store, name, options.trigger)
        with (
            recorded(store, name, run_id, ends=False),
            opened(project, name, batch_size=options.batch_size, create=True) as run,
            ledger.borrow(run.target, run.spec, run_id) as lease,
        ):
            while True:
                try:
                    shards.work(run, store, shard, lease.epoch, run_id, options)
                except LeaseHeld:
                    if options.cancelled is not None and options.cancelled():
                        raise Cancelled(f"{name} was cancelled") from None
                    time.sleep(LOOK)
                else:
                    return


def end(project: Project, name: str, options: RunOptions) -> RunSummary:
    """Do what goes after the last shard, move the checkpoint, give the lease up, and sum up."""
    with Store.open(project.store_url) as store:
        run_id = run_of(store, name, options.trigger)
        with (
            recorded(store, name, run_id),
            opened(project, name, batch_size=options.batch_size, create=True) as run,
            ledger.borrow(run.target, run.spec, run_id, last=True) as lease,
        ):
            syncing = Syncing(run, lease, store, run_id, replace(options, mode="full"))
            syncing.began -= _since(store.run(run_id).started_at)
            syncing.look()
            summary = syncing.end("full", shards.collect(syncing))
            store.finish_run(run_id, summary.status, summary.as_dict())
            return summary


def is_over(store: Store, own: str, ended: Callable[[str], bool]) -> Callable[[str], bool]:
    """Says of a run that holds a lease whether it is over; `own` is the trigger of who asks."""

    def over(holder: str) -> bool:
        if not store.knows_run(holder):
            return False
        trigger = store.run(holder).trigger
        # Its own: an engine that delivers a step again does so because the first is gone.
        return store.has_ended(holder) or trigger == own or ended(trigger)

    return over


def release(project: Project, name: str, ended: Callable[[str], bool]) -> bool:
    """Record of the mapping's runs that never said that they ended, and that are over, that they
    were interrupted: the lease of such a run may be taken at once. Says whether there was any.
    """
    with Store.open(project.store_url) as store:
        over = [
            one for one in store.runs(name, MANY) if one.status == "running" and ended(one.trigger)
        ]
        for one in over:
            store.finish_run(one.run_id, "interrupted", {}, error="it ended without a word")
    return bool(over)


def give_up(project: Project, name: str, trigger: str, *, cancelled: bool) -> None:
    """Record that a run by steps has ended before its last step: another may take its lease.

    What of its steps is still at work writes nothing once one has.
    """
    with Store.open(project.store_url) as store:
        for one in store.runs(name, MANY):
            if one.status == "running" and one.trigger == trigger:
                status = "cancelled" if cancelled else "failed"
                store.finish_run(one.run_id, status, {}, error="a step of it has ended it")


def run_of(store: Store, name: str, trigger: str) -> str:
    """The run that a trigger began and that is under way. Raises LeaseLost where there is none."""
    for one in store.runs(name, MANY):
        if one.trigger == trigger and one.status == "running":
            return one.run_id
    raise LeaseLost(f"{name}: the control store knows of no run begun by {trigger}")


def _since(started: datetime) -> float:
    return max(0.0, (datetime.now(UTC) - started).total_seconds())
