"""The watermark `xmin`: what its horizon keeps, and when a delta may not go on from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from syncline.errors import CheckpointVoid, GuardStopped
from syncline.watermark.postgres_xmin import changed_since, horizon

IDENTITY = {
    "system": "77",
    "database": "5",
    "timeline": "1",
    "relation": "9",
    "partitions": "",
    "catalogue": "abc",
}


def since(**changes: Any) -> str:
    return json.dumps({**json.loads(horizon(1000, IDENTITY)), **changes})


def test_the_condition_compares_the_low_half_of_the_64_bit_xmin() -> None:
    """Past 2^32 transactions the row's 32-bit xmin is compared with the horizon's low 32 bits."""
    start = (3 << 32) + 17
    condition = changed_since(since(x=start), start + 5, IDENTITY, "t")
    assert condition == "age(t.xmin) <= age('17'::xid)"


def test_the_same_snapshot_can_be_continued() -> None:
    """Nothing having happened is not going back."""
    assert changed_since(since(), 1000, IDENTITY, "t")


@pytest.mark.parametrize(
    ("fact", "word"),
    [
        ("timeline", "promoted"),
        ("relation", "replaced"),
        ("partitions", "partition"),
        ("catalogue", "columns"),
    ],
)
def test_f53_what_moves_values_without_xmin_is_void(fact: str, word: str) -> None:
    """Each fact of the checkpoint that is no longer so is named as the reason for a full sync."""
    with pytest.raises(CheckpointVoid, match=word):
        changed_since(since(**{fact: "other"}), 1000, IDENTITY, "t")


@pytest.mark.parametrize("fact", ["system", "database"])
def test_f23_another_database_stops(fact: str) -> None:
    """Another system id or database OID stops the run, before any question of the table."""
    with pytest.raises(GuardStopped) as stopped:
        changed_since(since(**{fact: "other", "catalogue": "other"}), 1000, IDENTITY, "t")
    assert stopped.value.reason == "other-database"
    assert "--allow other-database" in stopped.value.hint


def test_f55_a_source_that_went_back_in_time_stops() -> None:
    """A snapshot before the checkpoint's is a restore or a lagging replica: no full by itself."""
    with pytest.raises(GuardStopped):
        changed_since(since(), 999, IDENTITY, "t")


def test_too_many_transactions_are_void() -> None:
    """At 2^31 transactions a 32-bit xmin could be before or after; one fewer and it can be told."""
    assert changed_since(since(), 1000 + 2**31 - 1, IDENTITY, "t")
    with pytest.raises(CheckpointVoid):
        changed_since(since(), 1000 + 2**31, IDENTITY, "t")


def test_facts_that_a_role_may_not_read_are_not_compared() -> None:
    """Where the role may not ask for system id or timeline, the other facts decide."""
    blind = {**IDENTITY, "system": "", "timeline": ""}
    assert changed_since(since(), 1000, blind, "t")
    assert changed_since(since(system="", timeline=""), 1000, IDENTITY, "t")


@pytest.mark.parametrize("text", [None, "", "[]", "not json", '{"by":"timestamp"}'])
def test_a_checkpoint_that_is_none_or_another_kind_is_void(text: str | None) -> None:
    """No checkpoint, an unreadable one, and one of another watermark mean a full sync."""
    with pytest.raises(CheckpointVoid):
        changed_since(text, 1000, IDENTITY, "t")
