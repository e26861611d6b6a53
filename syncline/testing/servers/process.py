"""A server process of ours: where its files may lie, who runs it, how it starts and how it ends."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from syncline.testing.servers import databases
from syncline.testing.servers.server import Unavailable

_SUPERVISOR = Path(__file__).with_name("supervise.py")
_LOG = "server.log"
_READY_WITHIN_S = 180.0
_STOP_WITHIN_S = 60.0
_GONE_WITHIN_S = 180.0
_TAIL_LINES = 15
_PORTS = range(15_000, 32_000)
_PORTS_TRIED = 20


@dataclass(frozen=True)
class Launch:
    """One way to start a server: its command, its files and the URL it will answer at."""

    argv: tuple[str, ...]
    home: Path
    """The directory of this server alone: data, log, sockets."""
    url: str
    user: str | None
    """The system user to run as; None for the one that runs us."""
    stop_signal: signal.Signals

    @property
    def log(self) -> Path:
        """Where the server's output goes."""
        return self.home / _LOG


@dataclass
class Child:
    """A server that ends with this process, however that ends."""

    launch: Launch
    root: Path
    """Where its home was asked for."""
    _supervisor: subprocess.Popen[bytes] = field(repr=False)
    pid: int
    """The server's own process."""

    @classmethod
    def start(cls, launch: Launch, root: Path) -> Child:
        """Start it under a supervisor that holds the other end of a pipe from us."""
        supervisor = subprocess.Popen(
            [
                *(sys.executable, "-I", str(_SUPERVISOR), launch.stop_signal.name),
                *(launch.user or "", str(launch.home), str(launch.log), *launch.argv),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is for the tests, not for the server
        )
        assert supervisor.stdout is not None
        first_line = supervisor.stdout.readline()
        supervisor.stdout.close()
        if not first_line:
            supervisor.wait()
            raise Unavailable(f"{launch.argv[0]} could not be started as {launch.user or 'us'}")
        return cls(launch, root, supervisor, int(first_line))

    def alive(self) -> bool:
        """Whether the server still runs."""
        return self._supervisor.poll() is None

    def stop(self) -> None:
        """End the server and remove its files; harmless when it has ended."""
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.close()
        self._supervisor.wait(_GONE_WITHIN_S)
        remove_home(self.launch.home, self.root)


@dataclass(frozen=True)
class Detached:
    """A server that outlives this process; found again by its process id and start time."""

    pid: int
    started: str
    """When the kernel says it started: process ids are used again, this pair is not."""

    @classmethod
    def start(cls, launch: Launch) -> Detached:
        """Start it in a session of its own."""
        with launch.log.open("ab") as output:
            server = subprocess.Popen(
                launch.argv,
                cwd=launch.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **_as(launch.user),
            )
        return cls(server.pid, _started(server.pid) or "")

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return bool(self.started) and _started(self.pid) == self.started

    def stop(self, stop_signal: signal.Signals) -> None:
        """End it, hard if it does not follow `stop_signal`; harmless when it has ended."""
        if not self.alive():
            return
        os.kill(self.pid, stop_signal)
        if not _wait_until(lambda: not self.alive(), _STOP_WITHIN_S):
            os.kill(self.pid, signal.SIGKILL)
            _wait_until(lambda: not self.alive(), _STOP_WITHIN_S)


def wait_ready(url: str, home: Path, process: Child | Detached) -> tuple[str, str]:
    """Wait until the server at `url` answers; give its product and version.

    Raises:
        Unavailable: it ended or stayed silent; the message carries the end of its log.
    """
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        # First whether it lives: where its port was taken, another server might answer.
        time.sleep(0.1)
        if not process.alive():
            raise Unavailable(f"the server ended at once:\n{_tail(home)}")
        try:
            return databases.version(url)
        except Unavailable:
            raise
        except Exception as refusal:  # noqa: BLE001 - drivers share no base class for "not yet"
            last = refusal
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the server did not answer in {_READY_WITHIN_S:.0f} s ({last}):\n{_tail(home)}"
            )


