"""Plan: what a run would do now, by the same read, map, classify and resolve; writes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from syncline import drift, gone, ledger, sides
from syncline.baseline import decode_key
from syncline.batch import Batch, Seen, record
from syncline.classify import Effect, FieldEffect, Presence
from syncline.endpoints.base import ROW, Mode, SourceBatch
from syncline.errors import CheckpointVoid, GuardStopped, InputError
from syncline.guard import check_deletes, check_drift, check_lookups
from syncline.keys import Keys
from syncline.ledger import Document
from syncline.pulse import Watch
from syncline.read import page, pages
from syncline.resolve import Action, Verdict
from syncline.review.mask import Columns, shown, shown_record
from syncline.run import Opened, opened, terms_of
from syncline.settle import Terms, judge

if TYPE_CHECKING:
    from syncline.project import Project

_NAMES = {
    Action.INSERT: "insert",
    Action.UPDATE: "update",
    Action.DELETE: "delete",
    Action.QUEUE: "queue",
    Action.NONE: "unchanged",
}


@dataclass(slots=True)
class PlanReport:
    """What a run would do.

    `counts` by effect; `samples` a few records of each, with target now and would-be. `stopped` is
    the guard that would stop the run, if one would; `keys` how what is gone is told; `drift` what
    became of the columns since the last run; `detect` how edits of the target are noticed. `steps`
    is one record's way (`--key`).
    """

    mapping: str
    mode: str
    guarantee: str = ""
    why: str = ""
    read: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])
    samples: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    stopped: str = ""
    keys: str = ""
    drift: list[str] = field(default_factory=list[str])
    detect: str = ""
    warnings: list[str] = field(default_factory=list[str])
    steps: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values, but for dates and decimals inside samples."""
        return {**asdict(self), "counts": dict(self.counts)}


def plan(
    project: Project, name: str, *, key: str | None = None, limit: int = 10, full: bool = False
) -> PlanReport:
    """What `run` would do with a mapping now.

    `key` follows one record through every step.     `key` is the source's key as text; a composite
    key is a JSON list of texts. Raises as `run` does before it writes.
    """
    with opened(project, name) as run:
        document = (
            Document() if run.bound.target_info is None else ledger.peek(run.target, run.spec)[1]
        )
        report = PlanReport(
            name,
            "delta",
            detect=run.bound.detect,
            drift=[str(each) for each in drift.found(run, document)],
        )
        report.warnings += Watch(run, document).warnings()
        rebased = False
        try:
            rebased = check_drift(run, document, frozenset())
        except GuardStopped as stopped:
            report.stopped = f"{stopped.reason}: {stopped}"
        terms = terms_of(run, document, run_id="plan", epoch=0)
        if key is not None:
            report.mode = "key"
            _follow(run, terms, key, report)
            return report
        no_delta = (
            run.read.by == "none" or document.checkpoint is None or document.unfinished is not None
        )
        mode: Mode = "full" if full or rebased or no_delta else "delta"
        try:
            told = _read(run, terms, document, mode, report, limit)
        except CheckpointVoid as void:
            report.stopped = report.stopped or f"the checkpoint can't be continued from: {void}"
            told = _read(run, terms, document, "full", report, limit)
        if run.sees_gone and run.bound.target_info is not None:
            _gone(run, terms, report, limit, told)
        return report


def _read(
    run: Opened, terms: Terms, document: Document, mode: Mode, report: PlanReport, limit: int
) -> Keys | None:
    """Judge what the run would read. Gives the keys that the read itself says are gone, if it tells
    them all.
    """
    report.mode = mode
    since = document.checkpoint.position if mode == "delta" and document.checkpoint else None
    after = document.unfinished.after if mode == "full" and document.unfinished else None
    with (
        run.source.read(run.read, mode=mode, since=since, after=after) as read,
        run.bound.mapper() as mapper,
    ):
        report.guarantee, report.why = read.guarantee.level, read.guarantee.why
        if mode == "delta":
            check_lookups(document, mapper.lookup_digests)
        told = gone.no_keys(run)
        for one in pages(
            read.batches(), mapper, terms.shape, run.source_key, sees_gone=run.sees_gone
        ):
            report.read += one.read
            _judge(run, terms, one.batch, report, limit)
            if one.gone is not None:
                told.add(one.gone)
        return told if mode == "delta" and gone.told_by(read.guarantee, document) else None


def _gone(
    run: Opened,
    terms: Terms,
    report: PlanReport,
    limit: int,
    told: Keys | None,
) -> None:
    """What would be deleted, or contested, because the source has it no more."""
    if report.mode == "delta" and run.mapping.deletes.reconcile != "always":
        return
    if told is not None:
        report.keys = "by the source's change stream"
        found = gone.told(run, terms, told)
    else:
        why = sides.why_keys_travel(run)
        report.keys = f"by all keys: {why}" if why else "by checksums of keys"
        found = gone.find(run, terms.shape)
    for batch in found.batches:
        _judge(run, terms, batch, report, limit)
    try:
        check_deletes(run, found.count, found.known, frozenset())
    except GuardStopped as stopped:
        report.stopped = report.stopped or f"{stopped.reason}: {stopped}"


