"""Ledger: the lease of a mapping, and of each of its shards, in rows of the target.

A lease has an epoch: whoever takes the lease raises it, and a transaction whose epoch is no longer
the row's writes nothing (fencing; Kleppmann, "How to do distributed locking", 2016). Whoever takes
a mapping's lease raises the epoch in the rows of its shards too, in the same transaction, which
waits for what they are just writing: from then on no worker of an earlier run writes anything. A
shard's transactions lock only its own row, so that shards do not wait for each other.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from syncline.endpoints.base import StateRow, Target, TargetSpec, Transaction
from syncline.errors import LeaseHeld, LeaseLost, SynclineError
from syncline.state import (
    NOT_NULL,
    Checkpoint,
    Document,
    Unfinished,
    columns_seen,
    layout_number,
    peek,
    utc_now,
)

__all__ = [
    "NOT_NULL",
    "Checkpoint",
    "Document",
    "Lease",
    "Unfinished",
    "columns_seen",
    "hold",
    "hold_shard",
    "layout_number",
    "peek",
    "utc_now",
]

LEASE_SECONDS: Final = 60.0
_HELD_HERE: Final[set[str]] = set()
"""The holders that are runs of this very process."""


class Lease:
    """The right to write one mapping, or one shard of it.

    Use `hold` or `hold_shard`.
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
    ) -> None:
        self._target, self._spec, self.shard = target, spec, shard
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
            lease_seconds=LEASE_SECONDS,
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
                lease_seconds=LEASE_SECONDS,
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


@contextmanager
def hold(target: Target, spec: TargetSpec) -> Generator[Lease]:
    """Take the lease of a mapping, keep it alive, and give it up at the end.

    Raises LeaseHeld where another run has it. A lease that ran out on the target's clock may be
    taken.
    """
    with _holder() as holder:
        lease = _take(target, spec, holder)
        yield from _kept(lease)


@contextmanager
def hold_shard(target: Target, spec: TargetSpec, shard: int, epoch: int) -> Generator[Lease]:
    """Take a shard under its mapping's lease of that epoch, keep it alive, and give it up.

    Raises LeaseLost where the mapping's lease was taken by another run, LeaseHeld where another
    worker is at this shard and its lease has not run out.
    """
    with _holder() as holder:
        lease = _take_shard(target, spec, holder, shard, epoch)
        yield from _kept(lease)


@contextmanager
def _holder() -> Generator[str]:
    holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    _HELD_HERE.add(holder)
    try:
        yield holder
    finally:
        _HELD_HERE.discard(holder)


def _kept(lease: Lease) -> Generator[Lease]:
    stop = threading.Event()
    keeper = threading.Thread(
        target=_keep, args=(lease, stop), name=f"lease-{lease.mapping}", daemon=True
    )
    keeper.start()
    try:
        yield lease
    finally:
        stop.set()
        keeper.join()
        _release(lease)


def _take(target: Target, spec: TargetSpec, holder: str) -> Lease:
    with target.begin(spec) as tx:
        row = tx.state()
        if row:
            _check_free(row, spec.mapping)
        epoch = row.epoch + 1 if row else 1
        took = tx.put_state(
            epoch=epoch,
            holder=holder,
            lease_seconds=LEASE_SECONDS,
            document=row.document if row else "",
            expected_epoch=row.epoch if row else None,
        )
        if not took:
            raise LeaseHeld(
                f"another run took the lease of {spec.mapping} just now", hint="wait for that run"
            )
        document = Document.load(row.document if row else "")
        _fence_shards(tx, document.shards, epoch)
        now = row.now if row else _clock(tx)
        tx.commit()
    return Lease(target, spec, holder, epoch, document, now)


def _fence_shards(tx: Transaction, shards: int, epoch: int) -> None:
    """Raise the epoch of every shard; waits for what each is writing just now."""
    for shard in range(shards):
        row = tx.state(shard)
        if row is not None:
            tx.put_state(
                epoch=epoch,
                holder="",
                lease_seconds=None,
                document=row.document,
                expected_epoch=row.epoch,
                shard=shard,
            )


def _take_shard(target: Target, spec: TargetSpec, holder: str, shard: int, epoch: int) -> Lease:
    name = f"shard {shard} of {spec.mapping}"
    with target.begin(spec) as tx:
        row = tx.state(shard)
        if row is None or row.epoch != epoch or not row.document:
            raise LeaseLost(f"{name} is no part of the present run; nothing was written")
        _check_free(row, name)
        took = tx.put_state(
            epoch=epoch,
            holder=holder,
            lease_seconds=LEASE_SECONDS,
            document=row.document,
            expected_epoch=epoch,
            shard=shard,
        )
        if not took:
            raise LeaseLost(f"{name} was taken from this run just now; nothing was written")
        tx.commit()
    return Lease(target, spec, holder, epoch, Document.load(row.document), row.now, shard)


def _check_free(row: StateRow, name: str) -> None:
    if not (row.holder and row.lease_until and row.lease_until > row.now) or _died(row.holder):
        return
    left = (row.lease_until - row.now).total_seconds()
    raise LeaseHeld(
        f"{name} is being written by {row.holder}, whose lease runs another {left:.0f} s",
        hint="wait for that run, or for its lease to run out",
    )


def _clock(tx: Transaction) -> datetime:
    """The target's clock; the state row, just written, tells it."""
    row = tx.state()
    return row.now if row else datetime.now(UTC)


def _died(holder: str) -> bool:
    """Whether the holder was a process of this machine that is no more, or a run of this process
    that ended and could not say so: then its lease need not run out first.

    Only a shortcut: were it wrong, the epoch still fences the holder off.
    """
    host, pid, _ = holder.rsplit(":", 2)
    if host != socket.gethostname() or sys.platform == "win32":
        return False
    if int(pid) == os.getpid():
        return holder not in _HELD_HERE
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _keep(lease: Lease, stop: threading.Event) -> None:
    while not stop.wait(LEASE_SECONDS / 3):
        try:
            lease.renew()
        except SynclineError:
            # Can't be reached now, or the lease is lost: the next batch finds out and says so.
            continue


def _release(lease: Lease) -> None:
    try:
        lease.give_up()
    except SynclineError:
        # Lost, or unreachable: it runs out by itself, and must not hide how the run ended.
        return
