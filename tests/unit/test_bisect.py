"""Bisection: every refused record is found, every other is written, in few attempts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.endpoints.bisect import RowsRefused, bisect


@given(st.integers(0, 300), st.sets(st.integers(0, 299)))
def test_exactly_the_refused_rows_are_found(count: int, bad: set[int]) -> None:
    """The refused rows are told in order, and each other row is written once, in order."""
    wrote: list[int] = []

    def attempt(part: slice) -> None:
        rows = range(part.start, part.stop)
        for row in rows:
            if row in bad:
                raise RowsRefused("value", f"row {row}")
        wrote.extend(rows)

    refused = bisect(count, attempt)
    expected = sorted(row for row in bad if row < count)
    assert [(r.row, r.kind, r.message) for r in refused] == [
        (row, "value", f"row {row}") for row in expected
    ]
    assert wrote == [row for row in range(count) if row not in bad]


def test_one_bad_row_in_many_costs_few_attempts() -> None:
    """One refused row of 50,000 is found in some 2 log2(n) attempts."""
    attempts = 0

    def attempt(part: slice) -> None:
        nonlocal attempts
        attempts += 1
        if part.start <= 31_415 < part.stop:
            raise RowsRefused("constraint", "no")

    assert [r.row for r in bisect(50_000, attempt)] == [31_415]
    assert attempts < 40


def test_other_errors_end_the_search() -> None:
    """A lost connection is not a property of a row."""

    def attempt(_: slice) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        bisect(10, attempt)
