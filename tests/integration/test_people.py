"""Conflicts and the people who settle them; plan and status, by which they look."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from syncline import decide
from syncline.errors import InputError
from syncline.plan import plan
from syncline.status import status
from syncline.store.model import Decision, State
from syncline.store.store import Store
from tests.integration.project_bench import FIELDS, Make, ProjectBench, everywhere, now, person

# --- conflicts and people ---


def contested(make: Make) -> tuple[ProjectBench, int]:
    """Person 3, edited on both sides under `manual`; the number of the conflict."""
    bench = make(10, rest="conflicts: manual\n")
    bench.run()
    bench.source.edit(3, name="From source", updated_at=now())
    bench.target.edit(3, name="From target")
    summary = bench.run()
    assert (summary.conflicts, summary.queued, summary.status) == (1, 1, "waiting")
    with Store.open(bench.project.store_url) as store:
        (entry,) = store.conflicts(mapping="people", state=State.OPEN)
    assert (entry.source or {})["name"] == "From source"
    assert (entry.target or {})["name"] == "From target"
    assert entry.contested == {"name"}
    return bench, entry.id


def decided(bench: ProjectBench, number: int, take: Any, **values: Any) -> None:
    with Store.open(bench.project.store_url) as store:
        entry = store.conflict(number)
        store.decide(
            number,
            Decision(
                take, "ann", datetime.now(UTC), entry.source_prints, entry.target_prints, values
            ),
        )


@pytest.mark.parametrize(
    ("take", "values", "left"),
    [("source", {}, "From source"), ("target", {}, "From target"), ("merge", {}, "From source"),
     ("target", {"name": "By hand"}, "By hand")],
)  # fmt: skip
def test_a_decision_is_written_at_once_and_stands(
    take: Any, values: dict[str, str], left: str, make: Make
) -> None:
    """What the person chose is on the target, the conflict is applied, and the next run has
    nothing to do.
    """
    bench, number = contested(make)
    decided(bench, number, take, **values)
    assert decide.apply_decisions(bench.project, "people") == 1
    assert bench.target.rows()[3]["name"] == left
    with Store.open(bench.project.store_url) as store:
        assert store.conflict(number).state is State.APPLIED
    assert bench.run().status == "ok"
    assert bench.target.rows()[3]["name"] == left


@everywhere()
def test_f30_a_decision_on_values_that_have_moved_is_refused_and_shown_again(make: Make) -> None:
    """The target was edited after the person looked: their decision is not written over it."""
    bench, number = contested(make)
    decided(bench, number, "source")
    bench.target.edit(3, name="Edited again")
    assert decide.apply_decisions(bench.project, "people") == 0
    assert bench.target.rows()[3]["name"] == "Edited again"
    with Store.open(bench.project.store_url) as store:
        entry = store.conflict(number)
    assert entry.state is State.OPEN
    assert (entry.target or {})["name"] == "Edited again"


@everywhere()
def test_a_first_contact_whose_source_is_gone_waits_no_more(make: Make) -> None:
    """Nobody can decide on it: the record is the target's own now, and stays."""
    bench = make(3, rest="conflicts: manual\ndeletes: {mode: mirror, guard: 100%}\n")
    bench.run()
    bench.source.put(person(7, name="From source", updated_at=now()))
    bench.target.put(person(7, name="From target"))
    assert bench.run().queued == 1
    bench.source.remove(7)
    bench.run()
    assert bench.target.rows()[7]["name"] == "From target"
    report = status(bench.project, "people")
    assert (report.holds, report.open_conflicts) == (0, 0)
    bench.source.put(person(7, name="Back", updated_at=now()))
    assert bench.run().queued == 1


def test_a_decision_waits_for_the_next_run_while_another_holds_the_lease(make: Make) -> None:
    """It is not lost: the next run writes it first."""
    bench, number = contested(make)
    decided(bench, number, "source")
    assert bench.run().updated == 1
    assert bench.target.rows()[3]["name"] == "From source"


def test_a_strategy_of_the_project_settles_conflicts(make: Make) -> None:
    """`resolvers/longest.py` is `strategy: longest`."""
    bench = make(10, rest="conflicts: longest\n")
    (bench.folder / "resolvers").mkdir()
    (bench.folder / "resolvers" / "longest.py").write_text(
        "from syncline.conflict import Write\n\n"
        "def resolve(conflict):\n"
        "    sides = (conflict.source['name'], conflict.target['name'])\n"
        "    return Write({'name': max(sides, key=len)})\n"
    )
    bench.run()
    bench.source.edit(3, name="short", updated_at=now())
    bench.target.edit(3, name="the longer one")
    assert bench.run().conflicts == 1
    assert bench.target.rows()[3]["name"] == "the longer one"


