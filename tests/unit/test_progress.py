"""A run tells after each batch how far it is, how fast, and which side it waits for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from syncline.cli.progress import bar, speed_of
from syncline.progress import Busy, Progress
from tests.conftest import NewDatabase
from tests.integration.project_bench import DELTA, ProjectBench, Side, person


def at(read: int, estimate: int | None, **busy: float) -> Progress:
    return Progress("people", read, read, 10.0, estimate, 5_000_000, 3, Busy(**busy))


def test_what_is_left_follows_from_the_estimate_and_the_speed() -> None:
    """Half of it read in ten seconds: ten more; past the estimate none; without one no word."""
    assert at(500, 1000).seconds_left == 10
    assert at(1500, 1000).seconds_left == 0
    assert at(500, None).seconds_left is None
    assert at(0, 1000).seconds_left is None


def test_the_slow_side_is_the_one_that_was_busy_longest() -> None:
    """The other two wait for it; before anything was done there is none."""
    assert at(1, None, source=1, mapping=0.5, target=4).slow_side == "target"
    assert at(1, None, source=2, mapping=3).slow_side == "mapping"
    assert Busy().slow_side is None


def test_a_terminal_shows_speed_what_is_left_and_the_slow_side() -> None:
    """In one short line."""
    shown = speed_of(at(500, 45_000, source=2))
    assert shown == "50 rows/s, 0.5 MB/s, 14 min 50 s left, slow: source"
    narrow = speed_of(at(500, 45_000, source=2), short=True)
    assert narrow == "50 rows/s, 14 min 50 s left"


def test_waiting_for_a_source_is_the_sources_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an item takes to come counts; what its consumer does meanwhile does not."""
    clock = 0.0
    monkeypatch.setattr("syncline.progress.time.monotonic", lambda: clock)

    def slowly() -> Iterator[int]:
        nonlocal clock
        for number in range(3):
            clock += 2
            yield number

    busy = Busy()
    for _ in busy.getting(slowly(), "source"):
        clock += 100
    assert (busy.source, busy.mapping, busy.target) == (6, 0, 0)


def test_a_run_tells_every_batch_and_the_whole(new_database: NewDatabase, tmp_path: Path) -> None:
    """Batches, records, bytes and the time of all three sides, each growing."""
    source, target = (
        Side("sqlite", new_database("sqlite"), "people"),
        Side("sqlite", new_database("sqlite"), "people_copy"),
    )
    source.create()
    source.put(*(person(key) for key in range(100)))
    told: list[Progress] = []
    ProjectBench(tmp_path, source, target, rest=DELTA).run(batch_size=40, on_progress=told.append)
    assert [one.batches for one in told] == [1, 2, 3]
    assert [one.read for one in told] == [40, 80, 100]
    assert told[-1].bytes > told[0].bytes > 0
    last = told[-1].busy
    assert last.source > 0
    assert last.mapping > 0
    assert last.target > 0
    assert told[-1].as_dict()["slow_side"] in {"source", "mapping", "target"}
    source.close()
    target.close()


def test_without_a_terminal_progress_is_a_log_line_at_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line for several batches, with all numbers in it; none within the interval."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    with structlog.testing.capture_logs() as lines:
        with bar("people", every=3600) as report:
            report(at(500, 1000))
        assert lines == []
        with bar("people", every=0) as report:
            report(at(500, 1000, target=1))
    (line,) = lines
    assert (line["event"], line["log_level"], line["read"]) == ("progress", "info", 500)
    assert (line["rows_per_second"], line["seconds_left"], line["slow_side"]) == (50, 10, "target")
