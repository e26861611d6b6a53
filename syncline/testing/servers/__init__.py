"""Real database servers for tests and for the demo, from whatever this machine can offer.

Each of `postgres`, `mariadb` and `mongo` tries in turn:

1. the server that `SYNCLINE_TEST_POSTGRES_URL`, `.._MARIADB_URL` or `.._MONGO_URL` names;
2. a container, where the package testcontainers is installed and a Docker engine answers;
3. this machine: PostgreSQL from a wheel, MariaDB as installed, a MongoDB stand-in run by Java.

What they start ends with this process, also when it is killed. `start_detached` starts the third
kind so that it stays, for the demo, until `stop`.
"""

from __future__ import annotations

import os
from pathlib import Path

from syncline.testing.servers import databases
from syncline.testing.servers.containers import engine_missing, start_container
from syncline.testing.servers.detached import start_detached, stop
from syncline.testing.servers.local import Kind, start_child
from syncline.testing.servers.server import Server, Unavailable, with_database

__all__ = [
    "Kind",
    "Server",
    "Unavailable",
    "mariadb",
    "mongo",
    "postgres",
    "start",
    "start_detached",
    "stop",
    "with_database",
]


def postgres(root: Path) -> Server:
    """Give a PostgreSQL server; what has to be kept of it lies under `root`."""
    return start("postgres", root)


def mariadb(root: Path) -> Server:
    """Give a MariaDB or MySQL server; what has to be kept of it lies under `root`."""
    return start("mariadb", root)


def mongo(root: Path) -> Server:
    """Give a MongoDB server or its stand-in; what has to be kept of it lies under `root`."""
    return start("mongo", root)


def start(kind: Kind, root: Path) -> Server:
    """Give a server of `kind` by the first of the three ways that works.

    Raises:
        Unavailable: none did. A URL that is set and does not answer is not passed over.
    """
    variable = f"SYNCLINE_TEST_{kind.upper()}_URL"
    if url := os.environ.get(variable):
        return _named(url, variable)
    if not (no_container := engine_missing()):
        return start_container(kind)
    try:
        return start_child(kind, root)
    except Unavailable as refusal:
        raise Unavailable(
            f"{variable} is not set; {no_container}; {refusal}", hint=refusal.hint
        ) from refusal


def _named(url: str, variable: str) -> Server:
    try:
        product, version = databases.version(url)
    except Exception as error:
        raise Unavailable(f"{variable} is set, but its server does not answer: {error}") from error
    return Server(url, product, version, variable)