def _judge(run: Opened, terms: Terms, batch: Batch, report: PlanReport, limit: int) -> None:
    report.counts["dead letter"] += len(batch.dead)
    outside = int((batch.presence == Presence.UNKNOWN).sum()) - len(batch.dead)
    report.counts["outside where"] += outside
    batch = batch.take(np.flatnonzero(batch.presence != Presence.UNKNOWN))
    if batch.rows == 0:
        return
    if run.bound.target_info is None:
        report.counts["insert"] += int((batch.presence == Presence.HERE).sum())
        for row in range(min(batch.rows, limit - len(report.samples))):
            report.samples.append(
                {
                    "key": record(batch.keys, row),
                    "effect": "insert",
                    "fields": {
                        name: [None, shown(value, name in terms.masked)]
                        for name, value in record(batch.values, row).items()
                    },
                }
            )
        return
    with run.target.begin(run.spec, write=False) as tx:
        seen, _, verdict = judge(tx, batch, terms)
    for action, count in zip(*np.unique(verdict.action, return_counts=True), strict=True):
        report.counts[_NAMES[Action(action)]] += int(count)
    report.counts["conflict"] += len(verdict.conflicts)
    _sample(terms, batch, seen, verdict, report, limit)


def _sample(
    terms: Terms, batch: Batch, seen: Seen, verdict: Verdict, report: PlanReport, limit: int
) -> None:
    for action in (Action.QUEUE, Action.DELETE, Action.UPDATE, Action.INSERT):
        had = sum(1 for sample in report.samples if sample["effect"] == _NAMES[action])
        for row in np.flatnonzero(verdict.action == action)[: max(0, limit - had)]:
            report.samples.append(_shown(terms, batch, seen, verdict, int(row)))


def _shown(terms: Terms, batch: Batch, seen: Seen, verdict: Verdict, row: int) -> dict[str, Any]:
    names = list(terms.shape.fields)
    now = (
        record(seen.current.select(names), row, seen.misfits)
        if seen.target[row]
        else dict.fromkeys(names)
    )
    would = record(verdict.values, row)
    action = Action(verdict.action[row])
    fields = {
        name: [now[name], would[name]] for j, name in enumerate(names) if verdict.write[row, j]
    }
    if action == Action.QUEUE:
        conflict = verdict.waiting[row][0]
        fields = {name: [now[name], would[name]] for name in names if name in conflict.contested}
    told = {
        name: [shown(value, name in terms.masked) for value in sides]
        for name, sides in fields.items()
    }
    return {"key": record(batch.keys, row), "effect": _NAMES[action], "fields": told}


def _follow(run: Opened, terms: Terms, key: str, report: PlanReport) -> None:
    """One record's way: as read, as mapped, as the target holds it, what the baseline says, what
    follows.
    """
    source_keys = _key_table(run, key)
    found, misfits = run.source.fetch(run.read, source_keys)
    if found.num_rows == 0:
        report.steps.append(
            {"step": "read", "record": None, "note": "the source has no such record"}
        )
        return
    read = SourceBatch(found.drop_columns([ROW]), misfits, "")
    as_read = shown_record(record(read.records, 0), Columns(run.mapping))
    report.steps.append({"step": "read", "record": as_read})
    with run.bound.mapper() as mapper:
        batch = page(
            read, mapper.map(read), terms.shape, run.source_key, sees_gone=run.sees_gone
        ).batch
    if batch.dead:
        misfit = batch.dead[0]
        value = shown(misfit.value, misfit.field in terms.masked)
        report.steps.append(
            {"step": "map", "dead_letter": f"{misfit.field}: {misfit.reason}: {value}"}
        )
        return
    report.steps.append(
        {
            "step": "map",
            "record": {
                **record(batch.keys, 0),
                **(shown_record(record(batch.values, 0), terms.masked) or {}),
            },
        }
    )
    if batch.presence[0] != Presence.HERE:
        report.steps.append({"step": "where", "note": "the record does not satisfy where"})
    if run.bound.target_info is None:
        report.steps.append({"step": "target", "note": "the target table is to be created"})
        return
    with run.target.begin(run.spec, write=False) as tx:
        seen, change, verdict = judge(tx, batch, terms)
    report.steps += _explained(terms, batch, seen, verdict, change.fields[0])


def _explained(
    terms: Terms, batch: Batch, seen: Seen, verdict: Verdict, fields: Any
) -> list[dict[str, Any]]:
    names, b = list(terms.shape.fields), seen.baselines
    target = record(seen.current.select(names), 0, seen.misfits) if seen.target[0] else None
    baseline: Mapping[str, Any] = {"note": "there is no baseline"}
    if b.present[0]:
        baseline = {
            "source_moved": [
                n
                for j, n in enumerate(names)
                if batch.prints[0, j] != b.s[0, j] or b.source_void[0, j]
            ],
            "target_moved": [n for j, n in enumerate(names) if seen.prints[0, j] != b.t[0, j]],
            "held": [n for j, n in enumerate(names) if b.held[0, j]],
            "hold": ["none", "waits for a person", "dead letter", "refused by a constraint"][
                int(b.hold[0])
            ],
        }
    return [
        {"step": "target", "record": shown_record(target, terms.masked)},
        {"step": "baseline", **baseline},
        {
            "step": "classify",
            "effect": Effect(verdict.effect[0]).name.lower(),
            "fields": {n: FieldEffect(f).name.lower() for n, f in zip(names, fields, strict=True)},
        },
        {
            "step": "resolve",
            **_shown(terms, batch, seen, verdict, 0),
            "reason": verdict.waiting[0][1] if 0 in verdict.waiting else "",
        },
    ]


def _key_table(run: Opened, key: str) -> pa.Table:
    types = run.source_key
    text = key
    if len(types) > 1 and not key.startswith("["):
        text = json.dumps([part.strip() for part in key.split(",")])
    ((_, first), *more) = types.items()
    try:
        keys = pa.array([text], pa.string())
        return decode_key(keys.cast(pa.int64()) if not more and first.is_integer else keys, types)
    except (pa.ArrowException, IndexError, json.JSONDecodeError) as error:
        raise InputError(
            f"{key!r} is not a key of {', '.join(f'{n} ({t})' for n, t in types.items())}"
        ) from error
