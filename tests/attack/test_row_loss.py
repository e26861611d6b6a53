"""The row-loss gate: no row lost and none stale, while applications write as they please.

Beside every sync a naive poller reads the same source. On PostgreSQL and MariaDB, and by MongoDB's
change stream, it must lose rows: so is known that the attack is one, and that this gate can fail.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from random import SystemRandom

import pytest

from syncline.sync import RunSummary
from tests.attack.conftest import Make
from tests.attack.writers import Application, Crowd, Documents, Hand, NaivePoller
from tests.integration.project_bench import ProjectBench, person

WATERMARKS = ["xmin", "timestamp", "mariadb", "sqlite", "mongo", "stream"]
GUARANTEE = {"xmin": "exact", "stream": "exact"}
SECONDS = 4.0
CROWD = 8
ENOUGH = 30
"""Rows written, fewer of which would attack nothing."""
MIRROR = "deletes: {mode: mirror, guard: 99%}\n"


@dataclass
class Toll:
    """What an attack came to."""

    written: int
    runs: list[RunSummary]
    lost: list[int]
    stale: list[int]
    extra: list[int]
    naive_lost: int


def crowd_of(bench: ProjectBench, *, exact: bool, seed: int, count: int = CROWD) -> Crowd:
    """Applications that write to the bench's source."""
    source = bench.source

    def one(number: int) -> Application | Documents:
        if source.kind == "mongo":
            return Documents(source, number, exact=exact, seed=seed)
        return Application(Hand(source.kind, source.url), number, exact=exact, seed=seed)

    return Crowd(one, count)


def toll_of(bench: ProjectBench, crowd: Crowd, runs: list[RunSummary], naive: NaivePoller) -> Toll:
    """Compare the target with the source, which nobody writes to any more."""
    truth, copy = bench.source.rows(), bench.target.rows()
    return Toll(
        crowd.written,
        runs,
        lost=sorted(truth.keys() - copy.keys()),
        stale=sorted(key for key in truth.keys() & copy.keys() if truth[key] != copy[key]),
        extra=sorted(copy.keys() - truth.keys()),
        naive_lost=naive.lost(truth),
    )


def attack(bench: ProjectBench, *, exact: bool, seed: int, seconds: float) -> Toll:
    """Sync while a crowd writes, and once more when it has stopped."""
    crowd, naive = crowd_of(bench, exact=exact, seed=seed), NaivePoller(bench.source)
    over = threading.Event()

    def poll() -> None:
        while not over.wait(0.2):
            naive.poll()

    runs = [bench.run()]
    poller = threading.Thread(target=poll, daemon=True)
    poller.start()
    crowd.start()
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(runs) < 4 or crowd.written <= ENOUGH:
        runs.append(bench.run())
    crowd.stop()
    over.set()
    poller.join(60)
    naive.poll()
    runs.append(bench.run())
    return toll_of(bench, crowd, runs, naive)


@pytest.mark.parametrize("watermark", WATERMARKS)
def test_no_row_is_lost_while_others_write(watermark: str, make: Make) -> None:
    """After the writers stop one last delta leaves nothing lost, stale or left over; and all of
    them were deltas, since a full sync would hide a loss.
    """
    bench = make(watermark, rest=MIRROR)
    bench.source.put(*(person(key) for key in range(20)))
    seed = SystemRandom().randrange(1 << 30)
    toll = attack(bench, exact=watermark in GUARANTEE, seed=seed, seconds=SECONDS)
    assert (toll.lost, toll.stale, toll.extra) == ([], [], []), f"seed {seed}"
    assert {run.mode for run in toll.runs[1:]} == {"delta"}
    assert {run.guarantee for run in toll.runs} == {GUARANTEE.get(watermark, "bounded")}
    assert toll.written > ENOUGH
    if watermark in {"xmin", "timestamp", "mariadb", "stream"}:
        assert toll.naive_lost > 0, "the naive poller lost nothing: this attack proves nothing"
