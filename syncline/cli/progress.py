"""A run's progress, as a live line on a terminal or as log lines elsewhere; and the first Ctrl-C,
which ends it well.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from syncline.cli.command import note

if TYPE_CHECKING:
    from syncline.progress import Progress

Report = Callable[["Progress"], None]

_WIDE: Final = 110
"""Columns of a terminal that has room for all that is told."""
LOG_EVERY: Final = 10.0
"""Seconds between two log lines of a run whose stderr is no terminal."""


@contextmanager
def bar(label: str, *, every: float = LOG_EVERY) -> Generator[Report]:
    """Show how a run goes while the block runs: live on a terminal, else by a log line at times."""
    if sys.stderr.isatty():
        with _live(label) as report:
            yield report
        return
    yield _lines(every)


def _lines(every: float) -> Report:
    """Logs at most one line in `every` seconds; a run shorter than that has none."""
    import structlog

    log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")
    last = time.monotonic()

    def report(at: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            log.info("progress", **at.as_dict())

    return report


@contextmanager
def _live(label: str) -> Generator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    wide = console.width >= _WIDE
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20 if wide else 10),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
    )
    with Bar(*columns, console=console, transient=True) as shown:
        task = shown.add_task(label, total=None, speed="")

        def report(at: Progress) -> None:
            # An estimate is one: a table may hold more rows than its statistics say.
            total = max(at.estimate, at.read) if at.estimate else None
            shown.update(task, completed=at.read, total=total, speed=speed_of(at, short=not wide))

        yield report


def speed_of(at: Progress, *, short: bool = False) -> str:
    """How fast a run goes, for a person: `81,200 rows/s, 9.5 MB/s, 12 s left, slow: target`; in
    `short` rows and time alone.
    """
    if not at.read:
        return ""
    parts = [f"{at.rows_per_second:,.0f} rows/s"]
    if at.bytes and not short:
        parts.append(f"{at.bytes_per_second / 1e6:,.1f} MB/s")
    if at.seconds_left is not None:
        parts.append(f"{_duration(at.seconds_left)} left")
    if at.slow_side is not None and not short:
        parts.append(f"slow: {at.slow_side}")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


@contextmanager
def stoppable() -> Generator[Callable[[], bool]]:
    """Within the block the first Ctrl-C (or SIGTERM) ends the run after its batch, the second now.

    Gives the question that the run asks: was it told to end?
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(_number: int, _frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        note("ending after this batch; once more to end at once")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
