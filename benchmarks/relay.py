"""A relay before a server: it counts the bytes that pass, both ways."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

_PIECE: Final = 1 << 16


class Relay:
    """Stands before the server of a URL; `relayed` closes it.

    It takes processor time of its own: what goes through it is not timed.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.bytes = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def before(self, url: str) -> str:
        """A URL of the server, by way of this relay."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        port = self._listener.getsockname()[1]
        return parts._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()

    def close(self) -> None:
        """Take no more connections. Those that are open end with their clients."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            server = socket.create_connection(self._server)
            for pair in itertools.permutations((client, server)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while piece := source.recv(_PIECE):
                self.bytes += len(piece)
                target.sendall(piece)
        except OSError:
            pass
        finally:
            source.close()
            target.close()


@contextmanager
def relayed(url: str) -> Generator[Relay]:
    """A relay before the server of this URL."""
    relay = Relay(url)
    try:
        yield relay
    finally:
        relay.close()
