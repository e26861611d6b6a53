"""Documents: what the demo itself reads and edits in its second target, MongoDB or else SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymongo.database import Database


def longest_delay(url: str) -> Mapping[str, Any]:
    """The document of the flight that came in latest."""
    if _is_sqlite(url):
        return _row(url, 'SELECT * FROM delays ORDER BY "arrival.delay" DESC LIMIT 1')
    with _mongo(url) as database:
        return database.delays.find_one(sort=[("arrival.delay", -1)]) or {}


def airport_name(url: str, key: str) -> str:
    """The name of an airport."""
    if _is_sqlite(url):
        return str(_row(url, "SELECT name FROM airports WHERE _id = ?", key)["name"])
    with _mongo(url) as database:
        return str((database.airports.find_one({"_id": key}) or {})["name"])


def rename_airport(url: str, key: str, name: str) -> None:
    """What a user of the app does to an airport."""
    if _is_sqlite(url):
        with closing(_sqlite(url)) as connection, connection:
            connection.execute("UPDATE airports SET name = ? WHERE _id = ?", [name, key])
        return
    with _mongo(url) as database:
        database.airports.update_one({"_id": key}, {"$set": {"name": name}})


def _is_sqlite(url: str) -> bool:
    return url.startswith("sqlite:///")


def _sqlite(url: str) -> sqlite3.Connection:
    return sqlite3.connect(url.removeprefix("sqlite:///"))


def _row(url: str, query: str, *values: str) -> Mapping[str, Any]:
    with closing(_sqlite(url)) as connection:
        connection.row_factory = sqlite3.Row
        return dict(connection.execute(query, values).fetchone())


@contextmanager
def _mongo(url: str) -> Generator[Database[dict[str, Any]]]:
    from pymongo import MongoClient

    with MongoClient[dict[str, Any]](url) as client:
        yield client.get_default_database()
