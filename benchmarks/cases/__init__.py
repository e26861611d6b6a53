"""The cases, by subject; `CASES` in the order in which they are run."""

from __future__ import annotations

from typing import Final

from benchmarks.case import Case
from benchmarks.cases.comparing import COMPARING
from benchmarks.cases.copying import COPYING
from benchmarks.cases.data import DATA
from benchmarks.cases.growth import GROWTH
from benchmarks.cases.latency import LATENCY
from benchmarks.cases.many import MANY
from benchmarks.cases.pairings import PAIRINGS
from benchmarks.cases.two_sided import TWO_SIDED

CASES: Final[tuple[Case, ...]] = (
    *COPYING,
    *TWO_SIDED,
    *COMPARING,
    *PAIRINGS,
    *MANY,
    *LATENCY,
    *DATA,
    GROWTH,
)
