"""Gate: the way to one database, shared by every run of this process.

It is a circuit breaker (Nygard, "Release It!", 2007) that is only ever half open after a loss: of
all the runs that have lost a database, one at a time asks whether it is back, and the others wait
for its answer. So a server that starts again is not met by every run at once. Each process has
gates of its own: they need no place to meet, which could be down as well.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from syncline.errors import Unreachable

FIRST_WAIT: Final = 0.1
LONGEST_WAIT: Final = 5.0
"""Seconds from one probe that failed to the next: doubled from the first to the longest."""


class Gate:
    """The way to one database. Safe for threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._probing = False
        self._passed = 0
        self._failed_in_a_row = 0
        self._not_before = 0.0

    def wait(self, probe: Callable[[], object], until: float) -> None:
        """Come back once the database answers `probe`, or another run's; `until` is a time of
        `time.monotonic`.

        Raises Unreachable where it did not by then; what else a probe raises is raised to its run.
        """
        while self._may_probe(until):
            if self._answers(probe, until):
                return

    def _may_probe(self, until: float) -> bool:
        """Whether it is ours to ask; else another run's probe has passed since we came."""
        with self._changed:
            passed = self._passed
            while self._probing or time.monotonic() < self._not_before:
                if self._passed > passed:
                    return False
                now = time.monotonic()
                if now >= until:
                    raise Unreachable("the database has not answered in time")
                wake = until if self._probing else min(until, self._not_before)
                self._changed.wait(max(0.0, wake - now))
            if self._passed > passed:
                return False
            self._probing = True
            return True

    def _answers(self, probe: Callable[[], object], until: float) -> bool:
        try:
            probe()
        except Unreachable:
            self._told(lost=True)
            if time.monotonic() >= until:
                raise
            return False
        except BaseException:
            self._told(lost=False)
            raise
        self._told(lost=False, passed=True)
        return True

    def _told(self, *, lost: bool, passed: bool = False) -> None:
        with self._changed:
            self._probing = False
            self._failed_in_a_row = self._failed_in_a_row + 1 if lost else 0
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(self._failed_in_a_row - 1, 10))
            self._not_before = time.monotonic() + wait if lost else 0.0
            self._passed += passed
            self._changed.notify_all()


_gates: dict[str, Gate] = {}
_making = threading.Lock()


def gate_to(database: str) -> Gate:
    """The gate to a database, by whatever tells it from others in this process."""
    with _making:
        return _gates.setdefault(database, Gate())
