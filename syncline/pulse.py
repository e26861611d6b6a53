"""Pulse: what a run can do nothing about, and says: a horizon that stands still, clocks that are
off.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from syncline import arrow
from syncline.errors import SynclineError
from syncline.ledger import Document

if TYPE_CHECKING:
    from syncline.endpoints.base import Holder, Pulse, SourceBatch
    from syncline.run import Opened

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")

STILL: Final = timedelta(minutes=5)
"""How long a horizon may stand still without a word, where the mapping has no `max_lag`."""
OFF: Final = timedelta(minutes=1)
"""Clocks differ by less on any machine that keeps time."""
_CLOCKS: Final = frozenset({"timestamp", "timestamptz", "date"})


class Watch:
    """Looks at a run's source: its clock and its horizon once, and the cursors that it reads."""

    def __init__(self, run: Opened, document: Document) -> None:
        self._run = run
        self._checkpoint = document.checkpoint
        self._pulse = self._taken()
        self._here = datetime.now(UTC)
        self._largest: datetime | None = None

    def _taken(self) -> Pulse | None:
        since = self._checkpoint.position if self._checkpoint else None
        try:
            return self._run.source.pulse(self._run.read, since)
        except SynclineError:
            return None  # the read says what is wrong, if it needs the same

    def over(self, batches: Iterator[SourceBatch]) -> Iterator[SourceBatch]:
        """The same batches; the largest value of a cursor that is a time is noted."""
        read = self._run.read
        cursor = read.cursor
        if self._pulse is None or read.by != "timestamp" or cursor is None:
            return batches
        if read.columns[cursor].name not in _CLOCKS:
            return batches
        return self._noted(batches, cursor)

    def _noted(self, batches: Iterator[SourceBatch], cursor: str) -> Iterator[SourceBatch]:
        for batch in batches:
            largest = _instant(arrow.largest(batch.records.column(cursor)))
            if largest is not None and (self._largest is None or largest > self._largest):
                self._largest = largest
            yield batch

    def warnings(self) -> tuple[str, ...]:
        """What is to be said, one sentence each; a statement that helps stands at its end."""
        pulse, read = self._pulse, self._run.read
        told = list(self._run.bound.warnings)
        if pulse is None:
            return tuple(told)
        if pulse.holder is not None:
            told += self._stands_still(pulse.holder, pulse.clock)
        if read.by == "timestamp":
            told += skew_told(pulse.clock, self._here)
            if self._largest is not None and self._largest > pulse.clock + OFF:
                told.append(
                    f"the cursor {read.cursor} is ahead of the source's clock: the latest is "
                    f"{_shown(self._largest)}, the clock was at {_shown(pulse.clock)}; whoever set "
                    "it has a clock that is off, and what is set by clocks that are behind is "
                    f"missed: look with: syncline verify {self._run.name}"
                )
        return tuple(told)

    def _stands_still(self, holder: Holder, clock: datetime) -> Iterator[str]:
        since = holder.since
        if since is None and self._checkpoint is not None:
            since = datetime.fromisoformat(self._checkpoint.synced_at)
        if since is None or clock - since < (self._run.mapping.max_lag or STILL):
            return
        yield (
            f"the horizon stands still since {_shown(since)}, so that each delta reads again what "
            f"was committed since: {holder.who}, has a transaction open; to end it: "
            f"{holder.ends_by}"
        )

    def say(self) -> tuple[str, ...]:
        """Log the warnings; gives them too."""
        told = self.warnings()
        for each in told:
            log.warning(each)
        return told


def skew_told(clock: datetime, here: datetime) -> Iterator[str]:
    """The sentence about a source whose clock is not this machine's."""
    off = clock - here
    if abs(off) > OFF:
        where = "ahead of" if off > timedelta() else "behind"
        yield (
            f"the source's clock is {abs(off).total_seconds():.0f} s {where} this machine's: one "
            "of the two is off, and what is set by a clock behind the source's is missed"
        )


def _instant(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None


def _shown(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(" ", "seconds")
