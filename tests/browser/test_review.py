"""What a reviewer does, in a real browser: find, decide by keyboard, edit, many at once, undo."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from syncline.review.web.access import Proxy
from tests.browser.conftest import Open
from tests.browser.review_bench import SCRIPT, ReviewBench, Serving, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Serve = Callable[..., Serving]


def row(page: Page, number: int) -> object:
    return page.locator(f"#row-{number}")


def state(page: Page, number: int, text: str) -> None:
    expect(page.locator(f"#row-{number} .chip")).to_have_text(text)


def test_keys_go_through_the_list_one_decision_after_the_other(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """After `t` or `m` the cursor is on the next open one; `u` takes back; `k` goes up."""
    bench.collide(1, 2, 3)
    page = sign_in(serve(write_after=3600))
    expect(page.locator("#rows tr")).to_have_count(3)
    page.keyboard.press("j")
    here = page.locator("#rows tr.here")
    expect(here).to_have_attribute("data-id", "3")
    page.keyboard.press("t")
    expect(here).to_have_attribute("data-id", "2")
    state(page, 3, "decided")
    page.keyboard.press("m")
    expect(here).to_have_attribute("data-id", "1")
    state(page, 2, "decided")
    page.keyboard.press("k")
    expect(here).to_have_attribute("data-id", "2")
    page.keyboard.press("u")
    state(page, 2, "open")
    assert bench.conflict(2).decision is None
    decided = bench.conflict(3).decision
    assert decided is not None
    assert (decided.take, decided.user) == ("target", "ann")


def test_what_was_decided_stays_in_sight_until_it_is_written(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """The list lets it go, the conflict beside it says that it is on the target."""
    bench.collide(1)
    page = sign_in(serve(write_after=0.5))
    page.keyboard.press("j")
    expect(page.locator("#pane")).to_contain_text("source1@x.example")
    page.keyboard.press("s")
    expect(page.locator("#pane")).to_contain_text("it is written")
    expect(page.locator("#pane h2")).to_contain_text("applied")
    expect(page.locator("#list")).to_contain_text("0 conflicts")
    expect(page.locator(".bar-of-actions")).to_be_hidden()
    assert bench.email(1) == "source1@x.example"


def test_a_decision_does_not_wait_for_the_two_sides_to_be_shown(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """Keys may come faster than the pane beside the list; no decision is held up or dropped."""
    bench.collide(1, 2)
    page = sign_in(serve(write_after=3600))
    held: list[Route] = []
    page.route("**/api/conflicts/2", lambda route: held.append(route))  # noqa: PLW0108 - it wants a function
    page.keyboard.press("j")
    eventually(lambda: page.wait_for_timeout(50) or held, "the two sides are asked for")
    page.keyboard.press("t")
    state(page, 2, "decided")
    expect(page.locator("#rows tr.here")).to_have_attribute("data-id", "1")
    page.unroute_all(behavior="ignoreErrors")


def test_a_value_is_edited_and_checked_against_its_type(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """What does not fit is told while typing; what does is previewed, decided and written."""
    bench.collide(4)
    page = sign_in(serve(write_after=0.2))
    page.keyboard.press("j")
    page.keyboard.press("e")
    field = page.locator('textarea[name="text.email"]')
    expect(field).to_be_focused()
    page.keyboard.type("mine@x.example")
    expect(page.locator("#would")).to_contain_text("mine@x.example")
    page.locator("summary").first.click()
    amount = page.locator('textarea[name="text.amount"]')
    amount.fill("a lot")
    expect(page.locator("#would .bad").first).to_contain_text("no decimal(14,2)")
    amount.fill("99.90")
    expect(page.locator("#would .bad")).to_have_count(0)
    page.locator('input[name="note"]').fill("she told me")
    page.locator("#only").click()
    expect(page.locator("h1")).to_contain_text("decided")
    eventually(lambda: bench.email(4) == "mine@x.example", "the value is written")
    assert bench.target("SELECT amount FROM users WHERE user_id = 4") == [("99.90",)]
    expect(page.locator(".story")).to_contain_text("by ann: she told me")
    expect(page.locator(".story")).to_contain_text("applied")  # live, without a reload


def test_each_field_takes_the_side_that_was_chosen(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """One field from the source, the other stays as the target has it."""
    bench.collide(5)
    page = sign_in(serve(write_after=0.2), "/conflicts/1")
    page.get_by_label("email: the source's value").check()
    page.get_by_label("phone: the target's value").check()
    page.locator("#only").click()
    expect(page.locator("h1")).to_contain_text("decided")
    eventually(lambda: bench.email(5) == "source5@x.example", "the decision is written")
    assert bench.target("SELECT phone FROM users WHERE user_id = 5") == [("+39 08 00005",)]


def test_many_are_decided_at_once_after_a_preview_and_undone(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """By selection, then by filter; the preview says what would be written, undo takes all back."""
    bench.collide(1, 2, 3, 4, 5)
    served = serve(write_after=3600)
    page = sign_in(served)
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#scope option").first).to_have_text("the selected (2)")
    page.keyboard.press("s")
    expect(page.locator("h1")).to_contain_text("Take source for 2 conflicts?")
    expect(page.locator("table")).to_contain_text("target5@x.example → source5@x.example")
    page.locator("#confirm").click()
    expect(page.locator("h1")).to_have_text("2 decided")
    page.keyboard.press("u")
    expect(page.locator("h1")).to_contain_text("2 of 2 are open again")
    page.goto(f"{served.url}/conflicts?q=x.example")
    page.locator("#scope").select_option("filter")
    page.get_by_role("button", name="Target …").click()
    expect(page.locator("h1")).to_contain_text("Take target for 5 conflicts?")
    page.locator("#confirm").click()
    expect(page.locator("h1")).to_have_text("5 decided")
    assert [bench.conflict(key).decision is not None for key in range(1, 6)] == [True] * 5


def test_what_moved_since_it_was_shown_is_refused_and_the_choice_kept(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """A run brings newer values while somebody types: a draft, the new values, decide again."""
    bench.collide(6)
    served = serve(write_after=0.2)
    page = sign_in(served, "/conflicts/1")
    page.locator('textarea[name="text.email"]').fill("typed@x.example")
    page.locator('input[name="note"]').fill("long thought about")
    bench.source(
        "UPDATE customers SET email = 'newer@x.example', updated_at = '2026-03-01' WHERE id = 6"
    )
    bench.run()
    expect(page.locator("#banner")).to_contain_text("A run brought newer values")
    expect(page.locator('textarea[name="text.email"]')).to_have_value("typed@x.example")
    page.locator("#only").click()
    expect(page.get_by_role("alert")).to_contain_text("kept as a draft")
    expect(page.locator("td.source").first).to_contain_text("newer@x.example")
    page.goto(f"{served.url}/conflicts/1")  # also later, from anywhere
    expect(page.locator('textarea[name="text.email"]')).to_have_value("typed@x.example")
    expect(page.locator('input[name="note"]')).to_have_value("long thought about")
    page.locator("#only").click()
    eventually(lambda: bench.email(6) == "typed@x.example", "the second decision is written")


def test_a_target_edited_before_the_writing_makes_the_decision_stale(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """f30: the decision is not written over what its maker never saw; it is shown again."""
    bench.collide(7)
    served = serve(write_after=3600)
    page = sign_in(served, "/conflicts/1")
    page.keyboard.press("s")
    expect(page.locator("h1")).to_contain_text("decided")
    bench.target("UPDATE users SET email = 'meanwhile@x.example' WHERE user_id = 7")
    bench.run()
    expect(page.locator("h1")).to_contain_text("open")  # live, without a reload
    expect(page.locator("td.target").first).to_contain_text("meanwhile@x.example")
    assert bench.email(7) == "meanwhile@x.example"


def test_two_reviewers_see_each_other_and_only_the_first_decides(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """What one decides appears at the other without a reload; the second decision is a draft."""
    bench.collide(1, 2)
    served = serve(write_after=3600, proxy=Proxy("X-User", default="reviewer"))
    ann, bob = (sign_in(served, extra_http_headers={"X-User": name}) for name in ("ann", "bob"))
    expect(bob.locator("#rows tr")).to_have_count(2)
    bob.goto(f"{served.url}/conflicts/2")
    ann.keyboard.press("j")
    expect(ann.locator("#pane")).to_contain_text("target2@x.example")
    ann.keyboard.press("s")
    state(ann, 2, "decided")
    expect(bob.locator("#banner")).to_contain_text("ann took source")
    bob.locator('input[name="note"]').fill("bob knows better")
    bob.get_by_role("button", name="Target").click()
    expect(bob.get_by_role("alert")).to_contain_text("decided by ann")
    expect(bob.get_by_role("alert")).to_contain_text("kept as a draft")
    bob.goto(f"{served.url}/conflicts")
    expect(bob.locator(".note.warn")).to_contain_text("conflict 2")
    expect(bob.locator("#row-2")).to_contain_text("by ann")
    ann.keyboard.press("k")
    ann.keyboard.press("u")
    state(bob, 2, "open")
    bob.goto(f"{served.url}/conflicts/2")
    expect(bob.locator('input[name="note"]')).to_have_value("bob knows better")
    decided = bench.conflict(2)
    assert decided.decision is None


def test_a_page_that_was_hidden_catches_up_when_it_is_seen(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """It listens only while it is seen: many open tabs do not use up a browser's connections."""
    bench.collide(1)
    page = sign_in(serve(write_after=3600))
    state(page, 1, "open")
    hide = (
        "hidden => {"
        " Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')); }"
    )
    page.evaluate(hide, True)
    bench.collide(2)
    page.wait_for_timeout(2500)
    expect(page.locator("#rows tr")).to_have_count(1)
    page.evaluate(hide, False)
    expect(page.locator("#rows tr")).to_have_count(2)
    bench.collide(3)  # and it is live again
    expect(page.locator("#rows tr")).to_have_count(3)


