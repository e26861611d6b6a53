"""What a run can do nothing about, and says: a horizon that stands still, clocks that are off."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from structlog.testing import capture_logs

from syncline.plan import plan
from syncline.status import status
from tests.attack.conftest import Hands, Make, in_step
from tests.integration.project_bench import ProjectBench, now, person

IMPATIENT = "max_lag: 1s\n"
SLOW = pytest.mark.slow
STALLS = ["xmin", *(pytest.param(each, marks=SLOW) for each in ("timestamp", "mariadb"))]


@pytest.mark.parametrize("watermark", STALLS)
def test_f04_a_horizon_that_stands_still_is_reported_with_who_holds_it(
    watermark: str, make: Make, hands: Hands
) -> None:
    """By the run, `plan` and `status`: since when, by whose session, and the statement that ends
    it, which is right: run by an administrator it sets the horizon free.
    """
    bench = make(watermark, count=3, rest=IMPATIENT)
    bench.run()
    falls_silent(bench)
    idle = hands(bench.source)
    idle.begin()
    idle.put(100)
    time.sleep(2.2)
    with capture_logs() as said:
        run = bench.run()
    (told,) = run.warnings
    assert "the horizon" in told
    assert "idle" in told.lower() or watermark == "mariadb"
    assert any(line["event"] == told for line in said)
    command = told.rsplit(": ", 1)[1]
    number = idle.run("select pg_backend_pid()" if watermark != "mariadb" else
                      "select connection_id()")[0][0]  # fmt: skip
    assert str(number) in command
    assert plan(bench.project, "people").warnings[0].rsplit(": ", 1)[1] == command
    assert status(bench.project, "people").warnings[0].rsplit(": ", 1)[1] == command
    bench.source.sql(command)
    falls_silent(bench)
    assert in_step(bench)


def falls_silent(bench: ProjectBench) -> None:
    """A server has transactions of its own, statistics among them, which end by themselves."""
    until = time.monotonic() + 120
    while told := bench.run().warnings:
        assert time.monotonic() < until, told
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.parametrize("watermark", ["xmin", "timestamp"])
def test_f04_a_prepared_transaction_that_nobody_ends_is_reported(
    watermark: str, make: Make, hands: Hands
) -> None:
    """It survives its session, so that its name is told, and how to roll it back."""
    bench = make(watermark, count=3, rest=IMPATIENT)
    bench.run()
    hand = hands(bench.source)
    hand.begin()
    hand.put(100)
    end = hand.prepare()
    time.sleep(1.3)
    try:
        (told,) = bench.run().warnings
        assert "ROLLBACK PREPARED 't" in told
    finally:
        end("COMMIT")
    bench.run()
    assert in_step(bench)


@pytest.mark.parametrize(
    "watermark",
    ["timestamp", "sqlite", *(pytest.param(each, marks=SLOW) for each in ("mariadb", "mongo"))],
)
def test_f09_a_cursor_ahead_of_the_source_s_clock_is_warned_of(watermark: str, make: Make) -> None:
    """An application whose clock is an hour fast stamped a record."""
    bench = make(watermark, count=3)
    assert bench.run().warnings == ()
    bench.source.put(person(50, updated_at=now() + dt.timedelta(hours=1)))
    (told,) = bench.run().warnings
    assert "updated_at" in told
    assert "ahead" in told
    assert in_step(bench)


def test_f09_xmin_loses_nothing_to_clocks_an_hour_off_either_way(make: Make) -> None:
    """It does not look at them, and has nothing to warn of."""
    bench = make("xmin", count=3)
    bench.run()
    for key, hours in ((50, 1), (51, -1)):
        bench.source.put(person(key, updated_at=now() + dt.timedelta(hours=hours)))
        run = bench.run()
        assert (run.inserted, run.warnings) == (1, ())
    assert in_step(bench)


@pytest.mark.slow
@pytest.mark.parametrize("watermark", ["timestamp", "mariadb"])
def test_f09_a_record_stamped_an_hour_late_is_missed_and_found_by_verify(
    watermark: str, make: Make
) -> None:
    """A writer whose clock is slow is beyond what `bounded` promises: verify finds its record, and
    a full sync brings it.
    """
    from syncline.verify import verify

    bench = make(watermark, count=3)
    bench.run()
    bench.source.put(person(51, updated_at=now() - dt.timedelta(hours=1)))
    time.sleep(1.2)
    assert bench.run().inserted == 0
    assert verify(bench.project, "people").missing == 1
    assert bench.run(mode="full").inserted == 1
    assert in_step(bench)
