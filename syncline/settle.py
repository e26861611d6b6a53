"""Settle: classify, resolve and apply one batch within one transaction, again for what moved
meanwhile.

What must not fall between two stores (waiting conflicts, dead letters, the audit of losers) is
collected in an `Outcome` and made durable in the control store before the transaction commits; what
a commit makes untrue there (a conflict that vanished, a dead letter that landed) is taken back
after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from syncline.apply import Applied, apply, baselines_after, fill, held_now
from syncline.baseline import NOT_HELD, Baselines, pack
from syncline.batch import Batch, Rows, Seen, Shape, record, record_of, see, sides, sides_by_clock
from syncline.classify import Change, Effect, FieldEffect, Presence, Rules, classify
from syncline.conflict import Conflict, Kind, Resolution
from syncline.endpoints.base import Mask, Refused, Transaction
from syncline.errors import Transient
from syncline.resolve import Action, Policy, Verdict, resolve
from syncline.review.mask import HIDDEN, shown_text
from syncline.store.model import AuditEntry, DeadLetter, Waiting
from syncline.store.store import Store

ROUNDS: Final = 6
"""How often a record that keeps moving under our hands is looked at again before the transaction
is."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What one run settles records by."""

    shape: Shape
    rules: Rules
    policy: Policy
    run_id: str
    epoch: int
    read_back: bool = False
    by_clock: bool = False
    """`detect: timestamp`: no ledger; a side moved if its clock is later than `last_sync`."""

    last_sync: datetime | None = None
    copies: bool = False
    """Nothing tells who moved and the source always wins: what differs is written, no conflict."""

    waiting: frozenset[str] = frozenset()
    """Without a ledger: the keys that the control store has something waiting for."""

    masked: frozenset[str] = frozenset()
    """The fields whose values are hidden from people."""

    exclusive: bool = False
    """Every target record is ours: without a ledger one that is gone on the source is deleted."""


