"""A look at the target ahead of its writes: as good as one within the transaction that writes."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest

from syncline import arrow
from syncline.batch import Batch
from syncline.endpoints.base import Endpoint
from syncline.endpoints.postgres import PostgresEndpoint
from syncline.look import Look, ahead_of_writes
from syncline.settle import Outcome, settle
from tests.conftest import NewDatabase
from tests.integration.conftest import Make, Side
from tests.integration.project_bench import START, person
from tests.integration.record_bench import RecordBench
from tests.integration.test_table import ANN, ANNA, HERS, named

looked_at = pytest.mark.parametrize("target", ["memory", "postgres"], indirect=True, scope="module")
"""The targets that can be read while they are written."""


def look_at(bench: RecordBench, unsettled: int = 2) -> Look:
    """What looks at the bench's target."""
    look = ahead_of_writes(bench.target, bench.spec, bench.shape, unsettled)
    assert look is not None
    return look


def settled_late(bench: RecordBench, batch: Batch, look: Look, *edit: object) -> Outcome:
    """Settle a batch by a look that was taken before somebody else's edit."""
    seen = look(batch)
    assert seen is not None
    key, changes = edit
    assert isinstance(key, int)
    if isinstance(changes, dict):
        bench.edit(key, **changes)
    else:
        bench.delete(key)
    with bench.target.begin(bench.spec) as tx:
        outcome = settle(tx, batch, bench.terms, seen=seen)
        tx.commit()
    return outcome


@looked_at
def test_f47_an_edit_after_the_look_is_not_written_over(target: Endpoint) -> None:
    """Both sides moved, the target's after it was looked at: a conflict, as if it was before."""
    bench = RecordBench(target, "manual")
    bench.sync({1: ANN, 2: ANN})
    batch = bench.batch({1: HERS, 2: HERS})
    outcome = settled_late(bench, batch, look_at(bench), 1, ANNA)
    assert (outcome.updated, outcome.conflicts) == (1, 1)
    assert bench.record(1) == named("Anna", "Rome")
    assert bench.record(2) == named("Ann S", "Rome")


@looked_at
def test_f47_a_record_edited_after_the_look_is_not_deleted(target: Endpoint) -> None:
    """It is gone from the source, and the target's users still work on it."""
    bench = RecordBench(target, "manual")
    bench.sync({1: ANN})
    outcome = settled_late(bench, bench.batch({1: None}), look_at(bench), 1, ANNA)
    assert (outcome.deleted, outcome.conflicts) == (0, 1)
    assert bench.record(1) == named("Anna", "Rome")


@looked_at
def test_f47_a_record_deleted_after_the_look_does_not_come_back(target: Endpoint) -> None:
    """The source changed it, the target's users deleted it: a conflict."""
    bench = RecordBench(target, "manual")
    bench.sync({1: ANN})
    outcome = settled_late(bench, bench.batch({1: HERS}), look_at(bench), 1, None)
    assert outcome.conflicts == 1
    assert bench.record(1) is None


@looked_at
def test_a_record_of_the_targets_own_after_the_look_is_left(target: Endpoint) -> None:
    """New to both at once: the look saw nothing, the insert meets the other's record."""
    bench = RecordBench(target, "manual")
    batch = bench.batch({1: HERS})
    seen = look_at(bench)(batch)
    bench.insert(1, **ANN)
    with target.begin(bench.spec) as tx:
        outcome = settle(tx, batch, bench.terms, seen=seen)
        tx.commit()
    assert (outcome.inserted, outcome.conflicts) == (0, 1)
    assert bench.record(1) == named("Ann", "Rome")