def test_a_strategy_that_raises_sends_the_record_to_the_queue(make: Make) -> None:
    """Not the run to its death: the other records land."""
    bench = make(10, rest="conflicts: broken\n")
    (bench.folder / "resolvers").mkdir()
    (bench.folder / "resolvers" / "broken.py").write_text(
        "def resolve(conflict):\n    raise KeyError('x')\n"
    )
    bench.run()
    bench.source.edit(3, name="From source", updated_at=now())
    bench.source.edit(4, name="Moved", updated_at=now())
    bench.target.edit(3, name="From target")
    summary = bench.run()
    assert (summary.queued, summary.updated) == (1, 1)
    with Store.open(bench.project.store_url) as store:
        assert "KeyError" in store.conflicts(mapping="people")[0].reason


# --- looking ---


def test_plan_says_what_a_run_would_do_and_writes_nothing(make: Make) -> None:
    """Counts and samples as the run will make them; neither rows, ledger nor state are touched."""
    bench = make(10, rest="conflicts: manual\ndeletes: {mode: mirror, guard: 50%}\n")
    first = plan(bench.project, "people")
    assert (first.mode, first.counts["insert"]) == ("full", 10)
    assert not bench.target.sql("select name from sqlite_master")
    bench.run()
    bench.source.edit(3, name="Moved", updated_at=now())
    bench.source.remove(4)
    again = plan(bench.project, "people")
    assert (again.mode, again.counts["update"], again.counts["delete"]) == ("delta", 1, 1)
    (sample,) = [s for s in again.samples if s["effect"] == "update"]
    assert sample["fields"]["name"] == ["Person 3", "Moved"]
    json.dumps(again.as_dict(), default=str)


def test_plan_follows_one_record_through_every_step(make: Make) -> None:
    """`--key`: as read, as mapped, the target, the baseline, the effect."""
    bench, _ = contested(make)
    steps = {step["step"]: step for step in plan(bench.project, "people", key="3").steps}
    assert steps["read"]["record"]["name"] == "From source"
    assert steps["target"]["record"]["name"] == "From target"
    assert steps["baseline"]["hold"] == "waits for a person"
    assert steps["classify"]["fields"]["name"] == "contested"
    assert steps["resolve"]["effect"] == "queue"
    with pytest.raises(InputError, match="not a key"):
        plan(bench.project, "people", key="three")


def test_status_says_where_a_mapping_stands(make: Make) -> None:
    """Before the first run, after it, and with something waiting."""
    bench, _ = contested(make)
    report = status(bench.project, "people")
    assert (report.holds, report.open_conflicts, report.lease) == (1, 1, None)
    assert report.guarantee == "bounded"
    assert report.why


# --- a control store that is lost ---


def lose_the_store(bench: ProjectBench) -> None:
    """The control store's file is gone, with all that it knew."""
    for path in (bench.folder / ".syncline").glob("store.db*"):
        path.unlink()


@everywhere()
def test_f56_the_queue_is_filled_again_after_the_control_store_was_lost(make: Make) -> None:
    """The ledger still holds what waited: the next run reads it again, and it waits again."""
    bench, _ = contested(make)
    bench.source.put({**bench.source.rows()[4], "id": 50, "name": "New", "updated_at": now()})
    lose_the_store(bench)
    summary = bench.run()
    assert (summary.inserted, summary.queued, summary.status) == (1, 1, "waiting")
    with Store.open(bench.project.store_url) as store:
        (entry,) = store.conflicts(mapping="people", state=State.OPEN)
    assert (entry.source or {})["name"] == "From source"
    assert (entry.target or {})["name"] == "From target"
    assert bench.target.rows()[3]["name"] == "From target"
    decided(bench, entry.id, "source")
    assert decide.apply_decisions(bench.project, "people") == 1
    assert bench.target.rows()[3]["name"] == "From source"


@everywhere()
def test_f56_what_agrees_by_now_does_not_wait_again(make: Make) -> None:
    """Someone made the two sides equal while the queue was lost: the hold is taken off."""
    bench, _ = contested(make)
    lose_the_store(bench)
    bench.target.edit(3, name="From source")
    assert bench.run().status == "ok"
    bench.source.edit(3, name="Later", updated_at=now())
    assert bench.run().updated == 1


