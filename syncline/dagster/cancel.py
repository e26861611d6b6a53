"""Cancel: a run that is asked to end does so between two batches, on whatever executor."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import dagster as dg

POLL_SECONDS: Final = 2.0
"""How often a run asks Dagster whether it was canceled."""

_ENDING: Final = frozenset({dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED})
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_ASKED: Final[dict[str, threading.Event]] = {}
"""The runs of this process; once one is asked to end, so do all mappings that it runs."""


@contextmanager
def asked_to_end(instance: dg.DagsterInstance, run_id: str) -> Generator[Callable[[], bool]]:
    """Hold interrupts back for as long as this is open; gives what says whether the run should end.

    Dagster raises an interrupt at any point of a run, so the first one is only noted. A second one
    goes through.
    """
    asked = _ASKED.setdefault(run_id, threading.Event())
    next_poll = 0.0

    def should_end() -> bool:
        # An executor on other machines sends no signal: there only the status tells.
        nonlocal next_poll
        if not asked.is_set() and time.monotonic() >= next_poll:
            run = instance.get_run_by_id(run_id)
            if run is not None and run.status in _ENDING:
                asked.set()
            next_poll = time.monotonic() + POLL_SECONDS
        return asked.is_set()

    with _interrupts_noted(asked):
        yield should_end


@contextmanager
def _interrupts_noted(asked: threading.Event) -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # signals belong to the main thread
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            if handler is not None:  # one that was not set from Python can't be set again
                signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            restore()
            signal.raise_signal(number)
        asked.set()

    for number in _SIGNALS:
        signal.signal(number, note)
    try:
        yield
    finally:
        restore()
