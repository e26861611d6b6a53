"""Projects under attack: a source of any kind, and the cheapest target unless a test names one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.attack.proxy import Proxy
from tests.attack.writers import Hand
from tests.conftest import REPLICA_SET, NewDatabase
from tests.integration.project_bench import FIELDS, ProjectBench, Side, person

Between = Callable[[Side], Proxy]
CURSOR = "delta: {cursor: updated_at}\n"
TIMESTAMP = "delta: {by: timestamp, cursor: updated_at}\n"
DELTA = {
    "xmin": "delta: {by: xmin}\n",
    "timestamp": TIMESTAMP,
    "mariadb": CURSOR,
    "sqlite": CURSOR,
    "mongo": TIMESTAMP,
    "stream": "",
}
"""How each watermark is asked for in a mapping."""


def product(watermark: str) -> str:
    """The database whose watermark it is."""
    known = {"xmin": "postgres", "timestamp": "postgres", "stream": "mongo"}
    return known.get(watermark, watermark)


def _opened(kind: str, new_database: NewDatabase) -> tuple[str, str]:
    return "mongo" if kind == REPLICA_SET else kind, new_database(kind)


class Make(Protocol):
    """Makes a project that reads by a watermark."""

    def __call__(
        self,
        watermark: str,
        target: str = "sqlite",
        *,
        count: int = 0,
        rest: str = "",
        fields: str = FIELDS,
    ) -> ProjectBench: ...


@pytest.fixture
def make(new_database: NewDatabase, tmp_path: Path) -> Iterator[Make]:
    """Makes projects; `count` people are in the source."""
    sides: list[Side] = []

    def made(
        watermark: str,
        target: str = "sqlite",
        *,
        count: int = 0,
        rest: str = "",
        fields: str = FIELDS,
    ) -> ProjectBench:
        kind = product(watermark)
        here, there = (
            Side(*_opened(REPLICA_SET if watermark == "stream" else kind, new_database), "people"),
            Side(*_opened(target, new_database), "people_copy"),
        )
        sides.extend((here, there))
        here.create()
        if count:
            here.put(*(person(key) for key in range(count)))
        rest = DELTA[watermark] + rest
        return ProjectBench(tmp_path / f"{len(sides)}", here, there, rest=rest, fields=fields)

    yield made
    for side in sides:
        side.close()


class Hands(Protocol):
    """Gives an application's own connection to a side."""

    def __call__(self, side: Side) -> Hand: ...


@pytest.fixture
def hands() -> Iterator[Hands]:
    """Applications that are gone when the test ends, whatever they left open."""
    given: list[Hand] = []

    def give(side: Side) -> Hand:
        given.append(Hand(side.kind, side.url, side.table))
        return given[-1]

    yield give
    for hand in given:
        hand.close()


def in_step(bench: ProjectBench) -> bool:
    """Whether the target is what the source is."""
    return bench.target.rows() == bench.source.rows()


@pytest.fixture
def between() -> Iterator[Between]:
    """Puts a proxy before the server of a side; the side's own hand goes past it."""
    proxies: list[Proxy] = []

    def put(side: Side) -> Proxy:
        proxies.append(Proxy(side.url))
        return proxies[-1]

    yield put
    for proxy in proxies:
        proxy.close()
