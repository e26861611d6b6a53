"""Targets that rewrite what we write: our own write, changed, is nobody's edit."""

from __future__ import annotations

import pytest

from syncline.plan import plan
from syncline.status import status
from tests.attack.conftest import Make
from tests.integration.project_bench import Side, now, person

CREATE = {
    "postgres": "create table people_copy (id bigint primary key, name text, city text,"
    " amount numeric(14,2), active boolean, born date, updated_at timestamptz)",
    "mariadb": "create table people_copy (id bigint primary key, name text, city text,"
    " amount decimal(14,2), active boolean, born date, updated_at datetime(6))",
    "sqlite": "create table people_copy (id bigint primary key, name text, city text,"
    " amount decimaltext(14,2), active boolean, born date, updated_at timestamptz)",
}
TIDY = (
    "update people_copy set name = upper(new.name), city = coalesce(new.city, 'UNKNOWN')"
    " where id = new.id"
)
TRIGGERS = {
    "postgres": [
        (
            "create function tidy() returns trigger language plpgsql as"
            " $$ begin new.name := upper(new.name); new.city := coalesce(new.city, 'UNKNOWN');"
            " return new; end $$"
        ),
        (
            "create trigger tidy before insert or update on people_copy"
            " for each row execute function tidy()"
        ),
    ],
    "mariadb": [
        (
            "create trigger tidy_new before insert on people_copy for each row"
            " set new.name = upper(new.name), new.city = coalesce(new.city, 'UNKNOWN')"
        ),
        (
            "create trigger tidy_old before update on people_copy for each row"
            " set new.name = upper(new.name), new.city = coalesce(new.city, 'UNKNOWN')"
        ),
    ],
    "sqlite": [
        f"create trigger tidy_new after insert on people_copy begin {TIDY}; end",
        f"create trigger tidy_old after update of name, city on people_copy begin {TIDY}; end",
    ],
}


def rewriting(side: Side) -> None:
    """Make the target table, with triggers that put names in capitals and fill in cities."""
    side.sql(CREATE[side.kind])
    for statement in TRIGGERS[side.kind]:
        side.sql(statement)


@pytest.mark.parametrize(
    "strategy",
    ["source", "manual"]
    + [pytest.param(each, marks=pytest.mark.slow) for each in ("merge", "target")],
)
@pytest.mark.parametrize("target", ["postgres", "mariadb", "sqlite"])
def test_f58_what_a_trigger_makes_of_our_write_is_no_edit(
    target: str, strategy: str, make: Make
) -> None:
    """Over five runs, full and delta: no conflict, and nothing is written that did not move."""
    bench = make("sqlite", target, count=12, rest=f"conflicts: {{strategy: {strategy}}}\n")
    rewriting(bench.target)
    assert bench.run().inserted == 12
    assert bench.target.rows()[4]["name"] == "PERSON 4"
    for mode in ("delta", "full", "delta", "full", "delta"):
        summary = bench.run(mode=mode)
        assert (summary.inserted, summary.updated, summary.conflicts) == (0, 0, 0)
    bench.source.edit(4, name="Moved", updated_at=now())
    bench.source.put(person(50, updated_at=now()))
    moved = bench.run()
    assert (moved.inserted, moved.updated, moved.conflicts) == (1, 1, 0)
    assert bench.target.rows()[4]["name"] == "MOVED"
    for _ in range(5):
        summary = bench.run(mode="full")
        assert (summary.inserted, summary.updated, summary.conflicts) == (0, 0, 0)


@pytest.mark.parametrize("target", ["postgres", "mariadb", "sqlite"])
def test_f58_an_edit_on_a_target_that_rewrites_is_still_an_edit(target: str, make: Make) -> None:
    """Someone changes a record there, and the source changes it too: a conflict, once."""
    bench = make("sqlite", target, count=5, rest="conflicts: {strategy: manual}\n")
    rewriting(bench.target)
    bench.run()
    bench.target.edit(2, name="Edited there")
    assert bench.run(mode="full").conflicts == 0
    bench.source.edit(2, name="Edited here", updated_at=now())
    bench.source.edit(3, name="Moved", updated_at=now())
    summary = bench.run()
    assert (summary.updated, summary.queued) == (1, 1)
    assert bench.target.rows()[2]["name"] == "EDITED THERE"


