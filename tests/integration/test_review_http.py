"""The review app over HTTP: who gets in, what a request may do, and what no page ever shows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from syncline.review.web.access import Proxy
from tests.browser.review_bench import (
    CANARY,
    MAPPING,
    SCRIPT,
    ReviewBench,
    Serving,
    eventually,
)

PAGES = [
    "/", "/overview/cards", "/overview/state/customers", "/conflicts", "/conflicts/list",
    "/conflicts/1", "/conflicts/1/pane", "/conflicts/1/as", "/conflicts/1/rule", "/rules",
    "/runs", "/runs?mapping=customers", "/audit",
    "/dead-letters", "/dead-letters/1", "/api/docs", "/conflicts/9999", "/no/such/page",
]  # fmt: skip
DATA = [
    "/conflicts.csv", "/api/conflicts", "/api/conflicts/1", "/api/mappings", "/api/runs",
    "/api/audit", "/api/dead-letters", "/api/dead-letters/1", "/api/openapi.json",
    "/api/rules/customers", "/api/conflicts/1/as/source",
    "/api/mappings/customers/status", "/api/conflicts.csv",
]  # fmt: skip
TOKEN = "t" * 40


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> ReviewBench:
    """Six conflicts, one of a hostile record, and a dead letter that has a masked value."""
    made = ReviewBench(tmp_path_factory.mktemp("review") / "project", 8)
    made.collide(1, name=SCRIPT)
    made.collide(2, 3, 4, 5, 6)
    made.poison(8)
    return made


@pytest.fixture(scope="module")
def serving(bench: ReviewBench) -> Iterator[Serving]:
    """The app, where decisions are written after a minute: they can be undone."""
    served = Serving(bench.project, write_after=60, api_token=TOKEN)
    yield served
    served.stop()


@pytest.fixture
def client(serving: Serving) -> Iterator[httpx.Client]:
    with serving.client() as opened:
        yield opened


def test_f43_nothing_is_shown_without_a_login(serving: Serving) -> None:
    """Every page, export, stream and endpoint answers 401 and tells nothing of the project."""
    for path in [*PAGES, *DATA, "/events", "/api/nothing"]:
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
    with httpx.Client(base_url=serving.url, cookies=client.cookies) as foreign:
        for path in ("/conflicts/2/decide", "/api/conflicts/2/decide", "/logout"):
            answer = foreign.post(path, data={"take": "source"}, headers=headers)
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
    for path in PAGES:
        assert SCRIPT not in client.get(path).text, path
    page = client.get("/conflicts/1").text
    assert "&lt;script&gt;" in page


def test_every_answer_has_the_headers_that_keep_a_browser_safe(client: httpx.Client) -> None:
    """No inline script or style, no frame, no cache: also for refusals."""
    for path in [*PAGES, *DATA]:
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


def test_no_page_has_script_or_style_of_its_own(client: httpx.Client) -> None:
    """What the policy would refuse is not there in the first place."""
    for path in PAGES:
        text = client.get(path).text
        assert not re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=\"", text), path
        assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", text), path


def test_f39_a_password_is_on_no_page(client: httpx.Client) -> None:
    """The canary of a connection's URL: not even where its error is shown."""
    for path in [*PAGES, *DATA]:
        assert CANARY not in client.get(path).text, path


def test_masked_values_are_on_no_page(bench: ReviewBench, client: httpx.Client) -> None:
    """Neither in records, previews, errors and exports, nor found by a search."""
    for path in [*PAGES, *DATA, "/conflicts?q=%2B39", "/api/audit?q=%2B39"]:
        assert "+39 0" not in client.get(path).text, path
    shown = client.post("/conflicts/2/preview", data={"take": "source"}).text
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


