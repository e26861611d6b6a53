"""The one set of addresses that changes anything: documented, and used by the app's own pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from syncline.cli.app import app as commands
from syncline.project import Project
from syncline.review.web.access import Access, User
from syncline.review.web.app import make_app
from syncline.review.web.asked import Asked
from syncline.review.web.render import HERE
from syncline.rule import HIDDEN
from tests.browser.review_bench import ReviewBench, Serving

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "http-api.md"
SAFE = {"GET", "HEAD"}
SENT = re.compile(r'(?:hx-(?:post|put|patch|delete)|formaction)="([^"]+)"')
FORM = re.compile(r'<form\b[^>]*\bmethod="post"[^>]*>')


def routes(of: Any) -> Iterator[Any]:
    """All routes of an app or router, those of the routers that it includes among them."""
    for route in of.routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from routes(inner)


def plain(path: str) -> str:
    """An address with every part that varies written alike."""
    return re.sub(r"\{\{.*?\}\}|\$?\{[^}]*\}", "*", path.partition("?")[0])


@pytest.fixture(scope="module")
def document(bench: ReviewBench) -> dict[str, Any]:
    access = Access(User("ann", "reviewer"), 1)
    gate: Any = make_app(bench.project, access)
    found = {
        (method, plain(route.path))
        for route in routes(gate.app)
        for method in getattr(route, "methods", None) or ()
    }
    return {"openapi": gate.app.openapi(), "routes": found}


def described(document: dict[str, Any]) -> set[tuple[str, str]]:
    paths = document["openapi"]["paths"].items()
    return {(method.upper(), plain(path)) for path, methods in paths for method in methods}


def test_every_route_that_changes_something_is_in_the_document(document: dict[str, Any]) -> None:
    """No second set of addresses: what a page can do a program finds described."""
    changes = {one for one in document["routes"] if one[0] not in SAFE}
    assert len(changes) > 15
    assert changes - described(document) == set()


def test_pages_and_scripts_send_to_documented_addresses_only(document: dict[str, Any]) -> None:
    """Every form, every htmx attribute and every request of the script."""
    sent: set[str] = set()
    for template in (HERE / "templates").glob("*.html"):
        text = template.read_text("utf-8")
        for form in FORM.findall(text):
            sent |= set(re.findall(r'\baction="([^"]+)"', form))
            assert "action=" in form, template.name
        sent |= set(SENT.findall(text))
    script = (HERE / "static" / "app.js").read_text("utf-8")
    sent |= set(re.findall(r"const path = `([^`]+)`", script))
    assert script.count('htmx.ajax("POST"') == 1
    assert "fetch(" not in script
    posts = {path for method, path in described(document) if method == "POST"}
    asks = {"/dead-letters/drop"}  # a GET, which asks first
    known = {plain(path) for path in sent} - asks
    # The script's one address ends in what is done: decide or undo.
    known |= {"/api/conflicts/*/decide", "/api/conflicts/*/undo"}
    known -= {"/api/conflicts/*/*"}
    assert known - posts == set()
    assert len(known) > 12


def rows() -> list[tuple[str, str, str]]:
    """The table of the reference: a page, a call, and a command."""
    found: list[tuple[str, str, str]] = []
    for line in REFERENCE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and re.match(r"`(GET|POST)", cells[2]):
            found.append((cells[1].strip("`"), cells[2].strip("`"), cells[3]))
    return found


def test_what_the_app_can_the_api_and_the_terminal_can_too(
    document: dict[str, Any], client: httpx.Client
) -> None:
    """Each row of the reference names a page, a call and a command that are there; each call of the
    document has its row.
    """
    table = rows()
    for page, call, command in table:
        if page.startswith("/"):
            assert client.get(page.replace("ID", "1")).status_code in {200, 404}, page
        method, path = call.split()
        wanted = (method, re.sub("ID|NAME|STRATEGY", "*", path))
        assert wanted in described(document), call
        words = re.findall(r"`([^`]+)`", command)[0].split()
        assert missing(words[1:]) == [], command
    named = {(c.split()[0], re.sub("ID|NAME|STRATEGY", "*", c.split()[1])) for _, c, _ in table}
    assert described(document) - named == {("POST", "/hooks/*")}


def missing(words: list[str]) -> list[str]:
    """The commands and options of these words that `syncline` does not have."""
    found: Any = typer.main.get_command(commands)
    lacks: list[str] = []
    for word in words:
        if word.startswith("--"):
            options = {name for one in found.params for name in one.opts}
            lacks += [] if word in options else [word]
        elif word in getattr(found, "commands", {}):
            found = found.commands[word]
        else:
            lacks.append(word)
    return lacks


def test_one_address_answers_programs_in_json_and_pages_with_a_page(
    client: httpx.Client,
) -> None:
    """The same decision as JSON and as a form; who follows a link to the API gets JSON."""
    page = {"accept": "text/html"}
    form = {"take": "values", "side.email": "source", "note": "by form"}
    sent = client.post("/api/conflicts/2/decide", data=form, headers=page)
    assert (sent.status_code, sent.headers["location"]) == (303, "/conflicts/2")
    by_form = client.get("/api/conflicts/2", headers=page).json()["decision"]
    assert client.post("/api/conflicts/2/undo", headers=page).status_code == 303
    body = {"take": "values", "sides": {"email": "source"}, "note": "by form"}
    by_json = client.post("/api/conflicts/2/decide", json=body).json()["decision"]
    assert {**by_form, "at": ""} == {**by_json, "at": ""}
    row = {"hx-request": "true", "hx-target": "row-2"}
    undone = client.post("/api/conflicts/2/undo", headers=row)
    assert undone.text.lstrip().startswith('<tr id="row-2"')
    refused = client.post("/api/conflicts/2/undo", headers=row)
    assert (refused.status_code, "<tr" in refused.text) == (409, True)
    assert client.post("/api/conflicts/2/undo").json().keys() == {"error", "hint"}
    assert "no decision to take back" in client.post("/api/conflicts/2/undo", headers=page).text


def test_a_form_is_answered_at_the_address_of_its_page(client: httpx.Client) -> None:
    """303 to where it stood, with what was told; nobody else's, and no page of another site."""
    here = f"{str(client.base_url).rstrip('/')}/conflicts/3?x=1&answer=old"
    form = {"take": "values", "side.amount": "edit", "text.amount": "a lot"}
    headers = {"accept": "text/html", "referer": here}
    sent = client.post("/api/conflicts/3/decide", data=form, headers=headers)
    assert sent.status_code == 303
    address = sent.headers["location"]
    assert address.startswith("/conflicts/3?x=1&answer=")
    for _ in range(2):  # loading it again sends nothing
        told = client.get(address)
        assert (told.status_code, ">a lot</textarea>" in told.text) == (422, True)
        assert "is no decimal(14,2)" in told.text
    unknown = client.get("/conflicts/3?answer=forgotten")
    assert (unknown.status_code, "a lot" in unknown.text) == (200, False)
    bearer = {"authorization": "Bearer " + "t" * 40}
    with httpx.Client(base_url=client.base_url, headers=bearer) as other:
        assert "a lot" not in other.get(address).text
    of_script = headers | {"hx-request": "true"}
    script = client.post("/api/conflicts/3/decide", data=form, headers=of_script)
    assert script.status_code == 422
    for place in ("https://evil.example/conflicts/3", here.replace("/conflicts", "//evil")):
        away = client.post(
            "/api/conflicts/3/decide", data=form, headers=headers | {"referer": place}
        )
        assert away.status_code == 422


