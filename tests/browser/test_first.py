"""The one browser test of `make test`: that the review app works in a browser at all."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.review_bench import ReviewBench, Serving, eventually


def test_a_reviewer_finds_a_conflict_and_decides_it_by_keyboard(
    bench: ReviewBench, serve: Callable[..., Serving], sign_in: Open
) -> None:
    """`/`, a word, Enter; `j` to it, the two sides appear, `s`; it is in the target."""
    bench.collide(1, 2, 3)
    page = sign_in(serve(write_after=0.2))
    expect(page.locator("#rows tr")).to_have_count(3)
    page.keyboard.press("/")
    page.keyboard.type("target2")
    page.keyboard.press("Enter")
    expect(page.locator("#rows tr")).to_have_count(1)
    page.keyboard.press("j")
    expect(page.locator("#pane")).to_contain_text("source2@x.example")
    expect(page.locator("#pane")).to_contain_text("target2@x.example")
    page.keyboard.press("s")
    eventually(lambda: bench.email(2) == "source2@x.example", "the decision is written")
    expect(page.locator("#rows")).to_have_count(0)  # live: what is applied leaves the list
    assert bench.email(1) == "target1@x.example"
