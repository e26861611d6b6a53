"""Strategies: found by name, never shadowed, and each of the five with its exact answer."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from syncline.conflict import Ask, Conflict, Keep, Kind, Resolution, Write
from syncline.errors import InputError
from syncline.strategy import BUILT_IN_NAMES, load_strategy

SOURCE = {"name": "Ann", "city": "", "age": 3}
TARGET = {"name": "Anna", "city": "Rome", "age": 4}


def conflict(kind: Kind = Kind.BOTH_CHANGED, **changes: Any) -> Conflict:
    """A conflict on name and city; the source moved age alone."""
    facts: dict[str, Any] = {
        "mapping": "people", "key": {"id": 1}, "kind": kind, "source": SOURCE, "target": TARGET,
        "contested": frozenset({"name", "city"}), "source_moved": frozenset({"age"}),
    }  # fmt: skip
    return Conflict(**(facts | changes))


def answer(name: str, of: Conflict) -> Resolution:
    return load_strategy(name, None)(of)


def values(resolution: Resolution) -> Any:
    assert isinstance(resolution, Write)
    return resolution.values


GONE_SOURCE: dict[str, Any] = {
    "source": None,
    "contested": frozenset(),
    "source_moved": frozenset(),
}
GONE_TARGET: dict[str, Any] = {
    "target": None,
    "contested": frozenset(),
    "source_moved": frozenset(),
}


def test_source_writes_what_it_moved() -> None:
    """Contested and moved fields are the source's; a deletion is followed; a lost record comes
    back.
    """
    assert values(answer("source", conflict())) == SOURCE
    assert values(answer("source", conflict(Kind.UPDATE_DELETE, **GONE_SOURCE))) is None
    assert values(answer("source", conflict(Kind.DELETE_UPDATE, **GONE_TARGET))) == SOURCE


@pytest.mark.parametrize("kind", list(Kind))
def test_target_always_keeps(kind: Kind) -> None:
    """The target's side stands, whatever happened."""
    assert isinstance(answer("target", conflict(kind)), Keep)


@pytest.mark.parametrize("kind", list(Kind))
def test_manual_always_asks(kind: Kind) -> None:
    """Everything waits."""
    assert isinstance(answer("manual", conflict(kind)), Ask)


NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)


def clocks(source: Any, target: Any, digits: int = 6) -> Resolution:
    return answer("latest", conflict(clock_source=source, clock_target=target, clock_digits=digits))


def test_latest_takes_the_later_clock() -> None:
    """Later source: written.

    Later or equal target: kept.
    """
    second = dt.timedelta(seconds=1)
    assert isinstance(clocks(NOON + second, NOON), Write)
    assert isinstance(clocks(NOON, NOON + second), Keep)
    assert isinstance(clocks(NOON, NOON), Keep)


def test_latest_asks_where_a_clock_is_missing() -> None:
    """No clock, no judgement: a deletion on the source has none."""
    assert isinstance(clocks(None, NOON), Ask)
    assert isinstance(clocks(NOON, None), Ask)


def test_f29_latest_compares_at_the_coarser_precision() -> None:
    """Microseconds against milliseconds: what the coarser side can't tell apart is equal."""
    fine = NOON + dt.timedelta(microseconds=999)
    assert isinstance(clocks(fine, NOON, 6), Write)
    assert isinstance(clocks(fine, NOON, 3), Keep)


def test_merge_takes_what_the_source_has_to_say() -> None:
    """A contested field takes the source's value unless it is null or empty."""
    assert values(answer("merge", conflict())) == {"name": "Ann"}
    assert isinstance(answer("merge", conflict(source=SOURCE | {"name": None})), Keep)


def test_merge_of_a_deletion_keeps_the_record_that_is_there() -> None:
    """Null never beats a value: an edited record survives on either side."""
    assert isinstance(answer("merge", conflict(Kind.UPDATE_DELETE, **GONE_SOURCE)), Keep)
    assert values(answer("merge", conflict(Kind.DELETE_UPDATE, **GONE_TARGET))) == SOURCE


def test_a_file_of_the_project_is_a_strategy(tmp_path: Path) -> None:
    """`resolvers/shout.py` is `strategy: shout`."""
    (tmp_path / "shout.py").write_text(
        "from syncline.conflict import Write\n\n"
        "def resolve(conflict):\n    return Write({'name': 'ANN'})\n"
    )
    assert values(load_strategy("shout", tmp_path)(conflict())) == {"name": "ANN"}


@pytest.mark.parametrize("name", BUILT_IN_NAMES)
def test_shadowing_a_built_in_strategy_is_refused(name: str, tmp_path: Path) -> None:
    """What `source` means can't depend on the folder one stands in."""
    (tmp_path / f"{name}.py").write_text("def resolve(conflict): ...\n")
    with pytest.raises(InputError, match="shadows the built-in"):
        load_strategy(name, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "no function resolve"),
        ("def resolve(): ...", "no function resolve"),
        ("1/0", "ZeroDivisionError"),
        ("def (", "SyntaxError"),
    ],
)
def test_a_broken_strategy_file_is_named_with_its_error(
    text: str, said: str, tmp_path: Path
) -> None:
    """The reader sees which file and why."""
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(InputError, match=said):
        load_strategy("broken", tmp_path)


@pytest.mark.parametrize("name", ["../etc/passwd", "Source", "a.b", ""])
def test_a_strategy_name_can_not_be_a_path(name: str, tmp_path: Path) -> None:
    """Only [a-z_]+ is looked for."""
    with pytest.raises(InputError, match="not of the form"):
        load_strategy(name, tmp_path)


def test_an_unknown_strategy_is_refused_with_the_known_ones() -> None:
    """The message says what there is."""
    with pytest.raises(InputError, match="source, target, latest, merge, manual"):
        load_strategy("newest", None)
