"""Dead letters in people's hands: replayed with their values in the place of the source's own, and
who did what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from syncline.errors import InputError
from syncline.store.model import AuditEntry

if TYPE_CHECKING:
    import pyarrow as pa

    from syncline.endpoints.base import SourceBatch
    from syncline.project import Project
    from syncline.run import Opened
    from syncline.store.model import DeadLetter
    from syncline.sync import RunSummary, Syncing


def replay_mended(project: Project, letter: DeadLetter, texts: Mapping[str, str]) -> RunSummary:
    """Read the source of a dead letter again, put these values (as a person types them) in the
    place of its columns' own, and sync it.

    The source keeps what it holds: when the record changes there it is read as it is. Raises
    InputError for a column that is not read, that is of the key, or a value that does not fit;
    LeaseHeld where a run has the lease.
    """
    from syncline.decide import under_lease

    if letter.ledger_key is None:
        message = f"dead letter {letter.id}: its key can't be read, so it can't be found again"
        raise InputError(message, hint=f"mend the source, then: syncline run {letter.mapping}")
    with under_lease(project, letter.mapping, "replay") as syncing:
        values = _values(syncing.run, texts)
        _sync(syncing, letter.ledger_key, values)
        return syncing.summary("replay")


def told_of(
    letters: Iterable[DeadLetter], what: str, user: str, note: str = ""
) -> list[AuditEntry]:
    """What the audit log says of letters that somebody replayed, mended or dropped."""
    return [
        AuditEntry(
            one.mapping, {"record": one.ledger_key or "no key"}, one.run_id, "dead_letter",
            by=user, winner=what, loser={}, note=f"dead letter {one.id}{note and ': '}{note}",
        )
        for one in letters
    ]  # fmt: skip


def _values(run: Opened, texts: Mapping[str, str]) -> dict[str, Any]:
    from syncline.review.typed import typed_value

    values: dict[str, Any] = {}
    for name, text in texts.items():
        type_ = run.read.columns.get(name)
        if type_ is None:
            message = f"{name!r} is not read by the mapping {run.name}"
            raise InputError(message, hint=f"it reads {', '.join(run.read.columns)}")
        if name in run.source_key:
            message = f"{name!r} is of the key, which says which record it is"
            raise InputError(message, hint="mend it in the source")
        values[name] = typed_value(name, str(type_), text)
    return values


def _sync(syncing: Syncing, ledger_key: str, values: Mapping[str, Any]) -> None:
    from syncline.decide import ledger_keys_of, records_of
    from syncline.settle import settle

    batch, _ = records_of(
        syncing.run,
        syncing.terms.shape,
        ledger_keys_of(syncing.run, [ledger_key]),
        mend=lambda read: _mended(read, values),
    )
    if batch is None:
        message = f"the source has no record {ledger_key} any more"
        raise InputError(message, hint="drop the dead letter")
    syncing.transact(lambda tx: settle(tx, batch, syncing.terms))


def _mended(read: SourceBatch, values: Mapping[str, Any]) -> SourceBatch:
    """The one record of a batch with these values in the place of its own."""
    from dataclasses import replace

    from syncline import arrow

    records: pa.Table = read.records
    for name, value in values.items():
        at = records.column_names.index(name)
        column = arrow.array([value], arrow.type_of(records, name))
        records = records.set_column(at, name, column)
    misfits = tuple(one for one in read.misfits if one.field not in values)
    return replace(read, records=records, misfits=misfits)