def test_the_decision_of_a_user_is_kept_with_name_and_note(client: httpx.Client) -> None:
    """By the API, and taken back: the history says who, what, when and why."""
    version = client.get("/api/conflicts/3").json()["version"]
    choice = {"take": "source", "sides": {"email": "target"}, "note": "as agreed"}
    body = choice | {"version": version}
    decided = client.post("/api/conflicts/3/decide", json=body).json()
    assert (decided["state"], decided["decision"]["user"]) == ("decided", "ann")
    undone = client.post("/api/conflicts/3/undo").json()
    assert undone["state"] == "open"
    events = client.get("/api/conflicts/3").json()["history"]
    assert [(one["event"], one["by"]) for one in events][1:] == [
        ("decided", "ann"), ("undone", "ann"),
    ]  # fmt: skip
    assert events[1]["note"] == "as agreed"


def test_a_decision_on_what_has_changed_is_refused(client: httpx.Client) -> None:
    """409, and nothing is decided: the version that was seen is not the one that is there."""
    body = {"take": "source", "version": 99}
    answer = client.post("/api/conflicts/4/decide", json=body)
    assert answer.status_code == 409
    assert "changed" in answer.json()["error"]
    assert client.get("/api/conflicts/4").json()["state"] == "open"


def test_a_value_that_does_not_fit_is_told_as_such(client: httpx.Client) -> None:
    """422 with the field and its type, before anything is stored."""
    body = {"take": "target", "values": {"amount": "a lot"}}
    answer = client.post("/api/conflicts/4/decide", json=body)
    assert answer.status_code == 422
    assert "decimal(14,2)" in answer.json()["error"]
    assert client.get("/api/conflicts/4").json()["state"] == "open"
    assert client.post("/api/conflicts/4/decide", json={"take": "sauce"}).status_code == 422


def test_many_are_decided_by_filter_after_a_preview(client: httpx.Client) -> None:
    """The preview counts and writes nothing; the same selection again decides nothing more."""
    which = {"mapping": "customers", "q": "target5"}
    body: dict[str, Any] = {"take": "source", "note": "bulk"}
    preview = client.post("/api/conflicts/bulk/preview", json=body | {"which": which}).json()
    assert (preview["total"], preview["actions"]) == (1, {"update": 1})
    assert client.get("/api/conflicts/5").json()["state"] == "open"
    body |= {"selection": preview["selection"]}
    first = client.post("/api/conflicts/bulk/decide", json=body).json()
    again = client.post("/api/conflicts/bulk/decide", json=body).json()
    assert (first["count"], again["count"]) == (1, 0)
    assert client.post("/api/conflicts/bulk/undo", json={"ids": [5]}).json() == {"undone": [5]}


def test_f44_no_cell_of_the_export_is_a_formula(tmp_path: Path) -> None:
    """Cells that begin with = + - @ tab or CR are prefixed, so that no spreadsheet runs them."""
    bench = ReviewBench(tmp_path / "project", 6)
    for key, start in enumerate(["=", "+", "-", "@", "\t", "\r"], 1):
        bench.collide(key)
        bench.source(
            "UPDATE customers SET email = ?, updated_at = '2026-03-01' WHERE id = ?",
            f"{start}cmd|' /C calc'!A0", key,
        )  # fmt: skip
    bench.run()
    served = Serving(bench.project)
    try:
        with served.client() as client:
            text = client.get("/conflicts.csv").text
    finally:
        served.stop()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    cells = [row["source"] for row in rows if row["field"] == "email"]
    assert sorted(cell[:2] for cell in cells) == sorted(f"'{s}" for s in "=+-@\t\r")
    assert not [cell for row in rows for cell in row.values() if cell[:1] in "=+-@\t\r" and cell]


def test_a_rule_is_previewed_added_and_removed_by_the_api(
    bench: ReviewBench, client: httpx.Client
) -> None:
    """The preview writes nothing; what is wrong is told; the file has it, and then no more."""
    body = {"field": "email", "when": "source is longer", "take": "source"}
    shown = client.post("/api/rules/customers/preview", json=body).json()
    assert shown["of"] == 6
    assert not bench.project.rules("customers")
    assert client.post("/api/rules/customers", json=body | {"when": "ever"}).status_code == 422
    assert client.post("/api/rules/customers", json=body | {"field": "nope"}).status_code == 422
    assert client.post("/api/rules/customers", json=body).status_code == 200
    assert client.get("/api/rules/customers").json()[0]["text"].startswith("email: source when")
    assert client.delete("/api/rules/customers/1").status_code == 200
    assert not bench.project.rules("customers")


