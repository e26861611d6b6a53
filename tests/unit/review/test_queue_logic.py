"""The queue's logic: what is shown of a conflict, and what a decision leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from syncline.conflict import MISSING, Keep, Kind, Write
from syncline.errors import InputError
from syncline.review.queue import decision, resolution, result
from syncline.review.typed import read_value
from syncline.review.view import fields
from syncline.store import Decision, Entry, State

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SOURCE = {"email": "s@x", "name": "Ann", "city": "Rome", "age": 40}
TARGET = {"email": "t@x", "name": "Bob", "city": "Oslo", "age": 40}


def entry(
    source: Mapping[str, Any] | None = SOURCE,
    target: Mapping[str, Any] | None = TARGET,
    *,
    kind: Kind = Kind.BOTH_CHANGED,
    contested: frozenset[str] = frozenset({"email"}),
) -> Entry:
    """A conflict over email; the source alone moved name, the target alone city."""
    return Entry(
        id=1, state=State.OPEN, mapping="customers", key={"id": 1}, ledger_key="1", kind=kind,
        source=source, target=target, baseline={"email": "was@x"}, contested=contested,
        source_moved=frozenset({"name"}), target_moved=frozenset({"city"}), clock_source=None,
        clock_target=None, clock_digits=6, source_prints="s", target_prints="t", reason="",
        created_at=NOW, updated_at=NOW, decision=None, run_id="run-1",
    )  # fmt: skip


def decided(of: Entry, take: Any, **values: Any) -> Decision:
    return decision(of, take, user="ann", at=NOW, values=values, note="why")


def test_fields_stand_side_by_side_contested_first() -> None:
    """Each with both values, the baseline where it is known, and who moved it."""
    email, *moved, age = fields(entry())
    assert (email.name, email.source, email.baseline, email.target) == (
        "email", "s@x", "was@x", "t@x"
    )  # fmt: skip
    assert (email.contested, email.moved) == (True, "both")
    assert {view.name: view.moved for view in moved} == {"name": "source", "city": "target"}
    assert (age.moved, age.baseline) == ("neither", MISSING)


def test_a_side_that_is_gone_has_no_values() -> None:
    """MISSING, not NULL."""
    assert {view.source for view in fields(entry(source=None))} == {MISSING}


def test_taking_the_source_writes_what_the_source_moved() -> None:
    """What the target alone moved stays."""
    made = decided(entry(), "source")
    answer = resolution(entry().conflict, made)
    assert isinstance(answer, Write)
    assert answer.values == {"email": "s@x", "name": "Ann"}
    assert result(entry(), made) == {"email": "s@x", "name": "Ann", "city": "Oslo", "age": 40}


def test_taking_the_target_leaves_it() -> None:
    """The contested field is held apart; what the source alone moved merges by itself."""
    made = decided(entry(), "target")
    assert resolution(entry().conflict, made) == Keep("why")
    assert result(entry(), made) == {**TARGET, "name": "Ann"}


def test_merge_takes_what_each_side_moved_and_the_source_where_both_did() -> None:
    """An empty value of the source says nothing: the target's stays."""
    assert result(entry(), decided(entry(), "merge")) == {
        "email": "s@x", "name": "Ann", "city": "Oslo", "age": 40
    }  # fmt: skip
    empty = entry({**SOURCE, "email": ""})
    assert result(empty, decided(empty, "merge")) == {**TARGET, "name": "Ann"}


def test_own_values_go_before_any_side() -> None:
    """With a side they overlay it; alone they leave the rest as the target has it."""
    assert result(entry(), decided(entry(), "merge", email="own@x")) == {
        "email": "own@x", "name": "Ann", "city": "Oslo", "age": 40
    }  # fmt: skip
    alone = decided(entry(), "values", email="own@x")
    assert resolution(entry().conflict, alone) == Write(
        {"email": "own@x"}, "why", frozenset({"email"})
    )
    assert result(entry(), alone) == {**TARGET, "name": "Ann", "email": "own@x"}


def test_where_the_source_is_gone_it_deletes_or_the_target_stays() -> None:
    """Taking the source means the deletion."""
    gone = entry(source=None, kind=Kind.UPDATE_DELETE)
    assert result(gone, decided(gone, "source")) is None
    assert result(gone, decided(gone, "target")) == TARGET
    assert result(gone, decided(gone, "merge")) == TARGET
    assert result(gone, decided(gone, "values", email="own@x")) == {**TARGET, "email": "own@x"}
    with pytest.raises(InputError, match="deletes the record"):
        decided(gone, "source", email="own@x")


def test_where_the_target_is_gone_a_value_brings_the_whole_record_back() -> None:
    """A record of one field alone would not be one."""
    gone = entry(target=None, kind=Kind.DELETE_UPDATE)
    assert result(gone, decided(gone, "source")) == SOURCE
    assert result(gone, decided(gone, "target")) is None
    assert result(gone, decided(gone, "values", email="own@x")) == {**SOURCE, "email": "own@x"}


def test_a_refused_record_is_tried_whole_with_the_values_given() -> None:
    """A unique value is mended by hand, the rest comes from the source."""
    refused = entry(kind=Kind.REFUSED, contested=frozenset())
    made = decided(refused, "source", email="free@x")
    assert result(refused, made) == {**SOURCE, "email": "free@x"}


