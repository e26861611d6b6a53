"""Gone: which records the source does not have any more, and what follows for the target.

A record is gone when a full key scan, begun after the run's own read, lacks it, and a probe by key
in a newer snapshot lacks it too. The scan is one of checksums by groups of keys where the databases
compute them (`digests`), so that only the keys of groups that differ travel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import structlog

from syncline import arrow, sides
from syncline.baseline import SOURCE_GONE, decode_key
from syncline.batch import Batch, Shape, gone_batch
from syncline.digests import PAGE, held
from syncline.endpoints.base import ROW, Transaction
from syncline.guard import check_deletes
from syncline.settle import Outcome, settle

if TYPE_CHECKING:
    from syncline.run import Opened
    from syncline.sync import Syncing

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")


@dataclass(frozen=True, slots=True)
class Gone:
    """The records that are gone from the source, in batches, and how many records were known."""

    batches: tuple[Batch, ...]
    known: int

    @property
    def count(self) -> int:
        """How many are gone."""
        return sum(batch.rows for batch in self.batches)


def reconcile(syncing: Syncing) -> None:
    """Settle the records that are gone from the source.

    Raises GuardStopped before the first delete.
    """
    found = find(syncing.run, syncing.terms.shape)
    check_deletes(syncing.run, found.count, found.known, syncing.options.allow)
    for batch in (*found.batches, *_never_settled(syncing)):
        syncing.transact(lambda tx, batch=batch: _settle(tx, batch, syncing))
        syncing.patience.progressed()  # what was deleted is not looked for again


def find(run: Opened, shape: Shape) -> Gone:
    """The records that came from the source and that it has no more, proven; writes nothing."""
    if not tells(run):
        return Gone((), 0)
    with (
        run.target.begin(run.spec, write=False) as tx,
        held(
            sides.source_keys(run),
            sides.our_keys(run, tx),
            whole=run.spec.ledger_key.is_integer,
            estimate=run.bound.source_info.row_estimate,
        ) as both,
    ):
        log.debug("keys compared", travelled=both.travelled, ours=both.target, theirs=both.source)
        missing, known = list(both.missing_at_source()), both.target
    proven = [_proven(run, shape, keys) for keys in missing]
    now = run.source.describe(run.read.table) if missing else None
    if now is not None and now.hides_rows:  # a policy that came after the run began
        return Gone((), known)
    return Gone(tuple(batch for batch in proven if batch is not None), known)


def _never_settled(syncing: Syncing) -> Iterator[Batch]:
    """What waits without ever having been settled, and is gone: nobody can decide on it any more.

    Without a baseline a record is not among ours, so it is looked for by key alone; nothing of the
    target is deleted for it.
    """
    run = syncing.run
    waits = syncing.store.counts(run.name)
    if not (run.spec.ledger and tells(run) and (waits.open_conflicts or waits.dead_letters)):
        return
    with run.target.begin(run.spec, write=False) as tx:
        holds = tx.ledger_holds()
    never = (holds.column("gone").to_numpy() & SOURCE_GONE) != 0
    keys = arrow.keep(arrow.one_chunk(holds.column("k")), never)
    for start in range(0, len(keys), PAGE):
        batch = _proven(run, syncing.terms.shape, keys.slice(start, PAGE))
        if batch is not None:
            yield batch


def tells(run: Opened) -> bool:
    """Whether records that came from the source can be told from the target's own, and gone ones
    from those that row security hides from our role.
    """
    ours = run.spec.ledger or run.mapping.exclusive
    return ours and not run.bound.source_info.hides_rows


def possible(run: Opened, keys: pa.Array[Any]) -> pa.Array[Any]:
    """Those of the ledger keys that the source could have: a number too large for its column is
    the key of a record of the target's own.
    """
    kind = next(iter(run.source_key.values())).arrow
    if not run.spec.ledger_key.is_integer or kind == keys.type:
        return keys
    bound = 1 << (kind.bit_width - 1)
    numbers = arrow.numbers(keys)
    return arrow.keep(keys, (numbers >= -bound) & (numbers < bound))


def _settle(tx: Transaction, batch: Batch, syncing: Syncing) -> Outcome:
    return settle(tx, batch, syncing.terms)


def _proven(run: Opened, shape: Shape, ledger_keys: pa.Array[Any]) -> Batch | None:
    """Those of the missing keys that a probe in a newer snapshot does not find either."""
    source_keys = decode_key(ledger_keys, run.source_key)
    found, _ = run.source.fetch(run.read, source_keys)
    absent = np.ones(len(ledger_keys), np.bool_)
    absent[found.column(ROW).to_numpy()] = False
    if not absent.any():
        return None
    mask = pa.array(absent)
    return gone_batch(shape, target_keys(run, source_keys).filter(mask), ledger_keys.filter(mask))


def target_keys(run: Opened, source_keys: pa.Table) -> pa.Table:
    """The target's key columns of source keys: renamed, in the target's types."""
    columns = {
        name: source_keys.column(run.bound.key[name]).cast(type_.arrow)
        for name, type_ in run.spec.key.items()
    }
    return arrow.table(columns)
