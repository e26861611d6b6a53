"""Connections: the named databases of `connections.yaml`, their URLs from the environment and never
shown.

A URL is `${VAR}`, or text around it; only `sqlite:///file` and `memory://name`, which carry no
secret, may be written out. Variables come from the environment, else from the project's `.env`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast
from urllib.parse import unquote, urlsplit

from syncline.endpoints.base import Endpoint
from syncline.errors import InputError, MappingErrors, Problem
from syncline.mapping.document import Document, read_document

FILE: Final = "connections.yaml"
Tls = Literal["verify", "require", "off"]
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BARE_VARIABLE: Final = re.compile(r"\$(?!\{[A-Za-z_][A-Za-z0-9_]*\})")
_OPEN: Final = re.compile(r"^(sqlite:///.+|memory://[\w.-]+)$")
_NAME: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_-]*$")
_SCHEMES: Final = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
    "mongodb": "mongodb",
    "mongodb+srv": "mongodb",
    "memory": "memory",
}
_NUMBERS: Final = {
    "connect_timeout": 10,
    "statement_timeout": 300,
    "pool_size": 4,
    "retry_seconds": 60,
}
_SHORTEST_SECRET: Final = 3


@dataclass(frozen=True, slots=True)
class Connection:
    """A named database. `url` is a secret: it is in no repr, and `redact` takes it out of any text.

    Timeouts are in seconds; `statement_timeout` 0 means none. A connection lost in a run is tried
    again for `retry_seconds`.
    """

    name: str
    url: str = field(repr=False)
    tls: Tls = "verify"
    connect_timeout: float = 10
    statement_timeout: float = 300
    pool_size: int = 4
    retry_seconds: float = 60

    @property
    def scheme(self) -> str:
        """`postgresql`, `mysql`, `sqlite`, `mongodb` or `memory`."""
        return _SCHEMES[self.url.partition(":")[0].lower()]

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must never be shown: the URL, and the password as written and as meant."""
        return secrets_of(self.url)

    def redact(self, text: str) -> str:
        """The text without this connection's secrets."""
        return redact(text, self.secrets)


def secrets_of(url: str) -> tuple[str, ...]:
    """What of a URL must never be shown; empty for the URL of a file or of memory."""
    if _OPEN.match(url):
        return ()
    try:
        parts = urlsplit(url)
        password = parts.password or ""
    except ValueError:
        return (url,)
    query = re.findall(r"(?:password|passwd|pwd|sslpassword)=([^&\s]+)", parts.query, re.IGNORECASE)
    found = [url, *(form for text in (password, *query) for form in (text, unquote(text)))]
    return tuple(dict.fromkeys(text for text in found if text))


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text with `***` in the place of every secret, the longest first."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        # One or two letters would blank out half of a message: they are found as a word only.
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
        elif secret:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return re.sub(r"(\w+://[^\s:/@]*:)[^\s@/]+@", r"\1***@", text)


