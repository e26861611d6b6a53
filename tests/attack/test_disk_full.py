"""Disks that are full: a real file system of some megabytes, that of target, store or log."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncline import checkpoint
from syncline.errors import SynclineError
from syncline.store.store import Store
from syncline.testing.servers import Unavailable, start_detached, with_database
from tests.attack.conftest import Make, in_step
from tests.conftest import NewDatabase
from tests.integration.project_bench import DELTA, FIELDS, ProjectBench, Side, now, person

Disk = Callable[..., Path]
"""Mounts a small file system and gives its directory: `disk(kilobytes, owner=..)`."""
WIDE = random.Random(1).randbytes(1000).hex()  # noqa: S311 - it must not be compressed away


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Mounts small file systems, and takes them away again."""
    mounted: list[Path] = []

    def mount(kilobytes: int, *, like: Path | None = None) -> Path:
        # Not under pytest's own directory: a server's unprivileged user could not reach it.
        place = Path("/tmp") / f"syncline-disk-{uuid.uuid4().hex[:8]}"
        place.mkdir(mode=0o755)
        owner = like.stat() if like else place.stat()
        options = f"size={kilobytes}k,uid={owner.st_uid},gid={owner.st_gid},mode=0700"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            place.rmdir()
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()


def grow(place: Path) -> None:
    """Make room."""
    command = ["mount", "-o", "remount,size=64m", str(place)]
    subprocess.run(command, check=True, capture_output=True)


def position(bench: ProjectBench) -> str | None:
    return checkpoint.show(bench.project, bench.name)["position"]


def stops_and_goes_on(bench: ProjectBench, place: Path, *, says: str) -> None:
    """The run ends loudly, its checkpoint where it was; with room, the next run brings all."""
    before, had = position(bench), bench.target.rows()
    bench.source.put(*(person(key, name=WIDE, updated_at=now()) for key in range(1000, 5000)))
    with pytest.raises(SynclineError, match=says):
        bench.run()
    assert position(bench) == before
    assert had.items() <= bench.target.rows().items()
    grow(place)
    assert bench.run().mode == "delta"
    assert in_step(bench)
    assert position(bench) != before


def bench_of(folder: Path, source: Side, target: Side) -> ProjectBench:
    """A project that has synced twenty people into a target on a small disk."""
    source.create()
    source.put(*(person(key) for key in range(20)))
    bench = ProjectBench(folder, source, target, rest=DELTA + "batch_size: 500\n")
    bench.run()
    return bench


def test_f19_sqlite_target_on_a_full_disk(
    new_database: NewDatabase, tmp_path: Path, disk: Disk
) -> None:
    """What was committed stays, the rest follows when there is room."""
    place = disk(3000)
    source = Side("sqlite", new_database("sqlite"), "people")
    target = Side("sqlite", f"sqlite:///{place}/target.db", "people_copy")
    bench = bench_of(tmp_path, source, target)
    stops_and_goes_on(bench, place, says="full")
    target.close()


def test_f19_postgres_target_on_a_full_disk(
    new_database: NewDatabase, tmp_path: Path, disk: Disk
) -> None:
    """The target's tables in a tablespace without room."""
    source = Side("sqlite", new_database("sqlite"), "people")
    target = Side("postgres", new_database("postgres"), "people_copy")
    ((data,),) = target.sql("show data_directory")
    place, name = disk(3000, like=Path(data)), f"small_{uuid.uuid4().hex[:8]}"
    with target.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"create tablespace {name} location '{place}'")
    try:
        target.create()
        target.sql(f"alter table people_copy set tablespace {name}")
        stops_and_goes_on(bench_of(tmp_path, source, target), place, says="No space left")
    finally:
        target.sql("drop table if exists people_copy")
        with target.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"drop tablespace {name}")
        target.close()


