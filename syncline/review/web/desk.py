"""The desk: what every page and the HTTP API work with, and what they may do with it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

from fastapi import Depends, Request

from syncline.errors import InputError
from syncline.project import Project
from syncline.review.web.access import Access, User
from syncline.review.web.feed import Feed
from syncline.review.web.writer import Writer
from syncline.store import Store

_DRAFTS: Final = 500


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody was about to decide when it was refused: kept until they decide or drop it."""

    form: Mapping[str, list[str]]
    reason: str
    at: datetime


@dataclass
class Drafts:
    """Refused decisions, by user and conflict; the oldest give way. They end with the server."""

    _kept: dict[tuple[str, int], Draft] = field(default_factory=dict[tuple[str, int], Draft])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, user: str, conflict: int, form: Mapping[str, list[str]], reason: str) -> Draft:
        """Keep one, in the place of an earlier one of the same user and conflict."""
        draft = Draft(dict(form), reason, datetime.now(UTC))
        with self._lock:
            self._kept.pop((user, conflict), None)
            self._kept[user, conflict] = draft
            while len(self._kept) > _DRAFTS:
                del self._kept[next(iter(self._kept))]
        return draft

    def of(self, user: str, conflict: int) -> Draft | None:
        """The user's draft for a conflict."""
        with self._lock:
            return self._kept.get((user, conflict))

    def drop(self, user: str, conflict: int) -> None:
        """Forget one."""
        with self._lock:
            self._kept.pop((user, conflict), None)

    def by(self, user: str) -> list[int]:
        """The conflicts that the user has drafts for."""
        with self._lock:
            return [conflict for name, conflict in self._kept if name == user]


@dataclass
class Desk:
    """One project at one server: its store, who may come in, who writes and who is told."""

    project: Project
    store: Store
    access: Access
    writer: Writer
    feed: Feed
    drafts: Drafts = field(default_factory=Drafts)

    @property
    def names(self) -> list[str]:
        """The mappings of the project, by name."""
        return [path.stem for path in self.project.mapping_paths]


def desk_of(request: Request) -> Desk:
    """The desk of the server that answers this request."""
    desk: Desk = request.app.state.desk
    return desk


def user_of(request: Request) -> User:
    """Who asks; the gate lets nobody else through."""
    user: User = request.state.user
    return user


class Form(dict[str, list[str]]):
    """The fields of a form, each with all its values."""

    def one(self, name: str, default: str = "") -> str:
        """The last value of a field."""
        return self.get(name, [default])[-1]

    def number(self, name: str) -> int | None:
        """A field that is a number; None where it is missing. Raises InputError for no number."""
        text = self.one(name)
        if not text:
            return None
        if not text.lstrip("-").isdecimal():
            message = f"{name}: {text[:40]!r} is no number"
            raise InputError(message)
        return int(text)


async def form_of(request: Request) -> Form:
    """The form that was sent. Only the plain encoding: no page of ours sends files."""
    body = (await request.body()).decode("utf-8", "replace")
    return Form(parse_qs(body, keep_blank_values=True, max_num_fields=200_000))


TheDesk = Annotated[Desk, Depends(desk_of)]
TheUser = Annotated[User, Depends(user_of)]
TheForm = Annotated[Form, Depends(form_of)]


def common(request: Request, desk: Desk, **context: Any) -> dict[str, Any]:
    """What every page shows, beside its own."""
    return {"user": request.state.user, "path": request.url.path, "desk": desk, **context}
