"""A project whose two sides collide, and the review app on it, served for real."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from syncline.project import Project
from syncline.review.web.access import Access, Proxy, User
from syncline.review.web.app import make_app
from syncline.store import Entry, Store
from syncline.sync import RunOptions, RunSummary, run

SCRIPT = "<script>document.title='owned'</script>"
"""What a hostile record holds."""
CANARY = "canary-5f1d-password"
"""What must be seen nowhere."""
MAPPING = """\
source: {connection: source, table: customers}
target: {connection: target, table: users, create: true}
key: {user_id: id}
fields:
  email: lower(email)
  name: name
  phone: {from: phone, mask: true}
  amount: {from: amount, type: "decimal(14,2)"}
  updated_at: {from: updated_at, type: timestamp}
delta: {by: timestamp, cursor: updated_at}
conflicts: {strategy: manual}
"""


class ReviewBench:
    """Customers in one SQLite file, users in another, and a mapping that asks a person."""

    def __init__(self, root: Path, count: int = 12, mapping: str = MAPPING) -> None:
        self.root, self.moves = root, 0
        (root / "mappings").mkdir(parents=True)
        (root / "connections.yaml").write_text(
            "connections:\n  source: 'sqlite:///source.db'\n  target: 'sqlite:///target.db'\n"
            "  other: ${OTHER_URL}\n"
        )
        (root / ".env").write_text(f"OTHER_URL=postgresql://ann:{CANARY}@127.0.0.1:1/other\n")
        (root / "mappings" / "customers.yaml").write_text(mapping)
        self.source(
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT, name TEXT, phone TEXT, "
            "amount DECIMALTEXT(14,2), updated_at TEXT)"
        )
        self.source_many(
            "INSERT INTO customers VALUES (?, ?, ?, ?, ?, '2026-01-01 00:00:00')",
            [
                (key, f"c{key}@x.example", f"Name {key}", f"+39 06 {key:05}", f"{key}.50")
                for key in range(1, count + 1)
            ],
        )
        self.target("SELECT 1")
        if count:  # else its user fills both sides
            self.run()

    @property
    def project(self) -> Project:
        """The project, read anew."""
        return Project.find(explicit=self.root)

    def source(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement on the source."""
        return self._sql("source.db", statement, values)

    def target(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement on the target."""
        return self._sql("target.db", statement, values)

    def source_many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement on the source for many rows."""
        with closing(sqlite3.connect(self.root / "source.db", timeout=60)) as database, database:
            database.executemany(statement, rows)

    def _sql(self, name: str, statement: str, values: tuple[Any, ...]) -> list[Any]:
        with closing(sqlite3.connect(self.root / name, timeout=60)) as database, database:
            return database.execute(statement, values).fetchall()

    def run(self) -> RunSummary:
        """`syncline run customers --allow conflicts --allow deletes`."""
        return run(self.project, "customers", RunOptions(allow=frozenset({"conflicts", "deletes"})))

    def collide(self, *keys: int, name: str | None = None) -> None:
        """Both sides change the email (and the masked phone) of these customers, and a run meets
        it.
        """
        self.moves += 1
        stamp = f"2026-02-01 00:{self.moves // 60:02}:{self.moves % 60:02}"
        for key in keys:
            self.source(
                "UPDATE customers SET email = ?, phone = ?, name = coalesce(?, name), "
                "updated_at = ? WHERE id = ?",
                f"source{key}@x.example", f"+39 07 {key:05}", name, stamp, key,
            )  # fmt: skip
            self.target(
                "UPDATE users SET email = ?, phone = ? WHERE user_id = ?",
                f"target{key}@x.example", f"+39 08 {key:05}", key,
            )  # fmt: skip
        self.run()

    def poison(self, key: int) -> None:
        """The source gets a value that can't be read, and a run makes it a dead letter."""
        self.moves += 1
        self.source(
            "UPDATE customers SET amount = 'twelve', updated_at = ? WHERE id = ?",
            f"2026-02-01 01:00:{self.moves:02}", key,
        )  # fmt: skip
        self.run()

    def email(self, key: int) -> str:
        """What the target holds."""
        return str(self.target("SELECT email FROM users WHERE user_id = ?", key)[0][0])

    def conflict(self, key: int) -> Entry:
        """The newest conflict of a customer."""
        with Store.open(self.project.store_url) as store:
            found = [one for one in store.conflicts(limit=100_000) if one.key == {"user_id": key}]
        return found[0]


class Serving:
    """The review app on a project, in a thread of its own, on a port of its own."""

    def __init__(
        self, project: Project, *, write_after: float = 0.2, proxy: Proxy | None = None,
        api_token: str | None = None, user: str = "ann",
    ) -> None:  # fmt: skip
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.access = Access(User(user, "reviewer"), self.port, proxy, api_token)
        app = make_app(project, self.access, write_after=write_after)
        config = uvicorn.Config(
            app, log_level="warning", proxy_headers=False, timeout_graceful_shutdown=1
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True
        )
        self.thread.start()
        eventually(lambda: self.server.started, "the server starts")

    @property
    def link(self) -> str:
        """A new link that works once."""
        return f"{self.url}/login?token={self.access.new_link()}"

    @contextmanager
    def client(self) -> Generator[httpx.Client]:
        """A client that is signed in and says where its requests come from, as a browser does."""
        headers = {"origin": self.url, "sec-fetch-site": "same-origin"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=60) as client:
            assert client.get(self.link).status_code == 303
            yield client

    def stop(self) -> None:
        """End the server."""
        self.server.should_exit = True
        self.thread.join(100)
        self.listener.close()


def eventually(true: Callable[[], Any], what: str, seconds: float = 100) -> None:
    """Wait until something holds; fail with `what` if it never does."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)
