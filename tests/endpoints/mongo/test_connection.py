"""Connecting to MongoDB: what can't be reached, what is wrong, and TLS."""

from __future__ import annotations

import time
from typing import Any

import pytest

from syncline.endpoints.mongo import MongoEndpoint
from syncline.errors import InputError, Unreachable
from tests.attack.proxy import Proxy


def test_a_server_that_is_not_there_is_unreachable() -> None:
    """Within the connect timeout, as an error that may pass, without the password."""
    endpoint = MongoEndpoint("mongodb://user:canary@127.0.0.1:1/x", connect_timeout=0.2)
    with pytest.raises(Unreachable) as failure:
        endpoint.tables()
    assert "canary" not in str(failure.value)
    assert "canary" not in repr(endpoint)
    endpoint.close()


def test_a_server_that_is_down_is_noticed_long_before_a_statement_would_be() -> None:
    """The connect timeout holds, however long a statement may take."""
    endpoint = MongoEndpoint("mongodb://127.0.0.1:1/x", connect_timeout=0.3, statement_timeout=300)
    began = time.monotonic()
    with pytest.raises(Unreachable):
        endpoint.tables()
    assert time.monotonic() - began < 100
    endpoint.close()


def test_a_server_that_goes_down_is_noticed_too(mongo_url: str) -> None:
    """It answered, then its connections are cut and new ones refused."""
    with Proxy(mongo_url) as proxy:
        endpoint = MongoEndpoint(proxy.url, connect_timeout=3, statement_timeout=300)
        assert endpoint.tables() == []
        proxy.open = False
        proxy.cut()
        began = time.monotonic()
        with pytest.raises(Unreachable):
            endpoint.tables()
        assert time.monotonic() - began < 100
        proxy.open = True
        assert _tables_once_up(endpoint) == []
        endpoint.close()


def _tables_once_up(endpoint: MongoEndpoint) -> list[str]:
    """Ask until the driver has looked again: it looks no more than twice a second."""
    ends = time.monotonic() + 100
    while True:
        try:
            return endpoint.tables()
        except Unreachable:
            if time.monotonic() > ends:
                raise


def test_a_server_that_falls_silent_is_given_the_time_of_a_statement(mongo_url: str) -> None:
    """The connection stays and nothing comes: the statement's timeout ends the wait."""
    with Proxy(mongo_url) as proxy:
        warm = MongoEndpoint(mongo_url)  # a server that has only just begun may take a while
        assert warm.tables() == []
        warm.close()
        endpoint = MongoEndpoint(proxy.url, connect_timeout=30, statement_timeout=3)
        assert endpoint.tables() == []
        proxy.swallowing = frozenset(("client",))
        began = time.monotonic()
        with pytest.raises(Unreachable):
            endpoint.tables()
        assert 2.9 < time.monotonic() - began < 100
        endpoint.close()


@pytest.mark.parametrize(
    "url",
    ["mongodb://h/", "mongodb://u:canary@h:x/db", "mongodb://u:can:ary@h/db", "canary://h/db"],
)
def test_a_url_that_is_wrong_is_an_input_error_without_its_password(url: str) -> None:
    """The driver's words may repeat the URL; ours do not."""
    with pytest.raises(InputError) as failure:
        MongoEndpoint(url)
    assert "canary" not in f"{failure.value!r} {failure.value.__cause__!r}"


def test_tls_is_asked_for_except_on_this_machine() -> None:
    """Verified by default; off and unverified only where it is said."""

    def options(url: str, **more: Any) -> tuple[bool, bool]:
        endpoint = MongoEndpoint(url, **more)
        told = endpoint._connection.client.options.pool_options._ssl_context
        endpoint.close()
        return told is not None, told is not None and told.verify_mode != 0

    assert options("mongodb://db.example.com/x") == (True, True)
    assert options("mongodb://127.0.0.1/x") == (False, False)
    assert options("mongodb://db.example.com/x?tls=false") == (False, False)
    assert options("mongodb://db.example.com/x", tls="require") == (True, False)
    assert options("mongodb://db.example.com/x", tls="off") == (False, False)
