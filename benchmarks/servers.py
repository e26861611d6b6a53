"""The servers of the benchmark: PostgreSQL, and MariaDB and MongoDB once a case needs them.

All flush to disk at COMMIT as a user's do. `SYNCLINE_TEST_MARIADB_URL` and `.._MONGO_URL` name
others in place of those that this machine has; their processor time is then not known.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from syncline.testing import servers
from syncline.testing.servers import Kind, Server, Unavailable, with_database
from syncline.testing.servers.local import RECIPES
from syncline.testing.servers.process import Child, free_port, wait_ready


@dataclass
class Servers:
    """The servers that run, by kind; ended, files and all, with the block that made them."""

    root: Path
    postgres: Server
    psql: Path
    _ends: ExitStack
    _had: dict[Kind, Server] = field(default_factory=dict[Kind, Server])

    def get(self, kind: Kind) -> Server:
        """The server of that kind, started when it is first asked for. Raises Unavailable."""
        if kind not in self._had:
            self._had[kind] = self._started(kind)
        return self._had[kind]

    def runs(self, kind: Kind) -> bool:
        """Whether a case has needed it yet."""
        return kind in self._had

    def _started(self, kind: Kind) -> Server:
        if f"SYNCLINE_TEST_{kind.upper()}_URL" in os.environ:
            return servers.start(kind, self.root)
        server, _ = _durable(kind, self.root)
        self._ends.callback(server.stop)
        return server

    @property
    def pids(self) -> list[int]:
        """The processes of those that are ours."""
        return [one.pid for one in self._had.values() if one.pid is not None]

    def versions(self) -> dict[str, str]:
        """Product and version of each that was started."""
        return {one.product.lower(): f"{one.version} ({one.how})" for one in self._had.values()}

    def settle(self) -> None:
        """Let no run pay for what another left: dead rows, and pages not yet written."""
        for name in ("source", "target"):
            url = with_database(self.postgres.url, name)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
                connection.execute("CHECKPOINT")


@contextmanager
def started() -> Generator[Servers]:
    """A PostgreSQL server of our own, and a place for others; all of it is gone at the end."""
    with TemporaryDirectory(prefix="syncline-bench-") as kept, ExitStack() as ends:
        root = Path(kept)
        root.chmod(0o755)  # a server's unprivileged user has to reach into it
        server, argv = _durable("postgres", root)
        ends.callback(server.stop)
        with psycopg.connect(server.url, autocommit=True) as connection:
            # Its workers would wake in the middle of a measurement; `settle` does their work.
            connection.execute("ALTER SYSTEM SET autovacuum = off")
            connection.execute("SELECT pg_reload_conf()")
        psql = Path(argv[0]).with_name("psql")
        yield Servers(root, server, psql, ends, {"postgres": server})


def _durable(kind: Kind, root: Path) -> tuple[Server, tuple[str, ...]]:
    """Start a server that flushes at COMMIT; with the command that runs it."""
    recipe = RECIPES[kind]
    launch = recipe.prepare(root, kind, free_port(), secrets.token_hex(12), durable=True)
    child = Child.start(launch, root)
    try:
        product, version = wait_ready(launch.url, launch.home, child)
    except Unavailable:
        child.stop()
        raise
    server = Server(launch.url, product, version, recipe.how, child.pid, child.stop)
    return server, launch.argv
