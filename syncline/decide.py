"""Decide: write what people decided, and try again what the target refused or what could not be
mapped.

A decision is applied to the two sides exactly as the person saw them: if either has moved since, it
is refused (stale) and the conflict is queued again with what the sides hold now.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import structlog

from syncline import arrow, ledger
from syncline.baseline import DEAD, NOT_HELD, decode_key
from syncline.batch import Batch, Shape, gone_batch, see
from syncline.classify import Presence
from syncline.conflict import Conflict, Kind, Resolution
from syncline.decided import holds_already, lost_to, written_before
from syncline.endpoints.base import ROW, Mask, SourceBatch, Transaction
from syncline.errors import InputError
from syncline.gone import target_keys
from syncline.log import redacted
from syncline.read import page
from syncline.review.mask import shown_text
from syncline.review.queue import resolution
from syncline.run import Opened, opened, terms_of
from syncline.settle import Outcome, prints_text, settle
from syncline.store.model import Decision, Entry, State, Waiting
from syncline.store.store import Store

if TYPE_CHECKING:
    from syncline.project import Project
    from syncline.sync import RunSummary, Syncing

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")

BATCH = 5_000


def apply_decisions(project: Project, name: str) -> int:
    """Write the decided conflicts of a mapping, under its lease; how many landed.

    Raises LeaseHeld where a run has the lease (that run, or the next, writes them).
    """
    with under_lease(project, name, "decisions") as syncing:
        return write_decided(syncing)


def replay(project: Project, name: str, ids: Sequence[int] | None = None) -> RunSummary:
    """Read the sources of dead letters again and bring the target in step; `ids` None means all of
    the mapping.
    """
    with under_lease(project, name, "replay") as syncing:
        letters = syncing.store.dead_letters(name, limit=1_000_000)
        wanted = [letter for letter in letters if ids is None or letter.id in ids]
        for chunk in _chunks(
            [letter.ledger_key for letter in wanted if letter.ledger_key is not None]
        ):
            again(syncing, chunk)
        return syncing.summary("replay")


def drop(project: Project, name: str, ids: Sequence[int]) -> int:
    """Forget dead letters of a mapping, and the holds that the ledger keeps for them; how many
    there were.

    Their records stay out of the target until their source changes. Raises LeaseHeld where a run
    has the lease.
    """
    with under_lease(project, name, "drop") as syncing:
        letters = map(syncing.store.dead_letter, ids)
        keys = [letter.ledger_key for letter in letters if letter.ledger_key is not None]
        if syncing.run.spec.ledger:
            for chunk in _chunks(keys):
                syncing.transact(lambda tx, chunk=chunk: _release(tx, syncing.run, chunk))
        return syncing.store.drop_dead_letters(ids)


def _release(tx: Transaction, run: Opened, ledger_keys: Sequence[str]) -> Outcome:
    """Take the holds of dead letters off; a row that had no baseline still has none."""
    rows = tx.ledger_fetch(ledger_keys_of(run, ledger_keys)).drop_columns([ROW])
    dead = arrow.keep(rows, rows.column("hold").to_numpy() == DEAD)
    free = arrow.array(np.full(dead.num_rows, NOT_HELD, np.int16))
    at = dead.column_names.index("hold")
    if dead.num_rows:
        tx.ledger_put(dead.set_column(at, "hold", free), fresh=False)
    return Outcome()


@contextmanager
def under_lease(project: Project, name: str, mode: str) -> Generator[Syncing]:
    """A run of another kind (`mode`): under the mapping's lease, and recorded.

    Raises LeaseHeld where another run has the lease.
    """
    from syncline.sync import RunOptions, Syncing

    with Store.open(project.store_url) as store, opened(project, name) as run:
        run.target.prepare(run.spec)
        with ledger.hold(run.target, run.spec) as lease:
            run_id = store.start_run(name, mode)
            syncing = Syncing(run, lease, store, run_id, RunOptions())
            syncing.terms = terms_of(run, lease.document, run_id=run_id, epoch=lease.epoch)
            try:
                yield syncing
            except BaseException as error:
                store.finish_run(
                    run_id, "failed", {}, error=redacted(f"{type(error).__name__}: {error}")
                )
                raise
            store.finish_run(run_id, "ok", syncing.summary(mode).as_dict())


def write_decided(syncing: Syncing) -> int:
    """Write what people decided; how many decisions landed.

    What a run that died had written is not written again, and what it had refused is looked at
    again.
    """
    entries = syncing.store.decided(syncing.run.name)
    landed = 0
    for start in range(0, len(entries), BATCH):
        part = entries[start : start + BATCH]
        before = _tell_written(syncing, part)
        landed += len(before)
        by_key = {entry.ledger_key: entry for entry in part if entry.id not in before}
        gone = {key for key, entry in by_key.items() if entry.kind is Kind.UPDATE_DELETE}
        absent = set(by_key)
        for batch in reread(syncing, list(by_key), may_be_gone=gone):
            landed += _write(syncing, batch, by_key)
            absent -= {str(key) for key in batch.ledger_keys.to_pylist()}
        if absent and not syncing.run.sees_gone:  # else reconcile proves it, and asks again
            _source_left(syncing, [by_key[key] for key in absent])
    _look_again(syncing)
    return landed


def _tell_written(syncing: Syncing, entries: Sequence[Entry]) -> set[int]:
    """Say of decisions that they are applied, which a run wrote and died; their numbers."""
    keys = ledger_keys_of(syncing.run, [entry.ledger_key for entry in entries])
    with syncing.run.target.begin(syncing.run.spec, write=False) as tx:
        found = written_before(tx, keys, entries, syncing.terms.shape)
    if found:
        _applied(syncing, found)
    return {entry.id for entry in found}


def _applied(syncing: Syncing, entries: Sequence[Entry]) -> None:
    losers = [lost_to(entry, syncing.run_id) for entry in entries]
    syncing.store.mark_applied(entries, syncing.run_id, losers)


def _look_again(syncing: Syncing) -> None:
    """Read both sides of stale conflicts: whoever found them stale died before it could queue what
    the sides hold now.
    """
    name = syncing.run.name
    stale = syncing.store.conflicts(mapping=name, state=State.STALE, limit=1_000_000)
    for start in range(0, len(stale), BATCH):
        part = stale[start : start + BATCH]
        gone = {entry.ledger_key for entry in part if entry.kind is Kind.UPDATE_DELETE}
        for batch in reread(syncing, [entry.ledger_key for entry in part], may_be_gone=gone):
            outcome = syncing.transact(lambda tx, batch=batch: settle(tx, batch, syncing.terms))
            waits = {one.ledger_key for one in (*outcome.waiting, *outcome.letters)}
            agree = [str(key) for key in batch.ledger_keys.to_pylist() if str(key) not in waits]
            syncing.store.supersede(name, agree, syncing.run_id, "settled without the decision")


def _source_left(syncing: Syncing, entries: Sequence[Entry]) -> None:
    """Decisions on records that the source has no more, where the mapping ignores deletes: there is
    nothing left to settle.
    """
    why = "the source record is gone, and `deletes` is `ignore`"
    syncing.store.mark_stale([entry.id for entry in entries], syncing.run_id, why)
    keys = [entry.ledger_key for entry in entries]
    syncing.store.supersede(syncing.run.name, keys, syncing.run_id, why)


def _write(syncing: Syncing, batch: Batch, entries: Mapping[str, Entry]) -> int:
    stale: list[Entry] = []
    keys = [str(key) for key in batch.ledger_keys.to_pylist()]

    def work(tx: Transaction) -> Outcome:
        stale.clear()
        decided = _still_true(tx, batch, keys, entries, syncing, stale)
        return settle(tx, batch, syncing.terms, decided=decided)

    outcome = syncing.transact(work, before=lambda: _mark_stale(syncing, stale))
    left = {waiting.ledger_key for waiting in outcome.waiting} | {
        letter.ledger_key for letter in outcome.letters
    }
    left |= {entry.ledger_key for entry in stale}
    done = [entries[key] for key in keys if key not in left]
    # After the commit: if we die in between, the next run finds the decision written, and says so.
    _applied(syncing, done)
    _refused_again(syncing, [w for w in outcome.waiting if w.ledger_key in entries], entries, stale)
    waits = {waiting.ledger_key for waiting in outcome.waiting}
    agree = [entry.ledger_key for entry in stale if entry.ledger_key not in waits]
    syncing.store.supersede(syncing.run.name, agree, syncing.run_id, "settled without the decision")
    return len(done)


def _refused_again(
    syncing: Syncing,
    waiting: Sequence[Waiting],
    entries: Mapping[str, Entry],
    stale: Sequence[Entry],
) -> None:
    """Decisions that the target refused as it did the record: open again, with what it says now."""
    known = {entry.ledger_key for entry in stale}
    again = [one for one in waiting if one.ledger_key not in known]
    if again:
        ids = [entries[one.ledger_key].id for one in again]
        syncing.store.mark_stale(ids, syncing.run_id, f"the target refused it: {again[0].reason}")
        syncing.store.queue(again)


def _mark_stale(syncing: Syncing, stale: Sequence[Entry]) -> None:
    if stale:
        ids = [entry.id for entry in stale]
        syncing.store.mark_stale(ids, syncing.run_id, "a side moved after the decision")


def _still_true(
    tx: Transaction,
    batch: Batch,
    keys: Sequence[str],
    entries: Mapping[str, Entry],
    syncing: Syncing,
    stale: list[Entry],
) -> dict[int, Resolution]:
    """The resolutions by row, of the decisions whose two sides are still what the person saw."""
    types = syncing.terms.shape.fields
    seen = see(tx, batch, syncing.terms.shape)
    decided: dict[int, Resolution] = {}
    for row, key in enumerate(keys):
        entry = entries[key]
        here = row not in batch.dead and batch.presence[row] == Presence.HERE
        source = prints_text(batch.prints[row]) if here else "gone"
        target = prints_text(seen.prints[row]) if seen.target[row] else "gone"
        decision = entry.decision
        if decision is None or source != decision.source_prints:
            stale.append(entry)
            continue
        try:
            answer = resolution_of(decision, entry.conflict, batch.values.schema)
            if target == decision.target_prints or holds_already(seen, row, entry, answer, types):
                decided[row] = answer
            else:
                stale.append(entry)
        except InputError as error:
            # One value that does not fit must not stop every later run: it is shown again.
            masked = syncing.terms.masked
            reason = shown_text(str(error), (decision.values,), masked)
            log.warning("a decision can't be written", conflict=entry.id, reason=reason)
            stale.append(entry)
    return decided


def resolution_of(decision: Decision, conflict: Conflict, schema: pa.Schema) -> Resolution:
    """What a person's decision means for the record.

    Raises InputError where a value does not fit its field.
    """
    values = {name: coerced(value, name, schema) for name, value in decision.values.items()}
    return resolution(conflict, replace(decision, values=values))


def coerced(value: Any, name: str, schema: pa.Schema) -> Any:
    """A value as its field's type; a text is read as one.

    Raises InputError where it does not fit.
    """
    if name not in schema.names:
        raise InputError(
            f"{name!r} is not a field of the mapping: it has {', '.join(schema.names)}"
        )
    kind = arrow.type_of(schema, name)
    try:
        return arrow.value(value, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{value!r} does not fit {name!r} ({kind}): {error}") from error


def retry_refused(syncing: Syncing) -> None:
    """Try again, with a fresh read, the records that constraints of the target refused.

    Twice, so that a child whose parent comes with the same retry lands too. What is still refused
    stays in the queue.
    """
    for _ in range(2):
        entries = syncing.store.conflicts(
            mapping=syncing.run.name, state=State.OPEN, kind=Kind.REFUSED, limit=100_000
        )
        if not entries:
            return
        for chunk in _chunks([entry.ledger_key for entry in entries]):
            again(syncing, chunk)


def again(syncing: Syncing, ledger_keys: Sequence[str]) -> None:
    """Read these source records again and settle them."""
    for batch in reread(syncing, ledger_keys, may_be_gone=set()):
        syncing.transact(lambda tx, batch=batch: settle(tx, batch, syncing.terms))


def reread(
    syncing: Syncing, ledger_keys: Sequence[str], *, may_be_gone: set[str]
) -> Iterator[Batch]:
    """The source records of these ledger keys as they are now.

    A key that is not found is gone only if it is in `may_be_gone` (it was proven so before); else
    it is left out: absent is not gone.
    """
    run, shape = syncing.run, syncing.terms.shape
    keys = ledger_keys_of(run, ledger_keys)
    batch, found = records_of(run, shape, keys)
    if batch is not None:
        yield batch
    absent = np.array([key in may_be_gone for key in ledger_keys], np.bool_) & ~found
    if absent.any() and not run.bound.source_info.hides_rows:
        yield gone_of(run, shape, arrow.keep(keys, absent))


def records_of(
    run: Opened,
    shape: Shape,
    keys: pa.Array[Any],
    *,
    mend: Callable[[SourceBatch], SourceBatch] | None = None,
) -> tuple[Batch | None, Mask]:
    """The source's records of these ledger keys as they are now, mapped (None: none is there), and
    which of the keys were found. `mend` changes them before they are mapped.
    """
    found, misfits = run.source.fetch(run.read, decode_key(keys, run.source_key))
    here = np.zeros(len(keys), np.bool_)
    here[found.column(ROW).to_numpy()] = True
    if found.num_rows == 0:
        return None, here
    batch = SourceBatch(found.drop_columns([ROW]), misfits, "")
    batch = batch if mend is None else mend(batch)
    with run.bound.mapper() as mapper:
        mapped = mapper.map(batch)
    return page(batch, mapped, shape, run.source_key, sees_gone=run.sees_gone).batch, here


def gone_of(run: Opened, shape: Shape, keys: pa.Array[Any]) -> Batch:
    """These ledger keys as records that the source has no more."""
    return gone_batch(shape, target_keys(run, decode_key(keys, run.source_key)), keys)


def ledger_keys_of(run: Opened, texts: Sequence[str]) -> pa.Array[Any]:
    """Ledger keys as the ledger of this mapping holds them, from their texts."""
    keys = pa.array(list(texts), pa.string())
    ((_, type_), *more) = run.source_key.items()
    return keys.cast(pa.int64()) if not more and type_.is_integer else keys


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), BATCH):
        yield keys[start : start + BATCH]
