"""The decision table, row by row, against a second reading of it that is written for one record at
a time.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from syncline.classify import Effect, FieldEffect, Presence, Rules, Sides, classify

NO_RULES = Rules(clocks=np.zeros(1, bool), restores=np.zeros(1, bool), restores_records=False)


def one(
    source: Presence,
    target: bool,
    baseline: tuple[bool, bool] | None,
    *,
    same: bool = False,
    source_same: bool = False,
    target_same: bool = False,
    held: bool = False,
    known: bool = True,
    later: bool = False,
) -> Sides:
    """One record of one field; `baseline` is (source was there, target was there), or None."""

    def flag(value: bool) -> npt.NDArray[np.bool_]:
        return np.array([[value]])

    return Sides(
        source=np.array([source], np.int8),
        target=np.array([target]),
        baseline=np.array([baseline is not None]),
        source_was_gone=np.array([baseline is not None and not baseline[0]]),
        target_was_gone=np.array([baseline is not None and not baseline[1]]),
        same=flag(same),
        source_same=flag(source_same),
        target_same=flag(target_same),
        held=flag(held),
        known=flag(known and baseline is not None),
        later=np.array([later]),
    )


def expected_record(  # noqa: PLR0911 - one return for each row of the table
    source: Presence,
    target: bool,
    baseline: tuple[bool, bool] | None,
    same: bool,
    source_same: bool,
    target_same: bool,
    held: bool,
    restores: bool,
) -> Effect:
    """DESIGN section 5, read as prose: one record, one field."""
    if source is Presence.UNKNOWN:
        return Effect.NOTHING
    if source is Presence.GONE:
        if not target:
            return Effect.TOMBSTONE if baseline else Effect.NOTHING
        if baseline is None or not baseline[1]:
            return Effect.LEAVE
        if not baseline[0]:
            return Effect.KEPT
        return Effect.DELETE if target_same and not held else Effect.UPDATE_DELETE
    if not target:
        if baseline is None or not baseline[0]:
            return Effect.INSERT
        if source_same:
            return Effect.INSERT if restores else Effect.STAYS_DELETED
        return Effect.DELETE_UPDATE
    if baseline is None or baseline != (True, True):
        return Effect.AGREE if same else Effect.FIRST_CONTACT
    return Effect.FIELDS


def expected_field(
    same: bool, source_same: bool, target_same: bool, held: bool, known: bool, restores: bool
) -> FieldEffect:
    if same:
        return FieldEffect.AGREED
    if not known:
        return FieldEffect.FIRST_CONTACT
    if source_same and target_same:
        return FieldEffect.NOTHING
    if not source_same and target_same:
        return FieldEffect.CONTESTED if held else FieldEffect.WRITE
    if source_same:
        return FieldEffect.WRITE if restores else FieldEffect.KEEP
    return FieldEffect.CONTESTED


BASELINES = [None, (True, True), (True, False), (False, True)]


@pytest.mark.parametrize("restores", [False, True])
def test_every_combination_of_record_states_has_the_effect_of_the_design(restores: bool) -> None:
    """All 768 states of a record of one field are decided as the table's prose decides them."""
    rules = Rules(np.zeros(1, bool), np.array([restores]), restores)
    for source, target, baseline in itertools.product(Presence, [False, True], BASELINES):
        for same, source_same, target_same, held in itertools.product([False, True], repeat=4):
            if same and not (source is Presence.HERE and target):
                continue
            sides = one(
                source,
                target,
                baseline,
                same=same,
                source_same=source_same,
                target_same=target_same,
                held=held,
            )
            want = expected_record(
                source, target, baseline, same, source_same, target_same, held, restores
            )
            got = Effect(classify(sides, rules).records[0])
            assert got == want, (source, target, baseline, same, source_same, target_same, held)


@pytest.mark.parametrize("restores", [False, True])
def test_every_combination_of_field_states_has_the_effect_of_the_design(restores: bool) -> None:
    """All 32 states of a field of a settled record are decided as the table's prose decides
    them.
    """
    rules = Rules(np.zeros(1, bool), np.array([restores]), restores)
    for same, source_same, target_same, held, known in itertools.product([False, True], repeat=5):
        sides = one(
            Presence.HERE,
            True,
            (True, True),
            same=same,
            source_same=source_same,
            target_same=target_same,
            held=held,
            known=known,
        )
        got = FieldEffect(classify(sides, rules).fields[0, 0])
        assert got == expected_field(same, source_same, target_same, held, known, restores)


def test_a_clock_that_both_moved_takes_the_later_value_and_is_no_conflict() -> None:
    """Clock fields never contest."""
    rules = Rules(np.array([True]), np.zeros(1, bool), False)
    for later, want in [(True, FieldEffect.CLOCK_WRITE), (False, FieldEffect.CLOCK_KEEP)]:
        change = classify(one(Presence.HERE, True, (True, True), later=later), rules)
        assert FieldEffect(change.fields[0, 0]) == want
        assert Effect(change.records[0]) == Effect.FIELDS


def test_first_contact_that_differs_in_its_clock_alone_is_no_conflict() -> None:
    """Two records that agree on all but the clock take the later clock."""
    rules = Rules(np.array([True]), np.zeros(1, bool), False)
    change = classify(one(Presence.HERE, True, None, later=True), rules)
    assert Effect(change.records[0]) == Effect.FIELDS
    assert FieldEffect(change.fields[0, 0]) == FieldEffect.CLOCK_WRITE


def two(**columns: list[bool]) -> Sides:
    """One settled record of two fields."""
    flags = {
        name: np.array([columns.get(name, [False, False])])
        for name in ("same", "source_same", "target_same", "held")
    }
    true, false = np.array([True]), np.array([False])
    return Sides(
        source=np.array([Presence.HERE], np.int8),
        target=true,
        baseline=true,
        source_was_gone=false,
        target_was_gone=false,
        **flags,
        known=np.array([[True, True]]),
        later=false,
    )


def test_fields_of_a_group_move_as_one() -> None:
    """The source moved the amount and the target the currency: apart they merge, together they
    contest.
    """
    sides = two(source_same=[False, True], target_same=[True, False])
    apart = Rules(np.zeros(2, bool), np.zeros(2, bool), False)
    together = Rules(np.zeros(2, bool), np.zeros(2, bool), False, groups=[[0, 1]])
    assert list(classify(sides, apart).fields[0]) == [FieldEffect.WRITE, FieldEffect.KEEP]
    assert list(classify(sides, together).fields[0]) == [
        FieldEffect.CONTESTED,
        FieldEffect.CONTESTED,
    ]


def test_a_group_that_only_the_source_moved_is_written_whole() -> None:
    """One field of the group moved on the source: both are written."""
    sides = two(source_same=[False, True], target_same=[True, True])
    together = Rules(np.zeros(2, bool), np.zeros(2, bool), False, groups=[[0, 1]])
    assert list(classify(sides, together).fields[0]) == [FieldEffect.WRITE, FieldEffect.WRITE]
