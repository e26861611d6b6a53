"""Clocks that are off, told in a sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncline.pulse import skew_told

HERE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(("off", "words"), [(3600, "3600 s ahead of"), (-90, "90 s behind")])
def test_a_source_whose_clock_is_off_is_told_of_and_which_way(off: int, words: str) -> None:
    """By how much, against this machine's."""
    (told,) = skew_told(HERE + timedelta(seconds=off), HERE)
    assert words in told


def test_what_two_machines_may_differ_by_is_not_worth_a_word() -> None:
    """Half a minute is what a slow answer takes."""
    assert list(skew_told(HERE + timedelta(seconds=30), HERE)) == []
