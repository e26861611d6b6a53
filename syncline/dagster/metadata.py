"""Metadata: what a run did, as Dagster keeps it. Numbers are plotted over time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

import dagster as dg

from syncline import catalogue
from syncline.dagster.columns import schema_of
from syncline.dagster.review import review_link
from syncline.dagster.samples import FirstRecords, effects
from syncline.review.mask import Columns

if TYPE_CHECKING:
    from syncline.mapping.model import Mapping
    from syncline.plan import PlanReport
    from syncline.progress import Progress
    from syncline.project import Project
    from syncline.run import RunSummary

Metadata = dict[str, Any]

NUMBERS: Final = (
    "read", "inserted", "updated", "deleted", "unchanged", "conflicts", "queued", "dead_letters",
    "rows_per_second",
)  # fmt: skip
"""What a run counted."""


def metadata_of(
    project: Project, mapping: Mapping, summary: RunSummary, first: FirstRecords
) -> Metadata:
    """A run's summary; a checkpoint is an instant, its position is the source's own words.

    `lag_seconds` is how old the checkpoint is now, `lag_before_seconds` how old it was when the run
    began: how far behind the target had fallen.
    """
    metadata: Metadata = {name: dg.MetadataValue.int(getattr(summary, name)) for name in NUMBERS}
    metadata["seconds"] = dg.MetadataValue.float(float(summary.seconds))
    for name in ("mode", "status", "guarantee", "run_id"):
        metadata[name] = dg.MetadataValue.text(getattr(summary, name))
    metadata |= _checkpoints(summary)
    if mapping.delta.cursor not in Columns(mapping):  # else a position tells a masked value
        metadata |= _positions(summary)
    metadata |= {"drift": dg.MetadataValue.md(_list(summary.drift))} if summary.drift else {}
    metadata |= (
        {"warnings": dg.MetadataValue.md(_list(summary.warnings))} if summary.warnings else {}
    )
    if sample := first.table():
        metadata["sample"] = sample
    if link := review_link(mapping.name):
        metadata["review"] = link
    if seen := catalogue.known_of(project, mapping.name):
        metadata["dagster/column_schema"] = schema_of(mapping, seen)
    return metadata


def _checkpoints(summary: RunSummary) -> Metadata:
    now = datetime.now(UTC)
    found: Metadata = {}
    instants = {"": summary.checkpoint, "_before": summary.checkpoint_before}
    for when, instant in instants.items():
        if instant is not None:
            at = datetime.fromisoformat(instant)
            began = now.timestamp() - (summary.seconds if when else 0)
            found[f"checkpoint{when}"] = dg.MetadataValue.timestamp(at)
            lag = max(0.0, round(began - at.timestamp(), 1))
            found[f"lag{when}_seconds"] = dg.MetadataValue.float(lag)
    return found


def _positions(summary: RunSummary) -> Metadata:
    names = ("position", "position_before")
    return {name: _json(text) for name in names if (text := getattr(summary, name))}


def _json(text: str) -> dg.MetadataValue:
    try:
        content: Any = json.loads(text)
    except json.JSONDecodeError:
        return dg.MetadataValue.text(text)
    if isinstance(content, dict | list):
        return dg.MetadataValue.json(cast("dict[str, Any] | list[Any]", content))
    return dg.MetadataValue.text(text)


def _list(lines: tuple[str, ...]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def planned(mapping: Mapping, report: PlanReport) -> Metadata:
    """What a dry run found that a run would do."""
    metadata: Metadata = {
        f"would_{effect.replace(' ', '_')}": dg.MetadataValue.int(count)
        for effect, count in report.counts.items()
    }
    metadata["would_read"] = dg.MetadataValue.int(report.read)
    for name in ("mode", "guarantee", "stopped"):
        if text := getattr(report, name):
            metadata[name] = dg.MetadataValue.text(text)
    if report.drift:
        metadata["drift"] = dg.MetadataValue.md(_list(tuple(report.drift)))
    if report.samples:
        metadata["sample"] = effects(mapping, report.samples)
    return metadata


def progress_line(progress: Progress) -> str:
    """One batch's line of the run's log."""
    whole = f" of about {progress.estimate:,}" if progress.estimate else ""
    parts = [f"read {progress.read:,}{whole}, wrote {progress.written:,}"]
    if progress.seconds > 0:
        parts.append(f"{progress.rows_per_second:,.0f} records/s")
    if progress.bytes:
        parts.append(f"{progress.bytes_per_second / 1e6:,.1f} MB/s")
    parts.append(f"batch {progress.batches:,}")
    if (left := progress.seconds_left) is not None:
        parts.append(f"about {left:,.0f} s left")
    if progress.slow_side is not None:
        parts.append(f"slow: {progress.slow_side}")
    return f"{progress.mapping}: {', '.join(parts)}"


def warnings_of(summary: RunSummary) -> Iterator[str]:
    """What the run left for a person, with the command that lists it, and what it warns of."""
    name = summary.mapping
    if summary.queued:
        yield f"{summary.queued:,} records wait for a person: syncline conflicts list {name}"
    if summary.dead_letters:
        yield f"{summary.dead_letters:,} dead letters: syncline dead-letters list {name}"
    yield from summary.warnings
