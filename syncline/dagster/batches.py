"""Batches: how far a run is, told to Dagster as it goes: a line of its log and an event each.

The event is an observation of the run's asset, whose numbers the asset's page plots and GraphQL
gives. Their names begin with `progress_`, so that they are not plotted among what whole runs did.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from syncline.dagster.metadata import progress_line

if TYPE_CHECKING:
    from syncline.progress import Progress

    Context = dg.AssetExecutionContext | dg.OpExecutionContext

ALL: Final = 20
"""So many batches have a line each; of those after them, one a second."""
SECONDS: Final = 1.0
"""Ten thousand batches would flood the log."""
FIRST: Final = 5
"""So many batches are an event each; of those after them, one whenever the run took longer by a
fifth: 40 in an hour. Dagster plots an asset's last hundred events, of all its runs.
"""
GROWTH: Final = 1.2


def teller(context: Context, key: dg.AssetKey) -> Callable[[Progress], None]:
    """What tells the batches of a run of this asset, given its progress after each."""
    lines, last, events, due = 0, 0.0, 0, 0.0

    def tell(at: Progress) -> None:
        nonlocal lines, last, events, due
        line, now = progress_line(at), time.monotonic()
        if lines < ALL or now - last >= SECONDS:
            lines, last = lines + 1, now
            context.log.info(line)
        if events < FIRST or at.seconds >= due:
            events, due = events + 1, at.seconds * GROWTH
            context.log_event(dg.AssetObservation(key, description=line, metadata=numbers(at)))

    return tell


def numbers(at: Progress) -> dict[str, Any]:
    """How far a run is, as metadata: whole records, and seconds and bytes as such."""
    found: dict[str, Any] = {
        "progress_read": at.read,
        "progress_written": at.written,
        "progress_batches": at.batches,
        "progress_rows_per_second": round(at.rows_per_second, 1),
        "progress_bytes_per_second": round(at.bytes_per_second, 1),
    }
    if (left := at.seconds_left) is not None:
        found["progress_seconds_left"] = round(left, 1)
    if at.slow_side is not None:
        found["progress_slow_side"] = at.slow_side
    return found
