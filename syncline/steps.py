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
from syncline.errors import LeaseHeld, RunFailed
from syncline.run import Cancelled, RunOptions, RunSummary, opened
from syncline.store.store import Store
from syncline.summary import recorded
from syncline.sync import Syncing

if TYPE_CHECKING:
    from syncline.project import Project

_LOOK: Final = 1.0
_MANY: Final = 1_000


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

        def is_over(holder: str) -> bool:
            if not store.knows_run(holder):
                return False
            trigger = store.run(holder).trigger
            # Its own: an engine that delivers a step again does so because the first is gone.
            return store.has_ended(holder) or trigger == options.trigger or ended(trigger)

        with (
            recorded(store, name, run_id),
            opened(project, name, batch_size=options.batch_size, create=True) as run,
        ):
            run.target.prepare(run.spec)
            with ledger.lend(run.target, run.spec, run_id, is_over) as lease:
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
        run_id = _run_of(store, name, options.trigger)
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
                    time.sleep(_LOOK)
                else:
                    return


def end(project: Project, name: str, options: RunOptions) -> RunSummary:
    """Do what goes after the last shard, move the checkpoint, give the lease up, and sum up."""
    with Store.open(project.store_url) as store:
        run_id = _run_of(store, name, options.trigger)
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


def _run_of(store: Store, name: str, trigger: str) -> str:
    for one in store.runs(name, _MANY):
        if one.trigger == trigger and one.status == "running":
            return one.run_id
    raise RunFailed(f"{name}: the control store knows of no run begun by {trigger}")


def _since(started: datetime) -> float:
    return max(0.0, (datetime.now(UTC) - started).total_seconds())
