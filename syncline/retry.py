"""Retries: what may pass is tried again, with back-off and jitter, until it has failed too long."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from syncline.errors import SynclineError, Transient, Unreachable
from syncline.gate import Gate
from syncline.log import redacted

_T = TypeVar("_T")
_MOST_TRANSIENT: Final = 6
"""A transaction that is lost to others so often in a row is lost to more than chance."""
_LONGEST_WAIT: Final = 5.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")


class Patience:
    """How long the failures of one run may last.

    A connection that was lost is tried again for `seconds` after its first failure. What succeeds
    in the end is forgotten, and so is all of it once there was progress (`progressed`): a long run
    survives many outages, but not one that comes back at the same place each time. A deadlock or a
    serialization failure is tried again a few times in a row. What can't pass (a refused login, a
    missing table) is not tried again. Waits grow from 0.1 s to 5 s, each a random part of that
    ("full jitter"; Brooker, "Exponential Backoff And Jitter", 2015). After a lost connection the
    next try waits behind the `gates` of the run's databases, each with what asks whether that one
    is there: of many runs in a process, one at a time asks.
    """

    def __init__(
        self, seconds: float, gates: Sequence[tuple[Gate, Callable[[], object]]] = ()
    ) -> None:
        self._seconds, self._gates = seconds, gates
        self._since: float | None = None

    def progressed(self) -> None:
        """The run is further than it ever was: the next failure is a new one."""
        self._since = None

    def call(self, work: Callable[[], _T]) -> _T:
        """What `work` gives, once it does. Raises the last failure where patience is at an end.

        May be nested: the outer call's count goes on while an inner one succeeds.
        """
        before = self._since
        retrying = Retrying(
            retry=retry_if_exception_type((Transient, Unreachable)),
            stop=self._ended,
            wait=wait_random_exponential(multiplier=0.1, max=_LONGEST_WAIT),
            before_sleep=_say,
            sleep=self._sleep,
            reraise=True,
        )
        done = retrying(work)
        if before is None:
            self._since = None
        return done

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)
        if self._since is None:  # a transaction was lost, not a connection
            return
        for gate, probe in self._gates:
            gate.wait(probe, self._since + self._seconds)

    def _ended(self, state: RetryCallState) -> bool:
        if isinstance(_failure(state), Transient):
            return state.attempt_number >= _MOST_TRANSIENT
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        return now - self._since >= self._seconds


AT_ONCE: Final = Patience(0)
"""For what is lost to other transactions, and waits for no lost connection."""


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _say(state: RetryCallState) -> None:
    failure = _failure(state)
    log.warning(
        "lost; trying again",
        reason=redacted(str(failure)) if isinstance(failure, SynclineError) else "",
        attempt=state.attempt_number,
        wait=round(state.next_action.sleep, 2) if state.next_action else 0,
    )
