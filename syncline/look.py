"""Look: what target and ledger hold for a batch, found while the batch before it is written.

A look is taken by a second session, before the transaction that writes the batch has begun. It is
as good as one taken within: no read locks what it sees, every write is conditional on it, and what
moved meanwhile is seen again by the transaction. Only the holder of the lease writes the ledger,
and the transaction checks that it still is ours. What our own transactions before it write is the
one thing it could miss: so no look is taken of a key that one of those has whose commit may still
be to come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import structlog

from syncline import arrow
from syncline.batch import Batch, Seen, Shape, see
from syncline.endpoints.base import Target, TargetSpec
from syncline.errors import SynclineError

Look = Callable[[Batch], Seen | None]
"""What target and ledger hold for a batch; None where its transaction has to look itself."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")


def ahead_of_writes(target: Target, spec: TargetSpec, shape: Shape, unsettled: int) -> Look | None:
    """Looks at batches, asked for each of them in the order in which they are written.

    `unsettled` is how many batches before the one looked at may not be committed yet. None where
    this target can't be read while it is written.
    """
    if not target.reads_while_written:
        return None
    before: deque[Batch] = deque(maxlen=unsettled)

    def look(batch: Batch) -> Seen | None:
        apart = batch.ledger_keys.null_count == 0 and all(_apart(batch, one) for one in before)
        before.append(batch)
        if not apart or batch.rows == 0:
            return None
        try:
            with target.begin(spec, write=False) as tx:
                return see(tx, batch, shape)
        except SynclineError as error:
            # Its own transaction looks again, and says what is wrong where that is still so.
            log.debug("no look ahead", mapping=shape.mapping, error=str(error))
            return None

    return look


def _apart(batch: Batch, before: Batch) -> bool:
    """Whether two batches have no record in common, on either side."""
    natives = arrow.table({"k": batch.ledger_keys}), arrow.table({"k": before.ledger_keys})
    return arrow.disjoint(*natives) and arrow.disjoint(batch.keys, before.keys)
