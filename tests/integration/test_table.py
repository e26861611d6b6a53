"""Every row of the decision table, for every strategy, on every kind of target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from syncline.conflict import Kind
from syncline.endpoints.base import Endpoint
from syncline.strategy import BUILT_IN_NAMES
from tests.integration.record_bench import NOON, Record, RecordBench

EARLY, LATE = NOON, NOON.replace(hour=13)
ANN = {"name": "Ann", "city": "Rome", "at": EARLY}
HERS = {"name": "Ann S", "city": "Rome", "at": LATE}
"""What the source makes of Ann, later than the target's edit."""


@dataclass(frozen=True)
class Row:
    """One row of the table: how it comes about, and what each strategy leaves on the target.

    `baseline`: the record synced first (None: nothing was). `target`: then edited on the target
    (None: deleted; {}: not touched). `source`: what the source then holds. `left` by strategy,
    `asks` the strategies that queue it.
    """

    name: str
    baseline: Record
    target: dict[str, Any] | None
    source: Record
    left: dict[str, Record]
    asks: tuple[str, ...] = ()
    kind: Kind | None = None
    unknown: bool = False
    own: dict[str, Any] = field(default_factory=dict[str, Any])
    """A record that the target has by itself, where there is no baseline."""


def everywhere(record: Record) -> dict[str, Record]:
    return dict.fromkeys(BUILT_IN_NAMES, record)


def named(name: str, city: str) -> Record:
    return {"name": name, "city": city}


ANNA = {"name": "Anna", "at": EARLY.replace(minute=1)}
"""The target's edit, earlier than the source's."""

ROWS = [
    Row(
        "unknown source leaves the target alone", ANN, {}, HERS,
        everywhere(named("Ann", "Rome")), unknown=True,
    ),
    Row("gone on both is a tombstone", ANN, None, None, everywhere(None)),
    Row(
        "the target's own record is left", None, {}, None,
        everywhere(named("Own", "Oslo")), own={"name": "Own", "city": "Oslo"},
    ),
    Row("gone and untouched is deleted", ANN, {}, None, everywhere(None)),
    Row(
        "gone but edited is a conflict", ANN, ANNA, None,
        everywhere(named("Anna", "Rome")) | {"source": None},
        ("latest", "manual"), Kind.UPDATE_DELETE,
    ),
    Row("new is inserted", None, {}, HERS, everywhere(named("Ann S", "Rome"))),
    Row(
        "deleted on the target and unchanged stays deleted", ANN, None, ANN,
        everywhere(None) | {"source": named("Ann", "Rome")},
    ),
    Row(
        "deleted on the target but changed is a conflict", ANN, None, HERS,
        {"source": named("Ann S", "Rome"), "target": None, "latest": None,
         "merge": named("Ann S", "Rome"), "manual": None},
        ("latest", "manual"), Kind.DELETE_UPDATE,
    ),
    Row("the same on both is a baseline", None, {}, ANN, everywhere(named("Ann", "Rome")), own=ANN),
    Row(
        "different on both is first contact", None, {}, HERS,
        {"source": named("Ann S", "Rome"), "target": named("Own", "Oslo"),
         "latest": named("Ann S", "Rome"), "merge": named("Ann S", "Rome"),
         "manual": named("Own", "Oslo")},
        ("manual",), Kind.FIRST_CONTACT, own={"name": "Own", "city": "Oslo", "at": EARLY},
    ),
    Row("nothing moved", ANN, {}, ANN, everywhere(named("Ann", "Rome"))),
    Row("only the source moved", ANN, {}, HERS, everywhere(named("Ann S", "Rome"))),
    Row(
        "only the target moved", ANN, ANNA, ANN,
        everywhere(named("Anna", "Rome")) | {"source": named("Ann", "Rome")},
    ),
    Row(
        "both moved to the same", ANN, {"name": "Ann S", "at": EARLY}, HERS,
        everywhere(named("Ann S", "Rome")),
    ),
    Row(
        "both moved the same field", ANN, ANNA, HERS,
        {"source": named("Ann S", "Rome"), "target": named("Anna", "Rome"),
         "latest": named("Ann S", "Rome"), "merge": named("Ann S", "Rome"),
         "manual": named("Anna", "Rome")},
        ("manual",), Kind.BOTH_CHANGED,
    ),
    Row(
        "each moved a field of its own", ANN, {"city": "Bonn", "at": EARLY}, HERS,
        everywhere(named("Ann S", "Bonn")) | {"source": named("Ann S", "Rome")},
    ),
]  # fmt: skip


def brought_about(row: Row, bench: RecordBench) -> None:
    """The state in which the row of the table applies to record 1."""
    if row.own:
        bench.insert(1, **row.own)
    if row.baseline is not None:
        bench.sync({1: row.baseline})
    if row.target is None:
        bench.delete(1)
    elif row.target:
        bench.edit(1, **row.target)


@pytest.mark.parametrize("strategy", BUILT_IN_NAMES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "-"))
def test_f28_every_row_of_the_table_settles_as_its_strategy_says(
    row: Row, strategy: str, target: Endpoint
) -> None:
    """The target ends with the strategy's exact result, what asks is queued with its images, and
    the loser is kept.
    """
    bench = RecordBench(target, strategy)
    brought_about(row, bench)
    outcome = bench.sync({1: row.source}, unknown=row.unknown)
    assert bench.record(1) == row.left[strategy]
    assert outcome.conflicts == (row.kind is not None)
    if strategy in row.asks:
        (waiting,) = outcome.waiting
        assert waiting.conflict.kind is row.kind
        assert bench.baseline(1).hold[0] == 1
        assert not outcome.audit
    else:
        assert not outcome.waiting
        assert bench.baseline(1).hold[0] == 0
        assert len(outcome.audit) == (row.kind is not None)


@pytest.mark.parametrize("strategy", BUILT_IN_NAMES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "-"))
def test_f27_settling_the_same_batch_again_changes_nothing(
    row: Row, strategy: str, target: Endpoint
) -> None:
    """A batch delivered twice leaves the same target, writes no row, settles no conflict anew."""
    bench = RecordBench(target, strategy)
    brought_about(row, bench)
    bench.sync({1: row.source}, unknown=row.unknown)
    before = bench.baseline(1)
    again = bench.sync({1: row.source}, unknown=row.unknown)
    assert bench.record(1) == row.left[strategy]
    assert (again.inserted, again.updated, again.deleted) == (0, 0, 0)
    assert not again.audit
    after = bench.baseline(1)
    for name in ("present", "gone", "hold", "s", "t", "held"):
        assert (getattr(before, name) == getattr(after, name)).all(), name
