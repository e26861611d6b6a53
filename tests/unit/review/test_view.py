"""The three-way view: who moved what, and what differs within a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from syncline.conflict import MISSING, Kind
from syncline.errors import InputError
from syncline.review.difference import Piece, leaves, pieces
from syncline.review.mask import HIDDEN, Everything, shown_text
from syncline.review.typed import read_value
from syncline.review.view import FieldView, fields, shown_entry, view
from syncline.store import Decision, Entry, State

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def entry(source: Mapping[str, Any], target: Mapping[str, Any], **given: Any) -> Entry:
    """A conflict over every field that differs, unless it is said otherwise."""
    differing = frozenset(name for name in source if source[name] != target.get(name))
    contested = given.pop("contested", differing)
    return Entry(
        id=1, state=State.OPEN, mapping="customers", key={"id": 1}, ledger_key="1",
        kind=given.pop("kind", Kind.BOTH_CHANGED), source=source, target=target,
        baseline=given.pop("baseline", {}), contested=contested,
        source_moved=given.pop("source_moved", frozenset()),
        target_moved=given.pop("target_moved", frozenset()), clock_source=None, clock_target=None,
        clock_digits=6, source_prints="s", target_prints="t", reason=given.pop("reason", ""),
        created_at=NOW, updated_at=NOW, decision=given.pop("decision", None), run_id="run-1",
        types=given.pop("types", {}),
    )  # fmt: skip


def only(one: Entry) -> FieldView:
    (found,) = fields(one)
    return found


def marked(found: tuple[Piece, ...]) -> str:
    return "".join(f"[{piece.text}]" if piece.changed else piece.text for piece in found)


def test_contested_fields_are_told_from_those_that_merge_by_themselves() -> None:
    """A field that one side alone moved says whose value will stand."""
    one = entry(
        {"a": 1, "b": 1, "c": 1, "d": 1}, {"a": 2, "b": 2, "c": 2, "d": 1},
        contested=frozenset("a"), source_moved=frozenset("b"), target_moved=frozenset("c"),
    )  # fmt: skip
    told = {f.name: (f.contested, f.merges, f.alike) for f in fields(one)}
    assert told == {
        "a": (True, None, False), "b": (False, "source", False), "c": (False, "target", False),
        "d": (False, None, True),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "known"),
    [({"baseline": {"a": 0}}, "values"), ({}, "sides"), ({"kind": Kind.FIRST_CONTACT}, "nothing")],
)
def test_the_view_says_what_it_knows_of_the_baseline(given: dict[str, Any], known: str) -> None:
    """Its values, only which sides moved, or nothing at all."""
    assert view(entry({"a": 1}, {"a": 2}, **given)).known == known


def test_of_fields_without_kept_values_the_view_names_those_that_moved() -> None:
    """Where the mapping keeps the values of some fields, of the others only the side is known."""
    found = view(entry({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 1}, baseline={"a": 0}))
    assert (found.known, found.only_sides) == ("values", ("b",))
    assert view(entry({"a": 1}, {"a": 2})).only_sides == ()


def test_a_record_of_one_side_is_looked_at_whole_where_nothing_tells_what_moved() -> None:
    """Else what the other side moved comes first."""
    gone = entry({"a": 1, "b": 1}, {}, contested=frozenset[str](), kind=Kind.DELETE_UPDATE)
    gone = replace(gone, target=None)
    assert [one.name for one in view(gone).main] == ["a", "b"]
    moved = view(replace(gone, source_moved=frozenset("b")))
    assert ([one.name for one in moved.main], [one.name for one in moved.rest]) == (["b"], ["a"])


def test_what_the_target_refused_and_what_a_decision_holds_apart_differs() -> None:
    """Nobody moved it since, and still it is what there is to see."""
    one = entry({"a": 1, "b": 1}, {"a": 2, "b": 1}, contested=frozenset[str](), kind=Kind.REFUSED)
    assert [(f.name, f.differs, f.alike) for f in fields(one)] == [
        ("a", True, False), ("b", False, True),
    ]  # fmt: skip
    same = entry({"a": {"x": 1, "y": [1]}}, {"a": {"y": [1], "x": 1}}, contested=frozenset[str]())
    assert fields(same)[0].alike


@pytest.mark.parametrize(
    ("source", "target", "on_source", "on_target"),
    [
        ("ann@old.org", "ann@new.org", "ann@[old].org", "ann@[new].org"),
        ("12 High Street", "12 High St", "12 High St[reet]", "12 High St"),
        ("Jonson", "Johnson", "Jonson", "Jo[h]nson"),
        ("Rome", "Oslo", "[Rome]", "[Oslo]"),
        ("a b c", "a c", "a [b ]c", "a c"),
        ("", "x", "", "[x]"),
        ("日本 語", "日本 人", "日本 [語]", "日本 [人]"),
    ],
)
def test_what_differs_within_a_text_is_marked(
    source: str, target: str, on_source: str, on_target: str
) -> None:
    """By words, and by characters where a word became a similar one."""
    found = only(entry({"a": source}, {"a": target}))
    assert (marked(found.source_pieces), marked(found.target_pieces)) == (on_source, on_target)


def test_the_pieces_of_a_text_are_the_text() -> None:
    """Nothing is lost, of long texts neither."""
    source = " ".join(f"word{n}" for n in range(3_000))
    target = source.replace("word1500", "other")
    for found, text in zip(pieces(source, target), (source, target), strict=True):
        assert "".join(piece.text for piece in found) == text
        assert [piece.changed for piece in found] == [False, True, False]


@pytest.mark.parametrize("kind", ["json", "text"])
def test_documents_are_compared_by_path(kind: str) -> None:
    """JSON travels as text, whatever its column's type; the order of its keys says nothing, and
    lists go by their places.
    """
    source = {"city": "Rome", "tags": ["a", "b"], "geo": {"lat": 1, "lon": 2}}
    target = {"geo": {"lon": 2, "lat": 3}, "tags": ["a"], "city": "Rome", "x.y": True}
    was = {"city": "Rome", "tags": ["a"], "geo": {"lat": 0, "lon": 2}}
    one = entry(
        {"doc": json.dumps(source)}, {"doc": json.dumps(target)}, types={"doc": kind},
        baseline={"doc": json.dumps(was)},
    )  # fmt: skip
    found = {
        p.path: (p.source, p.baseline, p.target, p.moved, p.contested) for p in only(one).paths
    }
    assert found == {
        "geo.lat": (1, 0, 3, "both", True),
        "tags[1]": ("b", MISSING, MISSING, "source", False),
        '"x.y"': (MISSING, MISSING, True, "target", False),
    }


def test_without_baseline_values_a_path_says_what_the_field_says() -> None:
    """Which place of the document a side moved is not known then."""
    one = entry({"doc": {"a": 1, "b": 1}}, {"doc": {"a": 2, "b": 1}})
    assert [(p.path, p.baseline, p.moved) for p in only(one).paths] == [("a", MISSING, "both")]


def test_true_is_not_one_in_a_document() -> None:
    """Python thinks so."""
    assert [p.path for p in only(entry({"doc": {"a": 1}}, {"doc": {"a": True}})).paths] == ["a"]
    assert leaves({"a": {}, "b": [{"c": None}]}) == {"a": {}, "b[0].c": None}


# --- masks ---


def test_f39_masked_values_are_shown_nowhere() -> None:
    """Neither in a field, its differences, the decision, nor in a message that quotes them."""
    made = Decision("values", "ann", NOW, "s", "t", {"ssn": "own-1"})
    one = entry(
        {"ssn": "123-45"}, {"ssn": "543-21"}, baseline={"ssn": "was-1"}, decision=made,
        reason="duplicate key (ssn)=(123-45)",
    )  # fmt: skip
    found = view(one, {"ssn"})
    assert (found.fields[0].source, found.fields[0].masked) == (HIDDEN, True)
    assert found.fields[0].source_pieces == ()
    text = repr(found)
    assert not any(secret in text for secret in ("123-45", "543-21", "was-1", "own-1"))
    assert found.entry.reason == f"duplicate key (ssn)=({HIDDEN})"
    assert shown_entry(one, frozenset[str]()) == one


def test_null_is_shown_though_masked() -> None:
    """That there is no value is no secret, and a person has to see it to decide."""
    assert only_masked(None) == (None, HIDDEN)


def only_masked(value: Any) -> tuple[Any, Any]:
    found = fields(entry({"ssn": value}, {"ssn": "x"}), {"ssn"})[0]
    return found.source, found.target


def test_where_the_mapping_cannot_be_read_everything_is_masked() -> None:
    """Nobody knows what it hides."""
    assert fields(entry({"a": 1}, {"a": 2}), Everything())[0].source == HIDDEN
    assert shown_text("it was 1234", [{"a": 1234}], Everything()) == f"it was {HIDDEN}"


# --- values as they are typed ---


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("decimal(14,2)", "1.234"), ("smallint", "70000"), ("text(3)", "four"), ("json", "{"),
        ("uuid", "no"), ("timestamp", "2026-01-01T00:00:00Z"), ("bool", "1"), ("decimal", "x"),
        ("timestamptz(3)", "2026-01-01T00:00:00.000001Z"), ("date", "2026-02-30"),
    ],
)  # fmt: skip
def test_a_value_that_its_type_cannot_hold_is_refused(kind: str, text: str) -> None:
    """When it is typed, and not by the run that would write it."""
    one = entry({"a": None}, {"a": 1}, types={"a": kind})
    with pytest.raises(InputError, match="is no"):
        read_value(one, "a", text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("text", "null", "null"), ("integer", "null", None), ("json", '{"a":1}', '{"a":1}'),
        ("timestamptz", "2026-01-02", NOW), ("bytes", "00ff", b"\0\xff"), ("text", "5", "5"),
    ],
)  # fmt: skip
def test_a_value_is_read_as_its_field_holds_it(kind: str, text: str, value: Any) -> None:
    """Also where both sides are null."""
    one = replace(entry({"a": None}, {"a": None}), types={"a": kind})
    assert read_value(one, "a", text) == value
