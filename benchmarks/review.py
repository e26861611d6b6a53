"""The review app on ten thousand open conflicts: `python -m benchmarks.review`.

Two SQLite files in step, edited on both sides, met by a run; then the real app on a port of its
own, asked over HTTP as a browser asks it. A decision over all of them is checked to land exactly
once.
"""

from __future__ import annotations

import re
import socket
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn

from syncline import log
from syncline.project import Project
from syncline.review.web.access import Access, User
from syncline.review.web.app import make_app
from syncline.sync import RunOptions, run

MANY: Final = 10_000
ROUNDS: Final = 25
TOKEN: Final = "b" * 40
MAPPING: Final = """\
source: {connection: source, table: customers}
target: {connection: target, table: users, create: true}
key: {user_id: id}
fields: {email: email, name: name, phone: {from: phone, mask: true}, city: city}
conflicts: {strategy: manual}
"""
PAGES: Final = {
    "list": "/conflicts",
    "its last page": f"/conflicts?page={MANY // 100}",
    "by mapping, sorted by key": "/conflicts?mapping=customers&sort=key",
    "by field": "/conflicts?field=email&sort=updated",
    "by kind and age": "/conflicts?kind=both_changed&age=hour",
    "by text": "/conflicts?q=target77",
    "one conflict": f"/conflicts/{MANY // 2}",
    "the same beside the list": f"/api/conflicts/{MANY // 2}",
    "next open": f"/conflicts/{MANY // 2}/next",
    "overview": "/",
    "audit": "/audit",
    "API, by text": "/api/conflicts?q=target77",
}

PARTS: Final = {"the same beside the list"}
"""What pages of the app ask for."""


def make_project(root: Path) -> Project:
    """`MANY` customers whose email both sides have changed, queued."""
    (root / "mappings").mkdir(parents=True)
    (root / "mappings" / "customers.yaml").write_text(MAPPING)
    (root / "connections.yaml").write_text(
        "connections: {source: 'sqlite:///source.db', target: 'sqlite:///target.db'}\n"
    )
    columns = "id INTEGER PRIMARY KEY, email TEXT, name TEXT, phone TEXT, city TEXT"
    records = [
        (key, f"c{key}@x.example", f"Customer {key}", f"+39 06 {key:05}", "Rome")
        for key in range(1, MANY + 1)
    ]
    with _database(root, "source") as source:
        source.execute(f"CREATE TABLE customers ({columns})")
        source.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", records)
    project = Project(root)
    options = RunOptions(allow=frozenset({"conflicts"}))
    run(project, "customers", options)
    with _database(root, "source") as source, _database(root, "target") as target:
        source.execute("UPDATE customers SET email = 'source' || id || '@x.example'")
        target.execute("UPDATE users SET email = 'target' || user_id || '@x.example'")
    begun = time.perf_counter()
    queued = run(project, "customers", options).queued
    if queued != MANY:
        sys.exit(f"{queued} are queued, not {MANY}")
    print(f"queued by a run in {time.perf_counter() - begun:.1f} s")
    with _database(root, "target") as target:
        target.execute("CREATE TABLE written (user_id INTEGER)")
        target.execute(
            "CREATE TRIGGER told AFTER UPDATE ON users BEGIN "
            "INSERT INTO written VALUES (new.user_id); END"
        )
    return project


@contextmanager
def _database(root: Path, name: str) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(root / f"{name}.db")) as database, database:
        yield database


@contextmanager
def served(project: Project) -> Generator[httpx.Client]:
    """A client of the app, which writes what is decided at once."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = int(listener.getsockname()[1])
    access = Access(User("ann", "reviewer"), port, api_token=TOKEN)
    server = uvicorn.Server(
        uvicorn.Config(make_app(project, access, write_after=0), log_level="error")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url, headers = f"http://127.0.0.1:{port}", {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=url, headers=headers, timeout=300) as client:
        yield client
    server.should_exit = True
    thread.join(60)


def measure_pages(client: httpx.Client) -> None:
    """Each page, `ROUNDS` times in turns, after one that is not counted."""
    took: dict[str, list[float]] = {name: [] for name in PAGES}
    for turn in range(ROUNDS + 1):
        for name, path in PAGES.items():
            begun = time.perf_counter()
            part = {"hx-request": "true"} if name in PARTS else {}
            answer = client.get(path, headers=part)
            if turn:
                took[name].append((time.perf_counter() - begun) * 1000)
            if answer.status_code not in (200, 303):
                sys.exit(f"{path}: {answer.status_code}")
    print("\n| page | median ms | slowest ms |\n| --- | ---: | ---: |")
    for name, times in took.items():
        print(f"| {name} | {statistics.median(times):.0f} | {max(times):.0f} |")


def measure_bulk(client: httpx.Client, root: Path) -> None:
    """One decision over all, previewed, decided and written."""
    times: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        found = work()
        times[name] = time.perf_counter() - begun
        return found

    pages = {"accept": "text/html"}

    def send(what: str, **form: str) -> httpx.Response:
        return client.post(f"/api/conflicts/bulk/{what}", data=form, headers=pages)

    shown = timed("preview", lambda: send("preview", scope="filter", take="source"))
    selection = re.findall(r'name="selection" value="([^"]+)"', shown.text)[0]
    chosen = {"selection": selection, "take": "source", "note": "all at once"}
    timed("decide", lambda: send("decide", **chosen))
    timed("written", lambda: _all_applied(client))
    with _database(root, "target") as target:
        (found,) = target.execute("SELECT count(*), count(DISTINCT user_id) FROM written")
    if found != (MANY, MANY):
        sys.exit(f"{found[0]} writes of {found[1]} records, not one of each of {MANY}")
    print("\n| one decision over all | s |\n| --- | ---: |")
    for name, seconds in times.items():
        print(f"| {name} | {seconds:.1f} |")
    print(f"\n{found[0]:,} writes of {found[1]:,} records")


def _all_applied(client: httpx.Client) -> None:
    while client.get("/api/conflicts?state=applied").json()["total"] < MANY:
        time.sleep(0.05)


def main() -> None:
    """Measure, and print tables in Markdown."""
    log.configure(level="error")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        with served(make_project(root)) as client:
            measure_pages(client)
            measure_bulk(client, root)


if __name__ == "__main__":
    main()
