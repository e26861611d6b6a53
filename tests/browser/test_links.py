"""Links to one conflict, and what the page of one shows beyond its two sides."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.review_bench import ReviewBench, Serving
from tests.integration.review.test_api import MAPPING_OF_GROUP

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Serve = Callable[..., Serving]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """A page of another site, `localhost`, that has these words; gives its address."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, directory=str(folder), **options)  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - as its base

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def page(words: str) -> str:
        (folder / "page.html").write_text(f"<!doctype html><title>elsewhere</title>{words}")
        return f"http://localhost:{server.server_port}/page.html"

    yield page
    server.shutdown()
    thread.join(30)
    server.server_close()


def test_a_link_of_another_site_leads_to_the_conflict(
    bench: ReviewBench, serve: Serve, sign_in: Open, elsewhere: Callable[[str], str]
) -> None:
    """As one in an alert, a chat or Dagster: the browser keeps the session from the first request,
    and the page asks again by itself. Who is not signed in is told how to.
    """
    bench.collide(1)
    served = serve()
    page = sign_in(served)
    there = elsewhere(f'<a href="{served.url}/conflicts/1">conflict 1</a>')
    page.goto(there)
    page.get_by_role("link", name="conflict 1").click()
    expect(page.locator("h1")).to_contain_text("Conflict 1")
    page.context.clear_cookies()
    page.goto(there)
    page.get_by_role("link", name="conflict 1").click()
    expect(page.locator("h1")).to_contain_text("You are not signed in")
    page.wait_for_load_state("networkidle")
    expect(page.locator("h1")).to_contain_text("You are not signed in")


@pytest.fixture
def grouped(tmp_path: Path) -> Iterator[tuple[ReviewBench, Serving]]:
    """A conflict over email and phone, which go together."""
    bench = ReviewBench(tmp_path / "groups", 3, MAPPING_OF_GROUP)
    bench.collide(1)
    served = Serving(bench.project, write_after=3600)
    yield bench, served
    served.stop()


def test_fields_that_go_together_are_chosen_together(
    grouped: tuple[ReviewBench, Serving], sign_in: Open
) -> None:
    """The page says which they are; a side for one is a side for all, and may be taken back."""
    bench, served = grouped
    page = sign_in(served)
    page.keyboard.press("j")
    expect(page.locator("#pane")).to_contain_text("goes with phone")
    page.goto(f"{served.url}/conflicts/1")
    expect(page.locator("main")).to_contain_text("goes with email")
    page.get_by_label("email: the source's value").check()
    expect(page.get_by_label("phone: the source's value")).to_be_checked()
    expect(page.locator("#would")).to_contain_text("Only what I chose")
    expect(page.locator("#would")).not_to_contain_text("go together")
    page.get_by_label("phone: the target's value").check()
    expect(page.get_by_label("email: the target's value")).to_be_checked()
    page.get_by_label("email: as decided below").check()
    expect(page.get_by_label("phone: as decided below")).to_be_checked()
    page.get_by_label("phone: the source's value").check()
    page.locator("#only").click()
    expect(page.locator("h1")).to_contain_text("decided")
    made = bench.conflict(1).decision
    assert made is not None
    assert made.sides == {"email": "source", "phone": "source"}


def test_a_draft_is_there_after_the_server_was_started_again(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """Refused, restarted, found in the list, filled in, and discarded."""
    bench.collide(2)
    first = serve(write_after=3600)
    page = sign_in(first, "/conflicts/1")
    page.locator('input[name="note"]').fill("long thought about")
    page.locator('textarea[name="text.phone"]').fill("+39 09 1")
    bench.source("UPDATE customers SET name = 'New', updated_at = '2026-03-01' WHERE id = 2")
    bench.run()
    page.locator("#only").click()
    expect(page.get_by_role("alert")).to_contain_text("kept as a draft")
    page.goto("about:blank")
    first.stop()
    second = serve(write_after=3600)
    page = sign_in(second)
    page.get_by_role("link", name="conflict 1").click()
    expect(page.locator('input[name="note"]')).to_have_value("long thought about")
    expect(page.locator('textarea[name="text.phone"]')).to_have_value("•••")
    page.get_by_role("button", name="Discard the draft").click()
    expect(page.locator('input[name="note"]')).to_have_value("")
    page.goto(f"{second.url}/conflicts")
    expect(page.locator(".note.warn")).to_have_count(0)
