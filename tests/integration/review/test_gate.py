"""Who gets into the review app, what a request may do, and what no page ever shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from syncline.review.web.access import Proxy
from tests.browser.review_bench import (
    CANARY,
    SCRIPT,
    ReviewBench,
    Serving,
)
from tests.integration.review.conftest import TOKEN

PAGES = [
    "/", "/conflicts", "/conflicts/1", "/conflicts/1/rule", "/rules",
    "/runs", "/runs?mapping=customers", "/audit", "/dead-letters/drop?id=1",
    "/dead-letters", "/dead-letters/1", "/api/docs", "/conflicts/9999", "/no/such/page",
]  # fmt: skip
PARTS = [
    "/api/mappings", "/api/mappings/customers/status", "/api/conflicts", "/api/conflicts/1",
    "/api/conflicts/1?seen=0", "/api/conflicts/1/as",
]  # fmt: skip
"""What pages of ours ask for as HTML, and programs as JSON."""
DATA = [
    *PARTS, "/api/runs", "/api/audit", "/api/dead-letters", "/api/dead-letters/1",
    "/api/openapi.json", "/api/rules/customers", "/api/conflicts/1/as/source", "/api/drafts",
    "/api/me", "/api/conflicts/1/rules", "/api/conflicts.csv",
]  # fmt: skip


def every(client: httpx.Client, *more: str) -> Iterator[tuple[str, httpx.Response]]:
    """All that can be looked at, each as it is asked for."""
    for path in [*PAGES, *DATA, *more]:
        yield path, client.get(path)
    for path in PARTS:
        target = "banner" if "seen" in path else "pane"
        headers = {"hx-request": "true", "hx-target": target}
        answer = client.get(path, headers=headers)
        assert answer.headers["content-type"].startswith("text/html"), path
        yield f"{path} as a part", answer


def test_f43_nothing_is_shown_without_a_login(serving: Serving) -> None:
    """Every page, export, stream and endpoint answers 401 and tells nothing of the project."""
    for path in [*PAGES, *DATA, "/api/events", "/api/nothing"]:
        answer = httpx.get(serving.url + path, headers={"accept": "text/html"})
        assert answer.status_code == 401, path
        assert "customers" not in answer.text


def test_f43_a_link_signs_in_once(serving: Serving) -> None:
    """Its token is worth nothing afterwards, nor does a page loaded ahead of time use it up."""
    link = serving.link
    assert httpx.get(link, headers={"sec-purpose": "prefetch"}).status_code == 503
    first, second = httpx.get(link), httpx.get(link)
    assert (first.status_code, second.status_code) == (303, 401)
    cookie = first.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert not second.headers.get("set-cookie")


def test_f43_a_link_leads_to_pages_of_ours_only(serving: Serving) -> None:
    """`to` is a deep link, never another host's address."""
    for to, leads in [("/conflicts/1", "/conflicts/1"), ("//evil.example", "/"), ("/\\evil", "/")]:
        answer = httpx.get(serving.link, params={"token": serving.access.new_link(), "to": to})
        assert answer.headers["location"] == leads


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {},
    ],
)
def test_f43_a_post_from_elsewhere_is_refused(
    serving: Serving, client: httpx.Client, headers: dict[str, str]
) -> None:
    """Also with the session's cookie: 403, and nothing is decided."""
    bodies: list[dict[str, Any]] = [{"data": {"take": "source"}}, {"json": {"take": "source"}}]
    with httpx.Client(base_url=serving.url, cookies=client.cookies) as foreign:
        for path in ("/api/conflicts/2/decide", "/api/conflicts/2/preview", "/logout"):
            for body in bodies:
                for accept in ("text/html", "*/*"):
                    answer = foreign.post(path, headers=headers | {"accept": accept}, **body)
                    assert answer.status_code == 403, path
    assert client.get("/api/conflicts/2").json()["state"] == "open"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "a@127.0.0.1", "x:y"]
)
def test_f43_a_forged_host_is_refused(client: httpx.Client, host: str) -> None:
    """As DNS rebinding would send it: 400, signed in or not."""
    assert client.get("/", headers={"host": host}).status_code == 400


def test_f43_what_a_record_holds_is_text_on_every_page(client: httpx.Client) -> None:
    """A value that is a script stands there escaped."""
    for path, answer in every(client):
        if answer.headers["content-type"].startswith("text/html"):
            assert SCRIPT not in answer.text, path
    page = client.get("/conflicts/1").text
    assert "&lt;script&gt;" in page


def test_every_answer_has_the_headers_that_keep_a_browser_safe(client: httpx.Client) -> None:
    """No inline script or style, no frame, no cache: also for refusals."""
    for _, answer in every(client):
        headers = answer.headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


def test_no_page_has_script_or_style_of_its_own(client: httpx.Client) -> None:
    """What the policy would refuse is not there in the first place."""
    for path, answer in every(client):
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        text = answer.text
        assert not re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=\"", text), path
        assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", text), path


