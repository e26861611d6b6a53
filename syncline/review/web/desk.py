"""The desk: what every page and the HTTP API work with, and what they may do with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from syncline.project import Project
from syncline.review.web.access import Access, User
from syncline.review.web.feed import Feed
from syncline.review.web.writer import Writer
from syncline.store import Store


@dataclass
class Desk:
    """One project at one server: its store, who may come in, who writes and who is told."""

    project: Project
    store: Store
    access: Access
    writer: Writer
    feed: Feed

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


TheDesk = Annotated[Desk, Depends(desk_of)]
TheUser = Annotated[User, Depends(user_of)]


def common(request: Request, desk: Desk, **context: Any) -> dict[str, Any]:
    """What every page shows, beside its own."""
    path = request.url.path.removeprefix("/api")  # a form's answer belongs to the page that sent it
    return {"user": request.state.user, "path": path, "desk": desk, **context}
