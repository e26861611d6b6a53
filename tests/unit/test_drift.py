"""Drift: what two lists of columns tell of what happened between them."""

from __future__ import annotations

import pytest

from syncline.drift import compare, type_change


@pytest.mark.parametrize(
    ("was", "now", "what"),
    [
        ("character varying(20)", "character varying(40)", "widened"),
        ("character varying(40)", "character varying(20)", "narrowed"),
        ("character varying(40)", "character varying", "widened"),
        ("numeric", "numeric(10,2)", "narrowed"),
        ("numeric(14,2)", "numeric(16,4)", "widened"),
        ("numeric(14,2)", "numeric(12,2)", "narrowed"),
        ("numeric(14,2)", "numeric(14,4)", "changed"),
        ("integer", "bigint", "widened"),
        ("bigint", "integer", "narrowed"),
        ("int(11)", "bigint(20)", "widened"),
        ("double precision", "real", "narrowed"),
        ("text", "integer", "changed"),
        ("timestamp with time zone", "date", "changed"),
    ],
)
def test_narrowed_and_widened_are_told_apart(was: str, now: str, what: str) -> None:
    """A narrowed column may hold other values than before, a widened one only more."""
    assert type_change(was, now) == what


def test_added_dropped_and_renamed_are_told_apart() -> None:
    """One column gone and one of its type come is most likely the same one."""

    def told(was: dict[str, str], now: dict[str, str]) -> list[tuple[str, str, bool]]:
        return [(d.what, d.column, d.used) for d in compare("source", was, now, {"a", "b"})]

    assert told({"a": "text"}, {"a": "text"}) == []
    assert told({"a": "text"}, {"a": "text", "z": "text"}) == [("added", "z", False)]
    assert told({"a": "text", "z": "date"}, {"a": "text"}) == [("dropped", "z", False)]
    assert told({"a": "text", "b": "date"}, {"a": "text", "c": "date"}) == [("renamed", "b", True)]
    assert told({"a": "text", "b": "date"}, {"a": "text", "c": "text"}) == [
        ("added", "c", False),
        ("dropped", "b", True),
    ]
    assert told({"a": "integer"}, {"a": "bigint"}) == [("widened", "a", True)]
