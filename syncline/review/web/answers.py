"""Answers: what a form was answered, at the address of the page that it stood on.

A form goes to the API's own address (see `sent`). A browser is sent on from there (303) to the page
that its form was on, and gets the answer there: the address bar has a page's address, loading it
again sends nothing twice, and once an answer is forgotten its address shows that page as it is.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PARAMETER: Final = "answer"
SECONDS: Final = 600
"""How long an answer is kept."""
LARGEST: Final = 20_000_000
"""Characters of all answers together; the oldest give way."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A page, and who it was made for."""

    user: str
    status: int
    page: str
    until: float


class Answers:
    """ASGI middleware, inside the gate: it reads the user that the gate let in.

    They are kept in memory: where a proxy spreads one person over several servers, the second may
    show the page without its answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._kept: dict[str, Answer] = {}
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a page that is kept, or let the app answer."""
        answer: HTMLResponse | None = None
        if scope["type"] == "http" and scope["method"] == "GET":
            answer = self._answer(scope)
        elif scope["type"] == "http" and (page := sent_on(scope["path"], Headers(scope=scope))):
            await self.app(scope, receive, _Turn(self, scope, receive, send, page).hear)
            return
        await (answer or self.app)(scope, receive, send)

    def keep(self, user: str, status: int, page: str) -> str:
        """Keep a page for its user; the name to ask for it by."""
        name, now = secrets.token_urlsafe(16), time.monotonic()
        with self._lock:
            self._kept[name] = Answer(user, status, page, now + SECONDS)
            room = LARGEST
            for other in reversed(list(self._kept)):
                room -= len(self._kept[other].page)
                if (room < 0 or self._kept[other].until < now) and other != name:
                    del self._kept[other]
        return name

    def _answer(self, scope: Scope) -> HTMLResponse | None:
        name = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get(PARAMETER, "")
        with self._lock:
            found = self._kept.get(name)
        if found is None or found.user != _user(scope) or found.until < time.monotonic():
            return None
        return HTMLResponse(found.page, found.status)


class _Turn:
    """The messages of one answer: a page is kept and its reader sent on, anything else goes out."""

    def __init__(
        self, answers: Answers, scope: Scope, receive: Receive, send: Send, page: str
    ) -> None:
        self._answers, self._scope, self._page = answers, scope, page
        self._receive, self._send = receive, send
        self._start: Message | None = None
        self._body = b""

    async def hear(self, message: Message) -> None:
        """Take what the app sends."""
        if message["type"] == "http.response.start" and _is_page(
            MutableHeaders(raw=message["headers"])
        ):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._on()

    async def _on(self) -> None:
        status = self._start["status"] if self._start else 200
        name = self._answers.keep(_user(self._scope), status, self._body.decode("utf-8"))
        joint = "&" if "?" in self._page else "?"
        onward = RedirectResponse(f"{self._page}{joint}{PARAMETER}={name}", 303)
        await onward(self._scope, self._receive, self._send)


def sent_on(path: str, headers: Mapping[str, str]) -> str:
    """The page of ours that a form stood on, which a browser sent to the API; empty where it was no
    browser, or a script of ours, which shows the answer itself.
    """
    by_browser = "text/html" in headers.get("accept", "") and not headers.get("hx-request")
    came = urlsplit(headers.get("referer", ""))
    if not by_browser or not path.startswith("/api/") or came.netloc != headers.get("host"):
        return ""
    if came.path[:1] != "/" or came.path[1:2] in {"/", "\\"} or came.path.startswith("/api/"):
        return ""
    query = [pair for pair in parse_qsl(came.query, keep_blank_values=True) if pair[0] != PARAMETER]
    return f"{came.path}?{urlencode(query)}" if query else came.path


def _is_page(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").startswith("text/html")


def _user(scope: Scope) -> str:
    user: Any = scope["state"]["user"]
    return str(user.name)