@dataclass(slots=True)
class Outcome:
    """What became of the records of one transaction, or of a run."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    conflicts: int = 0
    effects: dict[str, int] = field(default_factory=dict[str, int])
    waiting: list[Waiting] = field(default_factory=list[Waiting])
    letters: list[DeadLetter] = field(default_factory=list[DeadLetter])
    audit: list[AuditEntry] = field(default_factory=list[AuditEntry])
    released: list[str] = field(default_factory=list[str])
    """Ledger keys whose hold is gone, or that landed."""

    def store(self, store: Store) -> None:
        """Make durable what waits, before the commit that leaves it behind."""
        if self.waiting:
            store.queue(self.waiting)
        if self.letters:
            store.put_dead_letters(self.letters)
        if self.audit:
            store.audit(self.audit)

    def release(self, store: Store, terms: Terms) -> None:
        """Take back what the commit has made untrue."""
        if self.released:
            store.supersede(
                terms.shape.mapping, self.released, terms.run_id, "settled without a decision"
            )
            store.clear_dead_letters(terms.shape.mapping, self.released)


def judge(
    tx: Transaction,
    batch: Batch,
    terms: Terms,
    *,
    decided: Mapping[int, Resolution] | None = None,
    seen: Seen | None = None,
) -> tuple[Seen, Change, Verdict]:
    """See (where it was not `seen` already), classify and resolve a batch; writes nothing."""
    seen = seen or see(tx, batch, terms.shape)
    if terms.by_clock:
        change = classify(sides_by_clock(batch, seen, terms.shape, terms.last_sync), terms.rules)
    else:
        change = classify(sides(batch, seen, terms.shape), terms.rules)
    if terms.copies:
        differs = change.fields == FieldEffect.FIRST_CONTACT
        differs |= np.isin(change.fields, (FieldEffect.CLOCK_WRITE, FieldEffect.CLOCK_KEEP))
        change.fields[differs] = FieldEffect.WRITE
        change.records[change.records == Effect.FIRST_CONTACT] = Effect.FIELDS
    if terms.exclusive and not terms.shape.ledger:
        ours = (change.records == Effect.LEAVE) & (batch.presence == Presence.GONE)
        change.records[ours] = Effect.DELETE
    return seen, change, resolve(batch, seen, change, terms.shape, terms.policy, decided=decided)


def settle(
    tx: Transaction,
    batch: Batch,
    terms: Terms,
    *,
    fresh: bool = False,
    decided: Mapping[int, Resolution] | None = None,
    seen: Seen | None = None,
) -> Outcome:
    """Bring the target in step with a batch; write rows and baselines, collect what waits.

    `fresh` says that target and ledger are believed to have none of the keys. `decided` are a
    person's resolutions, by row. `seen` is a look at all of the batch that was taken before; not of
    one that is `fresh`. Raises Transient where records keep moving.
    """
    outcome = Outcome()
    batch = _without_null_keys(batch, terms, outcome)
    whole = batch
    if fresh:
        batch = batch.take(_fill(tx, batch, terms, outcome))
    for _ in range(ROUNDS):
        if batch.rows == 0:
            break
        moved = _round(tx, batch, terms, outcome, decided or {}, seen)
        # A decision was made on what has just moved: it is dropped, the record waits again.
        batch, decided, seen = batch.take(moved), None, None
    if batch.rows:
        raise Transient(
            f"{batch.rows} records of {terms.shape.mapping} keep changing on the target "
            "while being written"
        )
    if terms.waiting:
        outcome.released += _landed(whole, terms, outcome)
    return outcome


def _landed(batch: Batch, terms: Terms, outcome: Outcome) -> list[str]:
    """The keys of the batch that something waited for, and for which nothing waits any more."""
    left = {waiting.ledger_key for waiting in outcome.waiting}
    left |= {letter.ledger_key for letter in outcome.letters if letter.ledger_key}
    return sorted((terms.waiting & {str(key) for key in batch.ledger_keys.to_pylist()}) - left)


def _fill(tx: Transaction, batch: Batch, terms: Terms, outcome: Outcome) -> Rows:
    """Insert what is believed to be new, without looking first; the rows that need looking at.

    A key that is taken after all is not written (nor is its ledger row), so that the belief may be
    wrong: those rows are then seen and classified as any other.
    """
    landed = fill(tx, batch, terms.shape, read_back=terms.read_back, epoch=terms.epoch)
    outcome.inserted += int(landed.sum())
    return np.flatnonzero(~landed)


def _without_null_keys(batch: Batch, terms: Terms, outcome: Outcome) -> Batch:
    if not batch.ledger_keys.null_count:
        return batch
    null = batch.ledger_keys.is_null().to_numpy(zero_copy_only=False)
    for row in map(int, np.flatnonzero(null)):
        error, misfit = "the key is null", batch.dead.get(row)
        if misfit is not None and misfit.value != "null":
            value = HIDDEN if misfit.field in terms.masked else misfit.value
            error = f"{misfit.reason}: {value}"
        outcome.letters.append(_letter(batch, row, None, terms, error, "map", None))
    return batch.take(np.flatnonzero(~null))


def _round(
    tx: Transaction,
    batch: Batch,
    terms: Terms,
    outcome: Outcome,
    decided: Mapping[int, Resolution],
    seen: Seen | None,
) -> Rows:
    seen, _, verdict = judge(tx, batch, terms, decided=decided, seen=seen)
    # To the second: every column that can hold an instant can hold that.
    now = datetime.now(UTC).replace(microsecond=0)
    done = apply(tx, batch, seen, verdict, terms.shape, now)
    target = held_now(tx, batch, seen, verdict, done, terms.shape, read_back=terms.read_back)
    for row, misfit in batch.dead.items():
        done.refused[row] = Refused(row, "value", misfit.reason)
    if terms.shape.ledger:
        after, rows = baselines_after(batch, seen, verdict, done, target, keeps=terms.shape.keeps)
        if len(rows):
            _put(tx, batch, after, rows, seen.baselines.present[rows], terms)
    _tell(batch, seen, verdict, done, terms, outcome)
    return np.flatnonzero(done.moved)


def _put(
    tx: Transaction, batch: Batch, after: Baselines, rows: Rows, there: Mask, terms: Terms
) -> None:
    """Write these baselines; a row that was not `there` goes in without a look."""
    for part, fresh in ((rows[there], False), (rows[~there], True)):
        if len(part):
            shape = terms.shape
            packed = pack(batch.ledger_keys, after, part, layout=shape.layout, epoch=terms.epoch)
            tx.ledger_put(packed, fresh=fresh)


def _tell(
    batch: Batch, seen: Seen, verdict: Verdict, done: Applied, terms: Terms, outcome: Outcome
) -> None:
    """Count, and collect what goes to the control store."""
    settled = ~done.moved
    outcome.inserted += int(done.inserted.sum())
    outcome.updated += int(done.updated.sum())
    outcome.deleted += int(done.deleted.sum())
    quiet = settled & (verdict.action == Action.NONE) & (batch.presence == Presence.HERE)
    outcome.unchanged += int(quiet.sum())
    keys = batch.ledger_keys
    for row, (conflict, reason) in verdict.waiting.items():
        outcome.waiting.append(_waiting(batch, seen, row, conflict, reason, terms))
    for row, why in done.refused.items():
        key = str(keys[row].as_py())
        if row in batch.dead:
            misfit = batch.dead[row]
            value = HIDDEN if misfit.field in terms.masked else misfit.value
            error = f"{misfit.reason}: {value}"
            outcome.letters.append(_letter(batch, row, key, terms, error, "map", misfit.field))
        elif why.kind == "value":
            error = shown_text(why.message, (record(batch.values, row),), terms.masked)
            outcome.letters.append(_letter(batch, row, key, terms, error, "write", None))
        else:
            outcome.waiting.append(_refused(batch, seen, row, why, terms))
    refused = {row for row, why in done.refused.items() if why.kind == "constraint"}
    outcome.conflicts += sum(1 for row in refused | verdict.conflicts if settled[row])
    for loser in verdict.losers:
        if settled[loser.row] and loser.row not in done.refused:
            key_values = record(batch.keys, loser.row)
            outcome.audit.append(
                AuditEntry(
                    terms.shape.mapping,
                    key_values,
                    terms.run_id,
                    str(loser.kind),
                    loser.by,
                    loser.winner,
                    loser.values,
                )
            )
    held = seen.baselines.hold != NOT_HELD
    free = held & settled & (verdict.action != Action.QUEUE) & (batch.presence != Presence.UNKNOWN)
    outcome.released += [
        str(keys[int(row)].as_py()) for row in np.flatnonzero(free) if int(row) not in done.refused
    ]


def prints_text(prints: Any) -> str:
    """A record's fingerprints as text: what a decision is made on."""
    return prints.astype(">i8").tobytes().hex()


