"""Decided: what decisions did to their records, and whether that was done already.

A run commits to the target first and tells the control store then. If it dies in between, the
ledger knows: while a conflict waits its baseline stands still, and writing the decision moves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from syncline.baseline import NOT_HELD, SOURCE_GONE, TARGET_GONE, Baselines, prints_of, unpack
from syncline.conflict import Resolution, after
from syncline.errors import InputError
from syncline.review.queue import result
from syncline.settle import prints_text
from syncline.store.model import AuditEntry, Entry

if TYPE_CHECKING:
    from syncline.batch import Seen, Shape
    from syncline.endpoints.base import Transaction
    from syncline.record import Type


def written_before(
    tx: Transaction, keys: pa.Array[Any], entries: Sequence[Entry], shape: Shape
) -> list[Entry]:
    """Those of these decided entries that a run has written, which died before it could say so.

    `keys` are their ledger keys. Without a ledger nobody knows: none.
    """
    if not shape.ledger:
        return []
    rows = tx.ledger_fetch(keys)
    b = unpack(rows, len(entries), shape.layouts, shape.layout)
    names = list(shape.fields)
    return [entry for row, entry in enumerate(entries) if _moved_by(b, row, entry, names)]


def _moved_by(b: Baselines, row: int, entry: Entry, names: Sequence[str]) -> bool:
    """Whether this decision is what moved the baseline to the source that it was made on."""
    if entry.decision is None or not b.present[row] or b.hold[row] != NOT_HELD:
        return False
    try:
        wanted = result(entry, entry.decision)
    except (InputError, KeyError):
        return False
    if (wanted is None) != bool(b.gone[row] & TARGET_GONE):
        return False
    if entry.source is None:
        return bool(b.gone[row] & SOURCE_GONE)
    if prints_text(b.s[row]) != entry.decision.source_prints:
        return False
    contested = [(j, name) for j, name in enumerate(names) if name in entry.contested]
    came_to_agree = all(b.s[row, j] == b.t[row, j] for j, _ in contested)
    as_source = all((wanted or {}).get(name) == entry.source.get(name) for _, name in contested)
    return as_source or not came_to_agree


def holds_already(
    seen: Seen, row: int, entry: Entry, answer: Resolution, types: Mapping[str, Type]
) -> bool:
    """Whether the target holds just what the decision would leave behind."""
    wanted = after(entry.conflict, answer)
    if wanted is None or not seen.target[row]:
        return wanted is None and not seen.target[row]
    try:
        columns = {name: pa.array([wanted.get(name)], of.arrow) for name, of in types.items()}
        prints = prints_of(pa.table(columns), types)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return False
    return bool((prints[0] == seen.prints[row]).all())


def lost_to(entry: Entry, run_id: str) -> AuditEntry:
    """What the audit log says of a decision: who, why, which side won, and what lost.

    Of a field that got a value of the person's own both sides lost.
    """
    made = entry.decision
    take = "" if made is None else made.take
    given = {} if made is None else {**made.values, **made.sides}
    then = None if made is None else result(entry, made)
    lost: dict[str, Any] = {}
    if then is None or entry.target is None or entry.source is None:
        kept = then is not None and entry.target is not None
        lost = dict((entry.source if kept or take == "target" else entry.target) or {})
    else:
        for name in sorted(entry.contested | given.keys()):
            sides = (entry.source.get(name), entry.target.get(name))
            if then.get(name) in sides:
                lost[name] = sides[1] if then.get(name) == sides[0] else sides[0]
            else:
                lost[name] = {"source": sides[0], "target": sides[1]}
    by, note = (made.user, made.note) if made else ("", "")
    winner = "fields" if given else take
    return AuditEntry(entry.mapping, entry.key, run_id, entry.kind.value, by, winner, lost, note)
