"""Summary: what a run did, and how it ended, as the control store keeps it."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import structlog

from syncline.errors import SynclineError
from syncline.log import redacted
from syncline.run import Cancelled, RunSummary

if TYPE_CHECKING:
    from syncline.store.store import Store
    from syncline.sync import Syncing


@contextmanager
def recorded(store: Store, name: str, run_id: str, *, ends: bool = True) -> Generator[None]:
    """Logs within name the run; a failure that `ends` it is told to the store, and raised again."""
    with structlog.contextvars.bound_contextvars(run_id=run_id, mapping=name):
        try:
            yield
        except BaseException as error:
            status = "cancelled" if isinstance(error, Cancelled | KeyboardInterrupt) else "failed"
            if ends:
                told = redacted(f"{type(error).__name__}: {error}")
                with suppress(SynclineError):  # a store that is down must not hide what happened
                    store.finish_run(run_id, status, {}, error=told)
            raise


def summary_of(syncing: Syncing, mode: str) -> RunSummary:
    """What the run did so far."""
    seconds = time.monotonic() - syncing.began
    counts = syncing.store.counts(syncing.run.name)
    waits = counts.open_conflicts + counts.decided + counts.dead_letters > 0
    checkpoint, before = syncing.document.checkpoint, syncing.before
    total = syncing.total
    return RunSummary(
        mapping=syncing.run.name,
        run_id=syncing.run_id,
        mode=mode,
        status="waiting" if waits else "ok",
        guarantee=syncing.guarantee or (checkpoint.guarantee if checkpoint else ""),
        read=syncing.read,
        inserted=total.inserted,
        updated=total.updated,
        deleted=total.deleted,
        unchanged=total.unchanged,
        conflicts=total.conflicts,
        queued=len(syncing.queued),
        dead_letters=len(syncing.letters),
        seconds=round(seconds, 3),
        rows_per_second=round(syncing.read / seconds) if seconds > 0 else 0,
        checkpoint=checkpoint.synced_at if checkpoint else None,
        warnings=syncing.watch.warnings() if syncing.watch else (),
        checkpoint_before=before.synced_at if before else None,
        position=checkpoint.position if checkpoint else None,
        position_before=before.position if before else None,
        drift=syncing.drift,
    )
