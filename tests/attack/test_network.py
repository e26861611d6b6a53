"""Connections that break: at COMMIT, in the middle of a read, at the start, and in silence."""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from syncline import checkpoint
from syncline.errors import SynclineError, Unreachable
from tests.attack.conftest import Between, Make, in_step
from tests.attack.line import LEDGER, SOURCES, after, position, through
from tests.attack.proxy import Proxy
from tests.conftest import REPLICA_SET
from tests.integration.project_bench import Side, now, person

pytestmark = pytest.mark.slow  # minutes of waiting for dead lines: `make test-all` runs it

SERVERS = ["postgres", "mariadb"]
COMMIT = {
    "postgres": b"COMMIT\x00",
    "mariadb": b"\x03COMMIT",
    REPLICA_SET: b"COMMITTRANSACTION\x00",
}
"""The statement as it stands on the wire: neither has READ COMMITTED in it."""
KINDS = ["postgres", "mariadb", "mongo", REPLICA_SET]


@pytest.mark.parametrize("fate", ["answered", "in flight"])
@pytest.mark.parametrize("rest", ["", LEDGER], ids=["plain", "ledger"])
@pytest.mark.parametrize("target", COMMIT)
def test_f14_a_commit_whose_answer_is_lost_counts_once(
    target: str, rest: str, fate: Any, make: Make, between: Between
) -> None:
    """The server commits a batch, at once or a little later, and the connection is cut before it
    can say so: the state is read again, behind that commit, and the run goes on.
    """
    bench = make("sqlite", target, count=50, rest=rest)
    proxy = between(bench.target)
    through(bench, target=proxy)
    lose = after(2, lambda: proxy.strike(COMMIT[target], fate))
    done = bench.run(batch_size=10, on_progress=lose)
    assert proxy.struck == 1
    assert (done.inserted, done.conflicts, done.dead_letters) == (50, 0, 0)
    assert in_step(bench)
    again = bench.run()
    assert (again.inserted, again.updated) == (0, 0)


BULKS = {
    "records": b"\x02INSERT\x00\x0c\x00\x00\x00PEOPLE_COPY\x00",
    "state": b"\x02UPDATE\x00\x0f\x00\x00\x00SYNCLINE_STATE\x00",
}
"""Writes of MongoDB as they stand on the wire (in capitals, as the proxy looks for them)."""


@pytest.mark.parametrize("fate", ["answered", "in flight", "never"])
@pytest.mark.parametrize("rest", ["", LEDGER], ids=["plain", "ledger"])
@pytest.mark.parametrize("lost", BULKS)
@pytest.mark.parametrize("target", ["mongo", REPLICA_SET])
def test_f14_a_write_of_mongodb_whose_answer_is_lost_counts_once(
    target: str, lost: str, rest: str, fate: Any, make: Make, between: Between
) -> None:
    """Without transactions each write is durable by itself: records that landed, or the state, and
    nobody was told. The run writes them again, and no edit of others becomes a conflict. With them
    the transaction is lost as a whole.
    """
    bench = make("sqlite", target, count=50, rest=rest)
    proxy = between(bench.target)
    through(bench, target=proxy)
    done = bench.run(batch_size=10, on_progress=after(2, lambda: proxy.strike(BULKS[lost], fate)))
    assert proxy.struck == 1
    assert (done.conflicts, done.dead_letters) == (0, 0)
    assert in_step(bench)
    bench.target.edit(7, name="Edited there")
    again = bench.run(mode="full")
    assert (again.inserted, again.conflicts) == (0, 0)
    assert bench.target.rows()[7]["name"] == ("Edited there" if rest else "Person 7")


def test_f14_a_state_of_mongodb_that_arrives_after_later_ones_changes_nothing(
    make: Make, between: Between
) -> None:
    """Written without a transaction, and on its way when its connection was lost: it comes to the
    server when the run is over, and the next run in full has begun.
    """
    bench = make("sqlite", "mongo", count=50, rest=LEDGER)
    proxy = between(bench.target)
    through(bench, target=proxy)
    hold = after(2, lambda: proxy.strike(BULKS["state"], "held"))
    assert bench.run(batch_size=10, on_progress=hold).read == 50
    assert proxy.struck == 1
    left = checkpoint.show(bench.project, "people")
    proxy.let_go()
    assert checkpoint.show(bench.project, "people") == left
    again = bench.run()
    assert (again.mode, again.inserted, again.updated) == ("delta", 0, 0)
    assert in_step(bench)


