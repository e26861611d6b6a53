"""Compare: a mapping's two sides, looked at twice; see `syncline.verify` for what that proves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import structlog

from syncline import arrow, gone, ledger, sides
from syncline.baseline import encode_key
from syncline.batch import Batch, Seen, see
from syncline.classify import Presence
from syncline.decide import gone_of, records_of
from syncline.difference import (
    APART,
    DIFFERENCES,
    Sample,
    Standing,
    Stands,
    apart,
    sample,
    stands,
)
from syncline.digests import Side, held
from syncline.errors import CheckpointVoid, GuardStopped, RunFailed
from syncline.ledger import Document
from syncline.ranges import EACH, WHOLE, Part
from syncline.read import pages
from syncline.review.mask import shown
from syncline.run import Opened, terms_of
from syncline.settle import Terms, judge
from syncline.store.store import Store
from syncline.suspects import Suspects
from syncline.sync import MANY, Progress

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")


@dataclass(slots=True)
class VerifyReport:
    """How the two sides of a mapping stand to each other.

    `read` source records are `equal`, `missing` on the target, `different` (`fields`: how many, by
    field), `late`, `apart` (by reason, see `syncline.difference.Standing`), `dead_letters`, or
    `outside` of `where`. `extra` counts target records; None where they can't be told. `by` says
    how they were compared: by `checksums` that the databases computed, or each of the `records`,
    mapped here, for the reason `why`. `travelled` records were read here to tell that.
    """

    mapping: str
    run_id: str = ""
    status: Literal["equal", "differs"] = "equal"
    read: int = 0
    equal: int = 0
    missing: int = 0
    extra: int | None = None
    different: int = 0
    fields: dict[str, int] = field(default_factory=dict[str, int])
    late: int = 0
    apart: dict[str, int] = field(default_factory=dict[str, int])
    dead_letters: int = 0
    outside: int = 0
    by: Literal["checksums", "records"] = "records"
    why: str = ""
    travelled: int = 0
    seconds: float = 0.0
    rows_per_second: int = 0
    checkpoint: str | None = None
    samples: list[Sample] = field(default_factory=list[Sample])

    @property
    def differences(self) -> int:
        """Records that are missing, extra or different: what `repair` is for."""
        return self.missing + (self.extra or 0) + self.different

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values, but for dates and decimals inside samples."""
        return asdict(self)


