"""The control store, opened: runs, conflicts, dead letters, audit log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine

from syncline.conflict import Kind
from syncline.store import (
    arrival,
    audit,
    conflicts,
    dead_letters,
    decisions,
    pulse,
    runs,
)
from syncline.store.conflicts import Filter, Page, Sort, Tally
from syncline.store.database import connect, make_directory, parse, reading, writing
from syncline.store.drafts import Drafts
from syncline.store.inbox import Inbox
from syncline.store.migrate import migrate
from syncline.store.model import (
    AuditEntry,
    Chunk,
    Counts,
    DeadLetter,
    Decision,
    Entry,
    History,
    Run,
    State,
    Waiting,
)
from syncline.store.outbox import Outbox
from syncline.store.pulse import Moved, Pulse


def _now() -> datetime:
    return datetime.now(UTC)


class Store:
    """What must outlive a run and is not in the target: made by `Store.open`, shared by threads.

    Every call is one transaction.
    What a call stored is durable when it returns. Every method raises Unreachable where the store
    can't be reached or is locked for too long, CredentialsRefused where it refuses the login, and
    RunFailed where it can't be written (a full disk): then nothing of the call was stored, and the
    caller must not go on as if it were.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the store and bring its tables up to date; safe from many processes at once.

        `url` is `sqlite:///FILE` (directories are made) or `postgresql://..`. Raises InputError for
        any other, and where a newer syncline made the store.
        """
        parsed = parse(url)
        make_directory(parsed)
        engine = connect(parsed)
        try:
            migrate(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Give back every connection. Idempotent."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def drafts(self) -> Drafts:
        """The decisions that were refused, by who made them."""
        return Drafts(self._engine)

    @property
    def inbox(self) -> Inbox:
        """The webhooks that came in."""
        return Inbox(self._engine)

    @property
    def outbox(self) -> Outbox:
        """The webhooks that are to be sent."""
        return Outbox(self._engine)

    # --- runs --------------------------------------------------------------------------------

    def start_run(self, mapping: str, mode: str, *, trigger: str = "cli") -> str:
        """Record that a run began; its id sorts by time."""
        with writing(self._engine) as connection:
            return runs.start(connection, mapping, mode, trigger, _now())

    def finish_run(
        self, run_id: str, status: str, summary: Mapping[str, Any], error: str = ""
    ) -> None:
        """Record how a run ended. Raises InputError for an unknown run."""
        with writing(self._engine) as connection:
            runs.finish(connection, run_id, status, summary, error, now=_now())

    def knows_run(self, run_id: str) -> bool:
        """Whether this store has the run: one that lost its past has not."""
        with reading(self._engine) as connection:
            return runs.known(connection, run_id)

    def has_ended(self, run_id: str) -> bool:
        """Whether a run has ended, as far as this store knows."""
        return self.knows_run(run_id) and self.run(run_id).status != "running"

    def interrupt_others(self, run_id: str) -> None:
        """Record of the mapping's other runs that are `running` that they were interrupted.

        For the run that holds the lease: whoever had it before is dead, or fenced off.
        """
        with writing(self._engine) as connection:
            runs.interrupt_others(connection, run_id, now=_now())

    def runs(
        self, mapping: str | None = None, limit: int = 50, before: str | None = None
    ) -> list[Run]:
        """Runs, newest first; `before` is a run's id: those that began earlier."""
        with reading(self._engine) as connection:
            return runs.listed(connection, mapping, limit, before)

    def run(self, run_id: str) -> Run:
        """One run. Raises InputError where there is none."""
        with reading(self._engine) as connection:
            return runs.one(connection, run_id)

    def synced(self) -> dict[str, datetime]:
        """When each mapping was last in step, as its newest run that ended well says."""
        with reading(self._engine) as connection:
            return runs.synced(connection)

    def chunks_left(self, mapping: str, backfill: str, wanted: Iterable[Chunk]) -> list[Chunk]:
        """The chunks of a backfill not done yet; `backfill` is how it was asked for."""
        with reading(self._engine) as connection:
            return runs.chunks_left(connection, mapping, backfill, wanted)

    def chunk_done(self, mapping: str, backfill: str, chunk: Chunk, run_id: str) -> None:
        """Remember that a chunk is done."""
        with writing(self._engine) as connection:
            runs.chunk_done(connection, mapping, backfill, chunk, run_id, now=_now())

    def forget_chunks(self, mapping: str, backfill: str) -> None:
        """Begin a backfill again."""
        with writing(self._engine) as connection:
            runs.forget_chunks(connection, mapping, backfill)

    # --- conflicts ---------------------------------------------------------------------------

    def queue(self, waiting: Sequence[Waiting]) -> None:
        """Put conflicts into the queue. Idempotent by mapping and ledger key.

        Opens an entry, or refreshes the open one (its history keeps the images from before). One
        that is there as it is changes nothing. A decided one whose prints moved goes stale and is
        open again, with the new images.
        """
        if not waiting:
            return
        with writing(self._engine) as connection:
            arrival.queue(connection, waiting, _now())

    def waiting(self, mapping: str, ledger_keys: Sequence[str]) -> dict[str, Entry]:
        """The live (open, decided or stale) entry of each of these keys that has one."""
        with reading(self._engine) as connection:
            return conflicts.waiting(connection, mapping, ledger_keys)

    def conflicts(
        self,
        *,
        mapping: str | None = None,
        state: State | Collection[State] | None = None,
        field: str | None = None,
        kind: Kind | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Entry]:
        """Whole entries, newest first; `field` is one that is contested."""
        states = (state,) if isinstance(state, State) else state
        where = Filter(mapping=mapping, state=states, field=field, kind=kind)
        with reading(self._engine) as connection:
            return conflicts.listed(connection, where, limit, offset)

    def conflict_page(
        self, where: Filter, *, sort: Sort = "newest", limit: int = 100, offset: int = 0
    ) -> Page:
        """A page of a filter's conflicts without their records, and how many there are."""
        with reading(self._engine) as connection:
            return conflicts.page(connection, where, sort, limit, offset)

    def conflict_tally(self, where: Filter) -> Tally:
        """How many conflicts a filter has: by state, mapping, kind and contested field."""
        with reading(self._engine) as connection:
            return conflicts.tally(connection, where)

    def conflict_versions(self, where: Filter) -> dict[int, int]:
        """The version of every conflict of a filter, by number: what a selection remembers."""
        with reading(self._engine) as connection:
            return conflicts.versions(connection, where)

    def each_conflict(self, where: Filter) -> Iterator[Entry]:
        """Every entry of a filter, whole, oldest first; read in pieces, a transaction each."""
        last = 0
        while True:
            with reading(self._engine) as connection:
                entries = conflicts.after(connection, where, last)
            if not entries:
                return
            yield from entries
            last = entries[-1].id

    def conflict(self, entry_id: int) -> Entry:
        """One entry. Raises InputError where there is none."""
        with reading(self._engine) as connection:
            return conflicts.one(connection, entry_id)

    def history(self, entry_id: int) -> list[History]:
        """All that happened to a conflict, oldest first."""
        with reading(self._engine) as connection:
            return conflicts.events(connection, entry_id)

    def decide(self, entry_id: int, decision: Decision, *, version: int | None = None) -> Entry:
        """From open to decided.

        Raises DecisionRefused where it is not open (somebody decided it), or no longer is what the
        decision was made on: other images, or another `version` where that is given.
        """
        with writing(self._engine) as connection:
            return decisions.decide(connection, entry_id, decision, _now(), version)

    def decide_all(
        self, seen: Mapping[int, int], made: Callable[[Entry], Decision | str]
    ) -> tuple[list[int], dict[int, str]]:
        """From open to decided, all in one transaction.

        `seen` is the version of each conflict, by number, that was looked at; `made` gives the
        decision on an entry, or why there is none. Gives the numbers of those decided, and of the
        others why not.
        """
        with writing(self._engine) as connection:
            return decisions.decide_all(connection, seen, made, _now())

    def undo(self, entry_id: int, *, user: str = "") -> Entry:
        """From decided to open. Raises DecisionRefused where it is not decided (any more)."""
        with writing(self._engine) as connection:
            return decisions.undo(connection, entry_id, _now(), user=user)

    def undo_all(self, ids: Sequence[int], *, user: str = "") -> list[int]:
        """From decided to open, those of these that are decided (still); their numbers."""
        with writing(self._engine) as connection:
            return decisions.undo_all(connection, ids, _now(), user=user)

    def decided(self, mapping: str) -> list[Entry]:
        """The decisions that wait to be written."""
        with reading(self._engine) as connection:
            return conflicts.decided(connection, mapping)

    def settled(self) -> dict[str, datetime]:
        """The mappings with decisions that wait to be written, each with its latest one's time."""
        with reading(self._engine) as connection:
            return conflicts.settled(connection)

    def mark_applied(
        self, entries: Sequence[Entry], run_id: str, losers: Sequence[AuditEntry] = ()
    ) -> None:
        """From decided to applied: call it once the target has committed. Idempotent.

        `entries` are as they were read to be written: one whose decision was taken back since was
        written all the same. `losers` go to the audit log in the same transaction, so that each is
        there once.
        """
        if not entries:
            return
        with writing(self._engine) as connection:
            audit.put(connection, losers, _now())
            decisions.applied(connection, entries, _now(), run_id=run_id)

    def mark_stale(self, ids: Sequence[int], run_id: str, reason: str = "") -> None:
        """From decided to stale: a side moved, so the decision was refused.

        The next `queue` of that key opens it again, with fresh images.
        """
        with writing(self._engine) as connection:
            decisions.refuse(connection, ids, _now(), run_id=run_id, note=reason)

    def supersede(
        self, mapping: str, ledger_keys: Sequence[str], run_id: str, reason: str = ""
    ) -> None:
        """The sides came to agree by themselves: open and stale entries leave the queue.

        A decided one stays: whoever writes it marks it applied or stale. Idempotent.
        """
        if not ledger_keys:
            return
        with writing(self._engine) as connection:
            decisions.supersede(
                connection, mapping, ledger_keys, _now(), run_id=run_id, reason=reason
            )

    # --- dead letters ------------------------------------------------------------------------

    def put_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters; one that is there already takes the new error and record."""
        if not letters:
            return
        with writing(self._engine) as connection:
            dead_letters.put(connection, letters, _now())

    def dead_letters(
        self, mapping: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[DeadLetter]:
        """Dead letters, newest first."""
        with reading(self._engine) as connection:
            return dead_letters.listed(connection, mapping, limit, offset)

    def dead_letter(self, letter_id: int) -> DeadLetter:
        """One dead letter. Raises InputError where there is none."""
        with reading(self._engine) as connection:
            return dead_letters.one(connection, letter_id)

    def drop_dead_letters(self, ids: Sequence[int]) -> int:
        """Give up on dead letters; how many there were."""
        with writing(self._engine) as connection:
            return dead_letters.drop(connection, ids)

    def clear_dead_letters(self, mapping: str, ledger_keys: Sequence[str]) -> int:
        """These records went through: their dead letters go; how many there were."""
        if not ledger_keys:
            return 0
        with writing(self._engine) as connection:
            return dead_letters.clear(connection, mapping, ledger_keys)

    # --- audit -------------------------------------------------------------------------------

    def audit(self, entries: Sequence[AuditEntry]) -> None:
        """Append to the audit log; what a run has already said about a record is not said twice."""
        if not entries:
            return
        with writing(self._engine) as connection:
            audit.put(connection, entries, _now())

    def audit_log(
        self,
        mapping: str | None = None,
        limit: int = 100,
        text: str | None = None,
        *,
        run_id: str | None = None,
        before: int | None = None,
    ) -> list[AuditEntry]:
        """The audit log, newest first; `text` is looked for in keys, values, notes and names.

        `before` is an entry's id: those from before it.
        """
        with reading(self._engine) as connection:
            return audit.listed(connection, mapping, limit, text, run_id=run_id, before=before)

    # --- what moved --------------------------------------------------------------------------

    def pulse(self) -> Pulse:
        """Marks that move when something does: for whoever shows the store and asks often."""
        with reading(self._engine) as connection:
            return pulse.pulse(connection)

    def moved_since(self, mark: int, limit: int = 200) -> list[Moved]:
        """The events of conflicts after `Pulse.conflicts` was `mark`, oldest first."""
        with reading(self._engine) as connection:
            return pulse.moved_since(connection, mark, limit)

    def counts(self, mapping: str) -> Counts:
        """What waits, of one mapping."""
        with reading(self._engine) as connection:
            return pulse.counts(connection, mapping)