def prepare(argv: Sequence[str], cwd: Path, user: str | None) -> None:
    """Run a preparing command, such as initdb, to its end.

    Raises:
        Unavailable: it failed; the message carries the end of its output.
    """
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=os.environ | {"TMPDIR": str(cwd)},  # ours may be closed to `user`
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            **_as(user),
        )
    except OSError as error:
        raise Unavailable(f"{argv[0]}: {error}") from error
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-_TAIL_LINES:])
        raise Unavailable(f"{Path(argv[0]).name} failed with code {done.returncode}:\n{tail}")


def service_user() -> str | None:
    """Give the user to run a server as that refuses root: `nobody`, or None when we are not root.

    `nobody` is on every system, so that nothing has to be created, nor removed at the end.
    """
    return "nobody" if os.geteuid() == 0 else None


def make_home(root: Path, name: str, user: str | None) -> Path:
    """Make the directory of one server, owned by `user`, where that user can reach it.

    That is `root/name`, except where a parent of `root` shuts `user` out, as the home of root does:
    then a directory in the system's temporary one takes its place. Rights of what is not ours stay.
    """
    root.mkdir(parents=True, exist_ok=True)
    root = root.resolve()
    if user is not None and not reachable(root):
        root = _stand_in(root)
    home = root / name
    home.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        hand_over(home, user)
    return home


def remove_home(home: Path, root: Path) -> None:
    """Remove what `make_home` made under `root`, or in place of it."""
    shutil.rmtree(home, ignore_errors=True)
    if home.parent != root.resolve():
        with suppress(OSError):  # another server is there
            home.parent.rmdir()


def hand_over(path: Path, user: str) -> None:
    """Make `user` the owner of `path`."""
    import pwd

    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)


def reachable(path: Path) -> bool:
    """Whether any user may walk down to `path`."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))


def free_port(preferred: int | None = None) -> int:
    """Give a free TCP port of the loopback interface: `preferred` where it is free, else one that
    the system does not give to outgoing connections, so that none of them takes it meanwhile.
    """
    others = random.SystemRandom().sample(_PORTS, _PORTS_TRIED)
    for port in (*((preferred,) if preferred else ()), *others, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    raise Unavailable("no free TCP port on 127.0.0.1")


def _stand_in(root: Path) -> Path:
    """Give a directory in the temporary one that stands for `root`, and is surely ours."""
    digest = hashlib.blake2b(str(root).encode(), digest_size=6).hexdigest()
    place = Path(tempfile.gettempdir()) / f"syncline-{digest}"
    place.mkdir(mode=0o755, exist_ok=True)
    found = place.lstat()
    # Its name can be guessed: another user may have put something else there.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise Unavailable(f"{place} is not ours: remove it, or set TMPDIR")
    if not reachable(place):
        raise Unavailable(f"neither {root} nor {place} can be reached by an unprivileged user")
    return place


class _Account(TypedDict):
    user: str | None
    group: int | None
    extra_groups: list[int] | None


def _as(user: str | None) -> _Account:
    import pwd

    if user is None:
        return {"user": None, "group": None, "extra_groups": None}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _started(pid: int) -> str | None:
    """Give the start time of a process, or None if there is none or it is only waited for."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # our own child, ended: let it go
    try:
        # The second field, the name, may hold spaces and brackets: count from its end.
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        threads = len([*Path(f"/proc/{pid}/task").iterdir()])
    except (FileNotFoundError, ProcessLookupError):
        return _started_by_ps(pid)
    # While other threads are still ending, they hold its ports and files.
    return None if state == "Z" and threads == 1 else rest[18]


def _started_by_ps(pid: int) -> str | None:
    """Do the same where there is no /proc, as on macOS."""
    if Path("/proc/self").exists():
        return None
    found = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return None if not found or found.startswith("Z") else found.partition(" ")[2].strip()


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _tail(home: Path) -> str:
    try:
        lines = (home / _LOG).read_text(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-_TAIL_LINES:]) or "(its log is empty)"
