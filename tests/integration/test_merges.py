"""Baseline values that are kept, and what they make possible: sums, unions, three-way views."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncline.errors import InputError, MappingErrors
from syncline.review.view import view
from syncline.store.model import State
from syncline.store.store import Store
from tests.conftest import NewDatabase
from tests.integration.project_bench import FIELDS, Make, ProjectBench, Side, now, person

KEPT = FIELDS.replace("  amount: amount\n", "  amount: {from: amount, keep: values, merge: add}\n")


def added(bench: ProjectBench, *, source: Any = None, target: Any = None) -> Decimal:
    """Person 3's amount after both sides were set and a run."""
    if source is not None:
        bench.source.edit(3, amount=Decimal(source), updated_at=now())
    if target is not None:
        bench.target.edit(3, amount=Decimal(target))
    assert bench.run().status == "ok"
    return bench.target.rows()[3]["amount"]


@pytest.mark.parametrize("kind", ["postgres", "mariadb", "sqlite"])
def test_what_both_sides_added_is_counted_over_many_rounds(
    kind: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Nothing is lost and nothing counted twice, whichever side moves, also to the same value."""
    source = Side("sqlite", new_database("sqlite"), "people")
    target = Side(kind, new_database(kind), "people_copy")
    source.create()
    source.put(*(person(key) for key in range(10)))
    rest = "delta: {cursor: updated_at}\nconflicts: {strategy: merge, clock: updated_at}\n"
    bench = ProjectBench(tmp_path, source, target, fields=KEPT, rest=rest)
    bench.run()
    bench.source.edit(3, amount=Decimal(5), updated_at=now())
    bench.run()
    assert added(bench, source=7, target=6) == 8  # 5, +2, +1
    assert added(bench, source=8) == 9  # the source alone: +1
    assert added(bench) == 9  # nobody: a run more changes nothing
    assert added(bench, source=9) == 10  # to the very value that the target has
    assert added(bench, target=12) == 12  # the target alone: +2
    assert added(bench, source=12, target=15) == 18  # +3, +3
    assert bench.run(mode="full").updated == 0
    assert bench.target.rows()[3]["amount"] == 18
    source.close()
    target.close()


def test_adding_up_is_refused_where_a_record_and_its_baseline_may_part(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """A server without transactions could be stopped between the two, and then add twice."""
    source = Side("sqlite", new_database("sqlite"), "people")
    target = Side("mongo", new_database("mongo"), "people_copy")
    source.create()
    source.put(person(1))
    fields = KEPT.replace("merge: add", 'merge: add, type: "decimal(14,2)"')
    bench = ProjectBench(tmp_path, source, target, fields=fields)
    with pytest.raises(InputError, match="transactions"):
        bench.run()
    source.close()
    target.close()


def test_a_view_has_the_baseline_where_values_are_kept(make: Make) -> None:
    """Of the other fields only which side moved."""
    fields = FIELDS.replace("  name: name\n", "  name: {from: name, keep: values}\n")
    bench = make(10, rest="conflicts: manual\n", fields=fields)
    bench.run()
    bench.source.edit(3, name="From source", city="Oslo", updated_at=now())
    bench.target.edit(3, name="From target")
    bench.run()
    with Store.open(bench.project.store_url) as store:
        (entry,) = store.conflicts(mapping="people", state=State.OPEN)
    found = view(entry)
    told = {f.name: (f.baseline, f.moved, f.merges) for f in found.fields}
    assert found.known == "values"
    assert told["name"] == ("Person 3", "both", None)
    assert told["city"][1:] == ("source", "source")


@pytest.mark.parametrize("kind", ["postgres", "mariadb", "mongo"])
def test_kept_values_come_back_as_they_were_from_every_ledger(
    kind: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Texts of any script, dates and NULL."""
    source = Side("sqlite", new_database("sqlite"), "people")
    target = Side(kind, new_database(kind), "people_copy")
    source.create()
    source.put(person(1, name="Zoë \u0001 '\"", city=None))
    names = ("name", "city", "born")
    fields = FIELDS
    for name in names:
        fields = fields.replace(
            f"  {name}: {name}\n", f"  {name}: {{from: {name}, keep: values}}\n"
        )
    rest = "delta: {cursor: updated_at}\nconflicts: {strategy: manual, guard: 100%}\n"
    bench = ProjectBench(tmp_path, source, target, fields=fields, rest=rest)
    bench.run()
    before = source.rows()[1]
    source.edit(1, name="A", city="B", updated_at=now())
    target.edit(1, name="C", city="D")
    bench.run()
    with Store.open(bench.project.store_url) as store:
        (entry,) = store.conflicts(mapping="people", state=State.OPEN)
    assert {n: str(entry.baseline[n]) for n in names} == {n: str(before[n]) for n in names}
    source.close()
    target.close()


def test_latest_goes_by_a_version_that_is_a_number(make: Make) -> None:
    """The greater one wins on either side; equal ones leave the target as it is."""
    bench = make(10, rest="conflicts: {strategy: latest, clock: amount}\n")
    bench.run()
    for key, (mine, theirs) in enumerate([(9001, 9000), (9000, 9001), (9000, 9000)], 1):
        bench.source.edit(key, name="From source", amount=Decimal(mine), updated_at=now())
        bench.target.edit(key, name="From target", amount=Decimal(theirs))
    assert (bench.run().conflicts, bench.run().updated) == (3, 0)
    names = [bench.target.rows()[key]["name"] for key in (1, 2, 3)]
    assert names == ["From source", "From target", "From target"]


def test_keeping_values_from_now_on_fills_the_ledger_with_a_full_run(make: Make) -> None:
    """What was settled before has prints alone, until both sides are seen alike."""
    bench = make(10, rest="conflicts: merge\n")
    bench.run()
    bench.write(fields=KEPT, rest="conflicts: merge\n")
    bench.run(mode="full")
    before = bench.target.rows()[3]["amount"]
    bench.source.edit(3, amount=before + 2, updated_at=now())
    bench.target.edit(3, amount=before + 1)
    assert bench.run().queued == 0
    assert bench.target.rows()[3]["amount"] == before + 3


@pytest.mark.parametrize(
    ("field", "rest", "told"),
    [
        ("{from: amount, merge: add}", "conflicts: merge\n", "needs `keep: values`"),
        ("{from: name, type: text, keep: values, merge: add}", "conflicts: merge\n", "can't merge"),
        ("{from: amount, keep: values, merge: union}", "conflicts: merge\n", "can't merge that"),
        ("{from: amount, keep: values}", "conflicts: {detect: none}\n", "detect: ledger"),
        ("amount", "conflicts: {strategy: latest, clock: active, near: 2s}\n", "active"),
        ("amount", "conflicts: {strategy: merge, near: 2s}\n", "needs `clock`"),
    ],
)
def test_a_merge_that_could_not_be_is_told(field: str, rest: str, told: str, make: Make) -> None:
    """By `check`, with its line; not by the first conflict."""
    fields = FIELDS.replace("  amount: amount\n", f"  amount: {field}\n")
    with pytest.raises(MappingErrors, match=told):
        make(3, rest=rest, fields=fields).run()


PAIRS = [
    ("sqlite", "sqlite"),
    *(pytest.param(pair, marks=pytest.mark.slow) for pair in
      [("postgres", "mongo"), ("mongo", "postgres"), ("mariadb", "sqlite"),
       ("postgres", "mariadb")]),
]  # fmt: skip


@pytest.mark.parametrize("make", PAIRS, indirect=True, ids="-".join)
@pytest.mark.parametrize("skew", [0, 1, -1], ids=["equal", "source ahead", "target ahead"])
def test_f29_latest_comes_to_rest_and_stays_over_ten_rounds(skew: int, make: Make) -> None:
    """The same moment in micro- and in milliseconds is a tie, which the target wins; else the later
    edit does. Whatever won, no round after it writes anything.
    """
    at = now() + dt.timedelta(seconds=skew * 3600)
    fields = FIELDS.replace(
        "updated_at: updated_at", "updated_at: {from: updated_at, truncate: ms}"
    )
    bench = make(10, rest="conflicts: {strategy: latest, clock: updated_at}\n", fields=fields)
    bench.run()
    finer = dt.timedelta(microseconds=0 if bench.source.kind == "mongo" else 400)
    bench.source.edit(3, name="From source", updated_at=at + finer)
    bench.target.edit(3, name="From target", updated_at=at - dt.timedelta(seconds=skew * 3600))
    bench.run()
    assert bench.target.rows()[3]["name"] == ("From source" if skew > 0 else "From target")
    for turn in range(10):
        summary = bench.run(mode="full" if turn % 2 else None)
        assert (summary.updated, summary.queued, summary.inserted) == (0, 0, 0)
    assert bench.target.rows()[3]["name"] == ("From source" if skew > 0 else "From target")


@pytest.mark.parametrize("first", ["source", "target"])
def test_f29_near_ties_wait_for_a_person_whichever_side_is_later(first: str, make: Make) -> None:
    """And do so over as many runs as there are."""
    bench = make(10, rest="conflicts: {strategy: latest, clock: updated_at, near: 2s}\n")
    bench.run()
    at, near = now(), dt.timedelta(seconds=1)
    clocks = (at + near, at) if first == "source" else (at, at + near)
    bench.source.edit(3, name="From source", updated_at=clocks[0])
    bench.target.edit(3, name="From target", updated_at=clocks[1])
    assert bench.run().queued == 1
    assert bench.target.rows()[3]["name"] == "From target"
    assert bench.run().updated == 0
