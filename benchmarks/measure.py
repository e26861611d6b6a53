"""Measuring: a command, or two with a pipe between them, by the kernel's own account of them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_IDLE: Final = 0.1
"""The share of its processors that an idle machine may use."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured execution. Times are in seconds, memory in bytes.

    `wall` is from the start of the first process to the end of the last. `cpu` and `peak` (resident
    memory) are those of the processes started, without the database server, whose processor time is
    `server_cpu`; `others_cpu` is what all else on the machine used meanwhile. These two are None
    where the system does not tell them, and `peak` where it is no more than ours: a process begins
    as a copy of the one that starts it.
    """

    wall: float
    cpu: float
    peak: int | None
    server_cpu: float | None
    others_cpu: float | None
    output: str


class Failed(Exception):
    """A measured command failed, or what it left behind is wrong: the numbers mean nothing."""


def measured(
    *commands: Sequence[str],
    environment: Mapping[str, str],
    cwd: Path,
    servers: Collection[int],
    allowed: Collection[int] = (0,),
) -> Sample:
    """Run the commands at once, the output of each piped into the next, and measure them.

    `servers` are the process ids of the database servers, `allowed` the exit codes of a success.
    Raises Failed where a command fails.
    """
    before = _served(servers), _machine_cpu()
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        began = time.perf_counter()
        processes: list[subprocess.Popen[bytes]] = []
        given: IO[Any] | int = subprocess.DEVNULL
        for place, command in enumerate(commands):
            last = place == len(commands) - 1
            process = subprocess.Popen(
                command,
                stdin=given,
                stdout=output if last else subprocess.PIPE,
                stderr=errors,
                env=dict(environment),
                cwd=cwd,
            )
            if not isinstance(given, int):
                given.close()  # else the first would never notice that the second has ended
            processes.append(process)
            given = process.stdout or subprocess.DEVNULL
        used = [_wait(process) for process in processes]
        wall = time.perf_counter() - began
        output.seek(0)
        errors.seek(0)
        if any(process.returncode not in allowed for process in processes):
            raise Failed(
                f"{commands[-1][0]} failed:\n{errors.read()[-2000:]}{output.read()[-500:]}"
            )
        cpu = sum(cpu for cpu, _ in used)
        served = _difference(before[0], _served(servers))
        machine = _difference(before[1], _machine_cpu())
        return Sample(
            wall=wall,
            cpu=cpu,
            peak=peak if (peak := max(peak for _, peak in used)) > _own_peak() else None,
            server_cpu=served,
            others_cpu=max(0.0, machine - cpu - (served or 0)) if machine is not None else None,
            output=output.read(),
        )


def _wait(process: subprocess.Popen[bytes]) -> tuple[float, int]:
    """The processor time and the peak memory of a process, once it has ended."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _MAXRSS_UNIT


def _own_peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


def await_idle(seconds: float) -> None:
    """Wait until the machine has nothing else to do, at most so long; at once off Linux."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = _machine_cpu()
        time.sleep(1)
        used = _difference(before, _machine_cpu())
        if used is None or used < _IDLE * (os.cpu_count() or 1):
            return


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _machine_cpu() -> float | None:
    """The processor time that the machine has given to anybody since it started."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _wait, *more = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + sum(more)) / _TICKS


def _served(servers: Collection[int]) -> float | None:
    """The processor time of these servers; None off Linux."""
    if not Path("/proc/self/stat").exists():
        return None
    return sum(map(_server_cpu, servers))


def _server_cpu(server: int) -> float:
    """The processor time of a server and of all its processes, past and present."""
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    ticks = sum(_ticks(server)) + sum(sum(_ticks(int(child))[:2]) for child in children)
    return ticks / _TICKS


def _ticks(pid: int) -> list[int]:
    """The `utime stime cutime cstime` of a process; nothing of one that has just ended."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return [0, 0, 0, 0]
    return [int(text) for text in line.rpartition(")")[2].split()[11:15]]
