"""Decisions over HTTP: one or many, exported, remembered as rules, and written."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from syncline.store import AuditEntry, Store
from tests.browser.review_bench import (
    MAPPING,
    ReviewBench,
    Serving,
    eventually,
)


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
            text = client.get("/api/conflicts.csv").text
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
    wrong = {"number": 1, "text": "email: source when always"}
    assert client.post("/api/rules/customers/remove", json=wrong).status_code == 422
    assert client.post("/api/rules/customers/remove", json={"number": 1}).status_code == 200
    assert not bench.project.rules("customers")


def test_the_api_says_what_another_strategy_would_have_done(client: httpx.Client) -> None:
    """Masked values stay hidden there too."""
    answer = client.get("/api/conflicts/4/as/source").json()
    assert answer["changes"]["email"] == ["target4@x.example", "source4@x.example"]
    assert answer["changes"]["phone"] == ["•••", "•••"]
    assert client.get("/api/conflicts/4/as/nobody").status_code == 422


def test_what_if_goes_by_how_near_clocks_may_be_as_a_run_does(tmp_path: Path) -> None:
    """`near` of the mapping sends a near-tie to a person here too."""
    text = MAPPING.replace("{strategy: manual}", "{strategy: manual, clock: updated_at, near: 1d}")
    bench = ReviewBench(tmp_path / "project", 2, text)
    bench.target("UPDATE users SET updated_at = '2026-01-31 23:59:00' WHERE user_id = 1")
    bench.collide(1)
    served = Serving(bench.project)
    try:
        with served.client() as client:
            answer = client.get("/api/conflicts/1/as/latest").json()
            assert (answer["asks"], "near" in answer["reason"]) == (True, True)
            assert not client.get("/api/conflicts/1/as/source").json()["asks"]
    finally:
        served.stop()


def test_a_search_of_the_audit_log_goes_on_behind_what_must_not_be_shown(tmp_path: Path) -> None:
    """A page whose finds are all masked is empty, and leads on to the earlier ones."""
    bench = ReviewBench(tmp_path / "project", 1)
    entry = AuditEntry("customers", {"user_id": 1}, "run", "both_changed", "ann", "source", {})
    with Store.open(bench.project.store_url) as store:
        store.audit([replace(entry, note="the word is needle")])
        hidden = [replace(entry, loser={"phone": f"needle {number}"}) for number in range(100)]
        store.audit(hidden)
    served = Serving(bench.project)
    try:
        with served.client() as client:
            first = client.get("/audit?q=needle").text
            assert "the word is" not in first
            (older,) = re.findall(r'href="(/audit\?[^"]*before[^"]*)"', first)
            assert "the word is needle" in client.get(older.replace("&amp;", "&")).text
    finally:
        served.stop()


def test_the_first_run_is_a_full_one_wherever_it_is_shown(client: httpx.Client) -> None:
    """It was asked for as a delta, and there was nothing to go on from."""
    assert client.get("/api/runs").json()[-1]["mode"] == "full"
    assert "full" in client.get("/runs").text


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
                lambda: "decisions wait to be written" in client.get("/").text,
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
    seen = {
        "update_delete": "edited@x.example", "delete_update": "edited2@x.example",
        "first_contact": "c3", "refused": "taken",
    }  # fmt: skip
    served = Serving(bench.project, write_after=0.1)
    try:
        with served.client() as client:
            for kind, key in kinds.items():
                entry = bench.conflict(key)
                assert entry.kind == kind
                path = f"/conflicts/{entry.id}"
                asked = {"hx-request": "true", "hx-target": "pane"}
                # What there is to decide about is there to be seen.
                for page in (client.get(path), client.get(f"/api{path}", headers=asked)):
                    assert page.status_code == 200, kind
                    assert seen[kind] in page.text, kind
                assert client.get(f"/api{path}/as", headers=asked).status_code == 200, kind
                shown = client.post(f"/api{path}/preview", headers=asked)
                assert (shown.status_code, "Source" in shown.text) == (200, True), kind
                form = {"take": "target" if kind == "refused" else "source"}
                accept = {"accept": "text/html"}
                done = client.post(f"/api{path}/decide", data=form, headers=accept)
                assert done.status_code == 303, (kind, done.text)
                assert done.headers["location"] == path
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
    with serving.client() as client, client.stream("GET", "/api/events") as stream:
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
