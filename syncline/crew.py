"""Crew: the worker processes of this machine that bring the shards of one run.

A worker is a process, not a thread: what Python does between two calls of a driver holds the
interpreter's lock, and one that is killed takes nothing else along. It opens the mapping once and
brings one shard after the other, as it is told on its standard input, a line of JSON each; on its
standard output it tells each batch, and how the shard ended. Where the run that began it is gone,
its input ends, and it ends after its batch; what it writes then is fenced (`syncline.ledger`).
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import IO, Any, Final

import structlog

from syncline import errors
from syncline.errors import GuardStopped, RunFailed, SynclineError
from syncline.log import Format, Level, current
from syncline.progress import Busy, Progress
from syncline.run import Cancelled

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")

MOST_DEATHS: Final = 2
"""So many workers may die in a run and be replaced: one more, and something kills them all."""
_LOOK: Final = 0.2
_PATIENCE: Final = 60.0
Heard = Callable[[int, Progress], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker has to know of the run."""

    root: str
    mapping: str
    run_id: str
    epoch: int
    batch_size: int | None
    allow: tuple[str, ...]
    log: tuple[Format, Level] = ("json", "warning")


class Worker:
    """One worker process, as its run sees it."""

    def __init__(self, job: Job, events: queue.Queue[tuple[Worker, dict[str, Any] | None]]) -> None:
        self.shard: int | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "syncline.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._events = events
        self.say(asdict(job))
        self._listener = threading.Thread(target=self._listen, name="worker", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def take(self, shard: int) -> None:
        """Give it a shard to bring."""
        self.shard = shard
        self.say({"shard": shard})

    def say(self, message: dict[str, Any]) -> None:
        """Write it a line; one that is dead is heard of otherwise."""
        with suppress(OSError, ValueError):
            write(self._process.stdin, message)

    def dismiss(self) -> None:
        """There is nothing more to do, or it is to stop after its batch."""
        with suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def end(self) -> None:
        """Wait until it has ended, and make it end where it does not."""
        self.dismiss()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _listen(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                with suppress(ValueError):  # one that was killed may leave half a line
                    self._events.put((self, json.loads(line)))
        self._events.put((self, None))


def write(to: IO[bytes] | None, message: dict[str, Any]) -> None:
    """Write a message as a line, at once."""
    if to is not None:
        to.write(json.dumps(message).encode() + b"\n")
        to.flush()


class Crew:
    """The workers of one run: they share out its shards; one that dies is replaced, twice."""

    def __init__(
        self, job: Job, count: int, heard: Heard, cancelled: Callable[[], bool] | None
    ) -> None:
        self._job, self._count, self._heard = job, count, heard
        self._cancelled = cancelled or (lambda: False)
        self._events: queue.Queue[tuple[Worker, dict[str, Any] | None]] = queue.Queue()
        self._busy: list[Worker] = []
        self._all: list[Worker] = []
        self._deaths = 0
        self._failure: SynclineError | None = None

    def work(self, shards: Iterable[int]) -> None:
        """Have all these shards brought. Raises the first failure once all workers have ended."""
        self._left = deque(shards)
        try:
            for _ in range(min(self._count, len(self._left))):
                self._add()
            while self._busy:
                self._listen()
        finally:
            for worker in self._all:
                worker.dismiss()
            for worker in self._all:
                worker.end()
        if self._failure is not None:
            raise self._failure

    def _add(self) -> None:
        worker = Worker(replace(self._job, log=current()), self._events)
        self._all.append(worker)
        self._busy.append(worker)
        worker.take(self._left.popleft())

    def _listen(self) -> None:
        if self._failure is None and self._cancelled():
            self._stop(Cancelled("cancelled", hint="run it again to go on from there"))
        try:
            worker, message = self._events.get(timeout=_LOOK)
        except queue.Empty:
            return
        if message is None:
            self._ended(worker)
        elif message["event"] == "batch":
            self._heard(message["shard"], progress_of(message["progress"]))
        elif message["event"] == "done":
            self._next(worker)
        else:
            worker.shard = None
            self._stop(failure_of(message))

    def _next(self, worker: Worker) -> None:
        worker.shard = None
        if self._left and self._failure is None:
            worker.take(self._left.popleft())
        else:
            worker.dismiss()

    def _ended(self, worker: Worker) -> None:
        if worker in self._busy:
            self._busy.remove(worker)
        worker.end()  # while it is not waited for, its process id says that it lives
        if worker.shard is None or self._failure is not None:
            return
        self._deaths += 1
        self._left.append(worker.shard)
        if self._deaths > MOST_DEATHS:
            self._stop(
                RunFailed(
                    f"{self._deaths} workers of {self._job.mapping} were killed",
                    hint="is there memory for so many? --workers; the next run goes on from there",
                )
            )
            return
        log.warning("a worker was killed; another takes its shard", shard=worker.shard)
        self._add()

    def _stop(self, failure: SynclineError) -> None:
        """Let all end after their batch; the first failure counts."""
        self._failure = self._failure or failure
        for worker in self._all:
            worker.dismiss()


def progress_of(told: dict[str, Any]) -> Progress:
    """A worker's progress, as it told it."""
    values: dict[str, Any] = {**told, "busy": Busy(**told["busy"])}
    return Progress(**values)


def failure_of(message: dict[str, Any]) -> SynclineError:
    """The error that a worker told, as what it was."""
    text, hint = message["message"], message["hint"]
    if message["error"] == "GuardStopped":
        return GuardStopped(message["reason"], text, hint=hint)
    if message["error"] == "Cancelled":
        return Cancelled(text, hint=hint)
    kind = getattr(errors, message["error"], RunFailed)
    plain = (
        isinstance(kind, type) and issubclass(kind, SynclineError) and "__init__" not in vars(kind)
    )
    return kind(text, hint=hint) if plain else errors.InputError(text, hint=hint)
