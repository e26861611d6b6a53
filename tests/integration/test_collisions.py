"""All the ways two sides collide: each is named, waits for a person, and ends as they decide.

What needs nobody (swapped unique values, rewriting triggers, two records of one key) is in
tests/attack.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from syncline import decide
from syncline.conflict import Kind
from syncline.errors import MappingErrors
from syncline.review.queue import Choice, choose
from syncline.review.view import view
from syncline.store.model import Entry, State
from syncline.store.store import Store
from tests.conftest import NewDatabase
from tests.integration.project_bench import FIELDS, Make, ProjectBench, Side, now, person

MANUAL = "conflicts: manual\ndeletes: {mode: mirror, guard: 60%}\n"


def waiting(bench: ProjectBench) -> list[Entry]:
    """What waits for a person, by key."""
    with Store.open(bench.project.store_url) as store:
        found = store.conflicts(mapping="people", state=State.OPEN)
    return sorted(found, key=lambda entry: str(entry.key))


def settled(bench: ProjectBench, take: Any, **texts: str) -> State:
    """Decide the only conflict so, and write it; where it stands then, after a run more."""
    (entry,) = waiting(bench)
    made = choose(entry, Choice(take, texts=texts), user="ann", at=datetime.now(UTC))
    with Store.open(bench.project.store_url) as store:
        store.decide(entry.id, made, version=entry.version)
        decide.apply_decisions(bench.project, "people")
        bench.run()
        return store.conflict(entry.id).state


def collide(bench: ProjectBench, kind: Kind) -> None:
    """Person 3, known to both sides, collides in this way."""
    if kind is Kind.FIRST_CONTACT:
        bench.target.create()
        bench.target.put(person(3, name="From target"))
        bench.run(allow=frozenset({"conflicts"}))
        return
    bench.run()
    if kind is Kind.DELETE_UPDATE:
        bench.target.remove(3)
    else:
        bench.target.edit(3, name="From target")
    if kind is Kind.UPDATE_DELETE:
        bench.source.remove(3)
    else:
        bench.source.edit(3, name="From source", updated_at=now())
    bench.run()


@pytest.mark.parametrize(
    ("kind", "take", "left"),
    [
        (Kind.BOTH_CHANGED, "source", "From source"), (Kind.BOTH_CHANGED, "target", "From target"),
        (Kind.UPDATE_DELETE, "source", None), (Kind.UPDATE_DELETE, "target", "From target"),
        (Kind.DELETE_UPDATE, "source", "From source"), (Kind.DELETE_UPDATE, "target", None),
        (Kind.FIRST_CONTACT, "source", "Person 3"), (Kind.FIRST_CONTACT, "target", "From target"),
    ],
)  # fmt: skip
def test_a_collision_is_named_and_ends_as_it_was_decided(
    kind: Kind, take: Any, left: str | None, make: Make
) -> None:
    """It waits with both images, the target is left alone until then, and no run undoes it."""
    bench = make(10, rest=MANUAL)
    collide(bench, kind)
    (entry,) = waiting(bench)
    assert (entry.kind, entry.key) == (kind, {"id": 3})
    assert (entry.source is None) is (kind is Kind.UPDATE_DELETE)
    assert (entry.target is None) is (kind is Kind.DELETE_UPDATE)
    assert settled(bench, take) is State.APPLIED
    assert bench.target.rows().get(3, {"name": None})["name"] == left
    bench.run(mode="full")
    assert bench.target.rows().get(3, {"name": None})["name"] == left


@pytest.mark.parametrize("edited", [False, True])
def test_a_changed_key_is_a_record_that_is_gone_and_one_that_is_new(
    edited: bool, make: Make
) -> None:
    """The new one lands; the old one goes, or waits where the target had edited it."""
    bench = make(10, rest=MANUAL)
    bench.run()
    if edited:
        bench.target.edit(3, name="From target")
    bench.source.sql("update people set id = 300, updated_at = :at where id = 3", at=str(now()))
    bench.run()
    assert bench.target.rows()[300]["name"] == "Person 3"
    assert (3 in bench.target.rows()) is edited
    assert [entry.kind for entry in waiting(bench)] == [Kind.UPDATE_DELETE] * edited


# --- what the target's constraints refuse ---


def refusing(make: Make, *taken: str) -> ProjectBench:
    """The target's names are unique, and its own records have these; the source wants them too."""
    bench = make(10, rest=MANUAL)
    bench.run()
    bench.target.sql(f"create unique index one_name on {bench.target.table} (name)")
    for key, name in enumerate(taken, 900):
        bench.target.put(person(key, name=name))
    return bench


