"""Dagster as people use it: the real webserver and daemon, by GraphQL and in Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.dagster_pages import DagsterPages, opened
from tests.acceptance.dagster_ui import ENDED, LOCATIONS, Ui
from tests.integration.dagster_bench import CUSTOMERS, DagsterBench

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(900)]

RECORDS = 3000


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> DagsterBench:
    """A project with two mappings that work and one that does not load."""
    made = DagsterBench(tmp_path_factory.mktemp("ui") / "project", records=RECORDS)
    made.write(
        "customers",
        more='schedule: "* * * * *"\ngroup: crm\nbatch_size: 1000\nmax_lag: 1h\n'
        "backfill: {from: 2000-01-01, to: 2004-01-01, every: year}\n",
    )
    made.write("orders", CUSTOMERS.replace("users", "orders"), more="after: [customers]\n")
    made.write("typo", "source: {}\n")
    return made


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Where the review app is."""
    return {"SYNCLINE_REVIEW_URL": "https://review.example.org"}


@pytest.fixture
def pages(browser: Browser, ui: Ui) -> Iterator[DagsterPages]:
    """Its pages, high enough that a whole log is shown."""
    with opened(browser, ui.url, viewport={"width": 1440, "height": 3000}) as found:
        yield found


def test_the_workspace_loads_and_lists_every_mapping(ui: Ui) -> None:
    """Assets with group, kinds, pool, dependencies and what starts them by itself; the location has
    no error.
    """
    assets = ui.assets()
    assert assets.keys() == {"customers", "backfill/customers", "orders", "typo", "shop/customers"}
    assert assets["customers"]["groupName"] == "crm"
    assert assets["customers"]["kinds"] == ["sqlite"]
    assert assets["customers"]["pools"] == ["syncline_customers"]
    starts = {one["name"] for one in assets["customers"]["targetingInstigators"]}
    assert starts == {"customers_schedule", "settled_conflicts_sensor", "webhooks_sensor"}
    starts = {one["name"] for one in assets["orders"]["targetingInstigators"]}
    assert starts == {"after_sensor", "settled_conflicts_sensor", "webhooks_sensor"}
    assert "| `name` | `upper(name) \\|\\| '!'` |" in assets["customers"]["description"]
    assert {"path": ["customers"]} in assets["orders"]["dependencyKeys"]
    (location,) = ui.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
    assert location["name"] == "syncline"
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation"


def test_the_graph_shows_every_mapping_and_which_one_is_broken(ui: Ui, pages: DagsterPages) -> None:
    """The daemon makes the failing check of a broken mapping soon after the start, without a run;
    its page says what is wrong.
    """
    ui.until(lambda: ui.checked("typo", "loads") == "FAILED")
    graph = pages.graph("crm", "mappings", "broken")
    for name in ("customers", "orders", "typo"):
        expect(graph.get_by_text(name, exact=True).last).to_be_visible()
    expect(graph.get_by_text("0 / 1 Passed")).to_be_visible()
    check = pages.check("typo", "loads")
    expect(check.get_by_text("This mapping does not load.").last).to_be_visible()
    expect(check.get_by_text("key is missing").last).to_be_visible()


def test_a_run_is_launched_from_the_launchpad_and_its_numbers_are_shown(
    ui: Ui, pages: DagsterPages, bench: DagsterBench
) -> None:
    """With config typed there. The run's page shows a line for each batch; the asset's page the
    columns, a sample, the checks of the run, and the link to the review app; its plots the
    numbers of the run and of its batches.
    """
    run_id = pages.launch("customers", delta="full")
    assert ui.ended(run_id) == "SUCCESS"
    assert len(bench.users()) == RECORDS
    expect(pages.page.get_by_text("customers: read 1,000").first).to_be_visible()
    expect(pages.run(run_id).get_by_text("Success", exact=True).first).to_be_visible()
    assert ui.numbers("customers")["run"] == run_id
    asset = pages.asset("customers")
    for shown in ("NAME 1!", "upper(name) || '!'", "rows_per_second", "non-nullable"):
        expect(asset.get_by_text(shown).first).to_be_visible()
    batches = ui.observed("customers", run_id)
    assert [one["progress_read"] for one in batches] == [3000, 2000, 1000]
    link = asset.locator("a[href='https://review.example.org/conflicts?mapping=customers']")
    expect(link.first).to_be_visible()
    plots = pages.plots("customers")
    for shown in ("rows_per_second", "progress_rows_per_second", "progress_read"):
        expect(plots.get_by_text(shown, exact=True).first).to_be_visible()
    found = pages.check("customers", "freshness")
    expect(found.get_by_text("Passed", exact=True)).to_be_visible()


