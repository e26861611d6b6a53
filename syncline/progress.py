"""Progress: how far a run is, how fast, how long it has left, and which side is the slow one.

Reading, mapping and writing overlap, so each side's time is counted where its work is done: in the
thread that fetches from the source, in the one that maps, and in the transactions on the target.
The side that was busy longest is the one that the others wait for.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Side = Literal["source", "mapping", "target"]
Work = Literal["source", "mapping", "target", "looking"]
T = TypeVar("T")


@dataclass(slots=True)
class Busy:
    """Seconds that each side has worked. Every side is counted by one thread alone."""

    source: float = 0.0
    mapping: float = 0.0
    target: float = 0.0
    looking: float = 0.0
    """Of the target's: what a second session finds there while the first one writes."""

    @contextmanager
    def of(self, side: Work) -> Generator[None]:
        """Count what is done within as work of this side."""
        began = time.monotonic()
        try:
            yield
        finally:
            setattr(self, side, getattr(self, side) + time.monotonic() - began)

    def getting(self, items: Iterator[T], side: Side) -> Iterator[T]:
        """The items; the time that each takes to come is work of this side."""
        while True:
            with self.of(side):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    def add(self, other: Busy) -> None:
        """Count another's work too: that of a shard's worker."""
        self.source += other.source
        self.mapping += other.mapping
        self.target += other.target
        self.looking += other.looking

    @property
    def slow_side(self) -> Side | None:
        """The side that worked longest; None before any has."""
        times: dict[Side, float] = {
            "source": self.source, "mapping": self.mapping,
            "target": max(self.target, self.looking),
        }  # fmt: skip
        longest = max(times, key=lambda side: times[side])
        return longest if times[longest] > 0 else None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, told after the commit of each batch.

    `read` and `written` count records of this run, `bytes` the size in memory (Arrow) of what was
    read, `seconds` since the run began. `estimate` is how many records the run is expected to read,
    from the catalogue's statistics: None where nothing tells (a delta, a backfill, a view).
    `batches` counts the batches, `busy` the seconds that each side worked, summed over `workers`.
    """

    mapping: str
    read: int
    written: int
    seconds: float
    estimate: int | None
    bytes: int = 0
    batches: int = 0
    busy: Busy = field(default_factory=Busy)
    workers: int = 1

    @property
    def rows_per_second(self) -> float:
        """Records read in a second, on average since the run began."""
        return self.read / self.seconds if self.seconds > 0 else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Bytes read in a second, likewise."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this speed; None where the whole is not known.

        Statistics age: past the estimate it is 0, and the run goes on.
        """
        if not self.estimate or not self.read:
            return None
        return max(0.0, (self.estimate - self.read) / self.rows_per_second)

    @property
    def slow_side(self) -> Side | None:
        """The side that the others wait for."""
        return self.busy.slow_side

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON-ready values: what a log line holds."""
        left = self.seconds_left
        return {
            "mapping": self.mapping,
            "read": self.read,
            "written": self.written,
            "estimate": self.estimate,
            "batches": self.batches,
            "seconds": round(self.seconds, 2),
            "rows_per_second": round(self.rows_per_second),
            "bytes_per_second": round(self.bytes_per_second),
            "seconds_left": None if left is None else round(left, 1),
            "slow_side": self.slow_side,
            "busy_source": round(self.busy.source, 2),
            "busy_mapping": round(self.busy.mapping, 2),
            "busy_target": round(self.busy.target, 2),
            "workers": self.workers,
        }
