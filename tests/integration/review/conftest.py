"""The review app on conflicts, served for real."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.browser.review_bench import (
    SCRIPT,
    ReviewBench,
    Serving,
)

TOKEN = "t" * 40


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> ReviewBench:
    """Six conflicts, one of a hostile record, and a dead letter that has a masked value."""
    made = ReviewBench(tmp_path_factory.mktemp("review") / "project", 8)
    made.collide(1, name=SCRIPT)
    made.collide(2, 3, 4, 5, 6)
    made.poison(8)
    return made


@pytest.fixture(scope="module")
def serving(bench: ReviewBench) -> Iterator[Serving]:
    """The app, where decisions are written after a minute: they can be undone."""
    served = Serving(bench.project, write_after=3600, api_token=TOKEN)
    yield served
    served.stop()


@pytest.fixture
def client(serving: Serving) -> Iterator[httpx.Client]:
    with serving.client() as opened:
        yield opened
