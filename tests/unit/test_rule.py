"""Rules: what a remembered decision settles, and the text it is kept as."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from syncline.conflict import Ask, Conflict, Keep, Kind, Write
from syncline.errors import InputError, MappingErrors
from syncline.resolve import Policy, ask_strategies
from syncline.rule import Rule, check_when, holds, ruling, settled
from syncline.rulebook import add_rule, load_rules, remove_rule
from syncline.strategy import load_strategy

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "conflicts.md"
PHONE = Rule("phone", "source is empty", "target")


def conflict(source: Any, target: Any, **given: Any) -> Conflict:
    """A conflict over `phone`, and over `name` where it is asked for."""
    return Conflict(
        mapping="customers", key={"id": 1}, kind=given.pop("kind", Kind.BOTH_CHANGED),
        source={"phone": source, "name": "Ann"}, target={"phone": target, "name": "Bob"},
        contested=given.pop("contested", frozenset({"phone"})), **given,
    )  # fmt: skip


NOON, LATER = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "source", "target", "expected"),
    [
        ("always", 1, 2, True),
        ("source is empty", None, "x", True), ("source is empty", "  ", "x", True),
        ("source is empty", 0, 1, False), ("target is empty", "x", None, True),
        ("source is not empty", "x", "", True), ("target is not empty", "x", "", False),
        ("source is greater", 3, 2, True), ("source is greater", "3", 2, False),
        ("target is greater", None, 2, False), ("target is longer", "ab", "abc", True),
        ("source is longer", 100, 1, False),
        ("only case differs", "Ann", "ANN", True), ("only case differs", "Ann", "A nn", False),
        ("only spaces differ", "A nn", "Ann ", True), ("only spaces differ", "Ann", "ann", False),
        ("only case and spaces differ", "A nn", "ANN", True),
        ("only case differs", 1, 1, False),
        ("source = unknown", "unknown", "x", True), ("target = null", "x", None, True),
        ("source != 5", 5, 6, False), ("source = true", True, False, True),
        ("source is empty and target = x", None, "x", True),
        ("source is empty and target = x", None, "y", False),
    ],
)  # fmt: skip
def test_a_condition_holds_for_what_it_says(
    when: str, source: Any, target: Any, expected: bool
) -> None:
    """Each of them, alone and together."""
    assert check_when(when) == when
    assert holds(Rule("phone", when, "source"), conflict(source, target)) is expected


@pytest.mark.parametrize(("source", "target"), [(LATER, NOON), (NOON, LATER), (NOON, None)])
def test_later_goes_by_the_clocks(source: Any, target: Any) -> None:
    """A clock that is missing is neither."""
    of = conflict("x", "y", clock_source=source, clock_target=target)
    assert holds(Rule("phone", "source is later", "source"), of) is (target == NOON)
    assert holds(Rule("phone", "target is later", "source"), of) is (target == LATER)


@pytest.mark.parametrize("when", ["", "source is emtpy", "phone = 5", "always and never"])
def test_a_condition_that_does_not_exist_is_refused(when: str) -> None:
    """And told what there is."""
    with pytest.raises(ValueError, match="source is empty"):
        check_when(when)


def test_the_first_rule_that_holds_settles_its_field() -> None:
    """In the order of the file."""
    rules = [PHONE, Rule("phone", "always", "source")]
    assert settled(rules, conflict(None, "1")) == (Keep(PHONE.text), (PHONE,))
    found = settled(rules, conflict("2", "1"))
    assert found is not None
    assert found[0] == Write({"phone": "2"}, "phone: source when always")


def test_a_record_is_settled_only_if_every_contested_field_is() -> None:
    """What is left open asks a person about the whole record."""
    both = conflict(None, "1", contested=frozenset({"phone", "name"}))
    assert settled([PHONE], both) is None
    assert list(ruling([PHONE], both)) == ["phone"]
    name = Rule("name", "always", None, "Eve")
    found = settled([PHONE, name], both)
    assert found is not None
    assert found[0] == Write({"name": "Eve"}, f'name: "Eve" when always; {PHONE.text}')


def test_a_rule_without_a_field_is_for_records_of_which_one_side_is_gone() -> None:
    """Taking the side that is gone deletes."""
    gone = Conflict("c", {"id": 1}, Kind.UPDATE_DELETE, None, {"phone": "1"})
    rule = Rule(None, "always", "source", kind=Kind.UPDATE_DELETE)
    found = settled([rule], gone)
    assert found is not None
    assert found[0] == Write(None, rule.text)
    assert settled([rule], conflict("1", "2")) is None
    assert settled([Rule(None, "always", "source", kind=Kind.DELETE_UPDATE)], gone) is None


def test_what_the_target_refused_no_rule_settles() -> None:
    """Writing it once more is what was just tried."""
    refused = conflict("1", "2", kind=Kind.REFUSED, contested=frozenset())
    assert settled([Rule(None, "always", "source")], refused) is None


# --- the file ---


def test_a_rule_is_added_and_removed_without_harm_to_comments(tmp_path: Path) -> None:
    """Byte by byte the file is what it was, but for the rule's own lines."""
    path = tmp_path / "rules" / "customers.yaml"
    path.parent.mkdir()
    before = "# ours\n\n- field: name   # by hand\n  take: source\n\n# about phones:\n"
    path.write_text(before)
    tricky = Rule("phone", "source = no", None, '#: "x"', Kind.BOTH_CHANGED, "it's: a note")
    add_rule(path, tricky)
    add_rule(path, PHONE)
    assert load_rules(path) == (Rule("name", "always", "source"), tricky, PHONE)
    assert path.read_text().startswith(before)
    assert remove_rule(path, 2) == tricky
    assert load_rules(path) == (Rule("name", "always", "source"), PHONE)
    remove_rule(path, 2)
    assert path.read_text() == before


