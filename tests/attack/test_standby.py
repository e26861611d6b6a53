"""A standby of PostgreSQL as the source: one that follows, and one that lags behind."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

import pytest

from syncline.errors import GuardStopped, InputError
from syncline.testing.servers import postgres_wheel
from syncline.testing.servers.local import start_child
from syncline.testing.servers.process import (
    Child,
    free_port,
    make_home,
    prepare,
    service_user,
    wait_ready,
)
from syncline.testing.servers.server import Unavailable
from tests.attack.conftest import DELTA, Hands, in_step
from tests.integration.project_bench import ProjectBench, Side, now, person

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


@dataclass
class Pair:
    """A primary and its standby, and a project that reads either."""

    primary: Side
    standby: Side
    target: Side
    folder: Path

    def reading(self, side: Side, watermark: str = "xmin") -> ProjectBench:
        """The one project, its source being this side."""
        return ProjectBench(self.folder, side, self.target, rest=DELTA[watermark])

    def follow(self) -> None:
        """Wait until the standby has all that was committed."""
        self.primary.sql("checkpoint")  # what was committed without waiting is flushed with it
        (at,) = self.primary.sql("select pg_current_wal_flush_lsn()::text")[0]
        deadline = time.monotonic() + 100
        while not self.standby.sql("select pg_last_wal_replay_lsn() >= cast(:at as pg_lsn)", at=at)[
            0
        ][0]:
            assert time.monotonic() < deadline, "the standby does not follow"
            time.sleep(0.05)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Both servers, of this test alone; ten people are on them."""
    root = Path(mkdtemp(prefix="syncline-standby-"))
    root.chmod(0o755)
    try:
        server = start_child("postgres", root)
    except Unavailable as refusal:
        pytest.skip(f"no PostgreSQL of our own here: {refusal}")
    primary = Side("postgres", server.url, "people")
    primary.create()
    primary.put(*(person(key) for key in range(10)))
    child = _standby(root, server.url)
    target = Side("sqlite", f"sqlite:///{tmp_path}/target.db", "people_copy")
    standby = Side("postgres", child.launch.url, "people")
    yield Pair(primary, standby, target, tmp_path / "project")
    for side in (primary, standby, target):
        side.close()
    child.stop()
    server.stop()
    shutil.rmtree(root, ignore_errors=True)


def _standby(root: Path, primary: str) -> Child:
    user, port = service_user(), free_port()
    launch = postgres_wheel.launch(root, "standby", port, "not used", durable=False)
    data, made = launch.home / "data", make_home(root, "standby", user) / "copy"
    shutil.rmtree(data)
    programs = Path(launch.argv[0]).parent
    copy = (str(programs / "pg_basebackup"), "-D", str(made), "-R", "-X", "stream", "-d", primary)
    prepare(copy, cwd=launch.home, user=user)
    made.rename(data)
    login, _, _ = primary.rpartition("@")
    launch = replace(launch, url=f"{login}@127.0.0.1:{port}/postgres")
    child = Child.start(launch, root)
    wait_ready(launch.url, launch.home, child)
    return child


def test_f07_xmin_reads_a_standby_and_a_timestamp_cursor_is_refused(
    pair: Pair, hands: Hands
) -> None:
    """A transaction that is open on the primary across deltas is delivered after its commit; the
    clock of open transactions, which a standby does not know, is no horizon there.
    """
    with pytest.raises(InputError, match="standby"):
        pair.reading(pair.standby, "timestamp").run()
    pair.follow()
    bench = pair.reading(pair.standby)
    assert (bench.run().mode, len(pair.target.rows())) == ("full", 10)
    late, other = hands(pair.primary), hands(pair.primary)
    late.begin()
    late.put(100)
    other.put(101)
    pair.follow()
    assert bench.run().inserted == 1
    late.run("COMMIT")
    pair.primary.edit(3, name="Edited", updated_at=now())
    pair.follow()
    delta = bench.run()
    assert (delta.mode, delta.inserted, delta.updated) == ("delta", 1, 1)
    assert in_step(bench)


def test_f55_a_replica_that_lags_behind_the_checkpoint_stops_the_run(pair: Pair) -> None:
    """Neither a delta nor a full sync brings the past back; once it has caught up it is read."""
    pair.reading(pair.primary).run()
    pair.follow()
    pair.standby.sql("select pg_wal_replay_pause()")
    _until_paused(pair.standby)
    pair.primary.edit(3, name="Of the present", updated_at=now())
    pair.reading(pair.primary).run()
    lagging = pair.reading(pair.standby)
    for _ in range(2):
        with pytest.raises(GuardStopped) as stopped:
            lagging.run()
        assert stopped.value.reason == "other-database"
    assert pair.target.rows()[3]["name"] == "Of the present"
    pair.standby.sql("select pg_wal_replay_resume()")
    pair.follow()
    pair.primary.edit(4, name="Later", updated_at=now())
    pair.follow()
    assert lagging.run().updated == 1
    assert in_step(lagging)


def _until_paused(standby: Side) -> None:
    deadline = time.monotonic() + 100
    while standby.sql("select pg_get_wal_replay_pause_state()") != [("paused",)]:
        assert time.monotonic() < deadline, "the standby does not pause"
        time.sleep(0.05)
