"""What settling remembers: decisions, holds, soft deletes, groups, strategies of fields, edits
under our hands.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from syncline.conflict import Kind, Write
from syncline.endpoints.base import Endpoint, Fetched, Transaction
from syncline.errors import Transient
from syncline.settle import Outcome, settle
from tests.integration.record_bench import NOON, RecordBench
from tests.integration.test_table import ANN, ANNA, HERS, named


def kept_apart(target: Endpoint) -> RecordBench:
    """Ann, edited on both sides; the strategy `target` kept the target's name."""
    bench = RecordBench(target, "target")
    bench.sync({1: ANN})
    bench.edit(1, **ANNA)
    bench.sync({1: HERS})
    assert bench.record(1) == named("Anna", "Rome")
    assert bench.baseline(1).held[0].any()
    return bench


def test_f48_a_kept_value_is_a_conflict_again_when_the_source_changes_that_field(
    target: Endpoint,
) -> None:
    """A decision holds the two apart: the source's next change is not written over it silently."""
    bench = kept_apart(target)
    outcome = bench.sync({1: HERS | {"name": "Ann T"}})
    assert outcome.conflicts == 1
    assert bench.record(1) == named("Anna", "Rome")


def test_f48_a_change_of_another_field_is_written_beside_the_kept_value(target: Endpoint) -> None:
    """Only the contested field is held apart."""
    bench = kept_apart(target)
    outcome = bench.sync({1: HERS | {"city": "Bonn"}})
    assert (outcome.conflicts, outcome.updated) == (0, 1)
    assert bench.record(1) == named("Anna", "Bonn")


def test_f48_the_deletion_of_a_kept_record_is_a_conflict(target: Endpoint) -> None:
    """What a decision kept is not deleted in silence."""
    bench = kept_apart(target)
    outcome = bench.sync({1: None})
    assert outcome.conflicts == 1
    assert bench.record(1) == named("Anna", "Rome")


def test_a_waiting_conflict_is_refreshed_by_the_source_and_leaves_the_target_alone(
    target: Endpoint,
) -> None:
    """While a key is on hold, what else the source changes is shown, not written."""
    bench = RecordBench(target, "manual")
    bench.sync({1: ANN})
    bench.edit(1, **ANNA)
    first = bench.sync({1: HERS})
    again = bench.sync({1: HERS | {"city": "Bonn"}})
    assert first.waiting[0].source_prints != again.waiting[0].source_prints
    assert again.waiting[0].conflict.source is not None
    assert again.waiting[0].conflict.source["city"] == "Bonn"
    assert bench.record(1) == named("Anna", "Rome")


def test_a_conflict_that_vanishes_by_itself_is_released(target: Endpoint) -> None:
    """The target's user takes the source's value by hand: nothing waits any more."""
    bench = RecordBench(target, "manual")
    bench.sync({1: ANN})
    bench.edit(1, **ANNA)
    bench.sync({1: HERS})
    bench.edit(1, name="Ann S")
    outcome = bench.sync({1: HERS})
    assert outcome.released == ["1"]
    assert bench.baseline(1).hold[0] == 0


def test_a_decision_of_a_person_is_written_and_remembered(target: Endpoint) -> None:
    """The decided values land, the hold ends, and the same source is no conflict again."""
    bench = RecordBench(target, "manual")
    bench.sync({1: ANN})
    bench.edit(1, **ANNA)
    bench.sync({1: HERS})
    with target.begin(bench.spec) as tx:
        outcome = settle(
            tx, bench.batch({1: HERS}), bench.terms, decided={0: Write({"name": "Annette"})}
        )
        tx.commit()
    assert not outcome.waiting
    assert bench.record(1) == named("Annette", "Rome")
    assert bench.sync({1: HERS}).unchanged == 1
    assert bench.record(1) == named("Annette", "Rome")


def test_a_field_with_its_own_strategy_is_settled_by_it(target: Endpoint) -> None:
    """Both moved name and city: the name is the source's, the city the target's."""
    bench = RecordBench(target, "source", fields={"city": "target"})
    bench.sync({1: ANN})
    bench.edit(1, name="Anna", city="Bonn")
    bench.sync({1: HERS | {"city": "Oslo"}})
    assert bench.record(1) == named("Ann S", "Bonn")


