"""Backfill: a range of a source, in chunks that are runs of their own; what is done is remembered.

A chunk is `[start, end)`. The control store knows the chunks that are done, so that the same
command goes on where it stopped; the delta's checkpoint is left alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, Protocol

from syncline.endpoints.base import Range
from syncline.errors import InputError, LeaseHeld
from syncline.mapping.backfill import CHUNKS, Backfill
from syncline.store import Chunk, Store

if TYPE_CHECKING:
    from syncline.project import Project
    from syncline.sync import RunOptions, RunSummary

By = Literal["cursor", "key"]


class Wanted(Protocol):
    """A backfill: its chunks, and the words that the control store remembers those by."""

    @property
    def by(self) -> By:
        """What the chunks are of."""
        ...

    @property
    def words(self) -> str:
        """The same words again go on with the chunks that are not done."""
        ...

    def chunks(self) -> list[Chunk]:
        """The chunks, in order. Raises InputError where there are none."""
        ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """Chunks that somebody chose, as in Dagster's UI."""

    by: By
    words: str
    chosen: tuple[Chunk, ...]

    def chunks(self) -> list[Chunk]:
        """Those that were chosen."""
        return list(self.chosen)


@dataclass(frozen=True, slots=True)
class Declared:
    """The backfill that a mapping declares, up to now: what time adds to it is done next."""

    declared: Backfill
    now: datetime

    @property
    def by(self) -> By:
        """What the chunks are of."""
        return self.declared.by

    @property
    def words(self) -> str:
        """Without the end, which moves with time."""
        return repr(("declared", self.by, self.declared.from_, self.declared.every))

    def chunks(self) -> list[Chunk]:
        """The windows or ranges. Raises InputError where not one of them is over yet."""
        every = self.declared.every
        chunk = CHUNKS[every] if isinstance(every, str) else str(every)
        return Asked(self.by, str(self.declared.from_), self.declared.end(self.now), chunk).chunks()


_STEP: Final = re.compile(r"^(\d+)\s*(m|h|d|w|mo|y)$")
_SECONDS: Final = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST_WAIT: Final = 600.0
_LOOK: Final = 0.2
_WAVE: Final = 4
"""Chunks of a wave for each worker."""
_MOST_CHUNKS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A backfill as it was asked for: the same words again go on with the same chunks."""

    by: By
    start: str | None
    end: str | None
    chunk: str | None = None

    @property
    def words(self) -> str:
        """What the control store remembers the chunks by."""
        return repr((self.by, self.start, self.end, self.chunk))

    def chunks(self) -> list[Chunk]:
        """The chunks, in order. Raises InputError where the range can't be cut so."""
        if self.chunk is None:
            return [Chunk(self.start, self.end)]
        if self.start is None or self.end is None:
            message = "chunks need both ends of the range"
            raise InputError(message, hint="give --from and --to, or leave --chunk out")
        cut = _by_number if self.chunk.isdigit() else _by_time
        found = [Chunk(*pair) for pair in cut(self.start, self.end, self.chunk)]
        if not found:
            message = f"the range from {self.start} to {self.end} is empty"
            raise InputError(message, hint="--to is later than --from, and not part of the range")
        return found


def _by_number(start: str, end: str, chunk: str) -> Iterator[tuple[str, str]]:
    try:
        low, high, step = int(start), int(end), int(chunk)
    except ValueError as error:
        message = f"chunks of {chunk} cut whole numbers, not {start} to {end}"
        raise InputError(message, hint="--chunk 1d cuts days, 1mo months") from error
    _check_count((high - low) / step if step else float("inf"))
    for at in range(low, high, step):
        yield str(at), str(min(at + step, high))


def _by_time(start: str, end: str, chunk: str) -> Iterator[tuple[str, str]]:
    match = _STEP.match(chunk)
    if match is None or int(match[1]) == 0:
        message = f"{chunk!r} is no length of a chunk"
        raise InputError(message, hint="a number of keys, or 30m, 6h, 1d, 1w, 1mo, 1y")
    low, high = instant(start), instant(end)
    written = _writer(start, end)
    ends = list(_steps(low, high, int(match[1]), match[2]))
    return iter([(written(a), written(b)) for a, b in zip([low, *ends], ends, strict=False)])