def test_a_preview_without_a_side_answers_every_way(client: httpx.Client) -> None:
    """Each with its effect, or with what is in its way."""
    body = {"values": {"amount": "a lot"}}
    ways = client.post("/api/conflicts/3/preview", json=body).json()["ways"]
    assert [one["take"] for one in ways] == ["source", "target", "merge", "values"]
    assert all("decimal(14,2)" in one["problem"] for one in ways)
    found = client.post("/api/conflicts/3/preview", json={}).json()["ways"]
    assert found[0]["effect"]["changes"]["email"] == ["target3@x.example", "source3@x.example"]


def test_what_does_not_fit_is_told_where_it_is(client: httpx.Client) -> None:
    """Also in a field that nobody moved, which is else folded away; what was typed is there."""
    folded = "<details><summary>2 fields that nobody moved"
    assert folded in client.get("/conflicts/3").text
    form = {"take": "values", "side.amount": "edit", "text.amount": "a lot", "note": "n"}
    page = client.post("/api/conflicts/3/decide", data=form, headers={"accept": "text/html"})
    assert page.status_code == 422
    assert "is no decimal(14,2); it looks like 12.50" in page.text
    assert folded.replace("<details>", "<details open>") in page.text
    assert ">a lot</textarea>" in page.text


def test_a_refused_decision_is_kept_over_a_restart_until_it_is_decided(tmp_path: Path) -> None:
    """By a form or by JSON, per user; masked values are kept and not shown; discarded on demand."""
    bench = ReviewBench(tmp_path / "project", 3)
    bench.collide(1, 2)
    choice = {
        "take": "values", "sides": {"email": "source"}, "values": {"phone": "+39 09 777"},
        "note": "asked her", "version": 99,
    }  # fmt: skip
    first = Serving(bench.project)
    with first.client() as client:
        for number in (1, 2):
            answer = client.post(f"/api/conflicts/{number}/decide", json=choice)
            assert (answer.status_code, "kept as a draft" in answer.text) == (409, True)
    first.stop()
    second = Serving(bench.project, write_after=0.1)
    try:
        with second.client() as client:
            drafts = client.get("/api/drafts").json()
            assert [one["conflict"] for one in drafts] == [2, 1]
            assert drafts[0]["values"] == {"phone": HIDDEN}
            page = client.get("/conflicts/1").text
            assert "kept as a draft" in page
            assert "asked her" in page
            assert "+39 09 777" not in page + client.get("/conflicts").text
            assert client.get("/api/conflicts/1").json()["draft"]["sides"] == {"email": "source"}
            # Sent back as it is shown it stands for what was typed.
            shown = drafts[1] | {"version": client.get("/api/conflicts/1").json()["version"]}
            again = {name: shown[name] for name in ("take", "sides", "values", "note", "version")}
            made = client.post("/api/conflicts/1/decide", json=again).json()
            assert made["decision"]["values"] == {"phone": HIDDEN}
            discarded = client.post("/api/conflicts/2/draft/discard").json()
            assert discarded == {"discarded": True}
            assert client.get("/api/drafts").json() == []
            wrong = client.post(
                "/api/conflicts/2/decide", json=choice | {"values": {"phone": HIDDEN}}
            )
            assert (wrong.status_code, "stands for a value" in wrong.text) == (422, True)
    finally:
        second.stop()
    phone = "SELECT phone FROM users WHERE user_id = 1"
    if bench.target(phone) != [("+39 09 777",)]:  # the server ended before it wrote it
        bench.run()
    assert bench.target(phone) == [("+39 09 777",)]