def test_a_dead_letter_is_mended_and_replayed(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """The record and its error are shown; a wrong value is refused with why; a right one lands."""
    bench.poison(3)
    page = sign_in(serve(), "/dead-letters")
    page.get_by_role("link", name="1", exact=True).click()
    field = page.get_by_label("amount")
    expect(field).to_have_value("twelve")
    field.fill("twelve and a half")
    page.get_by_role("button", name="Mend and replay").click()
    expect(page.get_by_role("alert")).to_contain_text("decimal(14,2)")
    page.get_by_label("amount").fill("12.50")
    page.get_by_role("button", name="Mend and replay").click()
    expect(page.locator("main")).to_contain_text("No dead letters")
    assert bench.target("SELECT amount FROM users WHERE user_id = 3") == [("12.50",)]
    page.goto(page.url.split("/dead")[0] + "/audit?q=mended")
    expect(page.locator("table")).to_contain_text("ann")


def test_a_viewer_sees_everything_and_changes_nothing(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """No button, and a key that would decide does nothing."""
    bench.collide(1)
    served = serve(proxy=Proxy("X-User", default="viewer"))
    page = sign_in(served, extra_http_headers={"X-User": "vic"})
    page.keyboard.press("j")
    expect(page.locator("#pane")).to_contain_text("target1@x.example")
    page.keyboard.press("s")
    page.goto(f"{served.url}/conflicts/1")
    page.keyboard.press("t")
    expect(page.get_by_role("button", name="Target")).to_have_count(0)
    assert bench.conflict(1).decision is None


def test_f43_a_script_in_a_record_does_not_run(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """On every page the hostile value is text."""
    bench.collide(1, name=SCRIPT)
    served = serve()
    page = sign_in(served, "/conflicts/1")
    page.locator("summary").first.click()
    for path in ("/conflicts/1", "/conflicts", "/", "/audit", "/runs"):
        page.goto(served.url + path)
        assert page.title() != "owned"


def test_f43_another_origin_can_neither_post_nor_frame(
    bench: ReviewBench, serve: Serve, sign_in: Open, tmp_path: Path
) -> None:
    """A foreign page with a form and a frame: the browser sends, the app refuses."""
    bench.collide(1)
    served = serve()
    page = sign_in(served, "/conflicts/1")
    trap = tmp_path / "trap.html"
    trap.write_text(
        f'<iframe src="{served.url}/conflicts/1"></iframe>'
        f'<form method="post" action="{served.url}/api/conflicts/1/decide">'
        '<input name="take" value="source"><button>free prize</button></form>'
    )
    foreign = page.context.new_page()
    foreign.goto(trap.as_uri())
    foreign.get_by_role("button").click()
    expect(foreign.locator("body")).to_contain_text(re.compile("another (site|origin)"))
    assert bench.conflict(1).decision is None


def test_it_works_without_script(bench: ReviewBench, serve: Serve, sign_in: Open) -> None:
    """Every action is a form: a browser that runs no script decides as well, and the address bar
    has a page's address.
    """
    bench.collide(1, 2)
    served = serve(write_after=3600)
    page = sign_in(served, "/conflicts?mapping=customers", java_script_enabled=False)
    page.locator("#scope").select_option("filter")
    page.locator('#bulk button[value="target"]').click()
    expect(page.locator("h1")).to_contain_text("2 conflicts")
    assert page.url.startswith(f"{served.url}/conflicts?mapping=customers&answer=")
    page.get_by_role("button", name="Decide").click()
    expect(page.locator("h1")).to_contain_text("2 decided")
    page.get_by_role("button", name="Undo all").click()
    assert page.url.startswith(f"{served.url}/conflicts?mapping=customers&answer=")
    page.get_by_role("link", name="Back to the list").click()
    assert page.url == f"{served.url}/conflicts?mapping=customers"
    page.get_by_role("link", name="1", exact=True).click()
    page.get_by_role("button", name="Source").click()
    expect(page.locator("h1")).to_contain_text("decided")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("h1")).to_contain_text("open")


def test_a_decision_becomes_a_rule_that_settles_what_waits(
    bench: ReviewBench, serve: Serve, sign_in: Open
) -> None:
    """Decided once, remembered with a count before, and nobody is asked the others."""
    bench.source("UPDATE customers SET phone = 'same'")
    bench.run()
    for key in (1, 2, 3):
        bench.source(
            "UPDATE customers SET email = ?, updated_at = '2026-02-01' WHERE id = ?",
            f"source{key}@x.example", key,
        )  # fmt: skip
        bench.target("UPDATE users SET email = ? WHERE user_id = ?", f"t{key}@x.example", key)
    bench.run()
    served = serve(write_after=0.2)
    page = sign_in(served, "/conflicts/1")
    page.get_by_text("What other strategies would have done").click()
    expect(page.locator("details .panel").filter(has_text="latest")).to_contain_text("asks")
    page.keyboard.press("s")
    page.get_by_role("link", name="Make it a rule").click()
    panel = page.locator("section.panel").filter(has_text="email: source when always")
    expect(panel).to_contain_text("would settle 2 of 2")
    panel.get_by_label("Note").fill("the shop knows")
    panel.get_by_role("button", name="Remember, and settle what waits").click()
    expect(page.locator("h1")).to_have_text("2 decided")
    eventually(
        lambda: (
            [bench.email(key) for key in (1, 2, 3)]
            == [f"source{key}@x.example" for key in (1, 2, 3)]
        ),
        "the rule settles what waited",
    )
    page.goto(f"{served.url}/rules")
    expect(page.locator("table")).to_contain_text("the shop knows")
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("main")).to_contain_text("There are none yet")
    page.goto(f"{served.url}/audit?q=rule")
    expect(page.locator("table")).to_contain_text("removed")
