"""Servers of this machine: what each kind is made by, and starting one that ends with us."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from syncline.testing.servers import mariadb_here, mongo_java, postgres_wheel
from syncline.testing.servers.process import Child, Launch, free_port, wait_ready
from syncline.testing.servers.server import Server, Unavailable

Kind = Literal["postgres", "mariadb", "mongo"]
"""The three kinds of server; SQLite needs none."""

_ATTEMPTS = 3


class Prepare(Protocol):
    """Makes the files of a server at `root/name`, where there are none, and says how to start it.

    A second call on the same files keeps the data. `durable` servers survive a power cut.
    """

    def __call__(self, root: Path, name: str, port: int, password: str, *, durable: bool) -> Launch:
        """Give the launch; raise Unavailable where the machine lacks something."""
        ...


@dataclass(frozen=True)
class Recipe:
    """How one kind of server is had on this machine."""

    prepare: Prepare
    how: str


RECIPES: dict[Kind, Recipe] = {
    "postgres": Recipe(postgres_wheel.launch, postgres_wheel.HOW),
    "mariadb": Recipe(mariadb_here.launch, mariadb_here.HOW),
    "mongo": Recipe(mongo_java.launch, mongo_java.HOW),
}


def start_child(kind: Kind, root: Path) -> Server:
    """Start a new, empty server under `root` that ends, files and all, with this process.

    Raises:
        Unavailable: this machine lacks what it takes, or it did not start.
    """
    if sys.platform == "win32":
        raise Unavailable("servers of our own are not started on Windows")
    recipe = RECIPES[kind]
    for attempt in range(1, _ATTEMPTS + 1):
        name = f"{kind}-{secrets.token_hex(4)}"
        launch = recipe.prepare(root, name, free_port(), secrets.token_hex(12), durable=False)
        child = Child.start(launch, root)
        try:
            product, version = wait_ready(launch.url, launch.home, child)
        except Unavailable as refusal:
            child.stop()
            # Between finding a port free and using it, another process may have taken it.
            if attempt < _ATTEMPTS and "in use" in str(refusal):
                continue
            raise
        except BaseException:
            child.stop()
            raise
        return Server(launch.url, product, version, recipe.how, child.pid, child.stop)
    raise AssertionError("unreachable")
