"""Gone: which records the source does not have any more, and what follows for the target.

A record is gone when a full key scan, begun after the run's own read, lacks it, and a probe by key
in a newer snapshot lacks it too. The scan is one of checksums by groups of keys where the databases
compute them (`digests`), so that only the keys of groups that differ travel.

A delta by change stream tells itself which records were deleted since its checkpoint. Then there is
no scan, if everything gone by the checkpoint was settled with it; the probe is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import structlog

from syncline import arrow, sides
from syncline.baseline import SOURCE_GONE, decode_key
from syncline.batch import Batch, Shape, gone_batch
from syncline.digests import held
from syncline.endpoints.base import ROW, Guarantee, Transaction
from syncline.guard import check_deletes
from syncline.keys import PAGE, Keys
from syncline.settle import Outcome, Terms, settle

if TYPE_CHECKING:
    from syncline.ledger import Document
    from syncline.run import Opened
    from syncline.sync import Syncing

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")


@dataclass(frozen=True, slots=True)
class Gone:
    """The records that are gone from the source, in batches; how many, and how many were known."""

    batches: Iterable[Batch]
    count: int
    known: int


def reconcile(syncing: Syncing) -> None:
    """Settle the records that are gone from the source.

    Raises GuardStopped before the first delete.
    """
    if syncing.gone is None:
        found = find(syncing.run, syncing.terms.shape)
    else:
        found = told(syncing.run, syncing.terms, syncing.gone)
    check_deletes(syncing.run, found.count, found.known, syncing.options.allow)
    never_settled = list(_never_settled(syncing))
    for batch in chain(found.batches, never_settled):
        syncing.transact(lambda tx, batch=batch: _settle(tx, batch, syncing))
        syncing.patience.progressed()  # what was deleted is not looked for again


def told_by(guarantee: Guarantee, document: Document) -> bool:
    """Whether a delta with this guarantee tells all that is gone and was not settled yet."""
    return (
        guarantee.tells_gone and document.checkpoint is not None and document.checkpoint.reconciled
    )


def no_keys(run: Opened) -> Keys:
    """Room for the keys of the mapping's ledger, as `told` wants them."""
    return Keys(run.spec.ledger_key.arrow)


def told(run: Opened, terms: Terms, keys: Keys) -> Gone:
    """Those of the keys, and of what waits, that are of records of ours and proven to be gone;
    writes nothing.

    A record that waits, as one whose delete was contested or refused, was told of before. Of the
    records known only so many are counted as tell whether the guard holds.
    """
    if not tells(run):
        return Gone((), 0, 0)
    proven = _Proven(run, terms.shape)
    with run.target.begin(run.spec, write=False) as tx:
        keys.add(_waiting(run, tx, terms))
        for page in keys.pages():
            proven.prove(_ours(run, tx, page))
        known = 0
        for rows in sides.known_keys(tx, run) if proven.count else ():
            known += rows.num_rows
            if known > proven.count and run.mapping.deletes.guard * known >= proven.count:
                break
    return Gone(proven, proven.count, known)


def _waiting(run: Opened, tx: Transaction, terms: Terms) -> pa.Array[Any]:
    """The keys of what waits: by the ledger's holds, or without one by the control store."""
    if run.spec.ledger:
        return arrow.one_chunk(tx.ledger_holds().column("k"))
    return pa.array(sorted(terms.waiting), pa.string())


def _ours(run: Opened, tx: Transaction, keys: pa.Array[Any]) -> pa.Array[Any]:
    """Those of the source's keys whose records are known to have come from it."""
    here = np.zeros(len(keys), np.bool_)
    if run.spec.ledger:
        rows = tx.ledger_fetch(keys)
        not_gone = (rows["gone"].to_numpy() & SOURCE_GONE) == 0
        here[rows.column(ROW).to_numpy()[not_gone]] = True
    else:
        found = tx.fetch(target_keys(run, decode_key(keys, run.source_key))).rows
        here[found.column(ROW).to_numpy()] = True
    return arrow.keep(keys, here)


def find(run: Opened, shape: Shape) -> Gone:
    """The records that came from the source and that it has no more, proven; writes nothing."""
    if not tells(run):
        return Gone((), 0, 0)
    missing, proven = no_keys(run), _Proven(run, shape)
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
        for keys in both.missing_at_source():
            missing.add(keys)
        known = both.target
    for keys in missing.pages():
        proven.prove(keys)
    now = run.source.describe(run.read.table) if proven.count else None
    if now is not None and now.hides_rows:  # a policy that came after the run began
        return Gone((), 0, known)
    return Gone(proven, proven.count, known)


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


class _Proven:
    """Batches of records that are proven to be gone. Few are kept; many are proven once more as
    they are asked for: memory does not grow with their number.
    """

    def __init__(self, run: Opened, shape: Shape) -> None:
        self._run, self._shape = run, shape
        self._keys = no_keys(run)
        self._batches: list[Batch] = []
        self.count = 0

    def prove(self, keys: pa.Array[Any]) -> None:
        """Add those of the keys whose records a probe does not find; none is asked about twice."""
        batch = _proven(self._run, self._shape, keys) if len(keys) else None
        if batch is None:
            return
        self.count += batch.rows
        self._keys.add(batch.ledger_keys)
        self._batches = [] if self._keys.on_disk else [*self._batches, batch]

    def __iter__(self) -> Iterator[Batch]:
        if not self._keys.on_disk:
            yield from self._batches
            return
        for page in self._keys.pages():
            batch = _proven(self._run, self._shape, page)
            if batch is not None:
                yield batch


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
