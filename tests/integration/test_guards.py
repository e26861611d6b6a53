"""What stops a run: too many deletes or conflicts, an empty source, a changed key."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.errors import GuardStopped, MappingErrors
from tests.integration.project_bench import (
    SQL,
    Make,
    everywhere,
    in_step,
    now,
    person,
)

# --- guards ---


@everywhere()
def test_f46_deletes_above_the_guard_stop_before_the_first_delete(make: Make) -> None:
    """Half of the source is gone: nothing is deleted until it is allowed by name."""
    bench = make(100, rest="deletes: {mode: mirror, guard: 5%}\n")
    bench.run()
    bench.source.remove(*range(50))
    with pytest.raises(GuardStopped, match="50 of 100") as stopped:
        bench.run()
    assert stopped.value.reason == "deletes"
    assert "--allow deletes" in stopped.value.hint
    assert len(bench.target.rows()) == 100
    assert bench.run(allow=frozenset({"deletes"})).deleted == 50
    assert in_step(bench)


@everywhere(SQL)
@pytest.mark.parametrize("mode", ["delta", "full"])
def test_f46_a_source_that_is_suddenly_empty_stops_the_run(mode: Any, make: Make) -> None:
    """Every record gone at once is an accident until said otherwise."""
    bench = make(100, rest="deletes: mirror\n")
    bench.run()
    bench.source.remove(*range(100))
    with pytest.raises(GuardStopped) as stopped:
        bench.run(mode=mode)
    assert stopped.value.reason == "empty-source"
    assert len(bench.target.rows()) == 100


@everywhere(["mongo"])
@pytest.mark.parametrize(
    ("types", "told"),
    [
        (", types: {_id: bigint, name: text, updated_at: timestamptz}", "--allow empty-source"),
        (", types: {name: text, updated_at: timestamptz}", "source: {types: {_id: TYPE}}"),
        ("", "Give its type"),
    ],
    ids=["declared", "key not declared", "nothing declared"],
)
def test_f46_a_collection_that_is_suddenly_empty_stops_the_run(
    types: str, told: str, make: Make
) -> None:
    """By the guard where the types are written down; else already by the mapping, since an empty
    collection shows no field.
    """
    bench = make(100, rest="deletes: mirror\n", fields="  name: name\n")
    path = bench.folder / "mappings" / "people.yaml"
    path.write_text(path.read_text().replace("collection: people}", f"collection: people{types}}}"))
    bench.run()
    bench.source.remove(*range(100))
    with pytest.raises((GuardStopped, MappingErrors)) as stopped:
        bench.run()
    assert told in f"{stopped.value} {stopped.value.hint}"
    assert len(bench.target.rows()) == 100


@everywhere()
def test_f60_first_contact_with_many_differing_records_stops_at_the_guard(make: Make) -> None:
    """A thousand conflicts at once are no queue: the run stops with the choices."""
    bench = make(1, rest="conflicts: {strategy: manual, guard: 20%}\n")
    bench.run()
    bench.source.put(*(person(key, updated_at=now()) for key in range(1, 1001)))
    bench.target.put(*(person(key, name="Other") for key in range(1, 1001)))
    with pytest.raises(GuardStopped) as stopped:
        bench.run()
    assert stopped.value.reason == "conflicts"
    assert "first_contact" in stopped.value.hint


def test_f60_a_storm_of_edits_is_not_told_to_be_a_first_contact(make: Make) -> None:
    """What the two sides both changed is not settled by saying who wins the first contact."""
    bench = make(1_000, rest="conflicts: {strategy: manual, guard: 20%}\n")
    bench.run()
    bench.source.sql("update people set name = 'From source', updated_at = :at", at=str(now()))
    bench.target.sql(f"update {bench.target.table} set name = 'From target'")
    with pytest.raises(GuardStopped) as stopped:
        bench.run()
    assert "first_contact" not in stopped.value.hint
    assert "--allow conflicts" in stopped.value.hint


@everywhere(SQL)
def test_f54_a_changed_key_stops(make: Make) -> None:
    """The baselines are of the old key: no run can use them."""
    bench = make(10, rest="conflicts: merge\n")
    bench.source.sql("alter table people add column code bigint")
    bench.source.sql("update people set code = id + 100")
    bench.run()
    path = bench.folder / "mappings" / "people.yaml"
    path.write_text(path.read_text().replace("key: {id: id}", "key: {id: code}"))
    with pytest.raises(GuardStopped, match="the key of the mapping changed") as stopped:
        bench.run()
    assert stopped.value.reason == "schema"
    assert set(bench.target.rows()) == set(range(10))
