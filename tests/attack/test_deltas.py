"""What a delta must find, or must say that it can't: one test a fault, for each watermark."""

from __future__ import annotations

import time
from typing import Any

import pytest

from syncline.status import status
from tests.attack.conftest import Hands, Make, in_step
from tests.attack.writers import NaivePoller
from tests.integration.project_bench import person

SQL = ["xmin", "timestamp", "mariadb", "sqlite"]
TRANSACTIONAL = ["xmin", "timestamp", "mariadb"]
ALL = [*SQL, "mongo"]


@pytest.mark.parametrize("watermark", TRANSACTIONAL)
def test_f01_a_transaction_that_commits_late_is_delivered(
    watermark: str, make: Make, hands: Hands
) -> None:
    """Its rows are stamped before those of a delta that has been: the next brings them, where a
    poller by the largest timestamp never does.
    """
    bench = make(watermark, count=3)
    late, other, naive = hands(bench.source), hands(bench.source), NaivePoller(bench.source)
    bench.run()
    late.begin()
    late.put(100)
    late.edit(1)
    time.sleep(1.5)  # more than any margin for the clock
    other.put(101)
    naive.poll()
    assert bench.run().inserted == 1
    assert bench.target.rows().keys() == {0, 1, 2, 101}
    late.run("COMMIT")
    naive.poll()
    assert naive.lost(bench.source.rows()) == 2
    last = bench.run()
    assert (last.mode, last.inserted, last.updated) == ("delta", 1, 1)
    assert in_step(bench)


@pytest.mark.parametrize("watermark", TRANSACTIONAL)
def test_f02_a_prepared_transaction_is_delivered_when_its_second_phase_comes(
    watermark: str, make: Make, hands: Hands
) -> None:
    """Prepared, and left open over two deltas by an application that is gone meanwhile."""
    bench = make(watermark, count=3)
    first, other = hands(bench.source), hands(bench.source)
    bench.run()
    first.begin_prepared()
    first.put(100)
    first.edit(1)
    finish = first.prepare()
    try:
        for number in (101, 102):
            time.sleep(1.2)
            other.put(number)
            assert bench.run().inserted == 1
    finally:
        finish("COMMIT")
    last = bench.run()
    assert (last.mode, last.inserted, last.updated) == ("delta", 1, 1)
    assert in_step(bench)


@pytest.mark.parametrize("watermark", SQL)
def test_f03_of_savepoints_only_what_was_kept_is_delivered(
    watermark: str, make: Make, hands: Hands
) -> None:
    """Released, rolled back and nested subtransactions, and a rollback of the whole."""
    bench = make(watermark, count=10)
    hand = hands(bench.source)
    bench.run()
    hand.begin()
    hand.put(100)
    hand.run("SAVEPOINT one")
    hand.put(101)
    hand.edit(1)
    hand.run("SAVEPOINT two")
    hand.put(102)
    hand.edit(2)
    hand.run("ROLLBACK TO SAVEPOINT two")
    hand.edit(3)
    hand.run("RELEASE SAVEPOINT one")
    hand.run("SAVEPOINT three")
    hand.remove(100)
    hand.run("ROLLBACK TO SAVEPOINT three")
    hand.run("COMMIT")
    hand.begin()
    hand.put(103)
    hand.edit(4)
    hand.run("ROLLBACK")
    delta = bench.run()
    assert (delta.mode, delta.inserted, delta.updated) == ("delta", 2, 2)
    assert in_step(bench)


@pytest.mark.parametrize("watermark", TRANSACTIONAL)
def test_f04_a_session_idle_in_its_transaction_holds_nobody_up(
    watermark: str, make: Make, hands: Hands
) -> None:
    """Deltas bring what others write while it idles, and its own rows when it commits."""
    bench = make(watermark, count=3)
    idle, other = hands(bench.source), hands(bench.source)
    bench.run()
    idle.begin()
    idle.put(100)
    for number in range(101, 104):
        other.put(number)
        assert bench.run().inserted == 1
        time.sleep(0.4)
    idle.run("COMMIT")
    assert bench.run().inserted == 1
    assert in_step(bench)


