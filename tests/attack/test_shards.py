"""A full sync shared out to workers by key ranges: exact, whoever is killed, and where."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from syncline import ledger
from syncline.backfill import Asked, backfill
from syncline.errors import GuardStopped, LeaseHeld, LeaseLost, RunFailed, TooManyDeadLetters
from syncline.progress import Progress
from syncline.run import RunOptions, opened
from syncline.state import Document
from syncline.sync import Cancelled
from tests.attack.conftest import Make, in_step
from tests.integration.project_bench import FIELDS, ProjectBench, now

LEDGER = "conflicts: {strategy: merge, clock: updated_at}\n"
REPOSITORY = Path(__file__).parents[2]
SHARED = {"workers": 2, "batch_size": 10}
MANY = 2_000

KILLS = '''
"""Kills the first worker that comes to a point: before or after its n-th commit, or mapping."""
import os, signal, sys

def here():
    try:
        if os.environ["KILLED"]:  # else each that comes there
            os.close(os.open(os.environ["KILLED"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

if "syncline.worker" in sys.orig_argv and os.environ.get("KILL_AT"):
    from syncline import ledger, read
    point, number = os.environ["KILL_AT"].split()
    count = 0
    commit, page = ledger.Lease.commit, read.page

    def counted(self, tx):
        global count
        count += 1
        if count == int(number) and point == "before":
            here()
        commit(self, tx)
        if count == int(number) and point == "after":
            here()

    def mapped(*args, **more):
        if point == "mapping" and args[0].records.num_rows and args[1]:
            global count
            count += 1
            if count == int(number):
                here()
        return page(*args, **more)

    if point == "mapping":
        read.page = mapped
    else:
        ledger.Lease.commit = counted
'''


def read_ledger(bench: ProjectBench) -> Document:
    """What the mapping's state row says."""
    with opened(bench.project, "people") as run:
        return ledger.peek(run.target, run.spec)[1]


@pytest.fixture
def kill_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Has one worker killed at a point; gives the file that says it was."""

    def at(point: str) -> Path:
        folder = tmp_path / "kills"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(KILLS)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(REPOSITORY)]))
        monkeypatch.setenv("KILL_AT", point)
        monkeypatch.setenv("KILLED", str(folder / "killed"))
        return folder / "killed"

    return at


@pytest.mark.parametrize(
    ("watermark", "target", "rest"),
    [
        ("xmin", "postgres", LEDGER),
        pytest.param("mongo", "sqlite", "", marks=pytest.mark.slow),
        pytest.param("stream", "replica-set", "", marks=[pytest.mark.slow, pytest.mark.mongo]),
        pytest.param("mariadb", "mongo", LEDGER, marks=pytest.mark.slow),
        pytest.param("sqlite", "mariadb", LEDGER, marks=pytest.mark.slow),
    ],
)
def test_a_full_sync_shared_by_two_workers_is_an_exact_copy(
    make: Make, watermark: str, target: str, rest: str
) -> None:
    """Every record is in exactly one shard; the checkpoint is that of before the first, and the
    delta after it brings what changed, and nothing else.
    """
    bench = make(watermark, target, count=200, rest=rest)
    told: list[Progress] = []
    done = bench.run(**SHARED, on_progress=told.append)
    assert (done.mode, done.read, done.inserted, done.updated) == ("full", 200, 200, 0)
    assert in_step(bench)
    assert {one.workers for one in told} == {2}
    assert (told[-1].read, told[-1].written) == (200, 200)
    left = read_ledger(bench)
    assert (left.unfinished, left.shards) == (None, 0)
    bench.source.edit(17, name="Changed", updated_at=now())
    again = bench.run()
    assert (again.mode, again.inserted, again.updated) == ("delta", 0, 1)
    assert in_step(bench)


# --- killed ---


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["mapping 2", "before 1", "after 1", "before 3", "after 3", "before 6", "after 6"]
)
def test_f13_a_worker_killed_at_any_point_is_replaced_and_the_copy_is_exact(
    make: Make, kill_at: Callable[[str], Path], point: str
) -> None:
    """While it maps, before and after the commit of a batch, and around the one that says that its
    shard is done (the sixth): another worker goes on behind its last batch, and all is counted
    once.
    """
    bench = make("xmin", "postgres", count=100, rest=LEDGER)
    killed = kill_at(point)
    done = bench.run(**SHARED)
    assert killed.exists()
    assert (done.read, done.inserted, done.updated, done.conflicts) == (100, 100, 0, 0)
    assert in_step(bench)
    assert bench.run().read == 0


KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from syncline.project import Project
from syncline.sync import RunOptions, run

def kill(progress):
    if progress.read >= int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

options = RunOptions(batch_size=10, workers=2, on_progress=kill)
run(Project.find(explicit=Path(sys.argv[1])), "people", options)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_f13_a_run_killed_amid_its_workers_is_gone_on_with_by_any_number(
    make: Make, workers: int
) -> None:
    """The run dies, its workers find that nobody listens: what they still write is fenced or
    counted, the horizon is the first one's, and what changed meanwhile comes with the next delta.
    """
    bench = make("xmin", "postgres", count=300, rest=LEDGER)
    died = subprocess.run(
        [sys.executable, "-c", KILLED_RUN, str(bench.folder), "40"],
        check=False, capture_output=True,
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    begun = read_ledger(bench)
    assert begun.unfinished is not None
    assert begun.unfinished.shards == 2
    bench.source.edit(0, name="Changed behind it", updated_at=now())
    landed = len(bench.target.rows())
    assert landed >= 40
    rest = bench.run(batch_size=10, workers=workers)
    assert rest.mode == "full"
    assert rest.inserted <= 300 - landed
    assert (rest.updated, rest.conflicts) == (0, 0)
    assert len(bench.target.rows()) == 300
    delta = bench.run()
    assert (delta.mode, delta.updated) == ("delta", 1)
    assert in_step(bench)


@pytest.mark.slow
def test_workers_that_all_die_end_the_run(
    make: Make, kill_at: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each worker is killed at once, as for want of memory, the run says so and ends."""
    bench = make("sqlite", "sqlite", count=100)
    kill_at("before 1")
    monkeypatch.setenv("KILLED", "")
    with pytest.raises(RunFailed, match="3 workers of people were killed"):
        bench.run(**SHARED)
    assert bench.target.rows() == {}
    monkeypatch.delenv("KILL_AT")
    assert bench.run(batch_size=10).inserted == 100  # here, one shard after the other
    assert in_step(bench)