@looked_at
def test_no_look_of_a_key_that_a_write_before_it_may_not_have_committed(target: Endpoint) -> None:
    """Of either side's key; once those batches are committed there is a look again."""
    bench = RecordBench(target)
    one = {"source": 1, "target": 10}
    look = look_at(bench, unsettled=2)

    def keyed(source: int, target: int) -> Batch:
        batch = bench.batch({target: ANN, target + 1000: ANN})
        natives = pa.array([source, source + 1000], pa.int64())
        return Batch(batch.keys, natives, batch.values, batch.types, batch.presence)

    assert look(keyed(**one)) is not None
    assert look(keyed(1000, 500)) is not None  # their ranges meet, their keys do not
    assert look(keyed(1, 30)) is None, "the same record of the source"
    assert look(keyed(4, 1500)) is None, "the same record of the target"
    assert look(keyed(5, 50)) is not None
    assert look(keyed(6, 30)) is not None, "three batches later"


def test_tables_without_a_row_in_common_are_told() -> None:
    """By ranges, by single keys and by whole rows; NULL equals NULL."""

    def table(*rows: tuple[object, ...]) -> pa.Table:
        columns = zip(*rows, strict=True)
        return arrow.table({f"c{i}": pa.array(list(one)) for i, one in enumerate(columns)})

    assert arrow.disjoint(table((1,), (3,)), table((4,), (9,)))
    assert arrow.disjoint(table((1,), (9,)), table((2,), (5,)))
    assert not arrow.disjoint(table((1,), (9,)), table((5,), (9,)))
    assert arrow.disjoint(table((1, "a"), (2, "b")), table((1, "b"), (2, "a")))
    assert not arrow.disjoint(table((1, "a"), (2, "b")), table((2, "b"), (1, "c")))
    assert not arrow.disjoint(table((1, None), (2, "b")), table((1, None), (2, "c")))


def test_a_target_that_gives_no_second_session_is_looked_at_by_the_transaction(
    new_database: NewDatabase,
) -> None:
    """A role that may connect once: nobody looks ahead, and nothing fails for it."""
    side = Side("postgres", new_database("postgres"), "anything")
    name = side.url.rsplit("/", 1)[1].partition("?")[0]
    role, server = f"once_{name}", side.url.rpartition("@")[2]
    side.sql(f"CREATE ROLE \"{role}\" LOGIN CONNECTION LIMIT 1 PASSWORD 'canary-secret'")
    side.sql(f'GRANT ALL ON SCHEMA public TO "{role}"')
    target = PostgresEndpoint(f"postgresql://{role}:canary-secret@{server}")
    try:
        bench = RecordBench(target)
        look, batch = look_at(bench), bench.batch({1: ANN})
        with target.begin(bench.spec) as tx:
            seen = look(batch)
            assert seen is None
            settle(tx, batch, bench.terms, seen=seen)
            tx.commit()
        assert bench.record(1) == named("Ann", "Rome")
    finally:
        target.close()
        side.sql(f'DROP OWNED BY "{role}" CASCADE')
        side.sql(f'DROP ROLE "{role}"')
        side.close()


@pytest.mark.parametrize("make", [("sqlite", "postgres")], indirect=True)
def test_f47_edits_beside_a_delta_are_never_lost(make: Make) -> None:
    """People edit the target's records just before each batch is written: every edit stays."""
    bench = make(12, rest="conflicts: {strategy: manual}\nbatch_size: 2\n")
    bench.run()
    for key in range(12):
        bench.source.edit(key, city="Oslo", updated_at=START + timedelta(days=1, seconds=key))
    told = 0

    def edit(_: Batch) -> None:
        nonlocal told
        told += 2
        if told < 12:
            bench.target.edit(told, name="edited")

    summary = bench.run(on_batch=edit)
    copies = bench.target.rows()
    assert {key for key, row in copies.items() if row["name"] == "edited"} == {2, 4, 6, 8, 10}
    assert all(row["city"] == "Oslo" for row in copies.values())
    assert (summary.mode, summary.updated, summary.conflicts) == ("delta", 12, 0)
    assert copies[1]["name"] == person(1)["name"]