@pytest.mark.parametrize("target", ["postgres", "mariadb", "sqlite"])
def test_f58_a_target_that_rewrites_gets_a_ledger_unless_the_mapping_says_none(
    target: str, make: Make
) -> None:
    """By default the ledger remembers what the trigger made; `detect: none` writes again, and says
    so in `plan` and `status`.
    """
    bench = make("sqlite", target, count=6)
    rewriting(bench.target)
    bench.run()
    told = plan(bench.project, "people", full=True)
    assert (told.detect, told.warnings) == ("ledger", [])
    assert (told.counts["unchanged"], told.counts["update"]) == (6, 0)
    bench.write(rest="conflicts: {detect: none}\n")
    told = plan(bench.project, "people", full=True)
    assert (told.detect, told.counts["update"]) == ("none", 6)
    state = status(bench.project, "people")
    assert state.detect == "none"
    for (note,) in (told.warnings, state.warnings):
        assert "people_copy rewrites what is written to it" in note
        assert "detect: ledger" in note
    assert bench.run(mode="full").updated == 6
    bench.write()
    assert bench.run(mode="full").conflicts == 0


@pytest.mark.parametrize(
    "target",
    ["sqlite"] + [pytest.param(each, marks=pytest.mark.slow) for each in ("postgres", "mariadb")],
)
def test_f58_a_trigger_that_comes_later_is_no_storm(target: str, make: Make) -> None:
    """A mapping that kept no ledger gets one with its target's first trigger: what is there is
    first contact, settled once.
    """
    bench = make("sqlite", target, count=6)
    bench.target.sql(CREATE[target])
    bench.run()
    assert status(bench.project, "people").detect == "none"
    for statement in TRIGGERS[target]:
        bench.target.sql(statement)
    bench.source.edit(4, name="Moved", updated_at=now())
    assert bench.run().updated == 1
    assert bench.target.rows()[4]["name"] == "MOVED"
    bench.run(mode="full")
    for mode in ("full", "delta", "full"):
        summary = bench.run(mode=mode)
        assert (summary.updated, summary.conflicts, summary.queued) == (0, 0, 0)
    bench.source.edit(5, name="Late", updated_at=now())
    summary = bench.run()
    assert (summary.updated, summary.conflicts) == (1, 0)


GENERATED = {
    "postgres": "loud text generated always as (upper(name)) stored",
    "mariadb": "loud text generated always as (upper(name)) stored",
    "sqlite": "loud text generated always as (upper(name)) virtual",
}


@pytest.mark.parametrize("strategy", ["source", pytest.param("manual", marks=pytest.mark.slow)])
@pytest.mark.parametrize("target", ["postgres", "mariadb", "sqlite"])
def test_f58_a_generated_column_is_nobodys_edit(target: str, strategy: str, make: Make) -> None:
    """It follows what we write, and changes nothing that we wrote: no ledger for it, no edit."""
    bench = make("sqlite", target, count=6, rest=f"conflicts: {{strategy: {strategy}}}\n")
    bench.target.sql(f"{CREATE[target][:-1]}, {GENERATED[target]})")
    assert bench.run().inserted == 6
    assert status(bench.project, "people").detect == ("none" if strategy == "source" else "ledger")
    bench.source.edit(4, name="Moved", updated_at=now())
    assert bench.run().updated == 1
    (loud,) = bench.target.sql("select loud from people_copy where id = 4")
    assert loud == ("MOVED",)
    for mode in ("full", "delta", "full"):
        summary = bench.run(mode=mode)
        assert (summary.updated, summary.conflicts) == (0, 0)