def test_one_field_that_asks_makes_the_whole_record_wait(target: Endpoint) -> None:
    """A record is never half settled."""
    bench = RecordBench(target, "source", fields={"city": "manual"})
    bench.sync({1: ANN})
    bench.edit(1, name="Anna", city="Bonn")
    outcome = bench.sync({1: HERS | {"city": "Oslo"}})
    assert len(outcome.waiting) == 1
    assert bench.record(1) == named("Anna", "Bonn")


def test_fields_that_move_together_are_contested_together(target: Endpoint) -> None:
    """The source moved the name, the target the city: as a group the source's pair wins whole."""
    bench = RecordBench(target, "merge", together=[[0, 1]])
    bench.sync({1: ANN})
    bench.edit(1, city="Bonn")
    outcome = bench.sync({1: HERS})
    assert outcome.conflicts == 1
    assert bench.record(1) == named("Ann S", "Rome")


def test_a_merge_takes_a_group_from_one_side_where_one_of_its_values_is_empty(
    target: Endpoint,
) -> None:
    """The source says a name and no city: its city goes with the name, empty as it is."""
    bench = RecordBench(target, "merge", together=[[0, 1]])
    bench.sync({1: ANN})
    bench.edit(1, city="Bonn")
    bench.sync({1: HERS | {"city": ""}})
    assert bench.record(1) == named("Ann S", "")


def test_first_contact_may_have_a_rule_of_its_own(target: Endpoint) -> None:
    """`first_contact: target` keeps what is there, though the strategy is `source`."""
    bench = RecordBench(target, "source", first_contact="target")
    bench.insert(1, name="Own", city="Oslo", at=NOON)
    bench.sync({1: HERS})
    assert bench.record(1) == named("Own", "Oslo")


def test_a_soft_deleted_record_is_marked_and_comes_back(target: Endpoint) -> None:
    """Gone on the source: flagged on the target. Back on the source: the flag is cleared and the
    values are new.
    """
    bench = RecordBench(target, "source", soft="deleted_at")
    bench.sync({1: ANN})
    assert bench.sync({1: None}).deleted == 1
    assert bench.raw(1)["deleted_at"] is not None
    assert bench.sync({1: None}).deleted == 0
    assert bench.sync({1: HERS}).inserted == 1
    assert bench.raw(1)["deleted_at"] is None
    assert bench.record(1) == named("Ann S", "Rome")


def test_what_was_edited_on_a_soft_deleted_record_is_not_overwritten_when_it_comes_back(
    target: Endpoint,
) -> None:
    """The target's users went on with the record that we had flagged: a person is asked. Where the
    source brings just what they made of it, it is simply unflagged.
    """
    bench = RecordBench(target, "manual", soft="deleted_at")
    bench.sync({1: ANN, 2: ANN})
    assert bench.sync({1: None, 2: None}).deleted == 2
    bench.edit(1, city="Oslo")
    bench.edit(2, name="Ann S")
    outcome = bench.sync({1: HERS, 2: HERS})
    assert [waiting.conflict.kind for waiting in outcome.waiting] == [Kind.FIRST_CONTACT]
    assert bench.record(1) == named("Ann", "Oslo")
    assert bench.raw(2)["deleted_at"] is None
    assert bench.record(2) == named("Ann S", "Rome")
    taken = RecordBench(target, "source", soft="deleted_at")
    taken.sync({1: ANN})
    taken.sync({1: None})
    taken.edit(1, city="Oslo")
    assert taken.sync({1: HERS}).updated == 1
    assert (taken.record(1), taken.raw(1)["deleted_at"]) == (named("Ann S", "Rome"), None)


def test_a_record_that_the_target_itself_marked_as_deleted_is_first_contact(
    target: Endpoint,
) -> None:
    """It is theirs: a source that has another under its key does not write over it unasked."""
    bench = RecordBench(target, "manual", soft="deleted_at")
    bench.insert(1, name="Own", city="Oslo", at=NOON, deleted_at=NOON)
    outcome = bench.sync({1: HERS})
    assert [waiting.conflict.kind for waiting in outcome.waiting] == [Kind.FIRST_CONTACT]
    assert bench.record(1) == named("Own", "Oslo")


