"""A PostgreSQL endpoint on a database of its own, and what tests find in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from syncline.endpoints.base import (
    TargetSpec,
)
from syncline.endpoints.postgres import PostgresEndpoint
from tests.endpoints.postgres.support import (
    target,
)


@pytest.fixture
def endpoint(postgres_url: str) -> Iterator[PostgresEndpoint]:
    made = PostgresEndpoint(postgres_url)
    yield made
    made.close()


@pytest.fixture
def database(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def own_types(database: psycopg.Connection[Any]) -> None:
    database.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    database.execute("CREATE DOMAIN short_text AS varchar(10) NOT NULL")
    database.execute("CREATE TYPE pair AS (a int, b text)")


@pytest.fixture
def reader(postgres_url: str, database: psycopg.Connection[Any]) -> Iterator[PostgresEndpoint]:
    """The endpoint as a role that may only SELECT."""
    database.execute("DROP ROLE IF EXISTS syncline_reader")
    database.execute("CREATE ROLE syncline_reader LOGIN PASSWORD 'canary-secret'")
    database.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO syncline_reader")
    parts = psycopg.conninfo.conninfo_to_dict(postgres_url)
    where = f"{parts['host']}:{parts['port']}/{parts['dbname']}"
    made = PostgresEndpoint(f"postgresql://syncline_reader:canary-secret@{where}")
    yield made
    made.close()
    database.execute("DROP OWNED BY syncline_reader")
    database.execute("DROP ROLE syncline_reader")


@pytest.fixture
def things(endpoint: PostgresEndpoint, database: psycopg.Connection[Any]) -> TargetSpec:
    database.execute(
        "CREATE TABLE t (id bigint PRIMARY KEY, name varchar(5), n int CHECK (n < 100),"
        " code text UNIQUE)"
    )
    return target(
        endpoint, "t", {"id": "bigint"}, {"name": "text(5)", "n": "integer", "code": "text"}
    )
