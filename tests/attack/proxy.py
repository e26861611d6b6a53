"""A TCP proxy that a test puts before a server, to cut, slow down or swallow what passes."""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import threading
import time
from typing import Literal, Self
from urllib.parse import urlsplit

Toward = Literal["server", "client"]
Fate = Literal["answered", "in flight", "held", "never"]
"""What becomes of words that a strike hits: the server has answered them when the client is cut
off; it gets them only some time after that; only when they are let go; or it never does.
"""
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST and drops what is still unsent


class Proxy:
    """Relays to the server of a URL; `url` is the same database through the proxy.

    `delay` seconds are added to each piece that passes. `open` False refuses new connections.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        user, at, _ = parts.netloc.rpartition("@")
        here = f"{user}{at}127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = parts._replace(netloc=here).geturl()
        self.delay = 0.0
        self.open = True
        self.swallowing: frozenset[Toward] = frozenset()
        """Directions in which pieces vanish while the connection stays: a black hole."""
        self.limit: int | None = None
        """Bytes that a connection may bring the client before it is cut, in the middle of a row."""
        self.cuts = 0
        """How many connections were reset in the middle, by `cut` or by `limit`."""
        self.refused = 0
        """How many connections were not let in while it was not open."""
        self.struck = 0
        """How often an armed strike hit."""
        self.down_after_strike = 0.0
        """For so many seconds after a strike no connection is let through; `inf` until `open`."""
        self._strike: tuple[bytes, Fate] | None = None
        self._go, self._heard = threading.Event(), threading.Event()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._mute: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._start(self._accept)

    def strike(self, words: bytes, fate: Fate) -> None:
        """Cut the next connection whose client says `words`, once."""
        with self._lock:
            self._strike = (words, fate)

    def disarm(self) -> None:
        """Take back a strike that has not hit."""
        with self._lock:
            self._strike = None

    def let_go(self) -> None:
        """Bring the server what was held, and wait for its answer, which nobody gets."""
        self._go.set()
        assert self._heard.wait(60), "the server has not answered"

    def mute(self) -> None:
        """The connections there are bring their clients nothing more; those to come do."""
        with self._lock:
            self._mute |= {client for client, _ in self._pairs}

    def cut(self) -> None:
        """Reset every connection there is."""
        with self._lock:
            pairs = list(self._pairs)
            self.cuts += len(pairs)
        for pair in pairs:
            self._close(pair)

    def close(self) -> None:
        """Stop listening, and cut what is left."""
        self.open = False
        # A thread that waits in accept() would keep the port: shutdown wakes it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, work: object, *args: object) -> None:
        threading.Thread(target=work, args=args, name="proxy", daemon=True).start()  # type: ignore[arg-type]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.open:
                self.refused += 1
                self._reset(client)
                continue
            try:
                server = socket.create_connection(self._server, timeout=60)
            except OSError:
                self._reset(client)
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (client, server)
            with self._lock:
                self._pairs.add(pair)
            self._start(self._relay, pair, "server")
            self._start(self._relay, pair, "client")

    def _relay(self, pair: tuple[socket.socket, socket.socket], toward: Toward) -> None:
        source, sink = pair if toward == "server" else pair[::-1]
        passed = 0
        try:
            while piece := source.recv(65536):
                if self.delay:
                    time.sleep(self.delay)
                if toward in self.swallowing:
                    continue
                fate = self._hit(piece) if toward == "server" else None
                if fate is not None:
                    self._end_of(pair, piece, fate)
                    return
                if toward == "client" and sink in self._mute:
                    self._heard.set()
                    continue  # the answer that is lost
                passed += len(piece)
                if toward == "client" and self.limit is not None and passed > self.limit:
                    self.cuts += 1
                    sink.sendall(piece[: len(piece) // 2])
                    break
                sink.sendall(piece)
        except OSError:
            pass
        if pair[0] not in self._mute:  # else whoever struck it closes it
            self._close(pair)

    def _hit(self, piece: bytes) -> Fate | None:
        """What becomes of this piece, where it has the armed strike's words."""
        with self._lock:
            if self._strike is None or self._strike[0] not in piece.upper():
                return None
            fate, self._strike = self._strike[1], None
            self.struck += 1
        if self.down_after_strike:
            self.open = False
        if 0 < self.down_after_strike < math.inf:
            threading.Timer(self.down_after_strike, self._come_back).start()
        return fate

    def _come_back(self) -> None:
        self.open = True

    def _end_of(self, pair: tuple[socket.socket, socket.socket], piece: bytes, fate: Fate) -> None:
        client, server = pair
        with self._lock:
            self._mute.add(client)
        if fate == "answered":
            server.sendall(piece)
            time.sleep(0.3)
        elif fate == "in flight":
            self._reset(client)
            time.sleep(0.5)
            server.sendall(piece)
            time.sleep(0.3)  # a reset at once could overtake it
        elif fate == "held":
            self._reset(client)
            self._heard.clear()
            self._go.wait(600)
            server.sendall(piece)
            self._heard.wait(60)
        self._close(pair)

    def _close(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._pairs.discard(pair)
            self._mute.discard(pair[0])
        for end in pair:
            self._reset(end)

    @staticmethod
    def _reset(end: socket.socket) -> None:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
