"""Runs one server as a child and ends it when the process that asked for it is gone.

A program of its own, on the standard library alone: `supervise.py SIGNAL USER HOME LOG ARGV..`.
Its standard input is a pipe whose other end only its parent holds. When that closes, by an orderly
stop or because the parent was killed, the server gets SIGNAL, then SIGKILL if it stays, and HOME is
removed. The server's process id goes to standard output. An empty USER is the one that runs this.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from types import FrameType

_PATIENCE_S = 15


def main(stop_signal: str, user: str, home: str, log: str, *argv: str) -> None:
    """Run `argv` until it ends by itself or standard input closes."""
    with open(log, "ab") as output:  # noqa: PTH123 - a server must not wait for pathlib's import
        server = subprocess.Popen(
            argv,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            user=user or None,
            group=_group(user),
            extra_groups=[] if user else None,
        )
    _write_pid(server.pid)
    stopping = threading.Event()
    threading.Thread(target=_end_with, args=[server, stopping], daemon=True).start()

    def stop(_signal: int = 0, _frame: FrameType | None = None) -> None:
        # Once is enough: a second signal on the way out must not start this again.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        stopping.set()
        server.send_signal(signal.Signals[stop_signal])
        try:
            server.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        shutil.rmtree(home, ignore_errors=True)
        os._exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    while os.read(0, 4096):
        pass
    stop()


def _end_with(server: subprocess.Popen[bytes], stopping: threading.Event) -> None:
    """End when the server does of itself, so that the parent sees it; its log stays to be read."""
    code = server.wait()
    if not stopping.is_set():
        os._exit(1 if code else 0)


def _group(user: str) -> int | None:
    import pwd

    return pwd.getpwnam(user).pw_gid if user else None


def _write_pid(pid: int) -> None:
    os.write(1, f"{pid}\n".encode())
    os.close(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
