"""The tables and plots of docs/benchmarks.md are written from saved results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.publish import BEGIN, END, publish


def run(seconds: float, *, records: int | None = None) -> dict[str, Any]:
    """One execution, as it is saved."""
    return {
        "wall_seconds": seconds,
        "engine_seconds": None,
        "cpu_seconds": 0.5,
        "server_cpu_seconds": 0.25,
        "others_cpu_seconds": 0.0,
        "peak_bytes": 100 << 20,
        "records": records,
    }


def saved(path: Path, **seconds: list[float]) -> Path:
    """A file of results of the case `full`."""
    case = {
        "case": "full",
        "what": "full load",
        "rows": 1000,
        "per_record": False,
        "traffic_bytes": {},
        "promises": {"syncline": {"ratio": 1.25, "past_start": False, "peak_bytes": 90 << 20}},
        "contenders": {name: [run(one) for one in times] for name, times in seconds.items()},
    }
    content = {
        "measured_at": "2026-11-21T00:00:00+00:00",
        "cores": 2,
        "load": [0.1, 0.1, 0.1],
        "python": "3.11",
        "servers": {"postgresql": "18"},
        "skipped": {"mongo-postgres": "java is not installed"},
        "cases": [case],
    }
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "benchmarks.md").write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    return tmp_path


def test_what_is_between_the_marks_is_written_from_the_samples(docs: Path) -> None:
    """Medians, the median of the ratios round by round, what was promised, and what was left out;
    the rest of the page stays.
    """
    results = saved(docs / "a.json", limit=[1.0, 2.0, 4.0], syncline=[3.0, 3.0, 4.0])
    page = publish([results], docs).read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "stale" not in page
    assert "| syncline | 3.00 | 3.00 | 4.00 | 1.50 |  | 0.50 | 0.25 | 0.00 | 100 |" in page
    assert "- `full`: syncline: 1.50x of limit; at most 1.25x: NOT KEPT" in page
    assert "- `full`: syncline: peak 100 MB; under 90 MB: NOT KEPT" in page
    assert "`mongo-postgres` was left out: java is not installed." in page
    assert "3.00 s" in (docs / "images" / "bench-full.svg").read_text()
    assert publish([results], docs).read_text() == page


def test_a_case_that_was_measured_again_takes_the_place_of_the_first(docs: Path) -> None:
    """Of several files the later one holds."""
    first = saved(docs / "a.json", limit=[1.0], syncline=[9.0])
    again = saved(docs / "b.json", limit=[1.0], syncline=[1.0])
    page = publish([first, again], docs).read_text()
    assert "| 9.00 |" not in page
    assert "1.00x of limit; at most 1.25x: kept" in page


def test_a_page_without_the_marks_is_left_as_it_is(docs: Path) -> None:
    """Nothing of a page is overwritten where it does not say which part may be."""
    (docs / "benchmarks.md").write_text("by hand\n")
    with pytest.raises(ValueError, match="lacks the marks"):
        publish([saved(docs / "a.json", limit=[1.0], syncline=[1.0])], docs)
    assert (docs / "benchmarks.md").read_text() == "by hand\n"
