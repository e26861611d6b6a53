"""Read: a source's snapshot, mapped batch by batch, ahead of the writer.

Reading, mapping and writing overlap: each stage runs in a thread of its own, at most `DEPTH`
batches ahead of the next, so that memory is bounded by the batch size.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa

from syncline import arrow
from syncline.baseline import encode_key
from syncline.batch import Batch, Seen, Shape
from syncline.classify import Presence
from syncline.endpoints.base import SourceBatch
from syncline.look import Look
from syncline.mapping.mapper import Mapped, Mapper
from syncline.progress import Busy
from syncline.record import Misfit, Type

DEPTH: Final = 1
"""One batch waits while another is made and a third is used; a second one would cost 60 MB more."""
UNSETTLED: Final = DEPTH + 1
"""So many pages before the one looked at may not be committed yet: the one that is being settled,
and the one that waits.
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """One mapped batch and the position just past it."""

    batch: Batch
    position: str
    read: int
    bytes: int
    gone: pa.Array[Any] | None = None
    """Ledger keys that the read itself says are gone."""

    seen: Seen | None = None
    """What target and ledger hold for it, where that is known already."""


class _End:
    """Marks the end of a stage, with the error that ended it."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterator[T], name: str) -> Iterator[T]:
    """The items, produced by a thread that works up to `DEPTH` of them ahead.

    An error of the producer is raised here, in its place. Closing the generator ends the thread.
    """
    ready: queue.Queue[T | _End] = queue.Queue(DEPTH)
    stop = threading.Event()

    def put(item: T | _End) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(_End())
        except BaseException as error:  # noqa: BLE001 carried to the consumer, whatever it is
            put(_End(error))

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(produce,), name=name, daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        thread.join()


def pages(
    batches: Iterator[SourceBatch],
    mapper: Mapper,
    shape: Shape,
    source_key: Mapping[str, Type],
    *,
    sees_gone: bool,
    compared: bool = True,
    busy: Busy | None = None,
    look: Look | None = None,
) -> Iterator[Page]:
    """The batches of a read, mapped ahead of their consumer; fingerprinted too if `compared`, and
    looked at if there is a `look`.

    `busy` counts the time that reading, mapping and looking take.
    """
    busy = busy or Busy()

    def mapped() -> Iterator[Page]:
        for batch in ahead(busy.getting(batches, "source"), "read"):
            with busy.of("mapping"):
                one = page(batch, mapper.map(batch), shape, source_key, sees_gone=sees_gone)
                if compared:
                    _ = one.batch.prints  # here, while the writer writes the batch before
            yield one

    def looked(look: Look) -> Iterator[Page]:
        for one in ahead(mapped(), "map"):
            with busy.of("looking"):
                seen = look(one.batch)
            yield replace(one, seen=seen)

    yield from ahead(looked(look), "look") if look else ahead(mapped(), "map")


def page(
    read: SourceBatch,
    mapped: Mapped,
    shape: Shape,
    source_key: Mapping[str, Type],
    *,
    sees_gone: bool,
) -> Page:
    """One mapped batch.

    With `sees_gone` a record outside `where` is gone, else it is unknown.
    """
    presence = np.where(
        mapped.in_scope, Presence.HERE, Presence.GONE if sees_gone else Presence.UNKNOWN
    )
    dead = {
        misfit.row: misfit for misfit in reversed(mapped.misfits) if mapped.in_scope[misfit.row]
    }
    ledger_keys = encode_key(mapped.source.select(list(source_key)), source_key)
    if ledger_keys.null_count:
        unread = {m.row: m for m in reversed(mapped.misfits) if m.field in source_key}
        for row in map(int, np.flatnonzero(ledger_keys.is_null().to_numpy(zero_copy_only=False))):
            null = Misfit(row, next(iter(source_key)), "the key is null", "null")
            dead[row] = unread.get(row, null)
    presence[list(dead)] = Presence.UNKNOWN
    batch = Batch(
        mapped.keys,
        ledger_keys,
        mapped.fields,
        shape.fields,
        presence.astype(np.int8),
        mapped.source,
        dead,
    )
    batch = _without_doubles(batch)
    gone = encode_key(read.gone, source_key) if read.gone is not None else None
    return Page(batch, read.position, read.records.num_rows, read.records.nbytes, gone)


def _without_doubles(batch: Batch) -> Batch:
    """Each target key once.

    The same record read twice counts as its last reading; another record is a dead letter.
    """
    if not arrow.all_differ(arrow.table({"k": batch.ledger_keys})):
        # What has no key, or one that can't be read, is no other's double.
        keys = batch.ledger_keys.to_pylist()
        last = {(key, row if key is None else -1): row for row, key in enumerate(keys)}
        batch = batch.take(np.array(sorted(last.values()), np.intp))
    if arrow.all_differ(batch.keys):
        return batch
    columns = [batch.keys.column(name) for name in batch.keys.column_names]
    first: dict[tuple[object, ...], int] = {}
    dead = dict(batch.dead)
    presence = batch.presence.copy()
    for row, key in enumerate(zip(*(column.to_pylist() for column in columns), strict=True)):
        if row in dead or first.setdefault(key, row) == row:
            continue
        dead[row] = Misfit(
            row,
            batch.keys.column_names[0],
            "another source record maps to the same target key",
            str(key),
        )
        presence[row] = Presence.UNKNOWN
    if len(dead) == len(batch.dead):
        return batch
    return Batch(
        batch.keys, batch.ledger_keys, batch.values, batch.types, presence, batch.source, dead
    )