@pytest.mark.parametrize("rest", ["", LEDGER], ids=["plain", "ledger"])
@pytest.mark.parametrize("target", COMMIT)
def test_f14_a_commit_that_never_arrived_is_no_commit(
    target: str, rest: str, make: Make, between: Between
) -> None:
    """The connection is cut before the server has the COMMIT: the batch is not taken for written,
    and the run writes it again, once.
    """
    bench = make("sqlite", target, count=50, rest=rest)
    proxy = between(bench.target)
    through(bench, target=proxy)
    lose = after(2, lambda: proxy.strike(COMMIT[target], "never"))
    done = bench.run(batch_size=10, on_progress=lose)
    assert proxy.struck == 1
    assert (done.inserted, done.conflicts, done.dead_letters) == (50, 0, 0)
    assert in_step(bench)
    assert bench.run().conflicts == 0


@pytest.mark.parametrize("fate", ["answered", "never"])
@pytest.mark.parametrize("target", COMMIT)
def test_f14_a_commit_of_which_nothing_can_be_learnt_for_a_while(
    target: str, fate: Any, make: Make, between: Between
) -> None:
    """Its answer is lost, and for a second the server can't be asked either: the run asks again
    before it does anything else, and writes the batch again only where it did not land.
    """
    bench = make("sqlite", target, count=50, rest=LEDGER)
    proxy = between(bench.target)
    proxy.down_after_strike = 1
    through(bench, target=proxy)
    lose = after(2, lambda: proxy.strike(COMMIT[target], fate))
    done = bench.run(batch_size=10, on_progress=lose)
    assert proxy.struck == 1
    assert (done.read, done.inserted, done.conflicts) == (50, 50, 0)
    assert in_step(bench)
    again = bench.run()
    assert (again.inserted, again.updated) == (0, 0)


def test_f14_an_outage_longer_than_the_patience_ends_the_run_and_the_next_goes_on(
    make: Make, between: Between
) -> None:
    """What the lost commit said of the sync is not believed: no page is left out."""
    bench = make("sqlite", "postgres", count=50, rest=LEDGER)
    proxy = between(bench.target)
    proxy.down_after_strike = math.inf
    through(bench, target=proxy, retry_seconds=1)
    lose = after(2, lambda: proxy.strike(COMMIT["postgres"], "never"))
    with pytest.raises(Unreachable):
        bench.run(batch_size=10, on_progress=lose)
    assert len(bench.target.rows()) == 20
    through(bench)
    done = bench.run(batch_size=10)
    assert (done.mode, done.inserted) == ("full", 30)
    assert in_step(bench)


def terminate(side: Side) -> None:
    """End every other session on the side's database, as an administrator does."""
    if side.kind == "postgres":
        side.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
            " and datname = current_database() and application_name = 'syncline'"
        )
        return
    found = side.sql(
        "select id from information_schema.processlist where db = database()"
        " and id <> connection_id()"
    )
    for (number,) in found:
        with suppress(OperationalError):  # it has gone by itself
            side.sql(f"kill {number}")


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("kind", SERVERS)
def test_f15_a_session_ended_in_the_middle_of_a_run(kind: str, side: str, make: Make) -> None:
    """Whichever side's sessions an administrator ends: the run connects again and goes on; nothing
    is lost, nothing comes twice.
    """
    watermark, target = (SOURCES[kind], "sqlite") if side == "source" else ("sqlite", kind)
    bench = make(watermark, target, count=200, rest=LEDGER)
    ended = bench.source if side == "source" else bench.target
    done = bench.run(batch_size=10, on_progress=after(3, lambda: terminate(ended)))
    assert (done.inserted, done.conflicts) == (200, 0)
    assert in_step(bench)
    again = bench.run()
    assert (again.inserted, again.updated, again.conflicts) == (0, 0, 0)


