"""The writer: brings decisions to the target in the background, some seconds after they were made.

The seconds are for taking a decision back, and so that a hundred decisions are one transaction and
not a hundred. Nothing depends on it: what it does not write, the next run of the mapping does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from syncline.errors import LeaseHeld, SynclineError
from syncline.log import redacted

if TYPE_CHECKING:
    from syncline.project import Project

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")

BUSY_SECONDS: Final = 15.0
"""How long until it tries again where a run holds the lease."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """How the last attempt of a mapping ended; `error` is empty where it went well."""

    at: datetime
    landed: int
    error: str = ""
    hint: str = ""


class Writer:
    """A thread that writes decisions; made by the app when it starts, ended with it.

    `after` are the seconds between the last decision of a mapping and its writing. `told` is called
    after every attempt, from the thread.
    """

    def __init__(
        self, project: Project, after: float, told: Callable[[], None] = lambda: None
    ) -> None:
        self.project, self.after, self.told = project, after, told
        self.last: dict[str, Wrote] = {}
        self._due: dict[str, float] = {}
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, patience: float = 30.0) -> None:
        """Write nothing more; waits for what is being written."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(patience)

    def soon(self, mapping: str) -> None:
        """Something of this mapping was decided: write it when nothing more comes for a while."""
        self._at(mapping, self.after)

    def now(self, mapping: str) -> None:
        """Write what is decided of this mapping without waiting."""
        self._at(mapping, 0.0)

    def seconds_left(self, mapping: str) -> float | None:
        """How long until the decisions of a mapping are written; None where nothing is due."""
        with self._changed:
            due = self._due.get(mapping)
        return None if due is None else max(0.0, due - time.monotonic())

    def _at(self, mapping: str, seconds: float) -> None:
        with self._changed:
            self._due[mapping] = time.monotonic() + seconds
            self._changed.notify_all()

    def _work(self) -> None:
        while (mapping := self._next()) is not None:
            self._write(mapping)
            self.told()

    def _next(self) -> str | None:
        with self._changed:
            while not self._ending:
                now = time.monotonic()
                first = min(self._due, key=self._due.__getitem__, default=None)
                if first is not None and self._due[first] <= now:
                    del self._due[first]
                    return first
                self._changed.wait(None if first is None else self._due[first] - now)
        return None

    def _write(self, mapping: str) -> None:
        from syncline.decide import apply_decisions

        now = datetime.now(UTC)
        try:
            self.last[mapping] = Wrote(now, apply_decisions(self.project, mapping))
        except LeaseHeld as error:  # that run writes them as it ends; if it fails, we do
            self.last[mapping] = Wrote(now, 0, redacted(str(error)), error.hint)
            self._again(mapping)
        except SynclineError as error:
            self.last[mapping] = Wrote(now, 0, redacted(str(error)), redacted(error.hint))
            log.warning("decisions could not be written", mapping=mapping, error=str(error))
        except Exception as error:
            text = redacted(f"{type(error).__name__}: {error}")
            self.last[mapping] = Wrote(now, 0, text)
            log.exception("decisions could not be written", mapping=mapping)

    def _again(self, mapping: str) -> None:
        with self._changed:
            self._due.setdefault(mapping, time.monotonic() + BUSY_SECONDS)
