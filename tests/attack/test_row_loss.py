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
WAVES = 8
"""Crowds at the most, one after the other."""
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


def crowd_of(
    bench: ProjectBench, *, exact: bool, seed: int, count: int = CROWD, first: int = 0
) -> Crowd:
    """Applications that write to the bench's source, numbered from `first` on."""
    source = bench.source

    def one(place: int) -> Application | Documents:
        number = first + place
        if source.kind == "mongo":
            return Documents(source, number, exact=exact, seed=seed)
        return Application(Hand(source.kind, source.url), number, exact=exact, seed=seed)

    return Crowd(one, count)


def toll_of(bench: ProjectBench, written: int, runs: list[RunSummary], naive: NaivePoller) -> Toll:
    """Compare the target with the source, which nobody writes to any more."""
    truth, copy = bench.source.rows(), bench.target.rows()
    return Toll(
        written,
        runs,
        lost=sorted(truth.keys() - copy.keys()),
        stale=sorted(key for key in truth.keys() & copy.keys() if truth[key] != copy[key]),
        extra=sorted(copy.keys() - truth.keys()),
        naive_lost=naive.lost(truth),
    )


def attack(bench: ProjectBench, *, exact: bool, must_lose: bool, seed: int) -> Toll:
    """Sync while a crowd writes, and once more when it has stopped; again with others where the
    naive poller happened to lose nothing, and `must_lose`.
    """
    naive, runs, written = NaivePoller(bench.source), [bench.run()], 0
    for wave in range(WAVES):
        crowd = crowd_of(bench, exact=exact, seed=seed, first=wave * CROWD)
        written += one_wave(bench, naive, runs, crowd)
        toll = toll_of(bench, written, runs, naive)
        if toll.naive_lost or not must_lose or toll.lost or toll.stale or toll.extra:
            break
    return toll


def one_wave(bench: ProjectBench, naive: NaivePoller, runs: list[RunSummary], crowd: Crowd) -> int:
    """What a crowd does until it has done enough; how many rows it wrote. `runs` gets the runs."""
    over, before = threading.Event(), len(runs)

    def poll() -> None:
        while not over.wait(0.2):
            naive.poll()

    poller = threading.Thread(target=poll, daemon=True)
    poller.start()
    crowd.start()
    until = time.monotonic() + SECONDS
    while time.monotonic() < until or len(runs) < before + 3 or crowd.written <= ENOUGH:
        runs.append(bench.run())
    crowd.stop()
    over.set()
    poller.join(100)
    naive.poll()
    runs.append(bench.run())
    return crowd.written


@pytest.mark.parametrize("watermark", WATERMARKS)
def test_no_row_is_lost_while_others_write(watermark: str, make: Make) -> None:
    """After the writers stop one last delta leaves nothing lost, stale or left over; and all of
    them were deltas, since a full sync would hide a loss.
    """
    bench = make(watermark, rest=MIRROR)
    bench.source.put(*(person(key) for key in range(20)))
    seed = SystemRandom().randrange(1 << 30)
    must_lose = watermark in {"xmin", "timestamp", "mariadb", "stream"}
    toll = attack(bench, exact=watermark in GUARANTEE, must_lose=must_lose, seed=seed)
    assert (toll.lost, toll.stale, toll.extra) == ([], [], []), f"seed {seed}"
    assert {run.mode for run in toll.runs[1:]} == {"delta"}
    assert {run.guarantee for run in toll.runs} == {GUARANTEE.get(watermark, "bounded")}
    assert toll.written > ENOUGH
    if must_lose:
        assert toll.naive_lost > 0, "the naive poller lost nothing: this attack proves nothing"
