"""`syncline runs`: what has run, in the terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from syncline.cli import show
from syncline.cli.app import app
from tests.browser.review_bench import ReviewBench


def cli(bench: ReviewBench, *arguments: str) -> Any:
    """Run a command on the project."""
    return CliRunner().invoke(app, ["--project", str(bench.root), "runs", *arguments])


def lines(result: Any) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_an_instant_in_a_table_is_short_and_in_utc() -> None:
    """To the second, whatever zone and form it comes in; what never was is empty."""
    assert show.when("2026-11-21T16:10:30.883893+00:00") == "2026-11-21 16:10:30Z"
    there = datetime(2026, 11, 21, 17, 10, tzinfo=timezone(timedelta(hours=1)))
    assert show.when(there) == "2026-11-21 16:10:00Z"
    assert show.when(there.astimezone(UTC).replace(tzinfo=None)) == "2026-11-21 16:10:00Z"
    assert show.when(None) == ""


def test_runs_are_listed_newest_first_in_pages(tmp_path: Path) -> None:
    """Each with its numbers; `--before` goes on where a page ended."""
    bench = ReviewBench(tmp_path / "project", 2)
    bench.collide(1)
    everything = lines(cli(bench, "list", "--json"))
    ids = [one["run_id"] for one in everything]
    assert len(ids) > 1
    assert ids == sorted(ids, reverse=True)
    assert everything[-1]["summary"]["inserted"] == 2
    assert lines(cli(bench, "list", "--json", "--limit", "1")) == everything[:1]
    assert lines(cli(bench, "list", "--json", "--before", ids[0])) == everything[1:]
    assert ids[0] in cli(bench, "list").stdout
    assert cli(bench, "list", "nobody").exit_code == 2


def test_a_run_is_shown_with_what_it_settled_and_its_log(tmp_path: Path) -> None:
    """Masked values are hidden; a run that never was is the user's mistake."""
    bench = ReviewBench(tmp_path / "project", 2)
    bench.collide(1)
    newest = lines(cli(bench, "list", "--json"))[0]["run_id"]
    (told,) = lines(cli(bench, "show", newest, "--json"))
    assert told["run_id"] == newest
    assert set(told) >= {"summary", "log", "audit", "error"}
    shown = cli(bench, "show", newest)
    assert shown.exit_code == 0
    assert newest in shown.stdout
    assert "rows_per_second" in shown.stdout
    unknown = cli(bench, "show", "20200101T000000000000-00000000")
    assert unknown.exit_code == 2
    assert "there is no run" in unknown.stderr
