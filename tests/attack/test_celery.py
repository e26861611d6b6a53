"""Full sync, backfill and comparison by steps on two real Celery workers and a real Redis, one of
the workers killed amid them.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest

from syncline.testing.servers.process import free_port
from tests.attack.conftest import Make, in_step
from tests.integration.project_bench import ProjectBench, now

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).parents[2]
RECORDS = 3000
DEFINITIONS = """
from syncline.dagster import build_definitions
from syncline.dagster.celery import executor

defs = build_definitions({root!r}, executor=executor())
"""
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes, each the leader of a group of its own; all are gone at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def one(*words: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        log = (tmp_path / f"process-{len(started)}.log").open("wb")
        process = subprocess.Popen(
            words, env={**os.environ, **environment}, stdout=log, stderr=log, cwd=tmp_path,
            start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield one
    for process in started:
        killed(process)


def killed(process: subprocess.Popen[bytes]) -> None:
    """`kill -9` for a process and all that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def redis(start: Start, tmp_path: Path) -> str:
    """The URL of a Redis of our own."""
    found = shutil.which("redis-server") or shutil.which("/usr/bin/redis-server")
    if found is None:
        if os.environ.get("SYNCLINE_REQUIRE_REDIS"):
            pytest.fail("SYNCLINE_REQUIRE_REDIS is set, but there is no redis-server")
        pytest.skip("no redis-server on this machine: apt-get install redis-server")
    port = str(free_port())
    start(
        found, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
        "--dir", str(tmp_path), environment={},
    )  # fmt: skip
    until(lambda: answers(int(port)), 100)
    return f"redis://127.0.0.1:{port}/0"


def answers(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def until(come: Callable[[], bool], seconds: float) -> None:
    """Wait for something to come true."""
    end = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def landed(bench: ProjectBench) -> int:
    """How many records the target has; 0 while there is no table."""
    if bench.target.sql("select to_regclass('people_copy')")[0][0] is None:
        return 0
    return int(bench.target.sql("select count(*) from people_copy")[0][0])


def logs(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace")[-3000:] for path in folder.glob("process-*"))


class Engine:
    """Dagster on a project, with two Celery workers that share its Redis."""

    def __init__(self, start: Start, bench: ProjectBench, redis: str, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        (self.home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        (folder / "defs.py").write_text(DEFINITIONS.format(root=str(bench.folder)))
        self._start = start
        self._environment = {
            "DAGSTER_HOME": str(self.home),
            "SYNCLINE_CELERY_BROKER": redis,
            "SYNCLINE_CELERY_VISIBILITY": "5",
            "PYTHONPATH": str(REPOSITORY),
        }
        self.workers = [
            start(
                sys.executable, "-m", "celery", "-A", "syncline.dagster.celery", "worker",
                "-Q", "dagster", "-c", "1", "-n", f"w{number}@%h", "--loglevel", "INFO",
                environment=self._environment,
            )
            for number in range(2)
        ]  # fmt: skip

    def dagster(self, *words: str) -> subprocess.Popen[bytes]:
        """Begin a run by the command line."""
        return self._start(
            sys.executable, "-m", "dagster", *words, "-f", "defs.py", "-a", "defs",
            environment=self._environment,
        )  # fmt: skip


def test_two_celery_workers_bring_a_full_sync_and_one_is_killed_amid_it(
    make: Make, start: Start, redis: str, tmp_path: Path
) -> None:
    """The killed worker's shard is given to the other, which goes on behind its last batch: an
    exact copy, each record counted once, and a delta from before the first shard.
    """
    bench = make(
        "xmin", "postgres", count=RECORDS,
        rest="workers: 2\nbatch_size: 20\nconflicts: {strategy: merge, clock: updated_at}\n",
    )  # fmt: skip
    engine = Engine(start, bench, redis, tmp_path)
    run = engine.dagster("job", "execute", "-j", "people_full")
    until(lambda: landed(bench) >= RECORDS // 5 or run.poll() is not None, 300)
    killed(engine.workers[0])
    assert 0 < landed(bench) < RECORDS, logs(tmp_path)
    first = int(bench.target.sql("select min(id) from people_copy")[0][0])
    bench.source.edit(first, name="Changed meanwhile", updated_at=now())
    assert run.wait(600) == 0, logs(tmp_path)
    assert landed(bench) == RECORDS
    delta = bench.run()
    assert (delta.mode, delta.inserted, delta.updated, delta.conflicts) == ("delta", 0, 1, 0)
    assert in_step(bench)


def test_two_celery_workers_bring_a_backfill_and_compare_it_and_one_is_killed_amid_it(
    make: Make, start: Start, redis: str, tmp_path: Path
) -> None:
    """The partitions of the killed worker's step come to the other, and each is told as done; the
    lease is free then. A comparison by ranges finds the one record that is missing.
    """
    count, step = RECORDS // 2, RECORDS // 30
    bench = make(
        "xmin", "postgres", count=count,
        rest="workers: 2\nbatch_size: 20\nconflicts: {strategy: source, detect: ledger}\n"
        f"backfill: {{by: key, from: 0, to: {count}, every: {step}}}\n",
    )  # fmt: skip
    engine = Engine(start, bench, redis, tmp_path)
    chosen = ("--select", "key:backfill/people", "--partition-range")
    run = engine.dagster("asset", "materialize", *chosen, f"0_{step}...{count - step}_{count}")
    until(lambda: landed(bench) >= count // 5 or run.poll() is not None, 300)
    killed(engine.workers[0])
    assert 0 < landed(bench) < count, logs(tmp_path)
    assert run.wait(600) == 0, logs(tmp_path)
    assert in_step(bench)
    with dg.DagsterInstance.from_config(str(engine.home)) as instance:
        done = instance.get_materialized_partitions(dg.AssetKey(["backfill", "people"]))
        assert len(done) == count // step
        whole = bench.run()  # not refused: nobody has the lease
        assert (whole.mode, whole.inserted, whole.unchanged) == ("full", 0, count)
        bench.target.remove(7)
        compared = engine.dagster("job", "execute", "-j", "people_verify")
        assert compared.wait(600) == 0, logs(tmp_path)
        key = dg.AssetCheckKey(dg.AssetKey("people"), "parity")
        (found,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=2)
    assert found.status.value == "FAILED"
    event = found.event.dagster_event if found.event else None
    assert event is not None
    told = {name: one.value for name, one in event.asset_check_evaluation_data.metadata.items()}
    assert (told["read"], told["equal"], told["missing"]) == (count, count - 1, 1)