@everywhere()
@pytest.mark.parametrize("rest", ["", "conflicts: merge\n"], ids=["plain", "ledger"])
def test_f56_a_dropped_dead_letter_takes_its_hold_along(rest: str, make: Make) -> None:
    """Nothing waits any more, in the control store or in the ledger, so that nothing is queued
    again when the store is lost; the record comes when its source changes.
    """
    values = "{Person 0: A, Person 1: B, Person 2: C, Person 4: E, Mended: M}"
    fields = FIELDS.replace("name: name", f"name: {{from: name, values: {values}}}")
    bench = make(5, fields=fields, rest=rest)
    bench.source.edit(3, name="bad")
    assert bench.run().dead_letters == 1
    with Store.open(bench.project.store_url) as store:
        letters = store.dead_letters("people")
    assert status(bench.project, "people").holds == (1 if rest else 0)
    assert decide.drop(bench.project, "people", [letter.id or 0 for letter in letters]) == 1
    assert status(bench.project, "people").holds == 0
    lose_the_store(bench)
    assert (bench.run().status, sorted(bench.target.rows())) == ("ok", [0, 1, 2, 4])
    bench.source.edit(3, name="Mended", updated_at=now())
    assert bench.run().inserted == 1
    assert bench.target.rows()[3]["name"] == "M"


def test_a_run_that_never_said_how_it_ended_is_called_interrupted(make: Make) -> None:
    """The next run of the mapping has the lease: whoever is `running` before it, is not."""
    bench = make(3)
    with Store.open(bench.project.store_url) as store:
        cut = store.start_run("people", "full")
        other = store.start_run("elsewhere", "full")
    bench.run()
    with Store.open(bench.project.store_url) as store:
        found = {run.run_id: run.status for run in store.runs()}
    assert (found[cut], found[other]) == ("interrupted", "running")
    assert sorted(found.values()) == ["interrupted", "ok", "running"]


# --- what a crash, a vanished source, and a rule leave behind ---


@pytest.mark.parametrize(
    ("take", "values"), [("source", {}), ("target", {}), ("values", {"name": "By hand"})]
)
def test_a_decision_that_was_written_before_a_crash_is_applied_once(
    take: Any, values: dict[str, str], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run died after its commit and before it could say so: the next one finds it written."""
    bench, number = contested(make)
    decided(bench, number, take, **values)

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Store, "mark_applied", dies)
        with pytest.raises(KeyboardInterrupt):
            decide.apply_decisions(bench.project, "people")
    left = bench.target.rows()[3]["name"]
    assert bench.run().status == "ok"
    with Store.open(bench.project.store_url) as store:
        assert store.conflict(number).state is State.APPLIED
        events = [event.event.value for event in store.history(number)]
    assert events == ["opened", "decided", "applied"]
    assert bench.target.rows()[3]["name"] == left


def test_a_value_of_ones_own_is_not_overwritten_without_a_word(make: Make) -> None:
    """The source changes that field again: a conflict, as where the target's value was kept."""
    bench, number = contested(make)
    decided(bench, number, "values", name="By hand")
    decide.apply_decisions(bench.project, "people")
    bench.source.edit(3, name="Source again", updated_at=now())
    assert bench.run().queued == 1
    assert bench.target.rows()[3]["name"] == "By hand"


def test_a_decision_on_a_record_that_left_the_source_ends(make: Make) -> None:
    """Deletes are ignored, so no run would ever come back to it."""
    bench, number = contested(make)
    decided(bench, number, "source")
    bench.source.remove(3)
    assert decide.apply_decisions(bench.project, "people") == 0
    with Store.open(bench.project.store_url) as store:
        assert store.conflict(number).state is State.SUPERSEDED
        assert "gone" in store.history(number)[-1].note


def test_newer_changes_of_the_source_refresh_what_waits(make: Make) -> None:
    """The target is left alone, and the history keeps what was there before."""
    bench, number = contested(make)
    bench.source.edit(3, name="Newer", updated_at=now())
    assert bench.run().updated == 0
    assert bench.target.rows()[3]["name"] == "From target"
    with Store.open(bench.project.store_url) as store:
        entry, past = store.conflict(number), store.history(number)
    assert (entry.source or {})["name"] == "Newer"
    assert [event.event.value for event in past] == ["opened", "refreshed"]
    assert (past[1].source or {})["name"] == "From source"


def test_a_rule_settles_a_key_that_waits_when_its_source_moves_again(make: Make) -> None:
    """And the entry leaves the queue; the audit log names the rule."""
    bench, number = contested(make)
    (bench.folder / "rules").mkdir()
    (bench.folder / "rules" / "people.yaml").write_text(
        "- {field: name, when: source is longer, take: source}\n"
    )
    bench.source.edit(3, name="From source, at length", updated_at=now())
    assert bench.run().queued == 0
    assert bench.target.rows()[3]["name"] == "From source, at length"
    with Store.open(bench.project.store_url) as store:
        assert store.conflict(number).state is State.SUPERSEDED
        (entry,) = store.audit_log("people")
    assert entry.by == "rule name: source when source is longer"
    assert entry.loser == {"name": "From target"}
