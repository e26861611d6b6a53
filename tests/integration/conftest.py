"""Targets for tests that settle batches: the in-memory endpoint and every real database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline.endpoints.base import Endpoint
from tests.conftest import REPLICA_SET, NewDatabase
from tests.integration.project_bench import DELTA, FIELDS, Make, ProjectBench, Side, person

PRODUCTS = [
    "memory",
    "sqlite",
    "postgres",
    "mariadb",
    "mongo",
    pytest.param(REPLICA_SET, marks=[pytest.mark.slow, pytest.mark.mongo]),
]


def open_url(kind: str, url: str) -> Endpoint:
    """An endpoint of that kind."""
    match kind:
        case "postgres":
            from syncline.endpoints.postgres import PostgresEndpoint

            return PostgresEndpoint(url)
        case "mariadb":
            from syncline.endpoints.mysql import MysqlEndpoint

            return MysqlEndpoint(url)
        case "sqlite":
            from syncline.endpoints.sqlite import SqliteEndpoint

            return SqliteEndpoint(url)
        case _:
            from syncline.endpoints.mongo import MongoEndpoint

            return MongoEndpoint(url)


@pytest.fixture(params=PRODUCTS, scope="module")
def target(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    """A target database of each kind, shared by a module's tests, each with tables of its own."""
    if request.param == "memory":
        from syncline.endpoints.memory import MemoryEndpoint

        yield MemoryEndpoint()
        return
    new_database = request.getfixturevalue("new_module_database")
    endpoint = open_url(request.param, new_database(request.param))
    yield endpoint
    endpoint.close()


@pytest.fixture
def make(
    request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path: Path
) -> Iterator[Make]:
    """Makes a project from one SQLite file to another, whose source has `count` people; between
    other databases where the test is marked `everywhere`.
    """
    kinds: tuple[str, str] = getattr(request, "param", ("sqlite", "sqlite"))
    sides: list[Side] = []

    def made(count: int = 100, *, rest: str = "", fields: str = FIELDS) -> ProjectBench:
        pair = zip(kinds, ("people", "copy"), strict=True)
        source, target = (Side(kind, new_database(kind), name) for kind, name in pair)
        sides.extend((source, target))
        source.create()
        if count:
            source.put(*(person(key) for key in range(count)))
        return ProjectBench(tmp_path, source, target, rest=DELTA + rest, fields=fields)

    yield made
    for side in sides:
        side.close()
