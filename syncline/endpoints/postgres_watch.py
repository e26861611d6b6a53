"""Deadlines of calls into libpq, which has none: the socket of a silent session is shut.

libpq waits for its server as long as TCP is acknowledged, be it by a proxy or a balancer whose own
line to the server is dead, or by the kernel of a server that is frozen. So one thread of the
process looks once a second, while a call is under way, whether one is past its deadline and heard
nothing meanwhile. It shuts that socket, and the call ends with an error.

The socket is known by its TCP_USER_TIMEOUT, in which each session has milliseconds of its own: the
driver does not tell it, and a number of a file may be another's by now. That takes Linux (4.19 or
later, and /proc), TCP, and a URL that turns off neither keepalives nor `tcp_user_timeout`; where
one is missing, no call ends before the server or TCP ends it.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

GRACE: Final = 5.0
"""Seconds past its statement timeout that a server is given to say so itself."""
_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)
_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)
_LAST_DATA: Final = slice(52, 56)
"""`tcpi_last_data_recv` in struct tcp_info of linux/tcp.h: milliseconds since bytes came."""
_FILES: Final = Path("/proc/self/fd")
_TAGS: Final = 10_000
_LOOKS_EVERY: Final = 1.0


class Watch:
    """The deadline of one session's calls: `with watch:` around each; what is nested is one call.

    `limit` is in seconds, 0 for none; `user_timeout` is the `tcp_user_timeout` that is wanted, and
    is lengthened by less than ten seconds. Where `served` is given, a call that is late is ended
    only when that says no: it is asked in a thread of its own, and must not raise. `cut` tells that
    the socket was shut. Not for two threads at once, as the session.
    """

    def __init__(self, user_timeout: str, limit: float) -> None:
        self._tag = _guard.tag(user_timeout)
        self.limit = limit
        self._depth = 0
        self._asked = False
        self.until = 0.0
        self.served: Callable[[], bool] | None = None
        self.cut = False

    @property
    def parameter(self) -> str:
        """What to add to libpq's connection string."""
        return "" if self._tag is None else f" tcp_user_timeout={self._tag}"

    def __enter__(self) -> None:
        self._depth += 1
        if self.limit and self._depth == 1:
            self.until = time.monotonic() + self.limit
            _guard.add(self)

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            _guard.discard(self)

    def close(self) -> None:
        """Give the mark of its socket to another. Idempotent."""
        _guard.give_back(self._tag)
        self._tag = None

    def shut(self) -> None:
        """Shut the session's socket: what waits for it, or will, ends with an error."""
        with _found(self._tag) as one:
            if one is not None:
                self.cut = True
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def late(self) -> None:
        """What the thread does once a call is past its deadline, again and again until it ends."""
        with _found(self._tag) as one:
            silent = self.limit if one is None else _silent_for(one)
        if silent < self.limit:  # a thin line: something came meanwhile
            self.until = time.monotonic() + self.limit - silent
        elif self.served is None:
            self.shut()
        elif not self._asked:
            self._asked = True
            threading.Thread(target=self._ask, args=[self.served], daemon=True).start()

    def _ask(self, served: Callable[[], bool]) -> None:
        began = self.until
        try:
            if served():
                self.until = max(self.until, time.monotonic() + self.limit)
            elif self.until == began:  # still the same call
                self.served = None
        finally:
            self._asked = False


class _Guard:
    """The calls under way, and the thread that looks at them; it sleeps where there is none.

    It gives each session the mark of its socket.
    """

    def __init__(self) -> None:
        self._tags: set[int] = set()
        self.forget()

    def forget(self) -> None:
        """What a fork has not: our thread, and calls. It has our sockets, so their marks stay."""
        self._calls: set[Watch] = set()
        self._asleep = True
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def tag(self, user_timeout: str) -> int | None:
        """A TCP_USER_TIMEOUT that no other session has, or None where it could not be told."""
        base = int(user_timeout) if user_timeout.isdecimal() else 0
        if _USER_TIMEOUT is None or _INFO is None or not base:
            return None
        with self._lock:
            free = (tag for tag in range(base, base + _TAGS) if tag not in self._tags)
            tag = next(free, None)
            self._tags |= {tag} if tag else set()
        return tag

    def give_back(self, tag: int | None) -> None:
        """Another session may have it."""
        with self._lock:
            self._tags.discard(tag or 0)

    def add(self, watch: Watch) -> None:
        self._calls.add(watch)
        if self._asleep:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._look, name="syncline-deadlines", daemon=True
                    )
                    self._thread.start()
            self._awake.set()

    def discard(self, watch: Watch) -> None:
        self._calls.discard(watch)

    def _look(self) -> None:
        while True:
            self._awake.clear()
            self._asleep = True
            if not self._calls:  # a call that begins from here on finds it asleep
                self._awake.wait()
            self._asleep = False
            now = time.monotonic()
            for watch in list(self._calls):
                if now >= watch.until:
                    with suppress(OSError):
                        watch.late()
            time.sleep(_LOOKS_EVERY)


_guard: Final = _Guard()
os.register_at_fork(after_in_child=_guard.forget)


@contextmanager
def _found(tag: int | None) -> Generator[socket.socket | None]:
    """A handle of ours on the socket with that mark, where there is one; closed at the end."""
    # With a default timeout, Python would make each socket it takes a handle on non-blocking.
    one = _marked(tag) if tag and socket.getdefaulttimeout() is None else None
    try:
        yield one
    finally:
        if one is not None:
            one.close()


def _marked(tag: int) -> socket.socket | None:
    try:
        files = list(_FILES.iterdir())
    except OSError:
        return None
    for handle in filter(None, map(_handle, files)):
        # Looked at by the handle: the file's number may be closed, and another's, meanwhile.
        with suppress(OSError):
            if handle.getsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT or 0) == tag:
                return handle
        handle.close()
    return None


def _handle(file: Path) -> socket.socket | None:
    try:
        if not str(file.readlink()).startswith("socket:"):
            return None
        copy = os.dup(int(file.name))
    except OSError:
        return None
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return None


def _silent_for(one: socket.socket) -> float:
    """Seconds since bytes came in."""
    told = one.getsockopt(socket.IPPROTO_TCP, _INFO or 0, _LAST_DATA.stop)
    return int.from_bytes(told[_LAST_DATA], "little") / 1000
