"""Which type holds what two of one family hold."""

from __future__ import annotations

import pytest

from syncline.record import Type, parse_type
from syncline.wider import covers, join


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("integer", "bigint", "bigint"),
        ("smallint", "smallint", "smallint"),
        ("real", "double", "double"),
        ("text(20)", "text(40)", "text(40)"),
        ("text(20)", "text", "text"),
        ("decimal(14,2)", "decimal(12,4)", "decimal(16,4)"),
        ("decimal(14,2)", "decimal(16,2)", "decimal(16,2)"),
        ("decimal(14,2)", "decimal", "decimal"),
        ("timestamp(3)", "timestamp", "timestamp"),
        ("timestamptz(3)", "timestamptz(0)", "timestamptz(3)"),
        ("date", "date", "date"),
        ("integer", "decimal(14,2)", None),
        ("integer", "text", None),
        ("timestamp", "timestamptz", None),
    ],
)
def test_the_join_of_two_types_holds_both(one: str, other: str, both: str | None) -> None:
    """Whichever comes first; it never gives up what either held."""
    wanted = parse_type(both) if both else None
    assert join(parse_type(one), parse_type(other)) == wanted
    assert join(parse_type(other), parse_type(one)) == wanted
    if wanted:
        assert covers(wanted, parse_type(one))
        assert covers(wanted, parse_type(other))


def test_a_narrower_type_covers_no_wider_one() -> None:
    """Nor one of another family."""
    assert not covers(Type("integer"), Type("bigint"))
    assert not covers(Type("decimal", 14, 2), Type("decimal", 14, 4))
    assert not covers(Type("text"), Type("integer"))
