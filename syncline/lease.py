"""Lease: the right to write a mapping, or a shard of it; how it is taken says `syncline.ledger`."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Final

from syncline.endpoints.base import StateRow, Target, TargetSpec, Transaction
from syncline.errors import LeaseLost, SynclineError
from syncline.state import Document

SECONDS: Final = 60.0
"""How long a lease runs that nobody renews."""


class Lease:
    """The right to write one mapping, or one shard of it.

    Made by `ledger.hold` and its like.
    """

    def __init__(
        self,
        target: Target,
        spec: TargetSpec,
        holder: str,
        epoch: int,
        document: Document,
        started: datetime,
        shard: int | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self._target, self._spec, self.shard, self._seconds = target, spec, shard, seconds
        self.holder, self.epoch, self.document = holder, epoch, document
        self.started = started
        """When the lease was taken, on the target's clock."""
        self.in_doubt = False
        """Whether the last commit may have landed or not: its answer was lost, and so was the
        question after it.
        """
        self._before = replace(document)
        self._busy = (
            threading.Lock()
        )  # the keeper must not write back a document that a batch has just moved

    @property
    def mapping(self) -> str:
        """The mapping's name."""
        return self._spec.mapping

    def writes(self, spec: TargetSpec) -> None:
        """From now on its transactions are of this spec: a column of the target was widened."""
        self._spec = spec

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        """A transaction that is ours to write in: the state row is locked and still has our epoch.

        What the document says of the sync is put back where the transaction does not land. Raises
        LeaseLost where another run took the lease. Commit with `commit`.
        """
        self._before = replace(self.document)
        try:
            with self._busy, self._target.begin(self._spec) as tx:
                self._check(tx)
                yield tx
        except BaseException:
            if not self.in_doubt:
                self.document.put_back(self._before)
            raise

    def _check(self, tx: Transaction) -> StateRow:
        row = tx.state(self.shard)
        # A shard has one epoch for as long as its mapping is leased, whoever works at it.
        if row is None or row.epoch != self.epoch or self._is_others(row):
            by = f" by {row.holder}" if row and row.holder else ""
            raise LeaseLost(
                f"the lease of {self._spec.mapping} was taken{by}; nothing more was written"
            )
        return row

    def _is_others(self, row: StateRow) -> bool:
        return self.shard is not None and row.holder != self.holder

    def commit(self, tx: Transaction) -> None:
        """Write the document and commit.

        An answer lost on the way is settled by reading the state again; where that fails too, the
        lease is `in_doubt`, and `landed` has to be asked before the work is done again.
        """
        self.document.commit = uuid.uuid4().hex
        self._put(tx)
        self.in_doubt = True
        try:
            tx.commit()
            self.in_doubt = False
        except SynclineError:
            if not self.landed():
                raise

    def landed(self) -> bool:
        """Whether the last commit did land; ends the doubt.

        Asked with the state row locked: a COMMIT that is still on its way holds that lock until it
        has landed or never will. Raises what reading raises.
        """
        with self._target.begin(self._spec) as tx:
            row = tx.state(self.shard)
        self.in_doubt = False
        did = (
            row is not None
            and row.epoch == self.epoch
            and Document.load(row.document).commit == self.document.commit
        )
        if not did:
            self.document.put_back(self._before)
        return did

    def _put(self, tx: Transaction) -> None:
        wrote = tx.put_state(
            epoch=self.epoch,
            holder=self.holder,
            lease_seconds=self._seconds,
            document=self.document.dump(),
            expected_epoch=self.epoch,
            shard=self.shard,
        )
        if not wrote:
            raise LeaseLost(
                f"the lease of {self._spec.mapping} was taken; nothing more was written"
            )

    def renew(self) -> None:
        """Keep the lease alive while no batch commits."""
        with self._busy, self._target.begin(self._spec) as tx:
            row = self._check(tx)
            tx.put_state(
                epoch=self.epoch,
                holder=self.holder,
                lease_seconds=self._seconds,
                document=row.document,
                expected_epoch=self.epoch,
                shard=self.shard,
            )
            tx.commit()

    def give_up(self) -> None:
        """End the lease now, so that the next run need not wait for it to run out.

        The epoch stays used.
        """
        with self._busy, self._target.begin(self._spec) as tx:
            row = self._check(tx)
            tx.put_state(
                epoch=self.epoch,
                holder="",
                lease_seconds=None,
                document=row.document,
                expected_epoch=self.epoch,
                shard=self.shard,
            )
            tx.commit()

    def forget_shards(self, tx: Transaction) -> None:
        """Nothing is divided any more: the shards' rows say nothing, from this transaction on."""
        for shard in range(self.document.shards):
            self.put_shard(tx, shard, None)
        self.document.shards = 0

    def put_shard(self, tx: Transaction, shard: int, document: Document | None) -> None:
        """Write the row of a shard, free to be taken; without a document it says nothing more.

        Within a transaction of this, the mapping's own lease. The row stays: a worker that wakes up
        late finds that it is no longer its own.
        """
        row = tx.state(shard)
        tx.put_state(
            epoch=self.epoch,
            holder="",
            lease_seconds=None,
            document=document.dump() if document else "",
            expected_epoch=row.epoch if row else None,
            shard=shard,
        )