@pytest.mark.parametrize(
    ("take", "texts", "left"),
    [("source", {"name": "Free"}, "Free"), ("target", {}, None),
     ("values", {"name": "Free"}, "Free")],
)  # fmt: skip
def test_a_new_record_that_a_unique_constraint_refuses_is_settled_by_a_person(
    take: Any, texts: dict[str, str], left: str | None, make: Make
) -> None:
    """With another value it lands; left out it stays out, and is not asked about again."""
    bench = refusing(make, "Taken")
    bench.source.put(person(50, name="Taken", updated_at=now()))
    bench.run()
    (entry,) = waiting(bench)
    assert (entry.kind, entry.target) == (Kind.REFUSED, None)
    assert "unique" in entry.reason.lower()
    assert settled(bench, take, **texts) is State.APPLIED
    assert bench.target.rows().get(50, {"name": None})["name"] == left
    assert bench.run(mode="full").queued == 0
    assert bench.target.rows().get(50, {"name": None})["name"] == left


@pytest.mark.parametrize(("take", "texts", "left"), [("values", {"name": "Free"}, "Free"),
                                                     ("target", {}, "Person 3")])  # fmt: skip
def test_a_change_that_a_unique_constraint_refuses_is_settled_by_a_person(
    take: Any, texts: dict[str, str], left: str, make: Make
) -> None:
    """The record that is there already gets another value, or keeps its own."""
    bench = refusing(make, "Taken")
    bench.source.edit(3, name="Taken", updated_at=now())
    bench.run()
    (entry,) = waiting(bench)
    assert (entry.kind, (entry.target or {})["name"]) == (Kind.REFUSED, "Person 3")
    assert settled(bench, take, **texts) is State.APPLIED
    assert bench.target.rows()[3]["name"] == left
    assert bench.run(mode="full").queued == 0
    assert bench.target.rows()[3]["name"] == left


def test_several_records_that_are_refused_wait_each_for_itself(make: Make) -> None:
    """And the others of their batch land."""
    bench = refusing(make, "Taken", "Taken too")
    bench.source.edit(3, name="Taken", updated_at=now())
    bench.source.edit(4, name="Taken too", updated_at=now())
    bench.source.edit(5, name="Unhindered", updated_at=now())
    assert bench.run().queued == 2
    assert bench.target.rows()[5]["name"] == "Unhindered"
    assert [entry.key for entry in waiting(bench)] == [{"id": 3}, {"id": 4}]
    bench.target.remove(900, 901)
    assert bench.run().status == "ok"
    assert waiting(bench) == []
    assert bench.target.rows()[3]["name"] == "Taken"


def test_a_refused_record_is_one_conflict_however_often_it_was_tried(make: Make) -> None:
    """The run tries it twice more at its end, and the next run again: one, and it waits."""
    bench = refusing(make, "Taken", "Other")
    for key, name in ((3, "Taken"), (4, "Other")):
        bench.source.edit(key, name=name, updated_at=now())
    first, second = bench.run(), bench.run()
    assert (first.conflicts, first.queued) == (2, 2)
    assert (second.conflicts, second.queued) == (2, 2)
    bench.target.edit(900, name="Free")
    third = bench.run()
    assert (third.conflicts, third.queued, third.updated) == (1, 1, 1)


def test_a_decision_that_is_refused_as_well_is_open_again_and_says_why(make: Make) -> None:
    """It does not wait for ever as decided."""
    bench = refusing(make, "Taken", "Taken too")
    bench.source.edit(3, name="Taken", updated_at=now())
    bench.run()
    assert settled(bench, "values", name="Taken too") is State.OPEN
    (entry,) = waiting(bench)
    with Store.open(bench.project.store_url) as store:
        notes = [event.note for event in store.history(entry.id) if event.event.value == "stale"]
    assert "refused" in notes[0]