def test_a_group_is_chosen_whole_or_refused(tmp_path: Path) -> None:
    """In the app and by the API, with which fields go together; the page shows the group."""
    text = MAPPING_OF_GROUP
    bench = ReviewBench(tmp_path / "project", 2, text)
    bench.collide(1)
    served = Serving(bench.project)
    try:
        with served.client() as client:
            found = client.get("/api/conflicts/1").json()
            assert found["together"] == [["email", "phone"]]
            body = {"take": "target", "sides": {"email": "source"}}
            answer = client.post("/api/conflicts/1/decide", json=body)
            assert answer.status_code == 422
            assert "email and phone go together" in answer.json()["error"]
            form = {"side.email": "source", "side.phone": "target", "take": "values"}
            page = client.post(
                "/api/conflicts/1/decide", data=form, headers={"accept": "text/html"}
            )
            assert page.status_code == 422
            assert "email and phone go together" in page.text
            assert page.text.count("goes with") == 2
            assert re.search(r'name="side.email" value="source"[^>]* checked', page.text)
            which = {"which": {"ids": [1]}}
            many = client.post("/api/conflicts/bulk/preview", json=body | which).json()
            assert (many["total"], len(many["refused"])) == (0, 1)
            whole = {"take": "values", "sides": {"email": "source", "phone": "source"}}
            assert client.post("/api/conflicts/1/decide", json=whole).status_code == 200
    finally:
        served.stop()


