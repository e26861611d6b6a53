"""Who may use the review app: one-time links and sessions here, or a proxy that signs people in."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Final, Literal

Role = Literal["viewer", "reviewer"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SESSION_SECONDS: Final = 12 * 3600
"""How long a session lasts without a request."""
LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_MOST_SESSIONS: Final = 1_000


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who is signed in. A viewer sees everything and changes nothing."""

    name: str
    role: Role
    by: Literal["session", "proxy", "token"] = "session"

    @property
    def decides(self) -> bool:
        """Whether this user may change anything."""
        return self.role == "reviewer"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy in front that signs people in and tells who they are by headers.

    The headers count only in requests that come from one of `networks`; from anywhere else
    nobody is signed in. `default` is the role of those whose roles name neither; None shuts them
    out.
    """

    user_header: str
    roles_header: str | None = None
    reviewers: str = "reviewer"
    viewers: str = "viewer"
    default: Role | None = None
    networks: tuple[Network, ...] = LOOPBACK

    def user(self, headers: Mapping[str, str], client: str | None) -> User | None:
        """The user of a request; `headers` have names in lower case."""
        name = headers.get(self.user_header.lower(), "").strip()
        role = self._role(headers)
        if not name or role is None or not self._trusts(client):
            return None
        return User(name, role, "proxy")

    def _role(self, headers: Mapping[str, str]) -> Role | None:
        text = headers.get(self.roles_header.lower(), "") if self.roles_header else ""
        roles = {role.strip() for role in text.replace(";", ",").split(",")}
        if self.reviewers in roles:
            return "reviewer"
        return "viewer" if self.viewers in roles else self.default

    def _trusts(self, client: str | None) -> bool:
        try:
            address = ipaddress.ip_address(client or "")
        except ValueError:
            return False
        return any(address in network for network in self.networks)


@dataclass
class Access:
    """The sign-in of one server: links that work once, sessions, and what a proxy tells.

    Sessions are kept in memory: they end with the server. Only their digests are kept, so that a
    dump of the process shows no cookie that works.
    """

    user: User
    """Who comes in by a link."""
    port: int
    proxy: Proxy | None = None
    api_token: str | None = field(default=None, repr=False)
    """What a script gives as `Authorization: Bearer`."""
    _links: set[str] = field(default_factory=set[str], repr=False)
    _sessions: dict[str, float] = field(default_factory=dict[str, float], repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def cookie(self) -> str:
        """The name of the session's cookie: browsers send cookies to every port of a host."""
        return f"syncline_{self.port}"

    def new_link(self) -> str:
        """A token that signs in once."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._links.add(_digest(token))
        return token

    def exchange(self, token: str) -> str | None:
        """The session that a link's token gives, once; None for any other text."""
        session = secrets.token_urlsafe(32)
        with self._lock:
            if _digest(token) not in self._links:
                return None
            self._links.remove(_digest(token))
            self._forget_old()
            self._sessions[_digest(session)] = time.monotonic()
        return session

    def end(self, headers: Mapping[str, str]) -> None:
        """Sign out."""
        with self._lock:
            self._sessions.pop(_digest(self._session_of(headers)), None)

    def user_of(self, headers: Mapping[str, str], client: str | None) -> User | None:
        """Who a request is from; `headers` have names in lower case, `client` is its address."""
        if self.proxy is not None and (found := self.proxy.user(headers, client)):
            return found
        if self._has_token(headers):
            return User("api", "reviewer", "token")
        return self.user if self._has_session(headers) else None

    def _has_token(self, headers: Mapping[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if self.api_token is None or scheme.lower() != "bearer":
            return False
        return secrets.compare_digest(given.strip().encode(), self.api_token.encode())

    def _has_session(self, headers: Mapping[str, str]) -> bool:
        session = _digest(self._session_of(headers))
        with self._lock:
            since = self._sessions.get(session)
            if since is None or time.monotonic() - since > SESSION_SECONDS:
                self._sessions.pop(session, None)
                return False
            self._sessions[session] = time.monotonic()
            return True

    def _session_of(self, headers: Mapping[str, str]) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return "" if found is None else found.value

    def _forget_old(self) -> None:
        now = time.monotonic()
        for session in [s for s, at in self._sessions.items() if now - at > SESSION_SECONDS]:
            del self._sessions[session]
        while len(self._sessions) >= _MOST_SESSIONS:
            del self._sessions[min(self._sessions, key=self._sessions.__getitem__)]


def _digest(text: str) -> str:
    # Looked up by digest: comparing texts of an attacker's choice would take as long as they match.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
