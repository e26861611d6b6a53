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
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from syncline.endpoints.base import StateRow, Target, TargetSpec, Transaction
from syncline.errors import LeaseHeld, LeaseLost, SynclineError
from syncline.lease import SECONDS, Lease
from syncline.retry import AT_ONCE
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
    "borrow",
    "columns_seen",
    "hold",
    "hold_shard",
    "layout_number",
    "lend",
    "peek",
    "utc_now",
]

LENT_SECONDS: Final = 300.0
"""How long the lease of a run goes on whose steps are processes of their own, between two of them.
"""
_RUN: Final = "run:"
Ended = Callable[[str], bool]
"""Whether the run of this id, which is more than one process, has ended."""
_HELD_HERE: Final[set[str]] = set()
"""The holders that are runs of this very process."""


@contextmanager
def hold(target: Target, spec: TargetSpec, ended: Ended = lambda _: False) -> Generator[Lease]:
    """Take the lease of a mapping, keep it alive, and give it up at the end.

    Raises LeaseHeld where another run has it. A lease that ran out on the target's clock may be
    taken, and one of a run that `ended`.
    """
    with _holder() as holder:
        lease = AT_ONCE.call(lambda: _take(target, spec, holder, ended))
        yield from _kept(lease)


@contextmanager
def lend(target: Target, spec: TargetSpec, run_id: str, ended: Ended) -> Generator[Lease]:
    """Take the lease of a mapping for a run that outlives this process: it is left to its steps.

    It is given up only where this one fails. Raises as `hold` does.
    """
    holder = f"{_RUN}{run_id}"
    lease = AT_ONCE.call(lambda: _take(target, spec, holder, ended, LENT_SECONDS))
    try:
        yield from _kept(lease, gives_up=False)
    except BaseException:
        _release(lease)
        raise


@contextmanager
def borrow(
    target: Target, spec: TargetSpec, run_id: str, *, last: bool = False
) -> Generator[Lease]:
    """Have the lease that was taken for a run; the `last` of its steps gives it up.

    Raises LeaseLost where it is no longer that run's.
    """
    holder = f"{_RUN}{run_id}"
    with target.begin(spec) as tx:
        row = tx.state()
        if row is None or row.holder != holder:
            raise LeaseLost(f"run {run_id} no longer has the lease of {spec.mapping}")
    document = Document.load(row.document)
    begun = document.unfinished.started if document.unfinished else ""
    started = datetime.fromisoformat(begun) if begun else row.now
    lease = Lease(target, spec, holder, row.epoch, document, started, None, LENT_SECONDS)
    lease.renew()
    yield from _kept(lease, gives_up=last)


@contextmanager
def hold_shard(target: Target, spec: TargetSpec, shard: int, epoch: int) -> Generator[Lease]:
    """Take a shard under its mapping's lease of that epoch, keep it alive, and give it up.

    Raises LeaseLost where the mapping's lease was taken by another run, LeaseHeld where another
    worker is at this shard and its lease has not run out.
    """
    with _holder() as holder:
        lease = AT_ONCE.call(lambda: _take_shard(target, spec, holder, shard, epoch))
        yield from _kept(lease)


@contextmanager
def _holder() -> Generator[str]:
    holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    _HELD_HERE.add(holder)
    try:
        yield holder
    finally:
        _HELD_HERE.discard(holder)


def _kept(lease: Lease, *, gives_up: bool = True) -> Generator[Lease]:
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
        if gives_up:
            _release(lease)


def _take(
    target: Target,
    spec: TargetSpec,
    holder: str,
    ended: Ended,
    seconds: float = SECONDS,
) -> Lease:
    with target.begin(spec) as tx:
        row = tx.state()
        if row:
            _check_free(row, spec.mapping, ended)
        epoch = row.epoch + 1 if row else 1
        took = tx.put_state(
            epoch=epoch,
            holder=holder,
            lease_seconds=seconds,
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
    return Lease(target, spec, holder, epoch, document, now, None, seconds)


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
            lease_seconds=SECONDS,
            document=row.document,
            expected_epoch=epoch,
            shard=shard,
        )
        if not took:
            raise LeaseLost(f"{name} was taken from this run just now; nothing was written")
        tx.commit()
    return Lease(target, spec, holder, epoch, Document.load(row.document), row.now, shard)


def _check_free(row: StateRow, name: str, ended: Ended = lambda _: False) -> None:
    if not (row.holder and row.lease_until and row.lease_until > row.now):
        return
    lent = row.holder.startswith(_RUN)
    if ended(row.holder.removeprefix(_RUN)) if lent else _died(row.holder):
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
    while not stop.wait(SECONDS / 3):
        try:
            lease.renew()
        except SynclineError:
            # Can't be reached now, or the lease is lost: the next batch finds out and says so.
            continue


def _release(lease: Lease) -> None:
    try:
        AT_ONCE.call(lease.give_up)
    except SynclineError:
        # Lost, or unreachable: it runs out by itself, and must not hide how the run ended.
        return
