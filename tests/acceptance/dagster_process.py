"""Dagster's processes, as `make dev` starts them: webserver, daemon, code server, run workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import pytest

from syncline.testing.servers.process import free_port

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = Path(sys.executable).parent
Found = TypeVar("Found")


class DagsterProcess:
    """Dagster on a project, from this repository's workspace and instance file.

    Its state is kept beside the project, so that it can be started again.
    """

    def __init__(self, project: Path, **environment: str) -> None:
        self.home = project.parent / "dagster_home"
        self.home.mkdir(exist_ok=True)
        shutil.copy(ROOT / "dagster_home" / "dagster.yaml", self.home)
        self.environment = {
            **os.environ,
            "DAGSTER_HOME": str(self.home),
            "SYNCLINE_PROJECT": str(project),
            "PYTHONPATH": str(ROOT),
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            **environment,
        }
        self.output = project.parent / "output"
        self.start()

    def start(self) -> None:
        """Start all of it; it may have run before. `until` waits for what is needed of it."""
        ports = {name: str(free_port()) for name in ("DAGSTER_PORT", "REVIEW_PORT")}
        self.url = f"http://127.0.0.1:{ports['DAGSTER_PORT']}"
        with self.output.open("ab") as file:
            self.process = subprocess.Popen(
                [ROOT / "bin" / "dev"],
                env=self.environment | ports, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        """End all of it, as Ctrl-C does; what has not ended in a minute is killed."""
        started = [self.process.pid, *descendants(self.process.pid)]
        self.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 60
        while self.process.poll() is None or any(map(alive, started[1:])):
            if time.monotonic() > deadline:
                send(signal.SIGKILL, started)
                break
            time.sleep(0.1)
        self.process.wait()

    def kill(self) -> None:
        """End all of it at once, as a power cut does."""
        first = self.process.pid
        # Stopped before, so that none of them starts another meanwhile.
        send(signal.SIGSTOP, [first, *descendants(first)])
        send(signal.SIGKILL, [first, *descendants(first)])
        self.process.wait()

    def until(self, look: Callable[[], Found | None], seconds: float = 300) -> Found:
        """What `look` finds, looked for until it is there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.said()
            try:
                if found := look():
                    return found
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass  # not up yet, or busy
            time.sleep(0.2)
        pytest.fail(f"not there after {seconds} s\n{self.said()}")

    def said(self) -> str:
        """The end of what it printed."""
        return self.output.read_text(errors="replace")[-3000:]


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process started, and those that they started."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(") ")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
        children.setdefault(parent, []).append(int(stat.parent.name))
    waiting = [pid]
    while waiting:
        found = children.get(waiting.pop(), [])
        waiting += found
        yield from found


def alive(pid: int) -> bool:
    """Whether the process has not ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def send(number: signal.Signals, pids: list[int]) -> None:
    """Send a signal to those of the processes that are still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