def test_a_canceled_run_ends_at_a_batch_and_the_next_one_completes(
    ui: Ui, pages: DagsterPages, bench: DagsterBench
) -> None:
    """Launched, seen at work, terminated: it is CANCELED, not retried, and goes on where it was."""
    assert ui.ended(ui.launch("customers", {})) == "SUCCESS"
    bench.sql("app", "delete from users")
    run_id = ui.launch("customers", {"mode": "full", "batch_size": 2})
    ui.until(lambda: any(line.startswith("customers: read") for line in ui.log(run_id)))
    ui.terminate(run_id)
    assert ui.ended(run_id) == "CANCELED"
    expect(pages.run(run_id).get_by_text("Canceled", exact=True).first).to_be_visible()
    done, total = len(bench.users()), len(bench.sql("shop", "select id from customers"))
    assert 0 < done < total
    assert done % 2 == 0
    again = ui.launch("customers", {})
    assert ui.ended(again) == "SUCCESS"
    assert len(bench.users()) == total
    numbers = ui.numbers("customers")
    assert (numbers["run"], numbers["inserted"]) == (again, total - done)
    assert not ui.tagged("dagster/parent_run_id", run_id)


def test_runs_of_a_mapping_do_not_overlap(ui: Ui) -> None:
    """Launched together, also as the first ones ever, each waits for the slot of the pool."""
    runs = [ui.launch("orders", {"mode": "full", "batch_size": 100}) for _ in range(4)]
    waited = False

    def look() -> bool:
        nonlocal waited
        statuses = ui.statuses(*runs)
        under_way = sum(status in {"STARTING", "STARTED"} for status in statuses)
        assert under_way < 2
        waited |= under_way == 1 and "QUEUED" in statuses
        return set(statuses) <= ENDED

    ui.until(look)
    assert waited
    assert set(ui.statuses(*runs)) == {"SUCCESS"}


def test_a_check_is_made_alone(ui: Ui) -> None:
    """Parity is looked at without a sync: it passes, and nothing is materialized by it."""
    before = ui.launch("customers", {})
    assert ui.ended(before) == "SUCCESS"
    assert ui.ended(ui.launch("customers", {}, check="parity")) == "SUCCESS"
    assert ui.checked("customers", "parity") == "SUCCEEDED"
    assert ui.numbers("customers")["run"] == before


def test_a_schedule_is_off_until_it_is_switched_on(
    ui: Ui, pages: DagsterPages, bench: DagsterBench
) -> None:
    """Nothing runs by itself; switched on by its page, a tick launches a delta within a minute or
    two, which brings what was added.
    """
    (schedule,) = ui.schedules()
    state = schedule.pop("scheduleState")
    assert schedule == {
        "name": "customers_schedule", "cronSchedule": "* * * * *", "executionTimezone": "UTC",
    }  # fmt: skip
    assert state["status"] == "STOPPED"
    bench.put([90_001])
    pages.switch("customers_schedule", on=True)
    (run, *_) = ui.until(lambda: ui.tagged("dagster/schedule_name", "customers_schedule"))
    assert ui.ended(run["runId"]) == "SUCCESS"
    assert 90_001 in bench.users()
    pages.switch("customers_schedule", on=False)
    assert ui.schedules()[0]["scheduleState"]["status"] == "STOPPED"


def test_a_backfill_fills_its_partitions(ui: Ui, pages: DagsterPages) -> None:
    """Two years chosen: they are synced in one run behind the deltas, shown as done, and the others
    are not.
    """
    backfill = ui.backfill(["backfill", "customers"], ["2000-01-01", "2001-01-01"])
    assert ui.backfilled(backfill) == "COMPLETED_SUCCESS"
    (run,) = ui.tagged("dagster/backfill", backfill)
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert (tags["syncline/mapping"], tags["dagster/priority"]) == ("customers", "-1")
    assert "customers: 2001-01-01 is done, 2 of 2" in ui.log(run["runId"])
    assert ui.partitions("backfill", "customers") == (4, 2)
    shown = pages.partitions("backfill", "customers")
    expect(shown.get_by_text("Materialized (2)")).to_be_visible()
    expect(shown.get_by_text("Missing (2)")).to_be_visible()
