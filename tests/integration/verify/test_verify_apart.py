"""Verify tells what is late, or apart for a reason, from what is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from syncline.decide import apply_decisions
from syncline.store.model import Decision, State
from syncline.store.store import Store
from tests.integration.project_bench import FIELDS, ProjectBench, now, person
from tests.integration.verify.support import (
    ALIKE,
    DELTA,
    LEDGER,
    SOURCE_WINS,
    Make,
    adds_up,
    contested,
    look,
    mend,
    told,
)

# --- late against lost ---


def test_what_the_next_delta_brings_is_late(make: Make) -> None:
    """An edit and an insert since the checkpoint are no difference; a run makes them equal."""
    bench = make(50)
    bench.source.edit(5, name="Moved", updated_at=now())
    bench.source.put(person(60, updated_at=now()))
    report = look(bench)
    assert told(report) == ("equal", 0, 0, 0, {}, 2, {})
    assert adds_up(report)
    assert mend(bench).found == 0
    bench.run()
    assert told(look(bench)) == ALIKE


@pytest.mark.parametrize("rest", [LEDGER, ""], ids=["ledger", "no ledger"])
def test_what_a_delta_has_lost_is_not_taken_for_late(rest: str, make: Make) -> None:
    """Records committed behind the cursor are in no later delta: they differ, and a repair brings
    them.
    """
    bench = make(50, rest=rest)
    bench.source.edit(5, name="Moved behind the cursor")
    bench.source.put(person(-1))
    bench.run()
    report = look(bench)
    assert (report.missing, report.different, report.late) == (1, 1, 0)
    assert report.fields == {"name": 1}
    fixed = mend(bench)
    assert (fixed.inserted, fixed.updated, fixed.status) == (1, 1, "equal")
    assert bench.target.rows() == bench.source.rows()


def test_a_hand_edit_is_not_late_because_an_inclusive_delta_reads_its_record_again(
    make: Make,
) -> None:
    """The record at the cursor's maximum is read by every delta; its source has not moved."""
    bench = make(50, rest=SOURCE_WINS)
    bench.target.edit(49, name="By hand")
    assert told(look(bench)) == ("differs", 0, 0, 1, {"name": 1}, 0, {})


def test_without_a_delta_only_a_baseline_tells_late_from_lost(make: Make) -> None:
    """The source moved since the baseline: late. A new record has none: missing."""
    bench = make(20, rest=LEDGER)
    path = bench.folder / "mappings" / "people.yaml"
    path.write_text(path.read_text().replace(DELTA, ""))
    bench.source.edit(5, name="Moved")
    bench.source.put(person(60))
    bench.source.remove(6)
    assert told(look(bench)) == ("differs", 1, 1, 0, {}, 1, {})


def test_a_record_that_moves_between_the_looks_is_no_difference(make: Make) -> None:
    """What a run brings after the first look has seen it differ is equal in the second."""
    bench = make(50)
    bench.source.edit(5, name="Moved", updated_at=now())
    ran: list[Any] = []

    def meanwhile(_: Any) -> None:
        if not ran:  # after the first batch was compared, as another process would
            ran.append(bench.run())

    report = look(bench, on_progress=meanwhile)
    assert ran[0].updated == 1
    assert (*told(report), report.equal) == (*ALIKE, 50)