def test_f39_a_password_is_on_no_page(client: httpx.Client) -> None:
    """The canary of a connection's URL: not even where its error is shown."""
    for path, answer in every(client):
        assert CANARY not in answer.text, path


def test_masked_values_are_on_no_page(bench: ReviewBench, client: httpx.Client) -> None:
    """Neither in records, previews, errors and exports, nor found by a search."""
    for path, answer in every(client, "/conflicts?q=%2B39", "/api/audit?q=%2B39"):
        assert "+39 0" not in answer.text, path
    form, headers = {"note": "x"}, {"hx-request": "true"}
    shown = client.post("/api/conflicts/2/preview", data=form, headers=headers).text
    assert "+39 0" not in shown
    assert "•••" in shown
    assert client.get("/api/conflicts?q=%2B39").json()["total"] == 0
    assert bench.target("SELECT count(*) FROM users WHERE phone LIKE '+39 0%'") == [(8,)]


def test_a_token_is_enough_for_a_program(serving: Serving) -> None:
    """With `Authorization: Bearer` no browser's headers are asked for; a wrong one is 401."""
    with httpx.Client(base_url=serving.url) as program:
        headers = {"authorization": f"Bearer {TOKEN}"}
        answer = program.post("/api/conflicts/6/preview", json={"take": "source"}, headers=headers)
        assert answer.json()["action"] == "update"
        headers = {"authorization": f"Bearer {TOKEN[:-1]}x"}
        assert program.get("/api/conflicts", headers=headers).status_code == 401


def test_a_page_signed_out_of_is_closed(serving: Serving) -> None:
    """The cookie is worth nothing after Sign out."""
    with serving.client() as client:
        cookies = httpx.Cookies(client.cookies)
        assert client.post("/logout").status_code == 303
        assert httpx.get(serving.url, cookies=cookies).status_code == 401


def test_every_address_of_the_api_is_in_its_reference(client: httpx.Client) -> None:
    """docs/reference/http-api.md names each; OpenAPI describes each, with what it takes."""
    page = (Path(__file__).parents[3] / "docs" / "reference" / "http-api.md").read_text()
    document = client.get("/api/openapi.json").json()
    for path, methods in document["paths"].items():
        last = re.sub(r"\{\w+\}", "", path).rstrip("/").rpartition("/")[2]
        assert last in page, path
        for method, told in methods.items():
            assert told["description"], (method, path)


# --- a proxy in front ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxied(bench: ReviewBench) -> Iterator[Serving]:
    served = Serving(
        bench.project, write_after=3600, proxy=Proxy("X-Forwarded-User", "X-Forwarded-Groups")
    )
    yield served
    served.stop()


def asked_by(serving: Serving, user: str, groups: str) -> httpx.Client:
    headers = {
        "x-forwarded-user": user, "x-forwarded-groups": groups,
        "origin": serving.url, "sec-fetch-site": "same-origin",
    }  # fmt: skip
    return httpx.Client(base_url=serving.url, headers=headers)


def test_a_proxy_tells_who_asks_and_what_they_may(proxied: Serving) -> None:
    """A reviewer decides under their own name; a viewer looks; who has no role is shut out."""
    with asked_by(proxied, "bob", "staff, reviewer") as bob:
        decided = bob.post("/api/conflicts/6/decide", json={"take": "target"}).json()
        assert decided["decision"]["user"] == "bob"
        bob.post("/api/conflicts/6/undo")
    with asked_by(proxied, "eve", "viewer") as eve:
        assert eve.get("/conflicts/6").status_code == 200
        looked = eve.post("/api/conflicts/6/preview", json={"take": "target"})
        assert "email" not in looked.json()["changes"]
        rule = {"field": "email", "take": "target"}
        assert eve.post("/api/rules/customers/preview", json=rule).status_code == 200
        # A mapping may well be called so.
        assert eve.post("/api/rules/preview", json=rule).status_code == 403
        refused = eve.post("/api/conflicts/6/decide", json={"take": "target"})
        assert refused.status_code == 403
        assert "viewer" in refused.json()["error"]
        assert 'name="take"' not in eve.get("/conflicts/6").text
    with asked_by(proxied, "mal", "staff") as mal:
        assert mal.get("/").status_code == 401
    with asked_by(proxied, "", "reviewer") as nobody:
        assert nobody.get("/").status_code == 401


def test_headers_from_anywhere_but_the_proxy_count_for_nothing(bench: ReviewBench) -> None:
    """Who reaches the server past the proxy could write any name into them."""
    import ipaddress

    proxy = Proxy("X-User", default="reviewer", networks=(ipaddress.ip_network("10.0.0.0/8"),))
    served = Serving(bench.project, proxy=proxy)
    try:
        assert httpx.get(served.url, headers={"x-user": "bob"}).status_code == 401
    finally:
        served.stop()


def test_the_header_is_not_trusted_where_none_is_named(serving: Serving) -> None:
    """Without `--trust-header` it is a header like any other."""
    assert httpx.get(serving.url, headers={"x-forwarded-user": "bob"}).status_code == 401