def test_the_same_rule_is_not_added_twice(tmp_path: Path) -> None:
    """It would never be asked."""
    path = tmp_path / "customers.yaml"
    add_rule(path, PHONE)
    with pytest.raises(InputError, match="has this rule already"):
        add_rule(path, PHONE)


def test_a_file_that_cannot_be_edited_is_left_as_it_is(tmp_path: Path) -> None:
    """A list in brackets has no end to write lines at."""
    path = tmp_path / "customers.yaml"
    path.write_text("[{field: a, take: source}]\n")
    with pytest.raises(InputError, match="edit"):
        add_rule(path, PHONE)
    assert path.read_text() == "[{field: a, take: source}]\n"


def test_all_that_is_wrong_with_the_rules_is_told_with_its_line(tmp_path: Path) -> None:
    """As of a mapping."""
    path = tmp_path / "customers.yaml"
    path.write_text(
        "- {field: a, take: left}\n- {field: b, when: sometimes, take: source}\n- {feld: c}\n- 5\n"
        "- {field: d, kind: odd, value: 1}\n- {value: 1}\n"
    )
    with pytest.raises(MappingErrors) as caught:
        load_rules(path)
    lines = [problem.where.rpartition(":")[2] for problem in caught.value.problems]
    assert lines == ["1", "2", "3", "3", "3", "4", "5", "6"]


def test_the_rules_of_the_reference_are_rules(tmp_path: Path) -> None:
    """What stands there can be copied."""
    text = REFERENCE.read_text().partition("```yaml\n# rules/")[2].partition("```")[0]
    path = tmp_path / "customers.yaml"
    path.write_text(f"# {text}")
    rules = load_rules(path)
    assert rules[0] == Rule(
        "phone", "source is empty", "target", note="the shop never clears a phone on purpose"
    )
    assert len(rules) == 5


def test_rules_that_would_part_what_goes_together_ask_a_person() -> None:
    """Each settles its field, yet from another side: neither is written, and why is told."""
    both = conflict(
        "1", "2", contested=frozenset({"phone", "name"}),
        together=(frozenset({"phone", "name"}),),
    )  # fmt: skip
    rules = (Rule("phone", "always", "target"), Rule("name", "always", "source"))
    manual = load_strategy("manual", None)
    answer = ask_strategies(both, Policy(manual, "manual", rules=rules), [], 0)
    assert isinstance(answer, Ask)
    assert "name and phone go together" in answer.reason
    alike = (Rule("phone", "always", "target"), Rule("name", "always", "target"))
    assert ask_strategies(both, Policy(manual, "manual", rules=alike), [], 0) == Keep()
