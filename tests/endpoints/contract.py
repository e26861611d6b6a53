"""The contract of `syncline.endpoints.base`, as one suite that every endpoint passes.

It reads in three parts: what values come back as (`contract_values`), how a source is read
(`contract_reads`), and how a target is written (`contract_writes`).
"""

from __future__ import annotations

from tests.endpoints.contract_reads import Reads
from tests.endpoints.contract_values import Values
from tests.endpoints.contract_writes import Writes


class Contract(Values, Reads, Writes):
    """Inherit it and give the fixture `bench`."""