MAPPING_OF_GROUP = """\
source: {connection: source, table: customers}
target: {connection: target, table: users, create: true}
key: {user_id: id}
fields: {email: email, phone: phone, name: name, updated_at: {from: updated_at, type: timestamp}}
delta: {by: timestamp, cursor: updated_at}
conflicts: {strategy: manual, clock: updated_at, together: [[email, phone]]}
"""


def test_the_address_of_the_app_makes_links(
    bench: ReviewBench, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To one conflict, by its number; of what is no address of the web none is made."""
    assert Project.find(explicit=bench.root)
    assert client.get("/api/conflicts/2").json()["url"] is None
    monkeypatch.setenv("SYNCLINE_REVIEW_URL", "https://review.example.org/")
    url = "https://review.example.org/conflicts/2"
    assert client.get("/api/conflicts/2").json()["url"] == url
    assert url in {one["url"] for one in client.get("/api/conflicts").json()["conflicts"]}
    monkeypatch.setenv("SYNCLINE_REVIEW_URL", "javascript:alert(1)")
    assert client.get("/api/conflicts/2").json()["url"] is None


@pytest.mark.parametrize(
    "path",
    ["conflicts/{}", "conflicts/{}/as", "conflicts/{}/rules", "conflicts/1?seen={}",
     "dead-letters/{}", "dead-letters?offset={}", "audit?before={}", "conflicts?page={}"],
)  # fmt: skip
def test_a_number_that_no_store_holds_is_refused_and_not_a_failure(
    path: str, client: httpx.Client
) -> None:
    """Whether it comes from a program or from a page's address; 2^63 is one too many."""
    for number in (2**63, 10**30):
        for start in ("/api/", "/"):
            answer = client.get(start + path.format(number))
            assert answer.status_code in {200, 404, 422}, answer.text
    largest = client.get("/api/" + path.format(2**63 - 1))
    assert largest.status_code in {200, 404, 422}, largest.text


def test_a_body_with_what_is_no_number_of_a_record_is_refused(client: httpx.Client) -> None:
    """A truth value is not taken for the number 0 or 1."""
    for ids in ([False], [-1], [2**63], ["1"]):
        for path in ("conflicts/bulk/undo", "dead-letters/drop"):
            assert client.post(f"/api/{path}", json={"ids": ids}).status_code == 422
    form = {"id": ["9" * 5_000], "scope": "", "take": "source"}
    page = client.post("/api/conflicts/bulk/preview", data=form, headers={"accept": "text/html"})
    assert page.status_code in {200, 303}


def test_a_request_without_its_body_is_told_so(client: httpx.Client) -> None:
    """The error names what is missing, and not an empty field."""
    answer = client.post("/api/dead-letters/1/mend")
    assert (answer.status_code, answer.json()["error"]) == (422, "body: Field required")


def test_every_error_is_in_the_document_with_the_shape_that_it_has(
    document: dict[str, Any], client: httpx.Client
) -> None:
    """FastAPI would document another shape for what does not fit; 405 tells the methods."""
    openapi = document["openapi"]
    assert openapi["components"]["schemas"]["Failure"]["required"] == ["error", "hint"]
    for path, methods in openapi["paths"].items():
        for told in methods.values():
            shape = told["responses"]["422"]["content"]["application/json"]["schema"]
            assert shape == {"$ref": "#/components/schemas/Failure"}, path
            assert {"401", "403", "404", "409", "503"} <= told["responses"].keys()
    refused = client.get("/api/conflicts/bulk/undo")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert refused.json().keys() == {"error", "hint"}


def test_the_words_that_a_filter_takes_are_in_the_document(document: dict[str, Any]) -> None:
    """And each of them is taken."""
    parameters = document["openapi"]["paths"]["/api/conflicts"]["get"]["parameters"]
    words = {one["name"]: one["schema"].get("enum") for one in parameters}
    assert "refused" in words["kind"]
    for name in ("kind", "state", "age"):
        for word in words[name]:
            Asked(**{name: word or getattr(Asked(), name)}).filter  # noqa: B018 - raises if unknown
