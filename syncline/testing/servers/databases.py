"""Version, create and drop, for the three kinds of server; told apart by the URL's scheme."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from syncline.testing.servers.server import Unavailable, credentials

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymysql.connections import Connection

_CONNECT_S = 30


def version(url: str) -> tuple[str, str]:
    """Give product and version as the server tells them, or raise the driver's error."""
    match urlsplit(url).scheme:
        case "postgresql":
            return "PostgreSQL", _postgres(url, "SHOW server_version").split()[0]
        case "mongodb":
            with _mongo(url) as client:
                return "MongoDB", str(client.server_info()["version"])
        case _:
            told = _mysql(url, "SELECT version()")
            return ("MariaDB" if "MariaDB" in told else "MySQL"), told


def command(url: str, name: str) -> Mapping[str, Any]:
    """Run a command without arguments on a MongoDB server's `admin`, and give the answer."""
    with _mongo(url) as client:
        return client.admin.command(name)


def create(url: str, name: str) -> None:
    """Make the empty database `name`."""
    match urlsplit(url).scheme:
        case "postgresql":
            # template0: a session left open on template1 would make this fail
            _postgres(url, f'CREATE DATABASE "{name}" TEMPLATE template0')
        case "mongodb":
            pass  # made by the first write
        case _:
            _mysql(url, f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")


def drop(url: str, name: str) -> None:
    """Remove the database `name` where there is one, and end its sessions."""
    match urlsplit(url).scheme:
        case "postgresql":
            _postgres(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        case "mongodb":
            with _mongo(url) as client:
                client.drop_database(name)
        case _:
            _mysql(url, f"DROP DATABASE IF EXISTS `{name}`", end_sessions_of=name)


def _postgres(url: str, statement: str) -> str:
    import psycopg

    with psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_S) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return str(row[0]) if row else ""


def _mysql(url: str, statement: str, *, end_sessions_of: str = "") -> str:
    try:
        import pymysql
    except ImportError as error:
        raise Unavailable(
            "pymysql is not installed", hint="pip install 'syncline[mysql]'"
        ) from error

    host, port, user, password = credentials(url)
    with (
        closing(
            pymysql.connect(
                host=host,
                port=port or 3306,
                user=user,
                password=password,
                connect_timeout=_CONNECT_S,
                autocommit=True,
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        if end_sessions_of:
            _end_sessions(connection, end_sessions_of)
        cursor.execute(statement)
        row = cursor.fetchone()
        return str(row[0]) if row else ""


def _end_sessions(connection: Connection[Any], database: str) -> None:
    """End what still uses `database`: an open transaction would keep DROP waiting for its lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE db = %s AND id <> connection_id()",
            [database],
        )
        for (session,) in cursor.fetchall():
            cursor.execute(f"KILL HARD {int(session)}")


def _mongo(url: str) -> MongoClient[dict[str, Any]]:
    import pymongo

    return pymongo.MongoClient(url, serverSelectionTimeoutMS=_CONNECT_S * 1000)