def test_without_a_ledger_the_source_is_copied(target: Endpoint) -> None:
    """`detect: none`: new is inserted, different is overwritten, the same is left."""
    bench = RecordBench(target, "source", ledger=False)
    assert bench.sync({1: ANN, 2: ANN}).inserted == 2
    bench.edit(1, name="Anna")
    outcome = bench.sync({1: ANN, 2: ANN})
    assert (outcome.updated, outcome.unchanged, outcome.conflicts) == (1, 1, 0)
    assert not outcome.audit
    assert bench.record(1) == named("Ann", "Rome")


class EditedBetween:
    """A transaction under which somebody edits the target between our read and our write, once."""

    def __init__(self, tx: Transaction, edit: Any) -> None:
        self._tx, self._edit = tx, edit

    def fetch(self, keys: pa.Table) -> Fetched:
        fetched = self._tx.fetch(keys)
        if self._edit is not None:
            edit, self._edit = self._edit, None
            edit()
        return fetched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


def settled_with_an_edit_between(bench: RecordBench, edit: Any) -> Outcome:
    """Settle the key 1 as a run does, under whose hands somebody edits the target."""
    try:
        with bench.target.begin(bench.spec) as tx:
            outcome = settle(
                cast("Any", EditedBetween(tx, edit)), bench.batch({1: HERS}), bench.terms
            )
            tx.commit()
            return outcome
    except Transient:  # the transaction was lost to the edit as a whole: it is tried again
        with bench.target.begin(bench.spec) as tx:
            outcome = settle(tx, bench.batch({1: HERS}), bench.terms)
            tx.commit()
            return outcome


def locks_what_it_reads(target: Endpoint) -> bool:
    """SQLite has one writer at a time: nobody can edit between our read and our write."""
    return target.product == "sqlite"


@pytest.mark.parametrize("strategy", ["target", "manual", "merge"])
def test_f47_an_edit_between_our_read_and_our_write_is_seen(
    strategy: str, target: Endpoint
) -> None:
    """The source alone had moved when we read; then the target is edited: it is a conflict, never
    overwritten.
    """
    if locks_what_it_reads(target):
        pytest.skip(
            "sqlite: the write transaction begins before the read, so nobody can come between"
        )
    bench = RecordBench(target, strategy)
    bench.sync({1: ANN})
    edit = lambda: bench.edit(1, name="Anna", at=NOON)  # noqa: E731
    outcome = settled_with_an_edit_between(bench, edit)
    assert outcome.conflicts == 1
    assert bench.record(1) == named("Ann S" if strategy == "merge" else "Anna", "Rome")


def test_f47_a_record_inserted_between_our_read_and_our_write_is_first_contact(
    target: Endpoint,
) -> None:
    """We thought the key free; somebody took it: neither is lost in silence."""
    if locks_what_it_reads(target):
        pytest.skip(
            "sqlite: the write transaction begins before the read, so nobody can come between"
        )
    bench = RecordBench(target, "manual")
    edit = lambda: bench.insert(1, name="Own", city="Oslo")  # noqa: E731
    outcome = settled_with_an_edit_between(bench, edit)
    assert outcome.waiting[0].conflict.kind is Kind.FIRST_CONTACT
    assert bench.record(1) == named("Own", "Oslo")


def test_many_records_of_every_kind_in_one_batch(target: Endpoint) -> None:
    """Rows do not get into each other's way."""
    bench = RecordBench(target, "merge")
    bench.sync({k: {"name": f"n{k}", "city": "c", "at": NOON} for k in range(300)})
    for key in range(0, 30, 3):
        bench.edit(key, name=f"edited{key}")
    source: dict[int, Any] = {k: {"name": f"n{k}", "city": "c", "at": NOON} for k in range(350)}
    for key in range(0, 60, 2):
        source[key] = {"name": f"moved{key}", "city": "c", "at": NOON}
    for key in range(100, 110):
        source[key] = None
    outcome = bench.sync(source)
    assert (outcome.inserted, outcome.deleted) == (50, 10)
    for key in range(350):
        got = bench.record(key)
        if 100 <= key < 110:
            assert got is None
        elif key < 60 and key % 2 == 0:
            assert got == named(f"moved{key}", "c")
        elif key < 30 and key % 3 == 0:
            assert got == named(f"edited{key}", "c")
        else:
            assert got == named(f"n{key}", "c")
    assert np.array_equal(bench.baseline(340).s, bench.baseline(340).t)