@contextmanager
def under_load(bench: ProjectBench) -> Generator[Callable[[], int]]:
    """Writers of the source and syncs, all the while; gives how many syncs there were."""
    stop, failed, syncs = threading.Event(), list[BaseException](), list[Any]()

    def writes(first: int) -> None:
        for step in range(1_000_000):
            if stop.is_set():
                return
            bench.source.edit(first + step % 100, name=f"Moved {step}", updated_at=now())
            if step % 5 == 0:
                bench.source.put(person(1000 * (first + 1) + step, updated_at=now()))

    def runs() -> None:
        while not stop.is_set():
            syncs.append(bench.run())

    def kept(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            failed.append(error)

    work = (lambda: writes(0), lambda: writes(100), runs)
    threads = [threading.Thread(target=kept, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    try:
        yield lambda: len(syncs)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed


def test_under_live_writes_only_what_is_wrong_differs(make: Make) -> None:
    """Records on their way are late or equal at every look, and the one that was edited by hand is
    found among them.
    """
    bench = make(250, source="postgres", target="postgres", rest=SOURCE_WINS)
    bench.target.edit(249, city="Changed by hand")
    late = 0
    with under_load(bench) as syncs:
        looks, until = 0, time.monotonic() + 120
        while looks < 4 or late == 0 or syncs() == 0:
            report = look(bench)
            looks, late = looks + 1, late + report.late
            assert told(report)[:5] == ("differs", 0, 0, 1, {"city": 1})
            assert report.read >= 250
            assert time.monotonic() < until, f"{late} late, {syncs()} syncs: it proves nothing"
    bench.run()
    assert told(look(bench)) == ("differs", 0, 0, 1, {"city": 1}, 0, {})
    bench.source.close()
    bench.target.close()


# --- apart ---


def test_a_conflict_that_waits_is_apart(make: Make) -> None:
    """It is shown with its reason; a repair has nothing to do."""
    bench = contested(make)
    report = look(bench)
    assert told(report) == ("equal", 0, 0, 0, {}, 0, {"waits": 1})
    (shown,) = report.samples
    assert (shown.what, shown.fields["name"]) == ("waits", ["From source", "From target"])
    assert mend(bench).found == 0


def test_a_decision_that_keeps_the_target_holds_the_record_apart(make: Make) -> None:
    """Once written it is `held`, and still no difference; a new edit of the target is."""
    bench = contested(make)
    with Store.open(bench.project.store_url) as store:
        (entry,) = store.conflicts(mapping="people", state=State.OPEN)
        prints = (entry.source_prints, entry.target_prints)
        store.decide(entry.id, Decision("target", "ann", datetime.now(UTC), *prints, {}))
    assert told(look(bench))[-1] == {"waits": 1}
    assert apply_decisions(bench.project, "people") == 1
    # The decision is about the name; the clock is the source's on one side only, and held too.
    assert told(look(bench)) == ("equal", 0, 0, 0, {}, 0, {"held": 1})


def test_what_only_the_target_edited_is_apart_where_the_strategy_lets_it_stand(make: Make) -> None:
    """Under merge an edit and a delete on the target stay."""
    bench = make(20)
    bench.target.edit(4, city="Edited")
    bench.target.remove(5)
    report = look(bench)
    assert told(report) == ("equal", 0, 0, 0, {}, 0, {"deleted": 1, "edited": 1})
    assert adds_up(report)


def test_a_record_that_was_edited_and_is_also_wrong_is_different_in_the_wrong_field_only(
    make: Make,
) -> None:
    """The edit is let stand; the value that a sync lost is named."""
    bench = make(20)
    bench.source.edit(4, name="Lost")
    bench.target.edit(4, city="Edited")
    assert told(look(bench)) == ("differs", 0, 0, 1, {"name": 1}, 0, {})
    assert mend(bench).status == "equal"
    row = bench.target.rows()[4]
    assert (row["name"], row["city"]) == ("Lost", "Edited")


def test_without_a_ledger_the_clock_tells_an_edit_of_the_target(make: Make) -> None:
    """`detect: timestamp`: edited since the last sync, and let stand."""
    bench = make(20, rest="conflicts: {strategy: target, detect: timestamp, clock: updated_at}\n")
    bench.target.edit(4, city="Edited", updated_at=now())
    assert told(look(bench)) == ("equal", 0, None, 0, {}, 0, {"edited": 1})


def test_what_the_target_rewrites_is_apart(make: Make) -> None:
    """A trigger of the target changes what a run wrote: settled so, and no difference."""
    bench = make(20)
    bench.target.sql(
        "create trigger shout after update on people_copy when new.name <> upper(new.name) "
        "begin update people_copy set name = upper(new.name) where id = new.id; end"
    )
    bench.source.edit(4, name="Quiet", updated_at=now())
    bench.run()
    assert bench.target.rows()[4]["name"] == "QUIET"
    assert told(look(bench)) == ("equal", 0, 0, 0, {}, 0, {"rewritten": 1})
    bench.target.edit(4, name="BY HAND")
    assert told(look(bench)) == ("equal", 0, 0, 0, {}, 0, {"edited": 1})


def test_a_dead_letter_is_counted_apart(make: Make) -> None:
    """A record that can't be mapped is neither equal nor missing."""
    fields = FIELDS.replace("name: name", "name: {sql: 'CAST(name AS BIGINT)', type: bigint}")
    bench = make(0, fields=fields)
    bench.source.put(*(person(key, name="poison" if key == 5 else "1") for key in range(10)))
    bench.run()
    report = look(bench)
    assert (*told(report), report.dead_letters, report.equal) == (*ALIKE, 1, 9)


@pytest.mark.parametrize("rest", [LEDGER, ""], ids=["ledger", "no ledger"])
def test_a_record_that_the_target_would_not_take_is_a_conflict_that_waits(
    rest: str, make: Make
) -> None:
    """It is missing for a reason that the queue knows, with a ledger and without."""
    bench = make(10, rest=rest)
    bench.target.sql("create unique index one_name on people_copy (name)")
    bench.source.put(person(60, name="Person 3", updated_at=now()))
    assert bench.run().queued == 1
    report = look(bench)
    assert (report.status, report.missing, report.apart) == ("equal", 0, {"waits": 1})
