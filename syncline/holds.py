"""Holds: what the target's ledger says waits, against what the control store still knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from syncline.decide import BATCH, again
from syncline.store.model import State

if TYPE_CHECKING:
    from syncline.run import Opened
    from syncline.store.store import Store
    from syncline.sync import Syncing

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")
_MANY = 1_000_000


def mend(syncing: Syncing) -> int:
    """Queue again what the ledger holds and a control store that lost its past no longer has.

    How many keys were read again: each is once more a conflict or a dead letter, or lands. The
    holds are looked at only where the store does not know the run of the last checkpoint, since
    that scans the ledger. A record that is gone from the source stays held until a reconcile proves
    that.
    """
    if not syncing.run.spec.ledger or not _lost_its_past(syncing):
        return 0
    with syncing.run.target.begin(syncing.run.spec, write=False) as tx:
        held = [str(key) for key in tx.ledger_holds()["k"].to_pylist()]
    name, store = syncing.run.name, syncing.store
    letters = {letter.ledger_key for letter in store.dead_letters(name, limit=_MANY)}
    asked = [key for key in held if key not in letters]
    lost = 0
    for start in range(0, len(asked), BATCH):
        part = asked[start : start + BATCH]
        known = store.waiting(name, part)
        missing = [key for key in part if key not in known]
        lost += len(missing)
        if missing:
            again(syncing, missing)
    if lost:
        log.warning("the control store had lost what waits; queued again", held=lost)
    return lost


def _lost_its_past(syncing: Syncing) -> bool:
    document = syncing.document
    if document.checkpoint is not None:
        return not syncing.store.knows_run(document.checkpoint.run_id)
    return document.unfinished is not None and len(syncing.store.runs(syncing.run.name, 2)) == 1


def waiting(run: Opened, store: Store) -> frozenset[str]:
    """Without a ledger, what waits is known to the control store alone: its keys."""
    if run.spec.ledger:
        return frozenset()
    letters = store.dead_letters(run.name, limit=_MANY)
    entries = store.conflicts(mapping=run.name, state=State.OPEN, limit=_MANY)
    keys = {letter.ledger_key for letter in letters if letter.ledger_key is not None}
    return frozenset(keys | {entry.ledger_key for entry in entries})