def _waiting(
    batch: Batch, seen: Seen, row: int, conflict: Conflict, reason: str, terms: Terms
) -> Waiting:
    return Waiting(
        mapping=terms.shape.mapping,
        key=conflict.key,
        ledger_key=str(batch.ledger_keys[row].as_py()),
        conflict=conflict,
        source_prints=prints_text(batch.prints[row])
        if batch.presence[row] == Presence.HERE
        else "gone",
        target_prints=prints_text(seen.prints[row]) if seen.target[row] else "gone",
        run_id=terms.run_id,
        reason=shown_text(reason, (conflict.source, conflict.target), terms.masked),
        types={name: str(type_) for name, type_ in terms.shape.fields.items()},
        masked=terms.masked,
    )


def _refused(batch: Batch, seen: Seen, row: int, why: Refused, terms: Terms) -> Waiting:
    """A record that a constraint of the target refuses, as a conflict: tried again at the end of
    the run.
    """
    names = list(terms.shape.fields)
    target = None
    if seen.target[row]:
        target = record_of(record(seen.current.select(names), row), seen, row)
    conflict = Conflict(
        mapping=terms.shape.mapping,
        key=record(batch.keys, row),
        kind=Kind.REFUSED,
        source=record(batch.values, row) if batch.presence[row] == Presence.HERE else None,
        target=target,
    )
    return _waiting(batch, seen, row, conflict, why.message, terms)


def _letter(
    batch: Batch, row: int, key: str | None, terms: Terms, error: str, stage: Any, name: str | None
) -> DeadLetter:
    source = record(batch.source, row) if batch.source is not None else record(batch.values, row)
    misfit = batch.dead.get(row)
    if misfit is not None and source.get(misfit.field, misfit) is None:
        source = {
            **source,
            misfit.field: misfit.value,
        }  # what could not be read is NULL in the batch
    return DeadLetter(terms.shape.mapping, key, source, error, stage, terms.run_id, name)
