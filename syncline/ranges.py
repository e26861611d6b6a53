"""Ranges: a comparison divided into ranges of keys, each of which is compared by itself.

Where the databases compute checksums, and the key or its first column is a whole number, a range
of it is the same set of records on both sides, and its sums are compared; also what only the target
has is found there. A text is ordered by each database in its own way: there a comparison by
checksums is not divided.
Where records are read and mapped here, a range is of the source's key order, as that divides it;
what is gone from the source is a part of its own, since it compares the keys of both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from syncline import gone, sides
from syncline.endpoints.base import ReadSpec
from syncline.shards import parts_for
from syncline.sides import Between

if TYPE_CHECKING:
    from syncline.run import Opened

EACH: Final = "each record was asked for"
"""Why no checksums were compared, where nobody wants them."""
What = Literal["all", "sums", "records", "gone"]


@dataclass(frozen=True, slots=True)
class Part:
    """What one worker compares: `all`, the `sums` or the `records` of a range, or what is `gone`.

    The range goes from behind `after`, up to and with `until`: whole numbers for sums, positions of
    the source for records; None is open.
    """

    what: What = "all"
    after: str | None = None
    until: str | None = None

    @property
    def between(self) -> Between | None:
        """The range of keys on both sides, where it is one."""
        if self.what != "sums":
            return None
        ends = (None if end is None else int(end) for end in (self.after, self.until))
        return Between(*ends)


WHOLE: Final = Part()


def divide(run: Opened, workers: int, *, each: bool = False) -> list[Part]:
    """The parts of a comparison for so many workers; a single one where it can't be divided."""
    count = parts_for(workers, run.bound.source_info.row_estimate, run.read.batch_rows)
    by_records = each or isinstance(sides.records(run), str)
    if count == 1 or not (by_records or sides.has_ranges(run)):
        return [WHOLE]
    cuts = run.source.split(run.read, count)
    if not by_records:
        cuts = [str(number) for number in _keys_behind(run, cuts)]
    if not cuts:
        return [WHOLE]
    ends = zip([None, *cuts], [*cuts, None], strict=True)
    found = [Part("records" if by_records else "sums", *pair) for pair in ends]
    return [*found, Part("gone")] if by_records and gone.tells(run) else found


def _keys_behind(run: Opened, cuts: Sequence[str]) -> list[int]:
    """What the key, or its first column, is first behind each of these positions, which a source
    alone can read. Positions in the midst of one number give that number once.
    """
    key = run.read.key[0]
    columns = {name: run.read.columns[name] for name in run.read.key}
    only = ReadSpec(run.read.table, run.read.key, columns, batch_rows=1)
    found: set[int] = set()
    for after, until in zip(cuts, [*cuts[1:], None], strict=True):
        with run.source.read(only, mode="full", after=after, until=until) as read:
            first = next(iter(read.batches()), None)
            if first is not None and first.records.num_rows:
                found.add(int(first.records.column(key)[0].as_py()))
    return sorted(found)
