"""A case: one job, done by several contenders in turn, held against the first of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.measure import Sample
from benchmarks.stage import Stage
from syncline.testing.servers import Kind


@dataclass(frozen=True, slots=True)
class Measured:
    """One execution of a contender: the sample, the seconds the engine itself counted, and how many
    records it handled, where that is what the case is about.
    """

    sample: Sample
    engine: float | None = None
    records: int | None = None


def _nothing(*_: object) -> None:
    """Leave everything as it is."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do a case's job.

    `prepare` makes ready for one execution, `run` is measured and given the number of the round,
    `check` raises Failed where the result is wrong. `limit` is the promised ratio to the first
    contender, of the whole process or `past_start`; `memory` the promised peak in bytes. A `large`
    one is run only when asked for.
    """

    name: str
    run: Callable[[Stage, int], Measured]
    prepare: Callable[[Stage], None] = _nothing
    check: Callable[[Stage], None] = _nothing
    limit: float | None = None
    past_start: bool = False
    memory: int | None = None
    large: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """A job. `setup` is done once, on empty databases, and `change` before each round.

    `rows` is the size of the source where the user gives none, `most` the largest there is, `needs`
    the servers beside PostgreSQL. With `per_record` the ratios are those of the time per record;
    with `traffic` the bytes between clients and servers are counted, in a round that is not timed.
    """

    name: str
    what: str
    contenders: tuple[Contender, ...]
    setup: Callable[[Stage], None] = _nothing
    change: Callable[[Stage, int], None] = _nothing
    rows: int = 1_000_000
    most: int | None = None
    needs: tuple[Kind, ...] = ()
    per_record: bool = False
    traffic: bool = False
