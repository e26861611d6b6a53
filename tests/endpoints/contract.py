"""The contract of `syncline.endpoints.base`, as one suite that every endpoint passes.

It reads in four parts: what values come back as (`contract_values`), how a source is read
(`contract_reads`), how a target is written (`contract_writes`), and what is kept together with it
(`contract_keeping`).
"""

from __future__ import annotations

from tests.endpoints.contract_keeping import Keeping
from tests.endpoints.contract_reads import Reads
from tests.endpoints.contract_values import Values
from tests.endpoints.contract_writes import Writes


class Contract(Values, Reads, Writes, Keeping):
    """Inherit it and give the fixture `bench`."""
