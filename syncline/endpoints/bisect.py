"""Refused records: found by bisection, so that one does not stop the others of its batch."""

from __future__ import annotations

from collections.abc import Callable

from syncline.endpoints.base import Refusal, Refused


class RowsRefused(Exception):
    """The target refused a set of rows as a whole; which of them is not known yet.

    Raised by an endpoint's attempt, caught by `bisect`; it never leaves an endpoint.
    """

    def __init__(self, kind: Refusal, message: str) -> None:
        super().__init__(message)
        self.kind: Refusal = kind
        self.message = message


def bisect(count: int, attempt: Callable[[slice], None]) -> tuple[Refused, ...]:
    """Write rows `0..count` by `attempt(part)`, and say which of them are refused, in row order.

    `attempt` writes the rows of a contiguous slice, all or none of them, and raises `RowsRefused`
    where it could not; any other error ends the search. A slice is split in the middle until a
    refused slice has one row. So `n` rows with `k` refused cost about `2 k log2(n)` attempts, and
    rows are attempted in their order.
    """
    refused: list[Refused] = []
    waiting = [slice(0, count)] if count else []
    while waiting:
        part = waiting.pop()
        try:
            attempt(part)
        except RowsRefused as error:
            if part.stop - part.start == 1:
                refused.append(Refused(part.start, error.kind, error.message))
                continue
            middle = (part.start + part.stop) // 2
            waiting += [slice(middle, part.stop), slice(part.start, middle)]
    return tuple(refused)