def _steps(low: datetime, high: datetime, count: int, unit: str) -> Iterator[datetime]:
    """The ends of the chunks: `high` is the last."""
    if unit in _SECONDS:
        _check_count((high - low).total_seconds() / (count * _SECONDS[unit]))
    at, step = low, 0
    while at < high:
        step += 1
        at = min(high, _after(low, count * step, unit))
        yield at


def _after(low: datetime, count: int, unit: str) -> datetime:
    if unit in _SECONDS:
        return low + timedelta(seconds=count * _SECONDS[unit])
    months = low.month - 1 + count * (12 if unit == "y" else 1)
    first = low.replace(year=low.year + months // 12, month=months % 12 + 1, day=1)
    next_month = (first + timedelta(days=31)).replace(day=1)
    last_day = (next_month - timedelta(days=1)).day  # the 31st becomes the 30th, and back
    return first.replace(day=min(low.day, last_day))


def _check_count(count: float) -> None:
    if count > _MOST_CHUNKS:
        message = f"that would be more than {_MOST_CHUNKS:,} chunks"
        raise InputError(message, hint="give a longer --chunk")


def instant(text: str) -> datetime:
    """An instant as a person writes it; UTC where it has no offset. Raises InputError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is no instant"
        raise InputError(message, hint="2026-01-31 or 2026-01-31T06:00:00Z") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _writer(*given: str) -> Callable[[datetime], str]:
    """Bounds in the manner given: a date stays a date, so that a date column can take it."""
    dates = all(re.fullmatch(r"\d{4}-\d\d-\d\d", text) for text in given)

    def written(at: datetime) -> str:
        if dates and at.time() == datetime.min.time():
            return at.date().isoformat()
        return at.isoformat()

    return written


def backfill(
    project: Project,
    name: str,
    asked: Wanted,
    options: RunOptions,
    *,
    workers: int = 1,
    restart: bool = False,
) -> Iterator[tuple[Chunk, RunSummary]]:
    """Run the chunks that are not done, each with the summary of its run.

    With `restart` all are run again. Several workers bring a wave of chunks at once under one
    lease; between two waves others may have it. Raises what a run raises: chunks done before that
    stay done.
    """
    with Store.open(project.store_url) as store:
        if restart:
            store.forget_chunks(name, asked.words)
        left = store.chunks_left(name, asked.words, asked.chunks())
        alone = left if workers == 1 else left[:1]  # it makes a target table that is missing
        waves = [left[at : at + workers * _WAVE] for at in range(1, len(left), workers * _WAVE)]
        for chunk in alone:
            summary = _run(project, name, window_of(asked.by, chunk), options)
            store.chunk_done(name, asked.words, chunk, summary.run_id)
            yield chunk, summary
        for chunks in waves if workers > 1 else ():
            windows = [window_of(asked.by, chunk) for chunk in chunks]
            done = _wave(project, name, windows, options, workers)
            for chunk, summary in zip(chunks, done, strict=True):
                store.chunk_done(name, asked.words, chunk, summary.run_id)
                yield chunk, summary


def window_of(by: By, chunk: Chunk) -> Range:
    """The range that a chunk is."""
    return Range(by, chunk.start, chunk.end)


def _run(project: Project, name: str, window: Range, options: RunOptions) -> RunSummary:
    from syncline.sync import run

    return run(project, name, replace(options, mode="backfill", window=window))


def _wave(
    project: Project, name: str, windows: Sequence[Range], options: RunOptions, workers: int
) -> Iterator[RunSummary]:
    """A wave, once the lease can be had: a delta may have taken it since the last one."""
    from syncline.wave import wave

    deadline = time.monotonic() + _LONGEST_WAIT
    while True:
        try:
            yield from wave(project, name, windows, options, workers)
        except LeaseHeld:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK)
        else:
            return
