"""The review app for everybody: axe finds nothing, a phone is wide enough, keys reach all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.review_bench import ReviewBench, Serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PAGES = [
    "/", "/conflicts", "/conflicts?q=nothing-like-this", "/conflicts/1", "/conflicts/2",
    "/dead-letters", "/dead-letters/1", "/runs", "/runs?mapping=customers", "/audit", "/api/docs",
    "/conflicts/2/rule", "/rules", "/conflicts/4", "/conflicts/5",
    "/conflicts/999",
]  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Conflicts, one of them decided, and a dead letter."""
    bench = ReviewBench(tmp_path_factory.mktemp("access") / "project", 6)
    bench.collide(1, 2, 3, name="A rather long name " * 12)
    bench.target('UPDATE users SET name = \'{"a": 1, "b": [2]}\' WHERE user_id = 4')
    bench.collide(4, name='{"a": 2, "c": true, "b": [2]}')  # documents, by path
    bench.target("DELETE FROM users WHERE user_id = 6")
    bench.source("UPDATE customers SET name = 'Six', updated_at = '2026-02-02' WHERE id = 6")
    bench.poison(5)
    serving = Serving(bench.project, write_after=3600)
    with serving.client() as client:
        client.post("/api/conflicts/2/decide", json={"take": "source", "note": "why not"})
        for number in (1, 2):  # refused: drafts, one of a conflict that is open, one that is not
            refused = client.post(
                f"/api/conflicts/{number}/decide", json={"take": "target", "version": 99}
            )
            assert refused.status_code == 409
        client.post("/api/rules/customers", json={"field": "name", "take": "target"})
    yield serving
    serving.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(served: Serving, sign_in: Open, scheme: str) -> None:
    """No violation of WCAG 2.2 AA and of axe's own best practices, in both colour schemes."""
    page = sign_in(served, color_scheme=scheme)
    axe = Axe()
    found: list[str] = []
    for path in PAGES:
        page.goto(served.url + path)
        page.wait_for_load_state("load")
        if path == "/conflicts":
            page.keyboard.press("j")
            expect(page.locator("#pane")).to_contain_text("Conflict 5")
        if path == "/conflicts/1":
            expect(page.locator("#would")).to_contain_text("Merge")
        found += _violations(axe, page, path)
    page.goto(f"{served.url}/conflicts/4")
    expect(page.locator("table.sides").first).to_contain_text("absent")
    page.goto(f"{served.url}/conflicts/5")
    expect(page.locator("table.sides").first).to_contain_text("gone")
    page.goto(f"{served.url}/dead-letters/1")
    page.get_by_role("button", name="Drop").click()
    expect(page.locator("h1")).to_contain_text("Drop 1 dead letter?")
    found += _violations(axe, page, "drop")
    page.goto(served.url)
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    found += _violations(axe, page, "help")
    assert found == []


def _violations(axe: Axe, page: object, where: str) -> list[str]:
    return [
        f"{where}: {one['id']}: {node['html'][:120]}: {node.get('failureSummary', '')[:300]}"
        for one in axe.run(page).response["violations"]
        for node in one["nodes"]
    ]


def test_no_page_scrolls_sideways_on_a_phone(served: Serving, sign_in: Open) -> None:
    """At 360 pixels everything is there, one below the other."""
    page = sign_in(served, viewport={"width": 360, "height": 740})
    for path in PAGES:
        page.goto(served.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_the_tab_key_reaches_every_control_and_shows_where_it_is(
    served: Serving, sign_in: Open
) -> None:
    """From the skip link to the last button, each with a visible outline."""
    page = sign_in(served, "/conflicts/1")
    expect(page.locator("#would")).to_contain_text("Merge")
    page.evaluate("document.activeElement.blur()")
    seen: list[str] = []
    for _ in range(80):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "() => { const e = document.activeElement; const s = getComputedStyle(e);"
            " return e === document.body ? ['', ''] :"
            " [(e.innerText || e.name || e.tagName).trim(), s.outlineStyle]; }"
        )
        if not name:  # past the last one
            break
        assert outline != "none", name
        seen.append(name)
    text = "\n".join(seen)
    for wanted in ("Skip to the content", "Conflicts", "text.email", "note", "Only what I chose"):
        assert wanted in text


def test_single_keys_can_be_switched_off(served: Serving, sign_in: Open, tmp_path: Path) -> None:
    """For who speaks to the computer: letters then do nothing (WCAG 2.1.4)."""
    _ = tmp_path
    page = sign_in(served)
    page.keyboard.press("?")
    page.get_by_label("Single keys are on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator("#rows tr.here")).to_have_count(0)
