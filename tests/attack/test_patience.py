"""How long a run's own retries last: never without end, and never for what can't pass."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import Any

import pytest

from syncline.errors import Unreachable
from syncline.sync import Progress, RunOptions, run
from tests.attack.conftest import Make, in_step
from tests.attack.line import LEDGER, position, through
from tests.attack.proxy import Proxy
from tests.integration.project_bench import ProjectBench, now, person


def ended(bench: ProjectBench, within: float, **options: Any) -> BaseException | None:
    """What a run raised; fails where it did not end in time."""
    caught: list[BaseException | None] = []
    stop = threading.Event()

    def work() -> None:
        try:
            bench.run(cancelled=stop.is_set, **options)
        except BaseException as error:  # noqa: BLE001 - the caller looks at it
            caught.append(error)
        else:
            caught.append(None)

    running = threading.Thread(target=work, daemon=True)
    running.start()
    running.join(within)
    stop.set()
    assert caught, f"still trying after {within} s"
    return caught[0]


@pytest.mark.parametrize("watermark", ["xmin", "mariadb"])
def test_f16_a_delta_that_breaks_at_the_same_place_each_time_ends(
    watermark: str, make: Make
) -> None:
    """Every connection is cut after the same number of bytes: reading again what was read before is
    no progress, so that the patience of the run ends; the checkpoint stays.
    """
    bench = make(watermark, count=1, rest=LEDGER)
    bench.run()
    before = position(bench)
    wide = "w" * 10_000
    bench.source.put(*(person(key, name=wide, updated_at=now()) for key in range(100, 300)))
    with Proxy(bench.source.url) as proxy:
        through(bench, source=proxy, retry_seconds=3)
        proxy.limit = 1_000_000
        began = time.monotonic()
        assert isinstance(ended(bench, 120, batch_size=10), Unreachable)
        assert proxy.cuts > 1
        assert time.monotonic() - began > 1
    through(bench)
    assert position(bench) == before
    bench.run()
    assert in_step(bench)


def test_f14_a_doubt_outlives_its_batch_and_is_settled_before_the_next_read(make: Make) -> None:
    """A reader of the target keeps every COMMIT, and the question after it, waiting until the batch
    is given up: when the run reads on, it knows which batch landed, and leaves none out.
    """
    bench = make("sqlite", "sqlite", count=60, rest=LEDGER)
    through(bench, connect_timeout=0.1)
    path = bench.target.url.removeprefix("sqlite:///")
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    batches = iter(range(100))

    def hold(_: object) -> None:
        if next(batches) == 2:
            reader.execute("begin")
            reader.execute("select * from people_copy").fetchone()
            threading.Timer(6, reader.rollback).start()

    done = bench.run(batch_size=10, on_progress=hold)
    reader.close()
    assert in_step(bench)
    assert (done.read, done.inserted) == (60, 60)


@pytest.mark.slow
def test_f16_deletions_that_landed_renew_the_patience_of_a_run(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage while keys are compared, and another while the deletions go on: longer after the
    first than the run is patient, but it was further by then.
    """
    monkeypatch.setattr("syncline.digests.PAGE", 1)  # a transaction for each deletion
    mirror = LEDGER + "deletes: {mode: mirror, guard: 100%}\n"
    bench = make("sqlite", "postgres", count=60, rest=mirror)
    bench.run()
    bench.source.remove(*range(40))
    with Proxy(bench.target.url) as proxy:
        through(bench, target=proxy, retry_seconds=1)
        proxy.strike(b"GROUP BY G", "never")
        proxy.delay = 0.005

        def cut_again() -> None:
            while proxy.struck == 0:
                time.sleep(0.05)
            while len(bench.target.rows()) > 55:
                time.sleep(0.05)
            proxy.delay = 0.1  # so that what is left takes longer than that
            time.sleep(1.2)
            proxy.cut()
            proxy.delay = 0.0

        attacker = threading.Thread(target=cut_again)
        attacker.start()
        done = bench.run()
        attacker.join()
        assert proxy.cuts > 0
    assert done.deleted == 40
    assert in_step(bench)


@pytest.mark.slow
def test_f31_of_many_runs_of_a_process_one_asks_whether_the_database_is_back(make: Make) -> None:
    """Six runs lose their target in the middle: while it is away some few connections are tried,
    not some for each, and all runs end well when it is back.
    """
    bench = make("xmin", "postgres", count=600, rest=LEDGER)
    names = [f"people_{number}" for number in range(6)]
    for name in names:
        bench.write(name=name)
        text = (bench.folder / "mappings" / f"{name}.yaml").read_text()
        text = text.replace("people_copy", f"{name}_copy")
        (bench.folder / "mappings" / f"{name}.yaml").write_text(text)
    started, ended_well = threading.Barrier(len(names) + 1, timeout=100), list[int]()
    cut = threading.Event()
    with Proxy(bench.target.url) as proxy:
        through(bench, target=proxy, retry_seconds=60)
        project = bench.project

        def one(name: str) -> None:
            first = threading.Event()

            def on_progress(_: Progress) -> None:
                if not first.is_set():
                    first.set()
                    started.wait()
                    cut.wait(100)

            options = RunOptions(batch_size=100, on_progress=on_progress)
            ended_well.append(run(project, name, options).inserted)

        threads = [threading.Thread(target=one, args=(name,), daemon=True) for name in names]
        for thread in threads:
            thread.start()
        started.wait()
        proxy.open = False
        proxy.cut()
        cut.set()
        time.sleep(6)
        tried = proxy.refused
        proxy.open = True
        for thread in threads:
            thread.join(100)
    assert ended_well == [600] * len(names)
    assert tried < 25, "each of them asked for itself"  # 44 where they do, 12 where one does
