"""Verify finds what was planted, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncline.errors import InputError
from syncline.store.store import Store
from tests.conftest import NewDatabase
from tests.integration.project_bench import ProjectBench, Side, now, person
from tests.integration.verify.support import (
    ALIKE,
    DELTA,
    LEDGER,
    SOURCE_WINS,
    Make,
    adds_up,
    look,
    mend,
    told,
)

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


# --- across databases ---


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("postgres", "mongo"),
        pytest.param("mongo", "postgres", marks=pytest.mark.slow),
        pytest.param("mariadb", "postgres", marks=pytest.mark.slow),
        ("sqlite", "mariadb"),
    ],
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
