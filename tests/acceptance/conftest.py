"""Dagster as it is started for people, on the project that a test module makes as its `bench`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.dagster_ui import Ui
from tests.integration.dagster_bench import DagsterBench


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """What Dagster's processes find in their environment; a module may have words of its own."""
    return {}


@pytest.fixture(scope="module")
def running(bench: DagsterBench, environment: dict[str, str]) -> Iterator[Ui]:
    """Dagster on the project of the module."""
    started = Ui(bench.root, **environment)
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def ui(running: Ui) -> Ui:
    """Dagster, with the code location loaded and no run under way."""
    running.loaded()
    running.idle()
    return running
