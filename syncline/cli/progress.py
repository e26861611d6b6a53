"""A run's progress on a terminal; and the first Ctrl-C, which ends it well."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from syncline.cli.command import note

if TYPE_CHECKING:
    from syncline.sync import Progress

Report = Callable[["Progress"], None]


@contextmanager
def bar(label: str) -> Generator[Report | None]:
    """Show a bar on stderr while the block runs; gives None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=None, speed="")

        def report(at: Progress) -> None:
            speed = f"{at.read / at.seconds:,.0f} rows/s" if at.seconds else ""
            # An estimate is one: a table may hold more rows than its statistics say.
            total = max(at.estimate, at.read) if at.estimate else None
            shown.update(task, completed=at.read, total=total, speed=speed)

        yield report


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
