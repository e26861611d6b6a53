"""Ledger: lease, checkpoint and layouts of a mapping, in one row of the target, in the transaction
of the rows.

The document of that row is JSON. A lease has an epoch: whoever takes the lease raises it, and a
transaction whose epoch is no longer the row's writes nothing (fencing; Kleppmann, "How to do
distributed locking", 2016).
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from syncline.baseline import Layout
from syncline.endpoints.base import Column, StateRow, Target, TargetSpec, Transaction
from syncline.errors import LeaseHeld, LeaseLost, SynclineError

LEASE_SECONDS: Final = 60.0
NOT_NULL: Final = " not null"
_HELD_HERE: Final[set[str]] = set()
"""The holders that are runs of this very process."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the next delta starts (`position`, opaque to all but the source) and when the last sync
    ended (UTC).
    """

    position: str
    synced_at: str
    run_id: str
    guarantee: str = ""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A full sync that has begun, of the compiled mapping `digest`: how far it is, and the horizon
    of its first attempt, which it keeps.
    """

    horizon: str
    digest: str
    after: str | None = None
    started_empty: bool = False
    read: int = 0


@dataclass(slots=True)
class Document:
    """What a mapping's state row says.

    `commit` marks the last transaction, so that one whose COMMIT answer was lost can be told from
    one that failed.
    """

    checkpoint: Checkpoint | None = None
    unfinished: Unfinished | None = None
    layouts: list[Layout] = field(default_factory=list[Layout])
    digest: str = ""
    key_digest: str = ""
    columns: dict[str, str] = field(default_factory=dict[str, str])
    identity: dict[str, str] = field(default_factory=dict[str, str])
    target_columns: dict[str, str] = field(default_factory=dict[str, str])
    evolved: list[str] = field(default_factory=list[str])
    commit: str = ""

    def put_back(self, before: Document) -> None:
        """Undo what a transaction that did not land said of the sync.

        Its layouts may stay: they only give numbers to field lists.
        """
        self.checkpoint, self.unfinished = before.checkpoint, before.unfinished
        self.digest, self.key_digest = before.digest, before.key_digest
        self.columns, self.identity = before.columns, before.identity
        self.target_columns, self.evolved = before.target_columns, before.evolved

    def dump(self) -> str:
        """The document as JSON text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def load(cls, text: str) -> Document:
        """The document of that JSON text; the empty text is a new mapping."""
        if not text:
            return cls()
        raw: dict[str, Any] = json.loads(text)
        return cls(
            checkpoint=Checkpoint(**raw["checkpoint"]) if raw["checkpoint"] else None,
            unfinished=Unfinished(**raw["unfinished"]) if raw["unfinished"] else None,
            layouts=[tuple((n, d, t) for n, d, t in layout) for layout in raw["layouts"]],
            digest=raw["digest"],
            key_digest=raw["key_digest"],
            columns=raw["columns"],
            identity=raw["identity"],
            target_columns=raw.get("target_columns", {}),
            evolved=raw.get("evolved", []),
            commit=raw["commit"],
        )


def utc_now() -> str:
    """The present instant, ISO, UTC, to the second; for people, never for a watermark."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def peek(target: Target, spec: TargetSpec) -> tuple[StateRow | None, Document]:
    """The state of a mapping without taking anything."""
    with target.begin(spec, write=False) as tx:
        row = tx.state()
    return row, Document.load(row.document if row else "")


class Lease:
    """The right to write one mapping.

    Use `hold`.
    """

    def __init__(
        self,
        target: Target,
        spec: TargetSpec,
        holder: str,
        epoch: int,
        document: Document,
        started: datetime,
    ) -> None:
        self._target, self._spec = target, spec
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
        row = tx.state()
        if row is None or row.epoch != self.epoch:
            by = f" by {row.holder}" if row else ""
            raise LeaseLost(
                f"the lease of {self._spec.mapping} was taken{by}; nothing more was written"
            )
        return row

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
            row = tx.state()
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
            )
            tx.commit()


@contextmanager
def hold(target: Target, spec: TargetSpec) -> Generator[Lease]:
    """Take the lease of a mapping, keep it alive, and give it up at the end.

    Raises LeaseHeld where another run has it. A lease that ran out on the target's clock may be
    taken.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    _HELD_HERE.add(holder)
    try:
        lease = _take(target, spec, holder)
        yield from _kept(lease)
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
        if (
            row
            and row.holder
            and row.lease_until
            and row.lease_until > row.now
            and not _died(row.holder)
        ):
            left = (row.lease_until - row.now).total_seconds()
            raise LeaseHeld(
                f"{spec.mapping} is being written by {row.holder}, "
                f"whose lease runs another {left:.0f} s",
                hint="wait for that run, or for its lease to run out",
            )
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
        now = row.now if row else _clock(tx)
        tx.commit()
    return Lease(target, spec, holder, epoch, Document.load(row.document if row else ""), now)


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


def layout_number(document: Document, layout: Layout) -> int:
    """The number of this layout in the document, added to it where it is new."""
    if layout not in document.layouts:
        document.layouts.append(layout)
    return document.layouts.index(layout)


def columns_seen(columns: Mapping[str, Column]) -> dict[str, str]:
    """The native types of the columns of a table, as remembered between runs; `not null` stands
    behind the type of one that can't be NULL.
    """
    return {name: c.native + ("" if c.nullable else NOT_NULL) for name, c in columns.items()}