FAULTS = ["latency", "reset", "truncated"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
def test_f16_a_bad_network_before_both_sides(
    kind: str, fault: str, make: Make, between: Between
) -> None:
    """Latency only slows it down; a reset, and for a while answers cut off in the middle, are got
    over by the run itself.
    """
    bench = make(SOURCES[kind], kind, count=80, rest=LEDGER)
    proxies = [between(side) for side in (bench.source, bench.target)]
    through(bench, source=proxies[0], target=proxies[1])

    def break_it() -> None:
        if fault == "reset":
            for proxy in proxies:
                proxy.cut()
        elif fault == "truncated":
            for proxy in proxies:
                proxy.limit = 2_000
            threading.Thread(target=mend, daemon=True).start()

    def mend() -> None:
        until = time.monotonic() + 60
        while proxies[0].cuts + proxies[1].cuts == 0 and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(1)
        for proxy in proxies:
            proxy.limit = None

    if fault == "latency":
        for proxy in proxies:
            proxy.delay = 0.002
    done = bench.run(batch_size=20, on_progress=after(2, break_it))
    assert (done.inserted, done.conflicts) == (80, 0)
    assert proxies[0].cuts + proxies[1].cuts > 0 or fault == "latency"
    assert in_step(bench)
    again = bench.run()
    assert (again.inserted, again.updated, again.conflicts) == (0, 0, 0)


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("kind", KINDS)
def test_f16_a_black_hole_ends_within_its_deadline(
    kind: str, side: str, make: Make, between: Between
) -> None:
    """The peer falls silent and no connection breaks: the statement's timeout ends the run, and the
    checkpoint is where it was.
    """
    watermark, target = (SOURCES[kind], "sqlite") if side == "source" else ("sqlite", kind)
    bench = make(watermark, target, count=100, rest=LEDGER)
    bench.run()
    before = position(bench)
    bench.source.put(*(person(key, updated_at=now()) for key in range(200, 300)))
    proxy = between(bench.source if side == "source" else bench.target)
    through(bench, **{side: proxy}, statement_timeout=3, retry_seconds=1)
    caught: list[BaseException] = []

    def run() -> None:
        try:
            bench.run(batch_size=10)
        except BaseException as error:  # noqa: BLE001 - looked at below
            caught.append(error)

    proxy.swallowing = frozenset(("client",))
    running = threading.Thread(target=run, daemon=True)
    running.start()
    running.join(100)
    hung = running.is_alive()
    proxy.swallowing = frozenset()
    proxy.cut()
    running.join(60)
    assert not hung, "it was still waiting after 100 s"
    assert isinstance(caught[0], Unreachable)
    through(bench)
    assert position(bench) == before
    bench.run()
    assert in_step(bench)


@pytest.mark.parametrize("kind", KINDS)
def test_f17_a_side_that_can_not_be_reached_moves_no_checkpoint(
    kind: str, make: Make, between: Between
) -> None:
    """The source, then the target, refuses connections before and during a run."""
    bench = make(SOURCES[kind], kind, count=60, rest=LEDGER)
    proxies = {"source": between(bench.source), "target": between(bench.target)}
    bench.run()
    before, edited = position(bench), 0
    for side, proxy in proxies.items():
        through(bench, **{side: proxy}, retry_seconds=1)
        bench.source.put(*(person(100 + edited + key, updated_at=now()) for key in range(40)))
        edited += 40
        proxy.open = False
        with pytest.raises(Unreachable):
            bench.run()
        proxy.open = True

        def down(proxy: Proxy = proxy) -> None:
            proxy.open = False
            proxy.cut()

        if side == "target":
            with pytest.raises(Unreachable):
                bench.run(batch_size=10, on_progress=after(1, down))
            proxy.open = True
        through(bench)
        assert position(bench) == before
    bench.run()
    assert in_step(bench)


def test_f17_a_control_store_that_can_not_be_reached_moves_no_checkpoint(
    make: Make, between: Between, monkeypatch: pytest.MonkeyPatch, new_database: Any
) -> None:
    """Before a run, and while it runs with a conflict to store: what can't be stored is not
    skipped.
    """
    store = Side("postgres", new_database("postgres"), "unused")
    proxy = between(store)
    monkeypatch.setenv("SYNCLINE_STORE_URL", proxy.url)
    bench = make("sqlite", count=60, rest=LEDGER)
    bench.run()
    before = position(bench)
    bench.source.put(*(person(key, updated_at=now()) for key in range(100, 140)))
    proxy.open = False
    proxy.cut()
    with pytest.raises(SynclineError):
        bench.run()
    assert position(bench) == before
    proxy.open = True
    bench.target.edit(5, name="Edited there")
    bench.source.edit(5, name="Edited here", updated_at=now())

    def down() -> None:
        proxy.open = False
        proxy.cut()

    with pytest.raises(SynclineError):
        bench.run(batch_size=10, on_progress=after(1, down))
    assert position(bench) == before
    proxy.open = True
    last = bench.run()
    assert (last.queued, last.status) == (1, "waiting")
    bench.source.edit(5, name="Edited there", updated_at=now())
    bench.run()
    assert bench.target.rows()[5]["name"] == bench.source.rows()[5]["name"]
    store.close()
