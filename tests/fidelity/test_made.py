"""Values that Hypothesis makes, through the pairings: equal after the trip, or a dead letter."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fidelity.cases import Case
from tests.fidelity.conftest import DatabaseOf
from tests.fidelity.hands import HANDS
from tests.fidelity.spelling import FAMILIES, SPELLINGS
from tests.fidelity.test_fidelity import KINDS, SOME, changed, dead, project_of, sync

_NUMBERS = itertools.count()
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
_FINITE = st.floats(allow_nan=False, allow_infinity=False)
_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | _FINITE | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": _TEXT,
    "whole": st.integers(-(2**63), 2**63 - 1),
    "double": _FINITE,
    "decimal": st.decimals(
        min_value=Decimal("-1e27"), max_value=Decimal("1e27"), places=9, allow_nan=False
    ),
    "date": st.dates(),
    "stamp": st.datetimes(),
    "instant": st.datetimes(
        dt.datetime(1, 1, 2),  # noqa: DTZ001 - the bounds are naive, Hypothesis wants it so
        dt.datetime(9999, 12, 30),  # noqa: DTZ001
        timezones=st.just(dt.UTC),
    ),
    "bytes": st.binary(max_size=40),
    "uuid": st.uuids(version=4),
    "json": _DOCUMENTS.map(json.dumps),
}
MADE = st.fixed_dictionaries({
    name: st.lists(values, min_size=6, max_size=6) for name, values in VALUES.items()
})  # fmt: skip


def _arrives(
    kinds: tuple[str, str], made: dict[str, list[Any]], database_of: DatabaseOf, folder: Path
) -> None:
    number = next(_NUMBERS)
    source_kind, target_kind = kinds
    spelled = SPELLINGS[source_kind]
    cases: list[Case] = []
    for name, values in made.items():
        native, spell = spelled[name]
        cases.append(Case(f"{name}_", native, FAMILIES.get(name, name), [*map(spell, values)]))
    urls = database_of(source_kind, "source"), database_of(target_kind, "target")
    hands = HANDS[source_kind](urls[0]), HANDS[target_kind](urls[1])
    tables = f"made_{number}", f"taken_{number}"
    held = hands[0].fill(tables[0], cases)
    here = folder / str(number)
    fields = "".join(f"  {case.name}: {case.name}\n" for case in cases)
    sides = (source_kind, urls[0]), (target_kind, urls[1])
    project_of(here, *sides, read=tables[0], table=tables[1], fields=fields)
    summary = sync(here, tables[1])
    lost = dead(here, tables[1])
    found = changed(hands, tables, held, lost, "natural")
    assert not found, "\n".join(found)
    assert summary.inserted == len(held) + 1 - len(lost)
    # What is refused is known: decimals of 38 digits and doubles in documents.
    assert {held[int(key)][0].name for key in lost} <= {"decimal_", "json_"}, lost


_SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("kinds", SOME, ids="-".join)
@settings(max_examples=2, deadline=None, suppress_health_check=_SHARED)
@given(made=MADE)
def test_made_values_arrive_or_are_dead_letters(
    kinds: tuple[str, str], made: dict[str, list[Any]], database_of: DatabaseOf, tmp_path: Path
) -> None:
    """Of ten types, from each database into one other."""
    _arrives(kinds, made, database_of, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kinds", list(itertools.product(KINDS, KINDS)), ids="-".join)
@settings(max_examples=15, deadline=None, suppress_health_check=_SHARED)
@given(made=MADE)
def test_many_made_values_arrive_or_are_dead_letters(
    kinds: tuple[str, str], made: dict[str, list[Any]], database_of: DatabaseOf, tmp_path: Path
) -> None:
    """The same in all sixteen pairings."""
    _arrives(kinds, made, database_of, tmp_path)
