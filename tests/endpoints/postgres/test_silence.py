"""A PostgreSQL that falls silent while its connection stands, behind a proxy that still listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from syncline.endpoints import postgres_session
from syncline.endpoints.base import ReadSpec, TargetSpec
from syncline.endpoints.postgres import PostgresEndpoint
from syncline.errors import Unreachable
from syncline.record import Type
from tests.attack.proxy import Proxy
from tests.endpoints.postgres.support import a_batch, read_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
BIG = ReadSpec("big", ("id",), {"id": Type("bigint"), "name": Type("text")}, by="none")
SLOW = ReadSpec("slow", ("id",), {"id": Type("bigint")}, by="none")
LIMIT = 11
"""Seconds that `hasty` waits: its statement timeout, and what is left of the grace."""


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    with Proxy(postgres_url) as proxy:
        yield proxy


@pytest.fixture
def hasty(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresEndpoint]:
    """The endpoint through the proxy, which gives up what is silent for LIMIT seconds."""
    monkeypatch.setattr(postgres_session, "GRACE", 1.0)
    made = PostgresEndpoint(proxy.url, statement_timeout=LIMIT - 1, connect_timeout=10)
    yield made
    made.close()


@pytest.fixture
def big(database: psycopg.Connection[Any]) -> int:
    """How many rows of a kilobyte the table `big` has: more than all that waits on the way."""
    database.execute("CREATE TABLE big (id bigint PRIMARY KEY, name text)")
    database.execute("INSERT INTO big SELECT i, repeat('x', 1000) FROM generate_series(1, 60000) i")
    return 60_000


def silence(proxy: Proxy) -> None:
    """From now on nothing comes back; what is said is taken."""
    proxy.swallowing = frozenset(("client",))


def ended(work: Callable[[], object]) -> BaseException | None:
    """What the work raised; it fails where that takes minutes."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - given back
            raised.append(error)

    running = threading.Thread(target=run, daemon=True)
    running.start()
    running.join(150)
    assert not running.is_alive(), "it still waits"
    return raised[0] if raised else None


def test_f16_a_statement_that_nobody_answers_is_given_up(
    hasty: PostgresEndpoint, proxy: Proxy, things: TargetSpec
) -> None:
    """Rows on their way, and the COMMIT: each call ends, as a lost connection, and says why."""

    def insert() -> None:
        with hasty.begin(things) as tx:
            silence(proxy)
            tx.insert(a_batch([1]))

    def commit() -> None:
        with hasty.begin(things) as tx:
            tx.insert(a_batch([2]))
            silence(proxy)
            tx.commit()

    for work in (insert, commit):
        proxy.swallowing = frozenset()
        error = ended(work)
        assert isinstance(error, Unreachable)
        assert f"nothing was heard for {LIMIT} s" in str(error)
    proxy.swallowing = frozenset()
    with hasty.begin(things) as tx:
        assert not tx.is_empty()  # the COMMIT was heard, its answer not


def test_f16_a_read_that_falls_silent_is_given_up(
    hasty: PostgresEndpoint, proxy: Proxy, big: int
) -> None:
    """In the middle of a stream, where no statement timeout holds: also when new connections are
    let through, and the server waits for us while we wait for it.
    """

    def read(between: Callable[[], None]) -> None:
        with hasty.read(BIG, mode="full") as reading:
            batches = reading.batches()
            next(batches)
            between()
            for _ in batches:
                pass

    assert big
    for between in (lambda: silence(proxy), proxy.mute):
        proxy.swallowing = frozenset()
        error = ended(lambda between=between: read(between))
        assert isinstance(error, Unreachable)
        assert f"nothing was heard for {LIMIT} s" in str(error)


def test_a_read_whose_server_is_only_slow_is_waited_for(
    proxy: Proxy, database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first row takes longer than any deadline: the server, asked, says that it works on it."""
    monkeypatch.setattr(postgres_session, "GRACE", 1.0)
    database.execute("CREATE VIEW slow AS SELECT 1::bigint AS id FROM pg_sleep(16)")
    patient = PostgresEndpoint(proxy.url, statement_timeout=LIMIT - 1, connect_timeout=60)
    began = time.monotonic()
    rows, _ = read_all(patient, SLOW)
    patient.close()
    assert rows == [{"id": 1}]
    assert time.monotonic() - began > LIMIT + 4  # 16, less what a clock may differ


def test_a_thin_line_is_not_a_silent_one(hasty: PostgresEndpoint, proxy: Proxy, big: int) -> None:
    """What the driver gives as one batch comes bit by bit, for longer than any deadline, while the
    server waits for us.
    """
    longest = 0.0
    with hasty.read(BIG, mode="full") as reading:
        batches = reading.batches()
        proxy.delay = 0.4
        while longest < LIMIT + 2:  # the first are on this machine already
            began = time.monotonic()
            next(batches)
            longest = time.monotonic() - began
        proxy.delay = 0
    assert big


def test_a_read_that_is_left_while_its_server_is_silent_ends(
    hasty: PostgresEndpoint, proxy: Proxy, big: int
) -> None:
    """Its query can't be cancelled either: that is given up too, and the next read is a new one."""

    def leave() -> None:
        with hasty.read(BIG, mode="full") as reading:
            batches = reading.batches()
            next(batches)
            silence(proxy)
            batches.close()  # type: ignore[attr-defined]

    assert ended(leave) is None
    proxy.swallowing = frozenset()
    assert len(read_all(hasty, BIG)[0]) == big


def test_only_the_silent_session_is_given_up(
    hasty: PostgresEndpoint, proxy: Proxy, things: TargetSpec, endpoint: PostgresEndpoint
) -> None:
    """Another's session, in the middle of its transaction, goes on."""

    def look() -> None:
        with hasty.begin(things) as tx:
            silence(proxy)
            tx.is_empty()

    with endpoint.begin(things) as other:
        other.insert(a_batch([1]))
        assert isinstance(ended(look), Unreachable)
        other.insert(a_batch([2]))
        other.commit()
    with endpoint.begin(things) as tx:
        assert tx.fetch(a_batch([1, 2]).select(["id"])).rows.num_rows == 2
