"""Every endpoint passes the one contract; the report names the servers in a section."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

import pytest

pytest.register_assert_rewrite(
    "tests.endpoints.contract_bench",
    "tests.endpoints.contract_keeping",
    "tests.endpoints.contract_reads",
    "tests.endpoints.contract_values",
    "tests.endpoints.contract_writes",
)

from syncline.endpoints.base import Endpoint  # noqa: E402
from syncline.testing import MemoryEndpoint  # noqa: E402
from tests.conftest import REPLICA_SET  # noqa: E402
from tests.endpoints.contract import Contract  # noqa: E402
from tests.endpoints.contract_bench import Bench  # noqa: E402

ENDPOINTS = {
    "memory": None,
    "sqlite": ("syncline.endpoints.sqlite", "SqliteEndpoint"),
    "postgres": ("syncline.endpoints.postgres", "PostgresEndpoint"),
    "mariadb": ("syncline.endpoints.mysql", "MysqlEndpoint"),
    "mongo": ("syncline.endpoints.mongo", "MongoEndpoint"),
    REPLICA_SET: ("syncline.endpoints.mongo", "MongoEndpoint"),
}


# What a replica set adds is its deltas; the rest of the contract is the same code as before.
SLOW = {REPLICA_SET: [pytest.mark.slow, pytest.mark.mongo]}


@pytest.fixture(
    scope="module", params=[pytest.param(each, marks=SLOW.get(each, [])) for each in ENDPOINTS]
)
def endpoint(
    request: pytest.FixtureRequest, new_module_database: Callable[[str], str]
) -> Iterator[Endpoint]:
    """One endpoint of each kind, on a database of its own."""
    where = ENDPOINTS[request.param]
    if where is None:
        made: Endpoint = MemoryEndpoint()
    else:
        module, name = where
        make = getattr(importlib.import_module(module), name)
        made = make(new_module_database(request.param))
    yield made
    made.close()


@pytest.fixture
def bench(
    endpoint: Endpoint,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> Bench:
    """The endpoint under test; the report says which server and version it was."""
    record_property("server", f"{endpoint.product} {endpoint.version()}")
    return Bench(endpoint, str(request.node.callspec.params["endpoint"]))


class TestContract(Contract):
    """The contract, for every endpoint."""