class Connections(Mapping[str, Connection]):
    """The connections of a project, by name.

    The file is checked when this is made; the variables of a connection are looked up when it is
    asked for.
    """

    def __init__(self, document: Document, root: Path, environment: Mapping[str, str]) -> None:
        self._document = document
        self._root = root
        self._environment = environment
        self._entries = _entries(document)

    def __getitem__(self, name: str) -> Connection:
        return self._resolved([name])[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<connections {', '.join(self._entries)}>"

    def select(self, names: Iterable[str]) -> list[Connection]:
        """These connections. Raises MappingErrors (exit 2) naming every one that is unknown or
        lacks a variable.
        """
        return self._resolved(list(dict.fromkeys(names)))

    def _resolved(self, names: list[str]) -> list[Connection]:
        problems: list[Problem] = []
        found: list[Connection] = []
        for name in names:
            if name not in self._entries:
                raise UnknownConnection(name, self._document.file, list(self._entries))
            path = _url_path(self._document, name)
            url, missing = self._url(self._entries[name]["url"])
            problems.extend(self._document.problem(path, text) for text in missing)
            if not missing and (wrong := _wrong_url(url)):
                problems.append(self._document.problem(path, wrong))
            if not problems:
                settings: dict[str, Any] = {**self._entries[name], "url": url}
                found.append(Connection(name, **settings))
        if problems:
            raise MappingErrors(problems)
        return found

    def _url(self, template: str) -> tuple[str, list[str]]:
        missing = [
            f"neither the environment nor .env has {name}"
            for name in _VARIABLE.findall(template)
            if not self._environment.get(name)
        ]
        url = _VARIABLE.sub(lambda match: self._environment.get(match[1], ""), template)
        if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
            url = "sqlite:///" + os.fspath((self._root / url.removeprefix("sqlite:///")).absolute())
        return url, missing


class UnknownConnection(InputError):
    """A mapping or a command names a connection that `connections.yaml` does not hold."""

    def __init__(self, name: str, file: str, known: list[str]) -> None:
        super().__init__(
            f"there is no connection {name!r} in {file}",
            hint=f"it holds: {', '.join(known) or 'none yet'}",
        )


def load_connections(root: Path, environment: Mapping[str, str] | None = None) -> Connections:
    """The connections of the project at `root`. Raises MappingErrors with all that is wrong in the
    file.

    `environment` is the process's own by default; the project's `.env` fills in what it lacks.
    """
    return Connections(read_document(root / FILE), root, environment_of(root, environment))


def environment_of(root: Path, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of the project at `root`: the process's own (or those given), and what these
    lack from its `.env`.
    """
    return {**_dotenv(root), **(os.environ if given is None else given)}


def open_endpoint(connection: Connection) -> Endpoint:
    """Open the database of a connection. Raises InputError where its driver is not installed, else
    what the endpoint raises; no message holds a secret.
    """
    if connection.scheme == "memory":
        return _memory(connection.url.removeprefix("memory://"))
    return _endpoint_class(connection.scheme)(
        connection.url,
        connect_timeout=connection.connect_timeout,
        statement_timeout=connection.statement_timeout,
        tls=connection.tls,
        pool_size=connection.pool_size,
    )


def _memory(name: str) -> Endpoint:
    from syncline.endpoints.memory import named

    return named(name)


def _endpoint_class(scheme: str) -> Any:
    # Imported where used: a driver costs up to a second, and the one for MySQL is an extra.
    if scheme == "postgresql":
        from syncline.endpoints.postgres import PostgresEndpoint

        return PostgresEndpoint
    if scheme == "sqlite":
        from syncline.endpoints.sqlite import SqliteEndpoint

        return SqliteEndpoint
    if scheme == "mongodb":
        from syncline.endpoints.mongo import MongoEndpoint

        return MongoEndpoint
    try:
        from syncline.endpoints.mysql import MysqlEndpoint
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("syncline"):
            raise
        raise InputError(
            f"the driver for MySQL and MariaDB is not installed ({error.name})",
            hint="pip install 'syncline[mysql]'",
        ) from None
    return MysqlEndpoint


def _dotenv(root: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    path = root / ".env"
    if not path.is_file():
        return {}
    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}


def _entries(document: Document) -> dict[str, dict[str, Any]]:
    problems: list[Problem] = []
    data: Any = document.data
    if not isinstance(data, dict) or set(cast("dict[str, Any]", data)) != {"connections"}:
        raise MappingErrors(
            [document.problem((), "the file holds `connections:` and nothing else")]
        )
    listed = cast("dict[str, Any]", data)["connections"]
    if not isinstance(listed, dict):
        raise MappingErrors(
            [document.problem(("connections",), "write `name: ${VARIABLE}` below it")]
        )
    entries: dict[str, dict[str, Any]] = {}
    for name, value in cast("dict[str, Any]", listed).items():
        path = ("connections", name)
        if not _NAME.match(name):
            problems.append(
                document.problem(path, f"{name!r} is not a name: letters, digits, `_`, `-`")
            )
        entry: Any = {"url": value} if isinstance(value, str) else value
        if not isinstance(entry, dict):
            problems.append(document.problem(path, "write a URL, or {url: .., tls: .., ..}"))
            continue
        for key, message in _wrong(cast("dict[str, Any]", entry)):
            at = (*path, key) if isinstance(value, dict) else path
            problems.append(document.problem(at, message))
        entries[name] = {**_NUMBERS, "tls": "verify", **cast("dict[str, Any]", entry)}
    if problems:
        raise MappingErrors(problems)
    return entries


def _wrong(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    url = entry.get("url")
    if not isinstance(url, str):
        yield "url", "`url` is missing: write ${VARIABLE}"
    elif not _OPEN.match(url):
        yield from _wrong_template(url)
    if entry.get("tls", "verify") not in {"verify", "require", "off"}:
        yield "tls", "`tls` is one of verify, require, off"
    for key, value in entry.items():
        if key in _NUMBERS:
            least = 1 if key == "pool_size" else 0
            kinds = int if key == "pool_size" else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or value < least:
                yield key, f"`{key}` is a number from {least} on"
        elif key not in {"url", "tls"}:
            yield key, f"unknown key `{key}`; known here: url, tls, {', '.join(_NUMBERS)}"


def _wrong_template(url: str) -> Iterator[tuple[str, str]]:
    # The text itself is not shown: it may be the very secret that should not stand here.
    if not _VARIABLE.search(url):
        yield (
            "url",
            "a URL is not written here: write ${VARIABLE}, set in the environment or .env",
        )
    elif _BARE_VARIABLE.search(url):
        yield "url", "a variable is written ${NAME}"
    elif re.search(r"://[^/@]*:(?!\$\{)[^/@]+@", url):
        yield "url", "a password is not written here: write ${VARIABLE} in its place"


def _wrong_url(url: str) -> str | None:
    scheme = url.partition(":")[0].lower() if ":" in url else ""
    if scheme not in _SCHEMES:
        known = ", ".join(
            f"{name}:" for name in ("postgresql", "mysql", "mariadb", "sqlite", "mongodb")
        )
        return f"the URL begins with none of {known}"
    return None


def _url_path(document: Document, name: str) -> tuple[str, ...]:
    path = ("connections", name)
    return (*path, "url") if (*path, "url") in document.lines else path