# --- fenced ---


def divided(bench: ProjectBench) -> None:
    """Leave a full sync that was divided, and of which some batches have landed: there are many
    more, so that workers that run ahead do not come to the end.
    """
    seen: list[Progress] = []

    def cancelled() -> bool:
        return bool(seen)

    with pytest.raises(Cancelled):
        bench.run(**SHARED, on_progress=seen.append, cancelled=cancelled)


def test_a_worker_whose_shard_or_whose_run_was_taken_over_writes_nothing(make: Make) -> None:
    """Frozen and thawed, it finds another holder or another epoch in the shard's row."""
    bench = make("sqlite", "sqlite", count=MANY)
    divided(bench)
    with opened(bench.project, "people") as run:
        target, spec = run.target, run.spec
        with ledger.hold(target, spec) as lease:
            with ledger.hold_shard(target, spec, 0, lease.epoch) as frozen:
                second = ledger.hold_shard(target, spec, 0, lease.epoch)
                with pytest.raises(LeaseHeld, match="shard 0 of people"), second:
                    pass
                with target.begin(spec) as tx:
                    lease.put_shard(tx, 0, frozen.document)  # as if its lease had run out
                    tx.commit()
                with ledger.hold_shard(target, spec, 0, lease.epoch) as other:
                    with pytest.raises(LeaseLost, match="was taken by"), frozen.transaction():
                        pass
                    with other.transaction() as tx:
                        other.commit(tx)
            left = ledger.hold_shard(target, spec, 1, lease.epoch)
            late = left.__enter__()
        with ledger.hold(target, spec) as next_lease:
            assert next_lease.epoch == lease.epoch + 1
            with pytest.raises(LeaseLost), late.transaction():
                pass
            second = ledger.hold_shard(target, spec, 1, lease.epoch)
            with pytest.raises(LeaseLost, match="no part of the present run"), second:
                pass
        left.__exit__(None, None, None)
    assert bench.run().status == "ok"
    assert in_step(bench)
    with opened(bench.project, "people") as run, ledger.hold(run.target, run.spec) as lease:
        row = ledger.hold_shard(run.target, run.spec, 0, lease.epoch)
        with pytest.raises(LeaseLost), row:  # it stays, and says nothing
            pass


def test_a_cancelled_run_ends_its_workers_after_a_batch(make: Make) -> None:
    """Nothing is half done, all leases are given up, and the next run reads the rest."""
    bench = make("sqlite", "sqlite", count=MANY)
    divided(bench)
    landed = len(bench.target.rows())
    assert 10 <= landed < MANY
    assert landed % 10 == 0
    rest = bench.run(batch_size=100, workers=1)
    assert (rest.read, rest.inserted) == (MANY - landed, MANY - landed)
    assert in_step(bench)


# --- across shards ---


