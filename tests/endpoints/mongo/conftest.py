"""A MongoDB endpoint on a database of its own, and the same database by the driver itself."""

from __future__ import annotations

from collections.abc import Iterator

import pymongo
import pytest
from pymongo.database import Database

from syncline.endpoints.mongo import MongoEndpoint
from syncline.endpoints.mongo_connection import OPTIONS
from tests.endpoints.mongo.support import (
    Row,
)


@pytest.fixture
def mongo(mongo_url: str) -> Iterator[MongoEndpoint]:
    """The endpoint, on an empty database."""
    endpoint = MongoEndpoint(mongo_url)
    yield endpoint
    endpoint.close()


@pytest.fixture
def database(mongo_url: str) -> Iterator[Database[Row]]:
    """The same database by the driver itself, for what other clients do."""
    client: pymongo.MongoClient[Row] = pymongo.MongoClient(mongo_url)
    yield client.get_default_database(codec_options=OPTIONS)
    client.close()
