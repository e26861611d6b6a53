"""Dead letters over HTTP: mended, replayed, dropped."""

from __future__ import annotations

from pathlib import Path

from tests.browser.review_bench import (
    ReviewBench,
    Serving,
)


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


def test_dropping_asks_and_then_says_what_it_did(tmp_path: Path) -> None:
    """The first click shows what would be forgotten; the key of a record can't be edited."""
    bench = ReviewBench(tmp_path / "project", 3)
    bench.poison(2)
    served = Serving(bench.project)
    try:
        with served.client() as client:
            form = {"id": "1", "mapping": "customers"}
            asked = client.get("/dead-letters/drop", params=form).text
            assert "Drop 1 dead letter?" in asked
            assert len(client.get("/api/dead-letters").json()) == 1
            page = client.get("/dead-letters/1").text
            assert ('name="value.id"' in page, 'name="value.amount"' in page) == (False, True)
            client.headers["accept"] = "text/html"
            done = client.post("/api/dead-letters/drop", data=form).text
            assert "1 forgotten" in done
            assert client.get("/api/dead-letters").json() == []
            assert "nothing was chosen" in client.get("/dead-letters/drop").text
    finally:
        served.stop()
