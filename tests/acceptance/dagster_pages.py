"""Dagster's pages in a browser. Each method opens one, and comes back once it shows its subject."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from playwright.sync_api import Browser, Page, expect

SECONDS: Final = 120
"""How long a page may take: the first one of a new server, on a slow machine."""


class DagsterPages:
    """One tab of a browser on a running Dagster."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url

    def graph(self, *groups: str) -> Page:
        """The graph of all assets, with these groups opened."""
        opened = quote(",".join(f"global@global:{group}" for group in groups))
        self.page.goto(f"{self.url}/asset-groups/?expanded={opened}")
        self.page.get_by_text("Latest event").first.wait_for()
        for unfinished in ("Loading...", "fetching statuses"):
            expect(self.page.get_by_text(unfinished)).to_have_count(0)
        return self.page

    def group(self, name: str) -> Page:
        """The graph of one group."""
        self.page.goto(f"{self.url}/locations/syncline/asset-groups/{name}/lineage")
        self.page.get_by_text("Asset Group in").wait_for()
        return self.page

    def asset(self, name: str) -> Page:
        """An asset's page."""
        self.page.goto(f"{self.url}/assets/{name}")
        self.page.get_by_text("Latest materialization").first.wait_for()
        self.page.get_by_role("button", name="Definition").wait_for()
        return self.page

    def events(self, name: str) -> Page:
        """What an asset's newest materialization told."""
        self.page.goto(f"{self.url}/assets/{name}?view=events")
        self.page.get_by_text("Materialized in run").wait_for()
        return self.page

    def plots(self, name: str) -> Page:
        """An asset's page, with the plots of its numbers."""
        self.asset(name).get_by_text("Plots", exact=True).first.click()
        return self.page

    def check(self, name: str, check: str) -> Page:
        """A check of an asset, and what it found last."""
        self.page.goto(f"{self.url}/assets/{name}?view=checks&checkDetail={quote(check)}")
        self.page.get_by_text("Evaluation result").wait_for()
        return self.page

    def partitions(self, *path: str) -> Page:
        """The partitions of an asset, and how many of them are done."""
        self.page.goto(f"{self.url}/assets/{'/'.join(path)}?view=partitions")
        self.page.get_by_text("Materialized (").wait_for()
        return self.page

    def run(self, run_id: str) -> Page:
        """A run that has ended, with its log."""
        self.page.goto(f"{self.url}/runs/{run_id}")
        self.page.get_by_text("Process for run exited").wait_for()
        return self.page

    def switch(self, schedule: str, *, on: bool) -> Page:
        """A schedule's page, on which it is switched on or off."""
        self.page.goto(f"{self.url}/locations/syncline/schedules/{schedule}")
        self.page.locator("label:has(input[type=checkbox])").click()
        expect(self.page.locator("input[type=checkbox]")).to_be_checked(checked=on)
        return self.page

    def launchpad(self, name: str) -> Page:
        """The launchpad of an asset, with its config."""
        self.asset(name).get_by_role("button", name="Materialize").first.click(modifiers=["Shift"])
        expect(self.page.get_by_text("No errors")).to_be_visible()
        return self.page

    def launch(self, name: str, **config: str) -> str:
        """Launch an asset from its launchpad with other words than those that stand there.

        The id of the run, whose page is shown then. `config` is by what is replaced.
        """
        launchpad = self.launchpad(name)
        for stands, word in config.items():
            launchpad.get_by_text(stands, exact=True).dblclick()
            launchpad.keyboard.type(word)
        launchpad.get_by_role("button", name="Materialize").last.click()
        launchpad.wait_for_url("**/runs/*")
        return launchpad.url.rpartition("/")[2]


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Generator[DagsterPages]:
    """A tab in a profile of its own; fails where a page raised an error that it did not catch."""
    context = browser.new_context(**options)
    context.set_default_timeout(SECONDS * 1000)
    expect.set_options(timeout=SECONDS * 1000)
    raised: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: raised.append(str(error)))
    try:
        yield DagsterPages(page, url)
    finally:
        context.close()
    assert raised == []
