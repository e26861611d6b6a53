"""Sync inside Dagster: run one mapping, tell its progress and numbers, end as Dagster expects."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from syncline.connections import secrets_of
from syncline.dagster.cancel import asked_to_end
from syncline.dagster.config import SyncConfig, options_of
from syncline.dagster.failure import failure_of
from syncline.dagster.log import route_logs
from syncline.errors import SynclineError
from syncline.log import hide, redacted
from syncline.project import Project

if TYPE_CHECKING:
    from syncline.sync import Progress, RunSummary

NUMBERS: Final = (
    "read", "inserted", "updated", "deleted", "unchanged", "conflicts", "queued", "dead_letters",
    "rows_per_second",
)  # fmt: skip
"""What a run counted: Dagster plots each over time."""


def sync(
    context: dg.AssetExecutionContext, root: Path, name: str, config: SyncConfig
) -> dg.MaterializeResult[Any]:
    """Run a mapping of the project at `root`.

    Raises dg.Failure for whatever goes wrong; it allows a retry only where that may help. A run
    that is asked to end does so at a batch boundary, with what is done kept; Dagster then shows it
    as canceled.
    """
    route_logs()
    project = Project(root)  # read anew: its files may have changed since the definitions loaded
    try:
        hide(_secrets(project))
        with asked_to_end(context.instance, context.run.run_id) as cancelled:
            summary = _run(context, project, name, config, cancelled)
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
        # Not raised again: Dagster would retry an interrupted step that has a retry policy.
        raise dg.Failure(f"{name} was interrupted", allow_retries=False) from None
    except Exception as error:  # noqa: BLE001 - raised again, as the failure that Dagster knows
        shown = redacted(str(error))
        if not isinstance(error, SynclineError):
            shown = f"{type(error).__name__}: {shown}"
            context.log.error(redacted(traceback.format_exc()))
        # `from None`: what a driver said, further down the chain, may hold a URL.
        raise failure_of(error, shown) from None
    for line in warnings_of(summary):
        context.log.warning(line)
    return dg.MaterializeResult(metadata=metadata_of(summary))


def _run(
    context: dg.AssetExecutionContext,
    project: Project,
    name: str,
    config: SyncConfig,
    cancelled: Callable[[], bool],
) -> RunSummary:
    # Imported here: loading the definitions does not need the engine.
    from syncline.sync import Cancelled, run

    if cancelled():
        raise Cancelled(f"{name} was cancelled before it began")
    options = options_of(
        config,
        trigger=f"dagster:{context.run.run_id}",
        on_progress=lambda progress: context.log.info(progress_line(progress)),
        cancelled=cancelled,
    )
    return run(project, name, options)


def _secrets(project: Project) -> list[str]:
    """What must not be shown, of every connection that can be resolved."""
    found = list(secrets_of(project.store_url))
    try:
        names = list(project.connections)
    except SynclineError:
        return found
    for name in names:
        try:
            found.extend(project.connections[name].secrets)
        except SynclineError:
            continue
    return found


def progress_line(progress: Progress) -> str:
    """One batch's line of the run's log."""
    rate = f", {progress.read / progress.seconds:,.0f} records/s" if progress.seconds > 0 else ""
    whole = f" of about {progress.estimate:,}" if progress.estimate else ""
    return f"{progress.mapping}: read {progress.read:,}{whole}, wrote {progress.written:,}{rate}"


def metadata_of(summary: RunSummary) -> dict[str, dg.MetadataValue]:
    """A run's summary as Dagster keeps it: numbers are plotted, the checkpoint is an instant."""
    metadata: dict[str, dg.MetadataValue] = {
        name: dg.MetadataValue.int(getattr(summary, name)) for name in NUMBERS
    }
    metadata["seconds"] = dg.MetadataValue.float(float(summary.seconds))
    for name in ("mode", "status", "guarantee", "run_id"):
        metadata[name] = dg.MetadataValue.text(getattr(summary, name))
    if summary.checkpoint is not None:
        instant = datetime.fromisoformat(summary.checkpoint)
        metadata["checkpoint"] = dg.MetadataValue.timestamp(instant)
    return metadata


def warnings_of(summary: RunSummary) -> Iterator[str]:
    """What the run left for a person, with the command that lists it."""
    name = summary.mapping
    if summary.queued:
        yield f"{summary.queued:,} records wait for a person: syncline conflicts list {name}"
    if summary.dead_letters:
        yield f"{summary.dead_letters:,} dead letters: syncline dead-letters list {name}"
