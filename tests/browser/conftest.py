"""The review app as its user meets it, in Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.review_bench import ReviewBench, Serving

Open = Callable[..., Page]
SECONDS = 100
"""How long a page may take to show something: Playwright's own five are not enough for a machine
that is busy.
"""
expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture
def bench(tmp_path: Path) -> ReviewBench:
    """Twelve customers in step."""
    return ReviewBench(tmp_path / "project")


@pytest.fixture
def serve(bench: ReviewBench) -> Iterator[Callable[..., Serving]]:
    """Serves the app on the project; ended with the test."""
    running: list[Serving] = []

    def start(**options: object) -> Serving:
        running.append(Serving(bench.project, **options))  # type: ignore[arg-type]
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def sign_in(browser: Browser) -> Iterator[Open]:
    """Opens a page as somebody who came by a link, in a browser profile of their own; at the end no
    page may have had an error on its console.
    """
    told: list[str] = []
    contexts = []

    def opened(serving: Serving, path: str = "/conflicts", **options: object) -> Page:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        context.set_default_timeout(SECONDS * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on(
            "console",
            # A refusal (409, 422) is logged by the browser as an error; it is what was asked for.
            lambda line: (
                told.append(line.text)
                if line.type == "error"
                and "the server responded with a status of 4" not in line.text
                else None
            ),
        )
        page.goto(
            f"{serving.link}&to={path}" if serving.access.proxy is None else serving.url + path
        )
        return page

    yield opened
    for context in contexts:
        context.close()
    assert told == []
