"""Swap: records of the target that hold each other's unique values, written together."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa

from syncline import arrow
from syncline.endpoints.base import ROW, Fetched, Mask, Transaction, Written
from syncline.errors import SynclineError


class _NotAll(SynclineError):
    """One of the records was refused again, or moved: it was no cycle."""


def swap(
    tx: Transaction,
    rows: pa.Table,
    changed: Mapping[str, Mask],
    current: Fetched,
    keys: Collection[str],
    nullable: Collection[str],
) -> bool:
    """Update records that constraints refused one by one: all of them, or none; says whether.

    Each refused another's new value, so their changed fields that may be NULL are first emptied.
    Columns that are no fields keep what they hold, which deleting and inserting would lose.
    `rows`, `changed` and `current` are as for `Transaction.update`.
    """
    together = tx.all_or_nothing()
    emptied = [name for name, mask in changed.items() if mask.any() and name in nullable]
    if together is None or not emptied:
        return False
    try:
        with together:
            _all(tx.update(_without(rows, emptied), {n: changed[n] for n in emptied}, current))
            found = tx.fetch(rows.select(list(keys)))
            order = np.argsort(found.rows.column(ROW).to_numpy())
            _all(tx.update(rows, changed, Fetched(arrow.take(found.rows, order))))
    except _NotAll:
        return False
    return True


def _all(written: Written) -> None:
    if not written.landed.all():
        raise _NotAll("not all of them landed")


def _without(rows: pa.Table, names: Collection[str]) -> pa.Table:
    columns = {name: rows.column(name) for name in rows.column_names}
    empty = {name: arrow.nulls(rows.num_rows, arrow.type_of(rows, name)) for name in names}
    return arrow.table({**columns, **empty})