def test_the_api_says_what_another_strategy_would_have_done(client: httpx.Client) -> None:
    """Masked values stay hidden there too."""
    answer = client.get("/api/conflicts/4/as/source").json()
    assert answer["changes"]["email"] == ["target4@x.example", "source4@x.example"]
    assert answer["changes"]["phone"] == ["•••", "•••"]
    assert client.get("/api/conflicts/4/as/nobody").status_code == 422


# --- a proxy in front ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxied(bench: ReviewBench) -> Iterator[Serving]:
    served = Serving(
        bench.project, write_after=60, proxy=Proxy("X-Forwarded-User", "X-Forwarded-Groups")
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


# --- dead letters --------------------------------------------------------------------------------


def test_a_dead_letter_is_mended_and_written(tmp_path: Path) -> None:
    """The value that could not be read is replaced, the record lands, and the log says who."""
    bench = ReviewBench(tmp_path / "project", 3)
    bench.poison(2)
    served = Serving(bench.project)
    try:
        with served.client() as client:
            letter = client.get("/api/dead-letters").json()[0]
            wrong = client.post(
                f"/api/dead-letters/{letter['id']}/mend", json={"values": {"amount": "x"}}
            )
            assert wrong.status_code == 422
            answer = client.post(
                f"/api/dead-letters/{letter['id']}/mend", json={"values": {"amount": "12.00"}}
            )
            assert answer.json()["dead_letters"] == 0, answer.text
            assert client.get("/api/dead-letters").json() == []
            said = client.get("/api/audit").json()[0]
    finally:
        served.stop()
    assert bench.target("SELECT amount FROM users WHERE user_id = 2") == [("12.00",)]
    assert (said["by"], said["winner"], said["kind"]) == ("ann", "mended", "dead_letter")


def test_a_dead_letter_is_replayed_or_dropped(tmp_path: Path) -> None:
    """Mended in the source a replay lets it through; dropped it is gone, and the log says so."""
    bench = ReviewBench(tmp_path / "project", 3)
    bench.poison(1)
    bench.poison(2)
    served = Serving(bench.project)
    try:
        with served.client() as client:
            ids = {one["ledger_key"]: one["id"] for one in client.get("/api/dead-letters").json()}
            bench.source("UPDATE customers SET amount = '7.00' WHERE id = 1")
            told = client.post("/api/dead-letters/replay", json={"ids": [ids["1"]]}).json()["told"]
            assert told == ["customers: 1 of 1 went through"]
            dropped = client.post("/api/dead-letters/drop", json={"ids": [ids["2"]]})
            assert dropped.json() == {"dropped": 1}
            said = [one["winner"] for one in client.get("/api/audit").json()]
    finally:
        served.stop()
    assert bench.target("SELECT amount FROM users WHERE user_id = 1") == [("7.00",)]
    assert said == ["dropped", "replayed"]


# --- writing -------------------------------------------------------------------------------------


def test_what_was_decided_is_written_soon_and_once(tmp_path: Path) -> None:
    """The writer brings it to the target; what waited when the last server ended as well."""
    bench = ReviewBench(tmp_path / "project", 4)
    bench.collide(1, 2)
    first = Serving(bench.project, write_after=3600)
    with first.client() as client:
        client.post("/api/conflicts/1/decide", json={"take": "source"})
    first.stop()
    assert bench.email(1) == "target1@x.example"
    second = Serving(bench.project, write_after=0.1)
    try:
        with second.client() as client:
            client.post("/api/conflicts/2/decide", json={"take": "source"})
            eventually(
                lambda: client.get("/api/conflicts?state=applied").json()["total"] == 2,
                "both are written",
            )
    finally:
        second.stop()
    assert (bench.email(1), bench.email(2)) == ("source1@x.example", "source2@x.example")


def test_what_can_not_be_written_waits_and_is_told(tmp_path: Path) -> None:
    """The target is away: the decision is kept, the overview says why, the next run writes it."""
    bench = ReviewBench(tmp_path / "project", 2)
    bench.collide(1)
    target = bench.root / "target.db"
    served = Serving(bench.project, write_after=0)
    try:
        with served.client() as client:
            target.rename(bench.root / "away.db")
            target.write_text("this is no database")
            client.post("/api/conflicts/1/decide", json={"take": "source"})
            eventually(
                lambda: "decisions wait to be written" in client.get("/overview/cards").text,
                "the overview tells it",
            )
            assert client.get("/api/conflicts/1").json()["state"] == "decided"
            assert "The last try" in client.get("/conflicts/1").text
    finally:
        served.stop()
    (bench.root / "away.db").rename(target)
    bench.run()
    assert bench.email(1) == "source1@x.example"


def test_every_kind_of_conflict_is_shown_and_decided(tmp_path: Path) -> None:
    """A side that is gone, a first contact, a record that the target refuses."""
    bench = ReviewBench(tmp_path / "project", 0, MAPPING + "deletes: mirror\n")
    people = [(key, f"c{key}@x.example", "Ann", "1", "1.00") for key in range(1, 21)]
    insert = "INSERT INTO customers VALUES (?, ?, ?, ?, ?, '2026-01-01 00:00:00')"
    bench.source_many(insert, people)
    bench.target(
        "CREATE TABLE users (user_id INTEGER PRIMARY KEY, email TEXT UNIQUE, name TEXT, "
        "phone TEXT, amount DECIMALTEXT(14,2), updated_at TEXT)"
    )
    bench.target("INSERT INTO users (user_id, email) VALUES (3, 'first@x.example')")
    bench.run()
    bench.source("DELETE FROM customers WHERE id = 1")
    bench.target("UPDATE users SET email = 'edited@x.example' WHERE user_id = 1")
    bench.target("DELETE FROM users WHERE user_id = 2")
    bench.target("INSERT INTO users (user_id, email) VALUES (99, 'taken@x.example')")
    stamp = "updated_at = '2026-02-01'"
    bench.source(f"UPDATE customers SET email = 'edited2@x.example', {stamp} WHERE id = 2")
    bench.source(f"UPDATE customers SET email = 'taken@x.example', {stamp} WHERE id = 4")
    bench.run()
    kinds = {"update_delete": 1, "delete_update": 2, "first_contact": 3, "refused": 4}
    served = Serving(bench.project, write_after=0.1)
    try:
        with served.client() as client:
            for kind, key in kinds.items():
                entry = bench.conflict(key)
                assert entry.kind == kind
                path = f"/conflicts/{entry.id}"
                for part in ("", "/pane", "/as"):
                    assert client.get(path + part).status_code == 200, (kind, part)
                shown = client.post(f"{path}/preview", data={})
                assert (shown.status_code, "Source" in shown.text) == (200, True), kind
                form = {"take": "target" if kind == "refused" else "source"}
                done = client.post(f"{path}/decide", data=form)
                assert done.status_code == 303, (kind, done.text)
            eventually(
                lambda: client.get("/api/conflicts?state=applied").json()["total"] == 4,
                "all are applied",
            )
            for key in kinds.values():
                assert client.get(f"/conflicts/{bench.conflict(key).id}").status_code == 200
    finally:
        served.stop()
    found = dict(bench.target("SELECT user_id, email FROM users WHERE user_id < 5"))
    assert found == {2: "edited2@x.example", 3: "c3@x.example", 4: "c4@x.example"}


def test_an_event_tells_what_others_did_but_no_value(serving: Serving) -> None:
    """A page that listens is told the conflict's number and who, within seconds."""
    with serving.client() as client, client.stream("GET", "/events") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        with serving.client() as other:
            other.post("/api/conflicts/2/decide", json={"take": "target"})
        seen: list[str] = []
        for line in lines:
            seen.append(line)
            if line == "event: conflicts":
                break
        with serving.client() as other:
            other.post("/api/conflicts/2/undo")
    assert "event: conflict-2" in seen
    data = next(line for line in seen if line.startswith('data: {"mark'))
    assert '"by": "ann"' in data
    assert "@x.example" not in data
