"""Digest: checksums of records, computed where they are, so that equal ones need not travel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from syncline.endpoints.exchange import Comparison
from syncline.record import Type


@dataclass(frozen=True, slots=True)
class DigestSpec:
    """Which records of a table are checksummed, and what of them, each in its own type here.

    `key` is in the order of the source's key, which is `whole` where it is one whole number;
    `fields` are in an order that both sides share, and may be none. `odd` marks a value that its
    type can't hold: the two sides give different marks, so that such a value equals nothing.
    """

    table: str
    key: Mapping[str, Type]
    fields: Mapping[str, Type]
    whole: bool
    odd: str
    filters: tuple[Comparison, ...] = ()


class Digest(Protocol):
    """Checksums of records by groups of their keys, computed where the records are.

    Records are spelled and grouped as `syncline.spelling` says, the same on every database.
    """

    def sums(self, groups: int) -> pa.Table:
        """One row a group that has records: `g` (its number), `n` (how many), `h` (the sum of
        their prints, as text). `groups` is a power of two, at most 65,536.
        """
        ...

    def members(self, groups: int, which: Sequence[int] | None) -> Iterator[pa.Table]:
        """The records of these groups (None: all): `k`, the key as a ledger has it, and `h`."""
        ...