def test_a_record_that_a_foreign_key_refuses_is_settled_by_a_person(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """By a value that is there; the same waits, and lands by itself, where its parent comes."""
    source = Side("sqlite", new_database("sqlite"), "people")
    target = Side("postgres", new_database("postgres"), "people_copy")
    source.create()
    source.put(*(person(key, city="Rome") for key in range(5)))
    bench = ProjectBench(tmp_path, source, target, rest=f"delta: {{cursor: updated_at}}\n{MANUAL}")
    bench.run()
    target.sql("create table cities (name text primary key)")
    target.sql("insert into cities values ('Rome'), ('Bonn')")
    target.sql("alter table people_copy add foreign key (city) references cities (name)")
    source.edit(3, city="Oslo", updated_at=now())
    bench.run(allow=frozenset({"schema"}))
    (entry,) = waiting(bench)
    assert entry.kind is Kind.REFUSED
    assert "foreign key" in entry.reason.lower()
    assert settled(bench, "source", city="Bonn") is State.APPLIED
    assert target.rows()[3]["city"] == "Bonn"
    source.close()
    target.close()


NO_CASE = {
    "mariadb": "varchar(20) collate utf8mb4_general_ci",
    "sqlite": "text collate nocase",
    "postgres": "text",  # and an index on lower(id)
}


@pytest.mark.parametrize("kind", NO_CASE)
def test_f32_keys_that_differ_in_case_alone_collide_in_a_key_that_knows_no_case(
    kind: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """The first stays as it is, the second is told; nothing is ever overwritten."""
    source = Side("sqlite", new_database("sqlite"), "people")
    target = Side(kind, new_database(kind), "people_copy")
    source.sql("create table people (id text primary key, name text)")
    source.sql("insert into people values ('a', 'small'), ('A', 'capital'), ('b', 'other')")
    target.sql(f"create table people_copy (id {NO_CASE[kind]} primary key, name text)")
    if kind == "postgres":
        target.sql("create unique index on people_copy (lower(id))")
    bench = ProjectBench(
        tmp_path, source, target, fields="  name: name\n", rest="conflicts: manual\n"
    )
    for _ in range(2):
        bench.run(mode="full", allow=frozenset({"conflicts"}))
        found = dict(target.sql("select id, name from people_copy order by name"))
        assert len(found) == 2
        assert found["b"] == "other"
        (entry,) = waiting(bench)
        assert entry.kind is Kind.REFUSED
        assert {*found, entry.key["id"]} == {"a", "A", "b"}
    source.close()
    target.close()


def test_a_field_that_the_target_generates_is_no_conflict(make: Make) -> None:
    """A computed column is nobody's edit; mapping one is refused."""
    bench = make(3, rest="conflicts: manual\n")
    bench.target.sql(
        f"create table {bench.target.table} (id integer primary key, name text, city text, "
        "amount decimaltext(14,2), active boolean, born date, updated_at timestamptz, "
        "loud text generated always as (upper(name)) stored)"
    )
    bench.run()
    bench.source.edit(1, name="Moved", updated_at=now())
    assert (bench.run().updated, waiting(bench)) == (1, [])
    assert bench.target.sql(f"select loud from {bench.target.table} where id = 1") == [("MOVED",)]
    bench.write(fields=FIELDS + "  loud: upper(name)\n", rest="conflicts: manual\n")
    with pytest.raises(MappingErrors, match="is computed by"):
        bench.run()


def test_the_view_of_a_record_that_is_gone_shows_the_side_that_is_left(make: Make) -> None:
    """And of the baseline only which fields it moved since."""
    bench = make(10, rest=MANUAL)
    collide(bench, Kind.UPDATE_DELETE)
    (entry,) = waiting(bench)
    found = view(entry)
    assert found.known == "sides"
    assert [one.name for one in found.main] == ["name"]
    assert {field.name: field.target for field in found.fields}["name"] == "From target"
