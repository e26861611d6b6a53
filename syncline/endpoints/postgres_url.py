"""PostgreSQL's URLs taken apart, and put together as libpq's connection string.

The grammar is libpq's own (PostgreSQL documentation, "Connection URIs"), several hosts among it.
The driver's bindings would do it too, for a tenth of what a short command takes to start; the
tests hold this against them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from syncline.errors import InputError

_URL: Final = re.compile(
    r"postgres(?:ql)?://"
    r"(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?"
    r"(?P<hosts>[^/?]*)"
    r"(?:/(?P<dbname>[^?]*))?"
    r"(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_HOST: Final = re.compile(
    r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<name>(?!\[)[^:]*))(?::(?P<port>.*))?", re.DOTALL
)
_NO_TOKEN: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_SPACES: Final = " \t\n\v\f\r"
_TO_ESCAPE: Final = re.compile(r"([\\'])")
_BARE: Final = re.compile(r"[^\s]+")


def parsed(url: str) -> dict[str, str]:
    """What the URL says, by libpq's names; several hosts or ports joined by commas.

    Raises InputError, which never quotes the URL, for what is none. That a parameter exists, libpq
    says as it connects.
    """
    found = _URL.fullmatch(url)
    if found is None or _NO_TOKEN.search(url):
        raise _no_url()
    given = {name: value for name, value in found.groupdict().items() if value}
    query, hosts = given.pop("query", ""), given.pop("hosts", "")
    given |= _hosts(hosts)
    for pair in query.split("&") if query else ():
        name, is_pair, value = pair.partition("=")
        if not is_pair or "=" in value:
            raise _no_url()
        given[name] = value
    if given.get("ssl") == "true":  # as the drivers of Java say it
        del given["ssl"]
        given["sslmode"] = "require"
    return {_decoded(name): _decoded(value) for name, value in given.items()}


def conninfo(settings: Mapping[str, object]) -> str:
    """The settings as the one string that libpq connects by."""
    return " ".join(f"{name}={_quoted(str(value))}" for name, value in settings.items())


def _hosts(text: str) -> dict[str, str]:
    names: list[str] = []
    ports: list[str] = []
    for one in text.split(","):
        found = _HOST.fullmatch(one)
        if found is None:
            raise _no_url()
        names.append(found["ipv6"] or found["name"] or "")
        ports.append(found["port"] or "")
    several = {"host": ",".join(names), "port": ",".join(ports)}
    return {name: value for name, value in several.items() if value}


def _quoted(value: str) -> str:
    escaped = _TO_ESCAPE.sub(r"\\\1", value)
    return escaped if _BARE.fullmatch(escaped) else f"'{escaped}'"


def _decoded(text: str) -> str:
    text = text.strip(_SPACES)
    if any(space in text for space in _SPACES):
        raise _no_url()
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise _no_url() from None


def _no_url() -> InputError:
    return InputError(
        "the connection's URL is not a PostgreSQL URL",
        hint="postgresql://user:password@host:port/database",
    )
