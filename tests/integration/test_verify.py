"""Verify finds what was planted, and nothing else; repair puts just that right."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from syncline import ledger
from syncline.compare import VerifyReport
from syncline.decide import apply_decisions
from syncline.errors import GuardStopped, InputError, LeaseHeld
from syncline.repair import RepairReport, repair
from syncline.run import opened
from syncline.store.model import Decision, State
from syncline.store.store import Store
from syncline.verify import verify
from tests.conftest import NewDatabase
from tests.integration.project_bench import FIELDS, ProjectBench, Side, now, person

Make = Callable[..., ProjectBench]
DELTA = "delta: {cursor: updated_at}\n"
LEDGER = "conflicts: merge\ndeletes: {mode: mirror, guard: 50%}\n"
ALIKE: tuple[Any, ...] = ("equal", 0, 0, 0, {}, 0, {})


@pytest.fixture
def make(new_database: NewDatabase, tmp_path: Path) -> Make:
    """Makes a project that has synced `count` people, SQLite to SQLite where not said otherwise."""

    def made(
        count: int = 100,
        *,
        source: str = "sqlite",
        target: str = "sqlite",
        rest: str = LEDGER,
        fields: str = FIELDS,
    ) -> ProjectBench:
        here, there = (
            Side(kind, new_database(kind), name)
            for kind, name in ((source, "people"), (target, "people_copy"))
        )
        here.create()
        if count:
            here.put(*(person(key) for key in range(count)))
        bench = ProjectBench(tmp_path, here, there, rest=DELTA + rest, fields=fields)
        bench.run()
        return bench

    return made


def look(bench: ProjectBench, **options: Any) -> VerifyReport:
    return verify(bench.project, bench.name, pause=0, **options)


def mend(bench: ProjectBench, **options: Any) -> RepairReport:
    return repair(bench.project, bench.name, pause=0, **options)


def told(report: VerifyReport) -> tuple[Any, ...]:
    """What a report says, but for how many are equal."""
    return (
        report.status,
        report.missing,
        report.extra,
        report.different,
        report.fields,
        report.late,
        report.apart,
    )


def adds_up(report: VerifyReport) -> bool:
    """Every source record is counted once (of the extra, none of these tests' has a source)."""
    gone = report.apart.get("gone", 0)
    counted = report.equal + report.missing + report.different + report.late
    counted += sum(report.apart.values()) - gone + report.dead_letters + report.outside
    return counted == report.read


# --- equal ---


def test_equal_tables_of_ten_thousand_records_are_equal(make: Make) -> None:
    """Several batches, no difference, nothing shown; and the run is in the store."""
    bench = make(10_000, rest=LEDGER + "batch_size: 3000\n")
    report = look(bench)
    assert told(report) == ALIKE
    assert (report.read, report.equal, report.samples) == (10_000, 10_000, [])
    with Store.open(bench.project.store_url) as store:
        run = store.runs("people")[0]
    assert (run.run_id, run.mode, run.status) == (report.run_id, "verify", "ok")
    assert run.summary["equal"] == 10_000


def test_verify_writes_nothing(make: Make) -> None:
    """Rows, ledger and checkpoint are as they were, also where there are differences."""
    bench = make(20)
    bench.target.edit(3, name="Edited")
    bench.target.remove(4)

    def everything() -> list[Any]:
        names = bench.target.sql("select name from sqlite_master where type = 'table'")
        return [sorted(map(repr, bench.target.sql(f"select * from {name}"))) for (name,) in names]

    before = everything()
    look(bench)
    assert everything() == before


def test_an_empty_source_and_target_are_equal(make: Make) -> None:
    """Nothing to compare is no difference."""
    report = look(make(0))
    assert (*told(report), report.read) == (*ALIKE, 0)


def test_without_a_target_table_there_is_nothing_to_compare(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Before the first run the answer is the command to run."""
    source, target = (Side("sqlite", new_database("sqlite"), n) for n in ("people", "people_copy"))
    source.create()
    bench = ProjectBench(tmp_path, source, target, rest=DELTA)
    with pytest.raises(InputError, match="people_copy is not there") as stopped:
        look(bench)
    assert stopped.value.hint == "syncline run people"


# --- planted: differences ---

SOURCE_WINS = "deletes: {mode: mirror, guard: 50%}\nconflicts: {strategy: source, detect: ledger}\n"


def test_a_missing_an_extra_and_a_changed_record_are_found_and_shown(make: Make) -> None:
    """Each is told by its kind and its field, with both values; the rest is equal."""
    bench = make(100, rest=SOURCE_WINS)
    bench.target.remove(7)
    bench.source.remove(8)
    bench.target.edit(9, city="Changed by hand")
    report = look(bench)
    assert told(report) == ("differs", 1, 1, 1, {"city": 1}, 0, {})
    assert (report.equal, report.read, report.differences) == (97, 99, 3)
    assert adds_up(report)
    shown = {(one.what, one.key["id"]): one.fields for one in report.samples}
    assert set(shown) == {("missing", 7), ("extra", 8), ("different", 9)}
    assert shown["different", 9] == {"city": [None, "Changed by hand"]}
    assert shown["missing", 7]["name"] == ["Person 7", None]
    assert shown["extra", 8]["name"] == [None, "Person 8"]
    with Store.open(bench.project.store_url) as store:
        run = store.runs("people")[0]
    assert (run.mode, run.status, run.summary["different"]) == ("verify", "differs", 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Person 9 "),
        ("name", None),
        ("name", ""),
        ("city", "Rome"),
        ("amount", "0.64"),
        ("active", True),
        ("born", "1970-01-11"),
        ("updated_at", "2024-01-01 00:00:09.000001+00:00"),
    ],
)
def test_the_smallest_change_of_any_type_is_found(field: str, value: Any, make: Make) -> None:
    """A space, a NULL, a cent, a day, a microsecond."""
    bench = make(30, rest="")
    bench.target.edit(9, **{field: value})
    report = look(bench)
    assert (report.status, report.different, report.fields) == ("differs", 1, {field: 1})
    assert [one.key["id"] for one in report.samples] == [9]


def test_fields_are_counted_over_all_records_and_samples_are_limited(make: Make) -> None:
    """A thousand differences are counted whole; as many are shown as were asked for."""
    bench = make(6_000, rest="batch_size: 500\n")
    bench.target.sql("update people_copy set name = 'x' where id < 5500")
    bench.target.sql("update people_copy set city = 'x' where id < 10")
    report = look(bench, limit=3)
    assert (report.different, report.fields) == (5_500, {"name": 5_500, "city": 10})
    assert [one.key["id"] for one in report.samples] == [0, 1, 2]
    assert not look(bench, limit=0).samples


def test_composite_keys_are_compared(new_database: NewDatabase, tmp_path: Path) -> None:
    """A text and a date as the key: missing, extra and different are found by both."""
    source, target = (Side("sqlite", new_database("sqlite"), n) for n in ("people", "people_copy"))
    source.sql("create table people (code text, day date, amount integer, primary key (code, day))")
    for code in ("a", "b", 'c"'):
        for day in ("2024-01-01", "2024-01-02"):
            source.sql("insert into people values (:code, :day, 1)", code=code, day=day)
    bench = ProjectBench(tmp_path, source, target)
    path = bench.folder / "mappings" / "people.yaml"
    head = path.read_text().partition("key:")[0]
    path.write_text(head + "key: {code: code, day: day}\nfields: {amount: amount}\n" + LEDGER)
    bench.run()
    assert told(look(bench)) == ALIKE
    target.sql("delete from people_copy where code = 'a' and day = '2024-01-02'")
    target.sql("update people_copy set amount = 2 where code = 'b' and day = '2024-01-01'")
    source.sql("delete from people where code = 'c\"' and day = '2024-01-01'")
    report = look(bench)
    assert (report.read, report.equal, report.extra) == (5, 3, 1)
    assert report.apart == {"deleted": 1, "edited": 1}  # under merge both stand
    path.write_text(path.read_text().replace("conflicts: merge", SOURCE_WINS.splitlines()[1]))
    assert told(look(bench)) == ("differs", 1, 1, 1, {"amount": 1}, 0, {})
    assert mend(bench).status == "equal"
    assert target.sql("select * from people_copy order by 1, 2") == source.sql(
        "select * from people order by 1, 2"
    )


# --- extra ---


def test_the_targets_own_records_are_no_difference(make: Make) -> None:
    """What never came from the source is not ours to judge."""
    bench = make(10)
    bench.target.put(person(500))
    assert told(look(bench)) == ALIKE


def test_without_a_ledger_extra_records_are_not_said_to_be_none(make: Make) -> None:
    """What can't be told is None, and the rest is still compared."""
    bench = make(10, rest="")
    bench.source.remove(3)
    assert told(look(bench)) == ("equal", 0, None, 0, {}, 0, {})


def test_an_exclusive_target_holds_nothing_else(make: Make) -> None:
    """Every record that the source has not is extra, whoever wrote it; a repair deletes it."""
    bench = make(10, rest="exclusive: true\ndeletes: {mode: mirror, guard: 50%}\n")
    bench.target.put(person(500))
    bench.source.remove(3)
    assert told(look(bench)) == ("differs", 0, 2, 0, {}, 0, {})
    fixed = mend(bench)
    assert (fixed.deleted, fixed.status) == (2, "equal")
    assert bench.target.rows() == bench.source.rows()


def test_where_deletes_are_ignored_what_is_gone_is_apart(make: Make) -> None:
    """The mapping leaves it on the target; so does a repair."""
    bench = make(10, rest="conflicts: merge\n")
    bench.source.remove(3)
    report = look(bench)
    assert told(report) == ("equal", 0, 0, 0, {}, 0, {"gone": 1})
    assert mend(bench).found == 0
    assert 3 in bench.target.rows()


def test_records_outside_where_are_told_apart_and_extra_if_they_came_from_the_source(
    make: Make,
) -> None:
    """One that never was in scope is outside; one that left it unseen by a delta is extra."""
    bench = make(30, rest=LEDGER + "where: \"city = 'Rome'\"\n")
    report = look(bench)
    assert told(report) == ALIKE
    assert (report.read, report.equal, report.outside) == (30, 20, 10)
    bench.target.put(person(0))  # the target's own, of a key that the source has out of scope
    assert (*told(look(bench)), look(bench).outside) == (*ALIKE, 10)
    bench.source.edit(1, city="Bonn")  # its cursor does not move: no delta brings it
    left = look(bench)
    assert told(left) == ("differs", 0, 1, 0, {}, 0, {})
    bench.source.edit(1, updated_at=now())
    assert told(look(bench)) == ("equal", 0, 0, 0, {}, 1, {})
    bench.source.edit(1, updated_at=person(1)["updated_at"])
    fixed = mend(bench)
    assert (fixed.deleted, fixed.status) == (1, "equal")
    assert 1 not in bench.target.rows()


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
        for _ in range(4):
            report = look(bench)
            late += report.late
            assert told(report)[:5] == ("differs", 0, 0, 1, {"city": 1})
            assert report.read >= 250
        assert syncs() > 0
    assert late > 0
    bench.run()
    assert told(look(bench)) == ("differs", 0, 0, 1, {"city": 1}, 0, {})
    bench.source.close()
    bench.target.close()


# --- apart ---


def contested(make: Make) -> ProjectBench:
    """Person 3, edited on both sides under `manual`, and queued."""
    bench = make(10, rest="conflicts: manual\n")
    bench.source.edit(3, name="From source", updated_at=now())
    bench.target.edit(3, name="From target")
    assert bench.run().queued == 1
    return bench


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


# --- repair ---


def test_a_repair_settles_just_what_differs(make: Make) -> None:
    """Three records are written, the checkpoint stays, and the run is recorded."""
    bench = make(100, rest=SOURCE_WINS)
    bench.target.remove(7)
    bench.source.remove(8)
    bench.target.edit(9, city="Changed by hand")
    before = look(bench).checkpoint
    seen: list[VerifyReport] = []
    report = mend(bench, agree=seen.append)
    assert (report.found, report.inserted, report.updated, report.deleted) == (3, 1, 1, 1)
    assert (report.status, report.left) == ("equal", {})
    assert bench.target.rows() == bench.source.rows()
    assert [one.differences for one in seen] == [3]
    after = look(bench)
    assert told(after) == ALIKE
    assert after.checkpoint == before
    with Store.open(bench.project.store_url) as store:
        assert [run.mode for run in store.runs("people")][:3] == ["verify", "repair", "verify"]
    assert (mend(bench).found, bench.run().updated) == (0, 0)


def test_a_repair_that_is_not_agreed_to_writes_nothing(make: Make) -> None:
    """Whoever asks may leave it at what was found."""
    bench = make(10, rest=SOURCE_WINS)
    bench.target.remove(7)

    def no(_: VerifyReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mend(bench, agree=no)
    assert 7 not in bench.target.rows()


def test_what_a_repair_queues_is_left(make: Make) -> None:
    """A lost update of a record that the target edited too is a conflict: a person is asked."""
    bench = make(10, rest="conflicts: manual\n")
    bench.source.edit(3, name="Lost")
    bench.target.edit(3, name="Edited")
    assert look(bench).different == 1
    report = mend(bench)
    assert (report.status, report.left, report.queued) == ("left", {"waits": 1}, 1)
    assert bench.target.rows()[3]["name"] == "Edited"
    assert told(look(bench)) == ("equal", 0, 0, 0, {}, 0, {"waits": 1})


def test_a_repair_deletes_no_more_than_the_guard_allows(make: Make) -> None:
    """As a run: it stops before the first delete."""
    bench = make(100, rest="conflicts: merge\ndeletes: {mode: mirror, guard: 5%}\n")
    bench.source.remove(*range(50))
    with pytest.raises(GuardStopped, match="50 of 100"):
        mend(bench)
    assert len(bench.target.rows()) == 100


def test_a_repair_waits_for_no_run(make: Make) -> None:
    """Where a run holds the lease it is refused; verify is not."""
    bench = make(10, rest=SOURCE_WINS)
    bench.target.remove(7)
    with opened(bench.project, "people") as run, ledger.hold(run.target, run.spec):
        assert look(bench).missing == 1
        with pytest.raises(LeaseHeld):
            mend(bench)


def test_a_changed_mapping_is_a_runs_to_write(make: Make) -> None:
    """A repair would leave half of the records by the old mapping."""
    bench = make(10)
    bench.write(fields=FIELDS.replace("name: name", "name: upper(name)"), rest=DELTA + LEDGER)
    assert look(bench).different == 10
    with pytest.raises(InputError, match="mapping changed") as stopped:
        mend(bench)
    assert stopped.value.hint == "syncline run people"


def test_soft_deleted_records_count_as_gone(make: Make) -> None:
    """One that is flagged is no extra; one whose flag was taken off is."""
    rest = "conflicts: merge\ndeletes: {mode: soft, column: deleted_at, guard: 50%}\n"
    bench = make(10, rest=rest)
    bench.source.remove(3)
    assert look(bench).extra == 1
    assert mend(bench).status == "equal"
    assert told(look(bench)) == ALIKE
    assert len(bench.target.rows()) == 10


def test_a_report_is_plain_values(make: Make) -> None:
    """What the command prints as JSON, samples included."""
    from syncline.cli.show import plain

    bench = make(10, rest=SOURCE_WINS)
    bench.target.remove(7)
    text = json.dumps(plain(look(bench).as_dict()))
    assert json.loads(text)["samples"][0]["what"] == "missing"


# --- across databases ---


@pytest.mark.parametrize(
    ("source", "target"),
    [("postgres", "mongo"), ("mongo", "postgres"), ("mariadb", "postgres"), ("sqlite", "mariadb")],
)
def test_sides_of_different_databases_are_compared_and_repaired(
    source: str, target: str, make: Make
) -> None:
    """Equal after a run; a missing, an extra, a changed and a lost record are found and settled."""
    bench = make(250, source=source, target=target, rest=SOURCE_WINS + "batch_size: 60\n")
    report = look(bench)
    assert (*told(report), report.equal) == (*ALIKE, 250)
    bench.target.remove(7)
    bench.source.remove(8)
    bench.target.edit(9, city="Changed by hand", amount=person(1)["amount"])
    found = look(bench)
    assert told(found) == ("differs", 1, 1, 1, {"city": 1, "amount": 1}, 0, {})
    assert {(one.what, *one.key.values()) for one in found.samples} == {
        ("missing", 7),
        ("extra", 8),
        ("different", 9),
    }
    bench.source.edit(20, name="Late", updated_at=now())
    assert look(bench).late == 1
    fixed = mend(bench)
    assert (fixed.status, fixed.found, fixed.deleted) == ("equal", 3, 1)
    bench.run()
    assert (*told(look(bench)), look(bench).equal) == (*ALIKE, 249)
    assert bench.target.rows() == bench.source.rows()
    bench.source.close()
    bench.target.close()