@pytest.mark.parametrize("watermark", ALL)
def test_f08_many_records_of_one_timestamp_in_pages_of_seven(watermark: str, make: Make) -> None:
    """Hundreds of ties: none is skipped at the edge of a page, in a full sync and in a delta."""
    bench = make(watermark)
    at = person(0)["updated_at"]
    bench.source.put(*(person(key, updated_at=at) for key in range(300)))
    assert bench.run(batch_size=7).inserted == 300
    assert in_step(bench)
    bench.source.put(*(person(key, updated_at=at.replace(year=2030)) for key in range(300, 600)))
    delta = bench.run(batch_size=7)
    assert (delta.mode, delta.inserted) == ("delta", 300)
    assert in_step(bench)


@pytest.mark.parametrize("watermark", ALL)
def test_f10_an_edit_behind_the_clocks_back(watermark: str, make: Make) -> None:
    """An edit that leaves its clock as it is, and one that sets it back: `xmin` finds them; the
    bounded watermarks say that they do not, and the next full sync does.
    """
    bench = make(watermark, count=10)
    bench.run()
    bench.source.edit(3, name="Left its clock")
    bench.source.edit(4, name="Set back", updated_at=person(0)["updated_at"])
    bench.source.put(person(50, updated_at=person(0)["updated_at"]))
    delta = bench.run()
    assert delta.mode == "delta"
    if watermark == "xmin":
        assert (delta.inserted, delta.updated) == (1, 2)
    else:
        told = status(bench.project, "people")
        assert told.guarantee == delta.guarantee == "bounded"
        assert told.why
        assert not in_step(bench)
        bench.run(mode="full")
    assert in_step(bench)


@pytest.mark.parametrize("watermark", ALL)
def test_f11_a_deletion_and_a_changed_key_are_found_by_reconcile(
    watermark: str, make: Make
) -> None:
    """No watermark sees a deletion; the scan of the keys does. A changed key is one gone and one
    new, whether or not its clock moved with it.
    """
    bench = make(watermark, count=20, rest="deletes: {mode: mirror, guard: 50%}\n")
    bench.run()
    bench.source.remove(3)
    if bench.source.kind == "mongo":  # an _id can't be changed: the application writes a new one
        bench.source.remove(4)
        bench.source.put(person(104, updated_at=person(0)["updated_at"].replace(year=2030)))
    else:
        stamp = {"xmin": "updated_at", "timestamp": "now()", "mariadb": "NOW(6)"}
        moved = stamp.get(watermark, "strftime('%Y-%m-%d %H:%M:%f+00:00', 'now')")
        bench.source.sql(f"update people set id = 104, updated_at = {moved} where id = 4")
    delta = bench.run()
    assert (delta.mode, delta.inserted, delta.deleted) == ("delta", 1, 2)
    assert in_step(bench)


@pytest.mark.parametrize("watermark", ALL)
def test_f12_records_without_a_cursor_are_delivered(watermark: str, make: Make) -> None:
    """Null (and missing, in a document): written before the full sync, between it and the delta,
    and edited after.
    """
    bench = make(watermark, count=5)
    bench.source.put(person(10, updated_at=None))
    bench.run()
    assert in_step(bench)
    bench.source.put(person(11, updated_at=None))
    bench.source.edit(10, name="Edited")
    if bench.source.kind == "mongo":
        missing: dict[str, Any] = {"_id": 12, "name": "No clock at all"}
        bench.source.documents.insert_one(missing)
    delta = bench.run()
    assert (delta.mode, delta.updated) == ("delta", 1)
    assert delta.inserted == (2 if bench.source.kind == "mongo" else 1)
    assert in_step(bench)
