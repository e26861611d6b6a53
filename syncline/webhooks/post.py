"""Post: one attempt to hand a message over, to one address, within a deadline."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from syncline.webhooks.address import Address

DEADLINE: Final = 15.0
"""Seconds for the whole of an attempt: Standard Webhooks 1.0 advises 15 to 30."""
_TOLD: Final = 300
"""How much of an answer is kept, for people."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came of an attempt: a status, or 0 and what went wrong."""

    status: int
    error: str = ""
    retry_after: float | None = None
    """Seconds that the receiver asks for."""

    @property
    def taken(self) -> bool:
        """Whether the receiver took the message."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the class of success


def post(
    address: Address, headers: dict[str, str], body: str, deadline: float = DEADLINE
) -> Response:
    """Send the message once. Redirects are not followed: they would lead past what was checked."""
    connection = _Pinned(address, deadline)
    # A receiver that sends a byte now and then would never run into the socket's own timeout.
    alarm = threading.Timer(deadline, connection.cut)
    alarm.start()
    try:
        connection.request("POST", address.target, body.encode(), headers)
        answer = connection.getresponse()
        told = answer.read(_TOLD).decode("utf-8", "replace")
        return _response(answer, told)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = f"no answer within {deadline:g} s" if connection.was_cut else _words(error)
        return Response(0, why)
    finally:
        alarm.cancel()
        connection.close()


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _response(answer: http.client.HTTPResponse, told: str) -> Response:
    status = answer.status
    if 300 <= status < 400:  # noqa: PLR2004 - the class of redirects
        return Response(status, f"{status}: redirects are not followed; set the URL it leads to")
    again = _seconds(answer.headers.get("retry-after"))
    return Response(status, f"{status} {answer.reason} {told}".strip(), again)


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` as seconds from now: it may be a number or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


class _Pinned(http.client.HTTPConnection):
    """A connection to the address that was checked, whatever the name leads to by now."""

    def __init__(self, address: Address, deadline: float) -> None:
        super().__init__(address.host, address.port, timeout=deadline)
        self._address = address
        self.was_cut = False

    def connect(self) -> None:
        """To the address; TLS is checked against the name."""
        address = self._address
        self.sock = socket.create_connection((address.ip, address.port), self.timeout)
        if address.tls:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=address.host)

    def cut(self) -> None:
        """End it from another thread: whoever waits for it gets an error."""
        self.was_cut = True
        if self.sock is not None:
            with suppress(OSError):  # it had ended by itself
                self.sock.shutdown(socket.SHUT_RDWR)