@pytest.mark.slow
def test_f57_records_of_two_shards_that_swap_a_unique_value_land(make: Make) -> None:
    """Each is refused in its shard; together, at the end, they are written."""
    bench = make("xmin", "postgres", count=100, rest=LEDGER)
    bench.run()
    bench.target.sql("create unique index on people_copy (name)")
    bench.source.edit(3, name="swapping")
    bench.source.edit(97, name="Person 3", updated_at=now())
    bench.source.edit(3, name="Person 97", updated_at=now())
    done = bench.run(mode="full", **SHARED)
    assert (done.read, done.updated, done.queued) == (100, 2, 0)
    assert in_step(bench)


@pytest.mark.slow
def test_f11_deletes_and_keys_that_move_between_shards_come_out_exact(make: Make) -> None:
    """A key that moves behind a shard's back is in the next delta; what is gone is found once."""
    bench = make("xmin", "postgres", count=200, rest="deletes: {mode: mirror, guard: 50%}\n")
    bench.run()
    bench.source.remove(5, 150)
    moved = iter([True])

    def move(at: Progress) -> None:
        if at.read >= 60 and next(moved, False):
            bench.source.sql("update people set id = 900 where id = 199")
            bench.source.sql("update people set id = -1 where id = 198")

    done = bench.run(mode="full", **SHARED, on_progress=move)
    assert done.deleted >= 2
    bench.run()
    assert in_step(bench)


def test_a_full_sync_begun_again_forgets_the_old_shards(make: Make) -> None:
    """With --restart, and where the mapping changed meanwhile, it is divided anew."""
    bench = make("sqlite", "sqlite", count=MANY, rest="exclusive: true\n")
    divided(bench)
    bench.write(fields=FIELDS.replace("  city: city\n", "  city: upper(city)\n"), rest=bench_rest())
    done = bench.run(workers=2, batch_size=100)
    assert done.read == MANY
    assert {row["city"] for row in bench.target.rows().values()} == {"ROME", None}


def bench_rest() -> str:
    return "delta: {cursor: updated_at}\nexclusive: true\n"


def test_a_backfill_by_workers_is_exact_and_leaves_an_unfinished_full_sync_alone(
    make: Make,
) -> None:
    """Chunks are brought at once, each by a seat past the shards' rows; then the full goes on."""
    bench = make("sqlite", "sqlite", count=MANY, rest="conflicts: {strategy: manual}\n")
    divided(bench)
    before = read_ledger(bench)
    asked = Asked("key", "0", str(MANY), "200")
    done = list(backfill(bench.project, "people", asked, RunOptions(), workers=3))
    assert [chunk.start for chunk, _ in done] == [str(key) for key in range(0, MANY, 200)]
    assert sum(summary.read for _, summary in done) == MANY
    assert {summary.mode for _, summary in done} == {"backfill"}
    assert in_step(bench)
    after = read_ledger(bench)
    assert (after.unfinished, after.shards) == (before.unfinished, before.shards)
    assert list(backfill(bench.project, "people", asked, RunOptions(), workers=3)) == []
    rest = bench.run(batch_size=100)
    assert (rest.mode, rest.inserted, rest.conflicts) == ("full", 0, 0)
    assert in_step(bench)


# --- what a worker says ---


@pytest.mark.slow
def test_what_stops_a_worker_stops_the_run_as_what_it_is(make: Make) -> None:
    """A guard keeps its reason and its exit code; the others end after their batch."""
    fields = FIELDS.replace("  born: born\n", "  born: {python: hooks.odd, type: date}\n")
    bench = make("sqlite", "sqlite", count=100, rest="dead_letters: {limit: 3}\n", fields=fields)
    (bench.folder / "hooks.py").write_text(
        "def odd(rows):\n    print('a hook may print')\n    return rows['born'].astype(str) + 'x'\n"
    )
    with pytest.raises(TooManyDeadLetters, match="more than 3 records"):
        bench.run(**SHARED)
    other = make("sqlite", "sqlite", count=400, rest="conflicts: {strategy: manual}\n")
    other.run(batch_size=100)
    other.source.sql("update people set name = 'here'")
    other.target.sql("update people_copy set name = 'there'")
    with pytest.raises(GuardStopped) as stopped:
        other.run(mode="full", workers=2, batch_size=200)
    assert (stopped.value.reason, stopped.value.exit_code) == ("conflicts", 3)


def test_a_small_table_is_not_divided(make: Make) -> None:
    """One batch is not worth a process."""
    bench = make("sqlite", "sqlite", count=30)
    told: list[Progress] = []
    bench.run(workers=4, on_progress=told.append)
    assert [one.workers for one in told] == [1]
    assert in_step(bench)
