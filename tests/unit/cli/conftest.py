"""A project of two SQLite databases, and the command line to work on it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from syncline.cli.app import app

MAPPING = """\
source: {connection: source, table: customers}
target: {connection: target, table: users, create: true}
key: {user_id: id}
fields:
  email: lower(email)
  name: name
  updated_at: {from: updated_at, type: timestamp}
delta: {by: timestamp, cursor: updated_at}
conflicts: {strategy: manual}
"""


@dataclass(frozen=True)
class Place:
    """A project on disk, with its two databases."""

    root: Path

    def source(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._sql("source.db", statement, values)

    def target(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._sql("target.db", statement, values)

    def _sql(self, name: str, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.root / name)) as database, database:
            return database.execute(statement, values).fetchall()

    def write(self, name: str, text: str = MAPPING) -> None:
        (self.root / "mappings" / f"{name}.yaml").write_text(text)


Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SYNCLINE_PROJECT", "SYNCLINE_STORE_URL", "SYNCLINE_LOG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli() -> Iterator[Cli]:
    """Runs a command line in this process; stdout and stderr apart."""

    def run(*arguments: Any, text: str | None = None) -> Result:
        return CliRunner().invoke(app, [str(one) for one in arguments], input=text)

    return run


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Five customers, and a mapping `customers` of strategy manual that was never run."""
    root = tmp_path / "project"
    (root / "mappings").mkdir(parents=True)
    (root / "connections.yaml").write_text(
        "connections: {source: 'sqlite:///source.db', target: 'sqlite:///target.db'}\n"
    )
    made = Place(root)
    made.write("customers")
    made.source(
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT, name TEXT, updated_at TEXT)"
    )
    for key in range(1, 6):
        made.source(
            "INSERT INTO customers VALUES (?, ?, ?, '2026-01-01 00:00:00')",
            key, f"C{key}@x", f"Name {key}",
        )  # fmt: skip
    made.target("SELECT 1")
    monkeypatch.chdir(root)
    return made


@pytest.fixture
def conflicted(place: Place, cli: Cli) -> Place:
    """The same, synced, then the email of customers 1 and 2 edited on both sides."""
    ran = cli("run", "customers")
    assert ran.exit_code == 0, ran.stderr
    for key in (1, 2):
        place.source(
            "UPDATE customers SET email = ?, updated_at = '2026-01-02 00:00:00' WHERE id = ?",
            f"source{key}@x", key,
        )  # fmt: skip
        place.target("UPDATE users SET email = ? WHERE user_id = ?", f"target{key}@x", key)
    ran = cli("run", "customers")
    assert ran.exit_code == 0, ran.stderr
    return place


def lines(result: Result) -> list[dict[str, Any]]:
    """The objects on stdout: every line is one."""
    return [json.loads(line) for line in result.stdout.splitlines()]