class Comparison:
    """One comparison: a first look at everything, a second at what differed."""

    def __init__(
        self,
        run: Opened,
        store: Store,
        keys: Suspects,
        limit: int,
        on_progress: Callable[[Progress], None] | None,
        *,
        part: Part = WHOLE,
        each: bool = False,
    ) -> None:
        self.run, self.keys, self._part, self._each = run, keys, part, each
        self.report = VerifyReport(run.name)
        self._store, self._limit, self._on_progress = store, limit, on_progress
        self._began = time.monotonic()
        self._apart: list[Sample] = []

    def compare(self, pause: float) -> None:
        """Look twice, and fill the report."""
        self._peek()
        self._first_look(self._part)
        if len(self.keys):
            time.sleep(pause)
            self._look()
        self._sum_up()

    def again(self) -> VerifyReport:
        """Look once more at just the records that differed, as after a repair.

        The counts of the report that comes back are of those records.
        """
        self.keys.forget_found()
        self.report = VerifyReport(self.run.name, self.report.run_id, read=len(self.keys))
        self._apart = []
        self._began = time.monotonic()
        self._look()
        self._sum_up()
        return self.report

    def _peek(self) -> None:
        _, self.document = ledger.peek(self.run.target, self.run.spec)
        point = self.document.checkpoint
        self.report.checkpoint = point.synced_at if point else None
        self._terms: Terms = terms_of(self.run, self.document, run_id="verify", epoch=0)

    # --- the first look: everything, once ---

    def _first_look(self, part: Part) -> None:
        both = EACH if self._each else sides.records(self.run, part.between)
        if part.what in {"all", "sums"} and not isinstance(both, str):
            self._sum(*both)
            return
        self.report.why = both if isinstance(both, str) else ""
        if part.what == "sums":
            message = f"{self.run.name} changed while it was compared: {self.report.why}"
            raise RunFailed(message, hint=f"syncline verify {self.run.name}")
        if part.what != "gone":
            self._scan(part)
        if part.what != "records":
            self._find_gone()

    def _sum(self, source: Side, target: Side) -> None:
        """Compare checksums, and note the keys of what is not alike."""
        run, report = self.run, self.report
        whole, estimate = run.spec.ledger_key.is_integer, run.bound.source_info.row_estimate
        with held(source, target, whole=whole, estimate=estimate) as both:
            report.by, report.read, report.travelled = "checksums", both.source, both.travelled
            report.equal = both.source - both.differing_at_source()
            report.dead_letters = both.without_key()
            for keys in both.differing(extra=gone.tells(run)):
                readable = sides.readable(run, keys)
                report.dead_letters += len(keys) - len(readable)
                self.keys.add(gone.possible(run, readable))
        self._tell()

    def _scan(self, part: Part) -> None:
        """Go through the source in key order, and note the keys of what is not alike."""
        run, shape = self.run, replace(self._terms.shape, ledger=False)
        part_of = run.source.read(run.read, mode="full", after=part.after, until=part.until)
        with part_of as read, run.bound.mapper() as mapper:
            for page in pages(
                read.batches(), mapper, shape, run.source_key, sees_gone=run.sees_gone
            ):
                self._scan_batch(page.batch)
                self.report.read += page.read
                self.report.travelled += page.read
                self._tell()

    def _scan_batch(self, batch: Batch) -> None:
        report = self.report
        known = np.flatnonzero(batch.presence != Presence.UNKNOWN)
        report.dead_letters += len(batch.dead)
        report.outside += batch.rows - len(known) - len(batch.dead)
        batch = batch.take(known)
        if batch.rows == 0:
            return
        with self.run.target.begin(self.run.spec, write=False) as tx:
            seen = see(tx, batch, replace(self._terms.shape, ledger=False))
        suspect = apart(batch, seen)
        here = batch.presence == Presence.HERE
        report.equal += int((here & ~suspect).sum())
        report.outside += int((~here & ~suspect).sum())
        if suspect.any():
            self.keys.add(batch.take(np.flatnonzero(suspect)).ledger_keys)

    def _find_gone(self) -> None:
        run = self.run
        if gone.tells(run):
            for batch in gone.find(run, self._terms.shape).batches:
                self.keys.add(batch.ledger_keys)

    def _tell(self) -> None:
        if self._on_progress is not None:
            seconds = time.monotonic() - self._began
            estimate = self.run.bound.source_info.row_estimate
            self._on_progress(Progress(self.run.name, self.report.read, 0, seconds, estimate))

    # --- the second look: what differed ---

    def _look(self) -> None:
        self._peek()
        for keys in self.keys.chunks():
            for batch, seen, found in self._judged(keys):
                self._note(batch, seen, found)
        if self.keys.may_be_late():
            self._find_pending(self.document)

    def _judged(self, keys: pa.Array[Any]) -> Iterator[tuple[Batch, Seen, Stands]]:
        """The records of these keys as they stand now; the source is read before the target."""
        run, terms = self.run, self._terms
        records, found = records_of(run, terms.shape, keys)
        if records is not None:
            yield self._stands(records)
        if not found.all():
            yield self._stands(gone_of(run, terms.shape, arrow.keep(keys, ~found)))

    def _stands(self, batch: Batch) -> tuple[Batch, Seen, Stands]:
        run = self.run
        texts = [str(key) for key in batch.ledger_keys.to_pylist()]
        with run.target.begin(run.spec, write=False) as tx:
            seen, change, verdict = judge(tx, batch, self._terms)
        waits, dead = self._known_to_wait(texts)
        ignores = not run.sees_gone
        found = stands(batch, seen, change, verdict, waits=waits, dead=dead, ignores_gone=ignores)
        if run.read.by == "none":  # nothing but a baseline tells late from lost
            found = replace(found, moved=found.moved & seen.baselines.present)
        return batch, seen, found

    def _known_to_wait(self, keys: list[str]) -> tuple[Any, Any]:
        """Without a ledger the control store alone knows what waits and what is a dead letter."""
        if self.run.spec.ledger:
            nothing = np.zeros(len(keys), np.bool_)
            return nothing, nothing
        waiting = self._store.waiting(self.run.name, keys)
        letters = {letter.ledger_key for letter in self._store.dead_letters(self.run.name, MANY)}
        return (
            np.array([key in waiting for key in keys], np.bool_),
            np.array([key in letters for key in keys], np.bool_),
        )

    def _note(self, batch: Batch, seen: Seen, found: Stands) -> None:
        report = self.report
        report.equal += found.count(Standing.EQUAL)
        report.dead_letters += found.count(Standing.DEAD)
        if batch.source is not None:  # a record that the source has, and that is not for the target
            report.outside += found.count(Standing.NOTHING)
        for standing in APART:
            if number := found.count(standing):
                name = standing.name.lower()
                report.apart[name] = report.apart.get(name, 0) + number
        rows = found.rows(*DIFFERENCES)
        if len(rows):
            self.keys.add_found(batch.ledger_keys, found, rows)
        for row in found.rows(*APART)[: self._limit - len(self._apart)]:
            self._apart.append(sample(batch, seen, found, int(row)))

    def _find_pending(self, document: Document) -> None:
        """Read which records the next run reads, from the checkpoint that the look began with."""
        run, point = self.run, document.checkpoint
        if point is None:
            return
        if run.read.by == "none":
            self.keys.all_pending()
            return
        try:
            with run.source.read(run.read, mode="delta", since=point.position) as read:
                for batch in read.batches():
                    keys = encode_key(batch.records.select(list(run.source_key)), run.source_key)
                    self.keys.add_pending(keys.drop_null())
                    if batch.gone is not None and gone.told_by(read.guarantee, document):
                        self.keys.add_pending(encode_key(batch.gone, run.source_key))
        except (CheckpointVoid, GuardStopped) as stopped:
            # No delta brings anything any more, so nothing is merely late.
            log.warning("the checkpoint can't be continued from", reason=str(stopped))

    # --- the report ---

    def _sum_up(self) -> None:
        report, keys = self.report, self.keys
        report.missing = keys.count(Standing.MISSING)
        report.different = keys.count(Standing.DIFFERENT)
        extra = keys.count(Standing.EXTRA)
        report.extra = extra if gone.tells(self.run) or extra else None
        report.late = keys.late()
        names = list(self._terms.shape.fields)
        report.fields = {names[number]: count for number, count in keys.fields().items()}
        report.status = "differs" if report.differences else "equal"
        samples = [*self._samples(), *self._apart][: self._limit]
        report.samples = [_hidden(one, self._terms.masked) for one in samples]
        report.seconds = round(time.monotonic() - self._began, 3)
        report.rows_per_second = round(report.read / report.seconds) if report.seconds else 0

    def _samples(self) -> Iterator[Sample]:
        """Some of the records that differ, with what both sides hold now."""
        left = self._limit
        for keys in self.keys.differing():
            for batch, seen, found in self._judged(keys.slice(0, left)) if left > 0 else ():
                for row in found.rows(*DIFFERENCES):
                    left -= 1
                    yield sample(batch, seen, found, int(row))
            if left <= 0:
                return


def _hidden(one: Sample, masked: frozenset[str]) -> Sample:
    """The sample with the values of masked fields hidden."""
    fields = {
        name: [shown(value, name in masked) for value in sides]
        for name, sides in one.fields.items()
    }
    return replace(one, fields=fields)
