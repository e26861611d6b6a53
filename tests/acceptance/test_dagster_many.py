"""Two hundred mappings in Dagster, whose pages can still be used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.dagster_pages import DagsterPages, opened
from tests.acceptance.dagster_ui import Ui
from tests.integration.dagster_bench import CUSTOMERS, DagsterBench

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(600)]

MAPPINGS = 200


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> DagsterBench:
    """A project of so many mappings in ten groups, some after others."""
    made = DagsterBench(tmp_path_factory.mktemp("many") / "project")
    for number in range(MAPPINGS):
        after = f"after: [m{number - 1:03}]\n" if number % 10 else ""
        made.write(
            f"m{number:03}",
            CUSTOMERS.replace("users", f"users_{number}"),
            more=f'schedule: "*/5 * * * *"\ngroup: g{number // 20}\n{after}',
        )
    return made


@pytest.fixture
def pages(browser: Browser, ui: Ui) -> Iterator[DagsterPages]:
    with opened(browser, ui.url, viewport={"width": 1440, "height": 1400}) as found:
        yield found


def test_the_pages_of_two_hundred_mappings_can_be_used(ui: Ui, pages: DagsterPages) -> None:
    """A group of the graph shows its mappings, one of them is launched from its page, and each has
    a schedule.
    """
    assert len(ui.assets()) == MAPPINGS + 1  # with their source
    graph = pages.group("g7")
    for number in range(140, 160):
        expect(graph.get_by_text(f"m{number}", exact=True).last).to_be_visible()
    run_id = pages.launch("m150")
    assert ui.ended(run_id) == "SUCCESS"
    assert ui.numbers("m150")["run"] == run_id
    assert len(ui.schedules()) == MAPPINGS
