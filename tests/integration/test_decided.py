"""A run that dies between its commit and telling the control store: the decision stands, once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from syncline import decide
from syncline.conflict import Kind
from syncline.review.queue import Choice, choose
from syncline.store.model import State
from syncline.store.store import Store
from tests.conftest import NewDatabase
from tests.integration.project_bench import DELTA, Make, ProjectBench, Side, now, person
from tests.integration.test_collisions import MANUAL, collide, refusing, waiting

KINDS = [Kind.BOTH_CHANGED, Kind.UPDATE_DELETE, Kind.DELETE_UPDATE, Kind.FIRST_CONTACT]


def dies(bench: ProjectBench, patch: pytest.MonkeyPatch, at: str, take: Any, **texts: str) -> int:
    """Decide the only conflict so, and die where `Store` is told of it; its number."""
    (entry,) = waiting(bench)
    made = choose(entry, Choice(take, texts=texts), user="ann", at=datetime.now(UTC))

    def death(*_: Any) -> None:
        raise KeyboardInterrupt

    with Store.open(bench.project.store_url) as store:
        store.decide(entry.id, made)
    with patch.context() as patched:
        patched.setattr(Store, at, death)
        with pytest.raises(KeyboardInterrupt):
            decide.apply_decisions(bench.project, "people")
    return entry.id


def told(bench: ProjectBench, number: int) -> tuple[State, list[str], list[str]]:
    """Where a conflict stands, what happened to it, and who is in the audit log of its mapping."""
    with Store.open(bench.project.store_url) as store:
        events = [event.event.value for event in store.history(number)]
        people = [one.by for one in store.audit_log("people") if one.by == "ann"]
        return store.conflict(number).state, events, people


APPLIED = (State.APPLIED, ["opened", "decided", "applied"], ["ann"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("take", "since"),
    [("source", "nothing"), ("target", "nothing"), ("source", "source"), ("source", "target")],
)
def test_a_decision_that_landed_before_a_crash_is_applied_whatever_moved_since(
    kind: Kind, take: Any, since: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once in the history and in the audit log; what a side did after it is judged by itself."""
    bench = make(10, rest=MANUAL)
    collide(bench, kind)
    number = dies(bench, monkeypatch, "mark_applied", take)
    landed = bench.target.rows().get(3)
    if since == "source" and kind is Kind.UPDATE_DELETE:
        bench.source.put(person(3, name="Again", updated_at=now()))
    elif since == "source":
        bench.source.edit(3, name="Again", updated_at=now())
    elif since == "target" and landed is not None:
        bench.target.edit(3, name="Mine")
    bench.run()
    assert told(bench, number) == APPLIED
    bench.run()
    assert told(bench, number) == APPLIED
    if since == "target" and landed is not None and kind is not Kind.UPDATE_DELETE:
        assert bench.target.rows()[3]["name"] == "Mine"
    if since == "nothing":
        assert bench.target.rows().get(3) == landed


@pytest.mark.parametrize(("take", "texts"), [("target", {}), ("values", {"name": "Free"})])
def test_a_decision_on_what_was_refused_is_applied_once_too(
    take: Any, texts: dict[str, str], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that the target's constraints refuse, left as it is or made to fit."""
    bench = refusing(make, "Taken")
    bench.source.edit(3, name="Taken", updated_at=now())
    bench.run()
    number = dies(bench, monkeypatch, "mark_applied", take, **texts)
    left = bench.target.rows()[3]
    bench.run()
    assert told(bench, number) == APPLIED
    assert bench.target.rows()[3] == left


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgres", "mariadb", "mongo"])
@pytest.mark.parametrize("since", ["nothing", "source", "target"])
def test_every_database_as_a_target_tells_what_landed(
    kind: str,
    since: str,
    new_database: NewDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also one whose ledger is written after the record."""
    source = Side("sqlite", new_database("sqlite"), "people")
    target = Side(kind, new_database(kind), "people_copy")
    source.create()
    source.put(*(person(key) for key in range(10)))
    bench = ProjectBench(tmp_path, source, target, rest=DELTA + MANUAL)
    collide(bench, Kind.BOTH_CHANGED)
    number = dies(bench, monkeypatch, "mark_applied", "source")
    assert target.rows()[3]["name"] == "From source"
    if since == "source":
        source.edit(3, name="Again", updated_at=now())
    if since == "target":
        target.edit(3, name="Mine")
    for _ in range(2):
        bench.run()
        assert told(bench, number) == APPLIED
    wanted = {"nothing": "From source", "source": "Again", "target": "Mine"}
    assert target.rows()[3]["name"] == wanted[since]
    source.close()
    target.close()


def test_a_trigger_that_rewrote_the_decision_makes_it_none_the_less_written(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger holds what the target made of it."""
    bench = make(10, rest=MANUAL)
    bench.target.create()
    table = bench.target.table
    bench.target.sql(
        f"create trigger loud after update of name on {table} when new.name <> upper(new.name) "
        f"begin update {table} set name = upper(new.name) where id = new.id; end"
    )
    collide(bench, Kind.BOTH_CHANGED)
    number = dies(bench, monkeypatch, "mark_applied", "source")
    assert bench.target.rows()[3]["name"] == "FROM SOURCE"
    bench.run()
    assert told(bench, number) == APPLIED
    assert bench.target.rows()[3]["name"] == "FROM SOURCE"


@pytest.mark.parametrize("take", ["source", "target"])
def test_sides_that_came_to_agree_do_not_write_a_decision_that_was_another(
    take: Any, make: Make
) -> None:
    """Somebody typed the source's value into the target: nobody is told that it was decided so."""
    bench = make(10, rest=MANUAL)
    collide(bench, Kind.BOTH_CHANGED)
    (entry,) = waiting(bench)
    made = choose(entry, Choice(take), user="ann", at=datetime.now(UTC))
    with Store.open(bench.project.store_url) as store:
        store.decide(entry.id, made)
    bench.target.edit(3, name="From source")
    bench.run()
    assert told(bench, entry.id)[0] is State.SUPERSEDED
    assert bench.target.rows()[3]["name"] == "From source"
    assert waiting(bench) == []


@pytest.mark.parametrize("agree", [False, True])
def test_what_was_found_stale_by_a_run_that_died_is_shown_again(
    agree: bool, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died before it could queue what the sides hold now: the next run looks, and nothing waits
    for a source that may never move again.
    """
    bench = make(10, rest=MANUAL)
    collide(bench, Kind.BOTH_CHANGED)
    (entry,) = waiting(bench)
    bench.target.edit(3, name="Moved meanwhile")
    number = dies(bench, monkeypatch, "queue", "source")
    assert told(bench, number)[0] is State.STALE
    if agree:
        bench.target.edit(3, name="From source")
    bench.run()
    if agree:
        assert told(bench, number)[0] is State.SUPERSEDED
        assert waiting(bench) == []
    else:
        (again,) = waiting(bench)
        assert (again.id, (again.target or {})["name"]) == (entry.id, "Moved meanwhile")