def test_a_decision_carries_what_it_was_made_on() -> None:
    """So that it is refused once a side moves."""
    made = decided(entry(), "source")
    assert (made.source_prints, made.target_prints, made.user, made.at) == ("s", "t", "ann", NOW)


@pytest.mark.parametrize(("take", "values"), [("values", {}), ("source", {"emial": 1})])
def test_a_decision_that_could_not_be_written_is_refused(take: Any, values: Any) -> None:
    """No value at all, and a field that is not there."""
    with pytest.raises(InputError):
        decided(entry(), take, **values)


def grouped(source: Mapping[str, Any], *, moved: bool = False) -> Entry:
    """A conflict over amount and currency, which go together; with `moved` the source alone moved
    them.
    """
    of = frozenset({"amount", "currency"})
    target = {"amount": 5, "currency": "EUR", "note": "t"}
    contested = frozenset({"note"}) if moved else of
    made = entry({**source, "note": "s"}, target, contested=contested)
    return replace(
        made, together=(of,), target_moved=frozenset(), source_moved=of if moved else frozenset()
    )


PAID = {"amount": 7, "currency": "USD"}


@pytest.mark.parametrize(
    ("take", "sides", "values", "moved"),
    [
        ("values", {"amount": "source"}, {}, False),
        ("target", {"currency": "source"}, {}, False),
        ("source", {"amount": "target"}, {}, False),
        ("values", {"amount": "source", "currency": "target"}, {}, False),
        ("merge", {"amount": "target"}, {}, False),
        ("target", {"amount": "target"}, {}, True),
    ],
)
def test_a_group_is_taken_from_one_side_or_refused(
    take: Any, sides: Any, values: Any, moved: bool
) -> None:
    """Which fields go together, and which of them were taken from where, is told."""
    told = r"amount and currency go together: it takes \w+ from the source and \w+ from the target"
    with pytest.raises(InputError, match=told):
        decision(grouped(PAID, moved=moved), take, user="ann", at=NOW, values=values, sides=sides)


def test_a_group_may_be_chosen_whole_or_with_values_of_ones_own() -> None:
    """What somebody types belongs to no side; a value that is alike on both belongs to either."""
    of = grouped(PAID)
    both: dict[str, Any] = {"amount": "source", "currency": "source"}
    made = decision(of, "values", user="ann", at=NOW, values={}, sides=both)
    assert result(of, made) == {**PAID, "note": "t"}
    own = decision(of, "source", user="ann", at=NOW, values={"amount": 6})
    assert result(of, own) == {"amount": 6, "currency": "USD", "note": "t"}
    alike = grouped({"amount": 7, "currency": "EUR"})
    one = decision(alike, "values", user="ann", at=NOW, values={}, sides={"amount": "source"})
    assert result(alike, one) == {"amount": 7, "currency": "EUR", "note": "t"}


def test_merge_takes_a_group_whole_where_the_source_says_part_of_it() -> None:
    """An empty currency goes with its amount; only a group that is all empty stays."""
    part = grouped({"amount": 7, "currency": ""})
    assert result(part, decided(part, "merge")) == {"amount": 7, "currency": "", "note": "t"}
    none = grouped({"amount": None, "currency": ""})
    assert result(none, decided(none, "merge")) == {"amount": 5, "currency": "EUR", "note": "t"}


def test_a_field_of_a_group_says_what_it_goes_with() -> None:
    """In every view of the conflict."""
    shown = {one.name: one.together for one in fields(grouped(PAID))}
    assert shown == {"amount": ("currency",), "currency": ("amount",), "note": ()}


TYPED = {
    "text": "x", "whole": 1, "yes": True, "money": Decimal("1.0"), "day": date(2026, 1, 1),
    "at": NOW, "real": 1.5, "blob": b"\0", "doc": {"a": 1},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("text", "5", "5"),
        ("text", "null", "null"),
        ("whole", "-7", -7),
        ("yes", "False", False),
        ("money", "10.50", Decimal("10.50")),
        ("day", "2026-02-03", date(2026, 2, 3)),
        ("at", "2026-02-03T04:05:06+00:00", datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)),
        ("real", "2", 2.0),
        ("blob", "00ff", b"\0\xff"),
        ("doc", '{"b": 2}', {"b": 2}),
        ("whole", "null", None),
    ],
)
def test_a_typed_value_takes_the_type_of_its_field(name: str, text: str, value: Any) -> None:
    """As the sides have it."""
    read = read_value(entry(TYPED, TYPED), name, text)
    assert read == value
    assert type(read) is type(value)


def test_where_both_sides_are_null_json_is_read_and_else_text() -> None:
    """There is no type to go by."""
    both = entry({"x": None}, {"x": None})
    assert read_value(both, "x", "5") == 5
    assert read_value(both, "x", "five") == "five"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("whole", "1.5"),
        ("yes", "maybe"),
        ("money", "much"),
        ("at", "soon"),
        ("doc", "{"),
        ("no", "1"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, text: str) -> None:
    """Before the decision is made."""
    with pytest.raises(InputError):
        read_value(entry(TYPED, TYPED), name, text)
