"""Fields that say how they are merged, and clocks that are too near: symmetric, or a question."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from syncline.conflict import MISSING, Ask, Conflict, Keep, Kind, Write, near_tie
from syncline.merging import Manner, merging
from syncline.strategy import load_strategy

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def contested(source: Any, target: Any, baseline: Any = MISSING, **given: Any) -> Conflict:
    return Conflict(
        mapping="m", key={"id": 1}, kind=Kind.BOTH_CHANGED, source={"a": source},
        target={"a": target}, contested=frozenset({"a"}),
        baseline={} if baseline is MISSING else {"a": baseline}, **given,
    )  # fmt: skip


def merged(manner: Manner, source: Any, target: Any, baseline: Any = MISSING) -> Any:
    """The merged value; it is the same whichever side is called the source."""
    found = merging(manner)(contested(source, target, baseline))
    other = merging(manner)(contested(target, source, baseline))
    if isinstance(found, Ask):
        assert isinstance(other, Ask)
        return "ask"
    assert isinstance(found, Write)
    assert isinstance(other, Write)
    mine, theirs = (found.values or {})["a"], (other.values or {})["a"]
    if manner == "union":
        assert sorted(json.loads(mine), key=str) == sorted(json.loads(theirs), key=str)
    else:
        assert mine == theirs
    return mine


@pytest.mark.parametrize(
    ("source", "target", "baseline", "expected"),
    [
        (7, 6, 5, 8), (7, 7, 5, 9), (3, 6, 5, 4), (1, 2, MISSING, "ask"), (None, 2, 1, "ask"),
        (Decimal("1.1"), Decimal("2.05"), Decimal("1.0"), Decimal("2.15")),
        ("1.5", "3", "1", "3.5"),
    ],
)  # fmt: skip
def test_add_counts_what_both_sides_added(
    source: Any, target: Any, baseline: Any, expected: Any
) -> None:
    """Also where both came to the same number; without a baseline value a person is asked."""
    assert merged("add", source, target, baseline) == expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [(1, 2, 2), (None, 2, 2), ("b", "a", "b"), (date(2026, 1, 2), NOON.date(), date(2026, 1, 2))],
)  # fmt: skip
def test_max_takes_the_greater(source: Any, target: Any, expected: Any) -> None:
    """Whatever was there before."""
    assert merged("max", source, target) == expected


@pytest.mark.parametrize(
    ("source", "target", "baseline", "expected"),
    [
        ('["a","c"]', '["a","b"]', '["a"]', ["a", "b", "c"]),
        ('["b"]', '["a","b","d"]', '["a","b"]', ["b", "d"]),
        ('[{"x":1.0}]', '[{"x":1}]', "[]", [{"x": 1}]),
        ('["a"]', None, MISSING, ["a"]),
        ('["a"]', '["b"]', MISSING, ["b", "a"]),
    ],
)  # fmt: skip
def test_union_has_what_either_added_and_lacks_what_either_took_out(
    source: Any, target: Any, baseline: Any, expected: list[Any]
) -> None:
    """Without a baseline nothing is known to be taken out."""
    assert json.loads(merged("union", source, target, baseline)) == expected


@pytest.mark.parametrize("value", ['{"a":1}', "text", "5"])
def test_what_is_no_list_is_a_question(value: str) -> None:
    """Not a guess."""
    assert merged("union", value, '["a"]') == "ask"


def test_a_merged_value_is_held_apart_from_the_source() -> None:
    """So that the source's next change is merged too, and does not overwrite it."""
    found = merging("add")(contested(7, 6, 5))
    assert isinstance(found, Write)
    assert found.held == {"a"}
    same = merging("max")(contested(9, 6))
    assert isinstance(same, Write)
    assert same.held == frozenset()


# --- latest: ties and near-ties ---


@pytest.mark.parametrize(
    ("source", "target", "near", "is_near"),
    [
        (NOON, NOON, timedelta(0), True),
        (NOON, NOON + timedelta(seconds=2), timedelta(seconds=2), True),
        (NOON, NOON + timedelta(seconds=2, microseconds=1), timedelta(seconds=2), False),
        (NOON, NOON, None, False), (5, 5, timedelta(0), False),
        (date(2026, 1, 1), date(2026, 1, 2), timedelta(days=1), True),
    ],
)  # fmt: skip
def test_near_ties_are_the_same_from_both_sides(
    source: Any, target: Any, near: timedelta | None, is_near: bool
) -> None:
    """Whichever side is called the source, both ask a person or neither does."""
    latest = load_strategy("latest", None)
    one = contested(1, 2, clock_source=source, clock_target=target, near=near)
    other = replace(one, clock_source=target, clock_target=source)
    assert near_tie(one) is near_tie(other) is is_near
    assert isinstance(latest(one), Ask) is isinstance(latest(other), Ask) is is_near


@pytest.mark.parametrize("clock", [(2, 1), ("v2", "v1"), (Decimal("1.1"), Decimal("1.0"))])
def test_latest_goes_by_a_version_column_too(clock: tuple[Any, Any]) -> None:
    """Whatever grows; near-ties are of clocks alone."""
    latest = load_strategy("latest", None)
    later, earlier = clock
    one = contested(1, 2, clock_source=later, clock_target=earlier)
    assert latest(one) == Write({"a": 1}, "source wins")
    assert isinstance(latest(replace(one, clock_source=earlier, clock_target=later)), Keep)
