"""The gate before every page: host, origin, sign-in and role, and the headers of every answer.

It stands outside the app, so that no route can forget it: what is not safe (any method but GET and
HEAD) needs a reviewer and must come from our own pages.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response

from syncline.review.web.sent import SAFE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from syncline.review.web.access import Access, User

OPEN: Final = ("/static/", "/login")
"""What is shown to those who are not signed in: nothing of the project."""
SIGNED: Final = re.compile(r"^/hooks/[^/]+\Z")
"""Webhooks: their own signature admits them, so they come from anywhere and without a sign-in."""
LOOKED: Final = re.compile(r"^/api/(conflicts/(\d+|bulk)|rules/[^/]+)/preview\Z")
"""Previews: they take a body and change nothing, so a viewer may ask for them."""
LARGEST_BODY: Final = 4_000_000
"""Bytes; a selection of 100,000 conflicts is under one million."""

CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not `no-referrer`: with that a browser sends `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-robots-tag": "noindex",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request goes no further."""

    status: int
    reason: str


class Gate:
    """ASGI middleware that refuses what is not allowed, and puts its headers on every answer.

    `hosts` are the names (without port) that this server answers to: any other is a forged Host,
    as DNS rebinding needs one.
    """

    def __init__(self, app: ASGIApp, access: Access, hosts: Collection[str]) -> None:
        self.app, self.access = app, access
        self.hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through with its user in `scope['state']`, or answer it here."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no page of ours opens a websocket
            await send({"type": "websocket.close", "code": 1008})
            return

        async def protect(message: Message) -> None:
            if message["type"] == "http.response.start":
                _protect(MutableHeaders(scope=message), scope["path"])
            await send(message)

        headers = Headers(scope=scope)
        client = scope["client"][0] if scope.get("client") else None
        user = self.access.user_of(headers, client)
        refusal = self._refusal(scope["method"], scope["path"], headers, user)
        if refusal is None:
            scope.setdefault("state", {})["user"] = user
            await self.app(scope, receive, protect)
        else:
            await _answer(refusal, scope, headers)(scope, receive, protect)

    def _refusal(
        self, method: str, path: str, headers: Headers, user: User | None
    ) -> Refusal | None:
        if _host(headers.get("host", "")) not in self.hosts or len(headers.getlist("host")) != 1:
            return Refusal(400, "this server does not answer to that host")
        if method == "POST" and SIGNED.match(path):
            return _too_large(headers)
        return self._refusal_of(user, method, path, headers)

    def _refusal_of(
        self, user: User | None, method: str, path: str, headers: Headers
    ) -> Refusal | None:
        safe = method in SAFE
        if not safe and (reason := foreign(headers, by_token=user is not None and _token(user))):
            return Refusal(403, reason)
        if path.startswith(OPEN) and safe:
            return None
        if user is None:
            return Refusal(401, "you are not signed in")
        if not safe and not user.decides and not LOOKED.match(path):
            return Refusal(403, f"{user.name} is a viewer, and this changes something")
        return None if safe else _too_large(headers)


def _token(user: User) -> bool:
    return user.by == "token"


def foreign(headers: Mapping[str, str], *, by_token: bool = False) -> str:
    """Why a request that changes something did not come from our own pages; empty if it did.

    A browser tells by `Sec-Fetch-Site` and `Origin`. Without either it must be a program that shows
    a token, which no foreign page can make a browser send.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return f"the request came from another site ({site})"
    if origin is not None:
        ours = headers.get("host", "").lower()
        if urlsplit(origin).netloc.lower() != ours:
            return "the request came from another origin"
        return ""
    if site is None and not by_token:
        return "the request does not say where it came from"
    return ""


def _too_large(headers: Headers) -> Refusal | None:
    if "transfer-encoding" in headers:
        return Refusal(411, "the request must say how long it is")
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > LARGEST_BODY:
        return Refusal(413, f"the request is larger than {LARGEST_BODY:,} bytes")
    return None


def _host(value: str) -> str:
    """The name of a Host header, without its port; empty where it is none."""
    try:
        parts = urlsplit(f"//{value}")
        name = parts.hostname or ""
        _ = parts.port  # raises ValueError for no number
    except ValueError:
        return ""
    return name if not parts.username and not parts.path else ""


def _protect(headers: MutableHeaders, path: str) -> None:
    for name, value in _HEADERS.items():
        headers[name] = value
    if path.startswith("/static/"):
        headers.setdefault("cache-control", "public, max-age=3600")
    else:
        headers["cache-control"] = "no-store"


def _answer(refusal: Refusal, scope: Scope, headers: Headers) -> Response:
    by_browser = "text/html" in headers.get("accept", "")
    of_api, safe = scope["path"].startswith("/api/"), scope["method"] in SAFE
    if of_api and (safe or not by_browser):  # else a form was sent, and its user reads the answer
        body: dict[str, Any] = {"error": refusal.reason, "hint": ""}
        return JSONResponse(body, refusal.status)
    if refusal.status == HTTPStatus.UNAUTHORIZED and by_browser:
        return _sign_in(again=safe and headers.get("sec-fetch-site") == "cross-site")
    return PlainTextResponse(refusal.reason + "\n", refusal.status)


def _sign_in(*, again: bool) -> Response:
    """The page that says how to sign in. `again`: it asks once more by itself, since a browser does
    not send the session along with a link of another site (an alert, a chat, Dagster); what this
    page asks for is our own, and comes with it.
    """
    from syncline.review.web.render import page

    return page("signin.html", status=401, again=again)