def test_f19_control_store_on_a_full_disk(
    make: Make, monkeypatch: pytest.MonkeyPatch, disk: Disk
) -> None:
    """Dead letters that don't fit stop the run before the batch that leaves them behind."""
    place = disk(1500)
    monkeypatch.setenv("SYNCLINE_STORE_URL", f"sqlite:///{place}/store.db")
    fields = FIELDS.replace("  amount: amount\n", "  amount: cast(name as integer)\n")
    bench = make("sqlite", "sqlite", rest="conflicts: {strategy: manual}\n", fields=fields)
    bench.source.put(*(person(key, name=str(key)) for key in range(20)))
    bench.run()
    before = position(bench)
    letters = [person(key, name=WIDE * 20, updated_at=now()) for key in range(100, 160)]
    bench.source.put(*letters, person(200, name="200", updated_at=now()))
    with pytest.raises(SynclineError, match="full"):
        bench.run()
    assert position(bench) == before
    assert 200 not in bench.target.rows()
    grow(place)
    done = bench.run()
    assert (done.inserted, done.dead_letters) == (1, 60)
    with Store.open(bench.project.store_url) as store:
        assert len(store.dead_letters("people", 100)) == 60


def test_f19_log_on_a_full_disk(make: Make) -> None:
    """A log that takes nothing is told by the exit code; rows and checkpoint agree, and the next
    run goes on.
    """
    bench = make("sqlite", "sqlite", count=20)
    bench.run()
    bench.source.put(person(100, updated_at=now()))
    command = [sys.executable, "-m", "syncline", "--project", str(bench.folder), "run", "people"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=full, env=dict(os.environ), check=False
        )
    assert done.returncode != 0
    with_new, without = {*range(20), 100}, set(range(20))
    assert set(bench.target.rows()) in (with_new, without)
    bench.run()
    assert in_step(bench)


@pytest.mark.slow  # a server of its own is started: InnoDB ends where it has no room
@pytest.mark.mariadb
def test_f19_mariadb_target_on_a_full_disk(
    new_database: NewDatabase, tmp_path: Path, disk: Disk
) -> None:
    """InnoDB says that the table is full, or ends its server: the run ends loudly; once there is
    room and the server is back, its checkpoint is where it was, and the next run brings all.
    """
    home = Path(tempfile.mkdtemp(prefix="syncline-full-"))
    home.chmod(0o755)  # the server's user has to reach into it
    try:
        server = start_detached("mariadb", home)
    except Unavailable as refusal:
        shutil.rmtree(home)
        pytest.skip(str(refusal))
    try:
        source = Side("sqlite", new_database("sqlite"), "people")
        target = Side("mariadb", server.fresh_database("people"), "people_copy")
        ((data,),) = target.sql("select @@datadir")
        place = disk(3000, like=Path(data))
        target.create(f" data directory = '{place}'")
        bench = bench_of(tmp_path, source, target)
        _connect(bench, retry_seconds=2)
        before, had = position(bench), bench.target.rows()
        source.put(*(person(key, name=WIDE, updated_at=now()) for key in range(1000, 5000)))
        with pytest.raises(SynclineError):
            bench.run()
        grow(place)
        target.close()
        server = start_detached("mariadb", home)  # as it was, where it still runs
        bench.target = Side("mariadb", with_database(server.url, "people"), "people_copy")
        _connect(bench, retry_seconds=2)
        assert position(bench) == before
        assert had.items() <= bench.target.rows().items()
        assert bench.run().mode == "delta"
        assert in_step(bench)
        bench.target.close()
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def _connect(bench: ProjectBench, *, retry_seconds: int) -> None:
    urls = f"FROM_URL={bench.source.url}\nTO_URL={bench.target.url}\n"
    (bench.folder / ".env").write_text(urls)
    (bench.folder / "connections.yaml").write_text(
        f"connections:\n  from_here: ${{FROM_URL}}\n"
        f"  to_there: {{url: '${{TO_URL}}', retry_seconds: {retry_seconds}}}\n"
    )
