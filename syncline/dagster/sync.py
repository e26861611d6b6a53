"""Sync inside Dagster: run one mapping, tell its progress and numbers, check it, end as Dagster
expects.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from syncline.connections import secrets_of
from syncline.dagster import checks
from syncline.dagster.batches import teller
from syncline.dagster.cancel import asked_to_end
from syncline.dagster.config import SyncConfig, SyncMode, check, options_of
from syncline.dagster.failure import failure_of
from syncline.dagster.log import route_logs
from syncline.dagster.metadata import metadata_of, planned, warnings_of
from syncline.dagster.samples import FirstRecords
from syncline.errors import GuardStopped, LeaseHeld, SynclineError, TooManyDeadLetters
from syncline.log import hide, redacted
from syncline.mapping.model import Mapping
from syncline.project import Project

if TYPE_CHECKING:
    from syncline.run import RunSummary

Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext
Results = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]


def sync(context: dg.AssetExecutionContext, root: Path, name: str, config: SyncConfig) -> Results:
    """Run a mapping of the project at `root`, then its checks; or only these, or a dry run.

    Raises dg.Failure for whatever goes wrong; it allows a retry only where that may help. A run
    that is asked to end does so at a batch boundary, with what is done kept; Dagster then shows it
    as canceled. Where a check fails that blocks, the step fails too, and is not tried again.
    """
    wanted = [key.name for key in context.selected_asset_check_keys]
    if not context.selected_asset_keys:
        yield from check_alone(context, root, name)
    elif config.dry_run:
        _plan(context, root, name, config)
    else:
        yield from _sync(context, Project(root), name, config, wanted)


def check_alone(context: Context, root: Path, name: str) -> Iterator[dg.AssetCheckResult]:
    """Make the selected checks of a mapping, and nothing else. Raises dg.Failure as `sync` does."""
    project = Project(root)
    wanted = [key.name for key in context.selected_asset_check_keys]
    with told(context, project, name) as cancelled:
        found = list(checks.alone(project, project.mapping(name), wanted, cancelled))
    yield from found


def _sync(
    context: dg.AssetExecutionContext,
    project: Project,
    name: str,
    config: SyncConfig,
    wanted: list[str],
) -> Results:
    blamed: list[dg.AssetCheckResult] = []
    try:
        with told(context, project, name) as cancelled:
            mapping = project.mapping(name)
            first = FirstRecords(mapping)
            try:
                summary = _run(context, project, name, config, first, cancelled)
            except (GuardStopped, TooManyDeadLetters) as error:
                blamed = [one for one in _blamed(mapping, error) if one.check_name in wanted]
                raise
    except dg.Failure:
        yield from blamed
        raise
    for line in warnings_of(summary):
        context.log.warning(line)
    yield dg.MaterializeResult(metadata=metadata_of(project, mapping, summary, first))
    with told(context, project, name) as cancelled:
        found = list(
            checks.after_run(
                project, mapping, wanted, synced_at=summary.checkpoint, drift=summary.drift,
                cancelled=cancelled,
            )
        )  # fmt: skip
    yield from found
    if stops := [str(one.check_name) for one in found if checks.blocks(mapping, one)]:
        # Before Dagster's own error for it, which it would try again.
        raise dg.Failure(
            f"{name} was synced, but its blocking check {' and '.join(stops)} failed: what comes "
            "after it does not begin",
            allow_retries=False,
        )


def _blamed(mapping: Mapping, error: SynclineError) -> Iterator[dg.AssetCheckResult]:
    """The checks that an error answers."""
    if isinstance(error, GuardStopped) and error.reason == "schema":
        yield checks.drifted(mapping, [redacted(str(error))])
    if isinstance(error, TooManyDeadLetters):
        shown = redacted(str(error))
        yield checks.result_of(mapping, "dead_letters", passed=False, told=shown)


def _run(
    context: dg.AssetExecutionContext,
    project: Project,
    name: str,
    config: SyncConfig,
    first: FirstRecords,
    cancelled: Callable[[], bool],
) -> RunSummary:
    # Imported here: loading the definitions does not need the engine.
    from syncline import steps
    from syncline.dagster.lent import ended
    from syncline.sync import Cancelled, run

    if cancelled():
        raise Cancelled(f"{name} was cancelled before it began")
    options = options_of(
        config,
        trigger=f"dagster:{context.run.run_id}",
        on_progress=teller(context, dg.AssetKey(name)),
        on_batch=first.look,
        cancelled=cancelled,
    )
    try:
        return run(project, name, options)
    except LeaseHeld:
        # A run by steps that was killed as a whole has it still, and could not say so.
        if not steps.release(project, name, ended(context.instance)):
            raise
        return run(project, name, options)


def _plan(context: dg.AssetExecutionContext, root: Path, name: str, config: SyncConfig) -> None:
    """Observe what a run would do; nothing is written, so nothing was materialized either."""
    from syncline.plan import plan

    project = Project(root)
    with told(context, project, name):
        check(config)
        mapping = project.mapping(name)
        report = plan(project, name, full=config.mode is SyncMode.full)
    counts = ", ".join(f"{count:,} {effect}" for effect, count in report.counts.items() if count)
    found = f"dry run of {name}: {report.mode} of {report.read:,}: {counts or 'nothing'}"
    context.log.info(f"{found}; stopped by {report.stopped}" if report.stopped else found)
    context.log_event(
        dg.AssetObservation(dg.AssetKey(name), description=found, metadata=planned(mapping, report))
    )


@contextmanager
def told(context: Context, project: Project, name: str) -> Generator[Callable[[], bool]]:
    """Whatever is raised within is told to Dagster as a dg.Failure, without secrets.

    Interrupts are held back meanwhile; gives what says whether the run should end.
    """
    route_logs()
    try:
        hide(_secrets(project))
        with asked_to_end(context.instance, context.run.run_id) as cancelled:
            yield cancelled
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
