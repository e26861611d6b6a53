"""Kinds: the databases that connections lead to, as Dagster names them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from syncline.errors import InputError
from syncline.project import Project

_KINDS: Final = {"postgresql": "postgres", "postgres": "postgres", "mongodb+srv": "mongodb"}
"""Dagster's name of a kind, where a URL's scheme says it otherwise."""


def kinds_of(project: Project, connections: Iterable[str]) -> tuple[set[str], str]:
    """The kinds of the connections that can be resolved here, and what is wrong with the others.

    Taken from the URLs; no database is opened.
    """
    kinds: set[str] = set()
    missing: list[str] = []
    for name in dict.fromkeys(connections):
        try:
            # The scheme as written, not Connection.scheme: that has one word for MySQL and MariaDB.
            scheme = project.connections[name].url.partition(":")[0].lower()
        except InputError as error:
            missing.append(str(error))
        else:
            kinds.add(_KINDS.get(scheme, scheme))
    return kinds, "; ".join(missing)
