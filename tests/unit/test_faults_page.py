"""docs/reference/faults.md: every fault has its row, and every test it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "faults.md").read_text(encoding="utf-8")
GUARANTEES = (ROOT / "docs" / "reference" / "guarantees.md").read_text(encoding="utf-8")
FAULTS = [*range(1, 39), *range(46, 61)]
ROWS = {
    int(cells[0]): cells
    for line in PAGE.splitlines()
    if (cells := [cell.strip() for cell in line.strip("| ").split(" | ")])[0].isdigit()
}
NOTES = set(re.findall(r"^- `(\w)`: ", PAGE, re.MULTILINE))


def named_tests() -> set[str]:
    """The names of all test functions."""
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_fault_has_a_row() -> None:
    """None is left out, and none is there twice."""
    assert list(ROWS) == FAULTS
    assert PAGE.count("\n| 1 |") == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_every_row_names_tests_of_its_own_or_says_why_there_are_none(fault: int) -> None:
    """`yes` for a database needs a test; a letter stands for a reason given above the table."""
    _, _, *databases, named = ROWS[fault]
    assert len(databases) == 4
    assert set(databases) <= {"yes", *NOTES}
    names = re.findall(r"`(test_\w+)`", named)
    assert names or named in NOTES
    assert bool(names) or "yes" not in databases
    assert all(re.search(rf"_f{fault:02}_", name) for name in names)


def test_every_test_that_the_pages_name_is_there() -> None:
    """A test that was renamed or removed is no proof; `test_f13_..` stands for all of a fault."""
    there = named_tests()
    named = set(re.findall(r"`(?:[\w./]+::)?(test_\w+)(?:\.\.)?`", PAGE + GUARANTEES))
    missing = {
        name
        for name in named
        if name not in there and not any(each.startswith(name) for each in there)
    }
    assert missing == set()
    exact = {name for cells in ROWS.values() for name in re.findall(r"`(test_\w+)`", cells[-1])}
    assert exact <= there
