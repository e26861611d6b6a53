"""The terminal beside the review app: drafts, links, groups, and an export that is safe to open."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from syncline.cli.app import app
from syncline.store import Draft, Store
from tests.browser.review_bench import ReviewBench
from tests.integration.review.test_api import MAPPING_OF_GROUP


def cli(bench: ReviewBench, *arguments: str) -> Any:
    """Run a command on the project."""
    return CliRunner().invoke(app, ["--project", str(bench.root), *arguments])


def lines(result: Any) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_drafts_are_listed_and_discarded(tmp_path: Path) -> None:
    """Those of the user, masked values hidden."""
    bench = ReviewBench(tmp_path / "project", 2)
    bench.collide(1)
    texts = {"phone": "+39 09 777", "email": "own@x"}
    with Store.open(bench.project.store_url) as store:
        store.drafts.keep("ann", Draft(1, "values", {"name": "source"}, texts, "why", "it moved"))
    shown = cli(bench, "conflicts", "drafts", "--user", "ann")
    assert "name: source, phone=•••, email=own@x" in shown.stdout
    (one,) = lines(cli(bench, "conflicts", "drafts", "--user", "ann", "--json"))
    assert (one["conflict"], one["note"], one["reason"]) == (1, "why", "it moved")
    assert one["values"] == {"phone": "•••", "email": "own@x"}
    assert "no drafts of bob" in cli(bench, "conflicts", "drafts", "--user", "bob").stdout
    discard = ("conflicts", "drafts", "--user", "ann", "--discard", "1", "--json")
    assert lines(cli(bench, *discard)) == [{"discarded": [1]}]
    assert lines(cli(bench, *discard)) == [{"discarded": []}]


def test_a_decision_that_is_refused_is_kept_and_the_others_are_written(tmp_path: Path) -> None:
    """Somebody was faster with one, and one moved: both are drafts; what they decide next goes."""
    bench = ReviewBench(tmp_path / "project", 4)
    bench.collide(1, 2, 3)
    first = ("conflicts", "resolve", "1", "--take", "target", "--user", "bob")
    assert cli(bench, *first).exit_code == 0
    bench.target("UPDATE users SET email = 'moved@x' WHERE user_id = 2")
    mine = ("--set", "email=own@x", "--note", "asked her", "--user", "ann")
    refused = cli(bench, "conflicts", "resolve", "1", "2", "3", *mine)
    assert refused.exit_code == 2
    assert "conflict 1 is applied by bob" in refused.stderr
    assert "conflict 2: a side has moved since it was shown" in refused.stderr
    assert "your choice for conflict 2 is kept: syncline conflicts drafts" in refused.stderr
    assert "conflict 3: written to the target" in refused.stdout
    assert [bench.email(key) for key in (2, 3)] == ["moved@x", "own@x"]
    drafts = lines(cli(bench, "conflicts", "drafts", "--user", "ann", "--json"))
    assert [one["conflict"] for one in drafts] == [2, 1]
    assert (drafts[0]["values"], drafts[0]["note"]) == ({"email": "own@x"}, "asked her")
    bench.run()
    assert cli(bench, "conflicts", "resolve", "2", *mine).exit_code == 0
    left = lines(cli(bench, "conflicts", "drafts", "--user", "ann", "--json"))
    assert ([one["conflict"] for one in left], bench.email(2)) == ([1], "own@x")


def test_one_conflict_has_a_link_where_the_address_of_the_app_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the list, on its own, in `--json`, and after a run for the mapping."""
    bench = ReviewBench(tmp_path / "project", 2)
    bench.collide(1)
    assert lines(cli(bench, "conflicts", "list", "--json"))[0]["url"] is None
    monkeypatch.setenv("SYNCLINE_REVIEW_URL", "https://review.example.org")
    url = "https://review.example.org/conflicts/1"
    assert lines(cli(bench, "conflicts", "list", "--json"))[0]["url"] == url
    assert lines(cli(bench, "conflicts", "show", "1", "--json"))[0]["url"] == url
    assert url in cli(bench, "conflicts", "show", "1").stdout
    assert url in cli(bench, "conflicts", "list").stderr
    listed = "https://review.example.org/conflicts?mapping=customers"
    assert listed in cli(bench, "run", "customers", "--strict").stderr


def test_a_group_is_shown_and_not_parted(tmp_path: Path) -> None:
    """`--side` of one of its fields alone is refused, and nothing is decided."""
    bench = ReviewBench(tmp_path / "project", 2, MAPPING_OF_GROUP)
    bench.collide(1)
    assert "both; goes with phone" in cli(bench, "conflicts", "show", "1").stdout
    parted = cli(bench, "conflicts", "resolve", "1", "--side", "email=source")
    assert parted.exit_code == 2
    assert "email and phone go together" in parted.stderr
    assert bench.conflict(1).decision is None
    both = ("--side", "email=source", "--side", "phone=source")
    assert cli(bench, "conflicts", "resolve", "1", *both).exit_code == 0
    assert bench.email(1) == "source1@x.example"


def test_f44_the_export_of_the_terminal_has_no_formula_and_no_masked_value(
    tmp_path: Path,
) -> None:
    """Also in a note, a file, and a key; a negative number stays one."""
    bench = ReviewBench(tmp_path / "project", 3)
    bench.collide(1, name="=HYPERLINK('http://evil')")
    bench.source("UPDATE customers SET amount = '-3.50', updated_at = '2026-03-01' WHERE id = 2")
    bench.target("UPDATE users SET amount = '-4.50' WHERE user_id = 2")
    bench.run()
    note = ("--take", "target", "--note", "@SUM(A1)")
    assert cli(bench, "conflicts", "resolve", "1", *note).exit_code == 0
    out = tmp_path / "out.csv"
    assert cli(bench, "conflicts", "export", "--state", "all", "-o", str(out)).exit_code == 0
    text = out.read_bytes().decode("utf-8")
    assert text == cli(bench, "conflicts", "export", "--state", "all").stdout_bytes.decode("utf-8")
    assert "+39 0" not in text
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {row["note"] for row in rows if row["id"] == "1"} == {"'@SUM(A1)"}
    name = next(row for row in rows if row["field"] == "name")
    assert name["source"] == "'=HYPERLINK('http://evil')"
    amount = next(row for row in rows if row["field"] == "amount")
    assert (amount["source"], amount["target"]) == ("-3.50", "-4.50")
    phone = next(row for row in rows if row["field"] == "phone")
    assert (phone["source"], phone["target"]) == ("•••", "•••")
