"""Alerts: failed runs and mappings that fell behind, told to SYNCLINE_ALERT_URL.

What is told is put into the control store's outbox and sent by a tick of its own, so that neither a
run nor another sensor waits for the receiver.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import dagster as dg

from syncline.dagster.automation import MAPPING_TAG
from syncline.errors import InputError
from syncline.mapping.model import Mapping
from syncline.project import Project
from syncline.store import Store
from syncline.webhooks.alerts import alert, send_due
from syncline.webhooks.settings import ALERT_URL, Receiver, receiver_of

FAILED: Final = "failed_runs_sensor"
ALERTS: Final = "alerts_sensor"
_LONGEST_ERROR: Final = 1000


def failed_sensor(root: Path, mappings: Collection[str], prefix: str) -> dg.SensorDefinition:
    """Puts every run of these mappings that failed for good into the outbox, once."""

    @dg.run_failure_sensor(  # pyright: ignore[reportUnknownMemberType] (PathLike, as above)
        name=prefix + FAILED,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells {ALERT_URL} of runs that failed.",
    )
    def failed(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        project = Project(root)
        receiver = receiver_of(project)
        if receiver is None:
            return dg.SkipReason(f"{ALERT_URL} is not set")
        run = context.dagster_run
        names = sorted(mappings_of(run).intersection(mappings))
        if not names:
            return dg.SkipReason("the run is of no mapping")
        data: dict[str, Any] = {
            "run": run.run_id,
            "mappings": names,
            "error": _error_of(context)[:_LONGEST_ERROR],
        }
        with Store.open(project.store_url) as store:
            one = names[0] if len(names) == 1 else ""
            alert(store, receiver, "run.failed", one, data, once=run.run_id)
        return None

    return failed


def mappings_of(run: dg.DagsterRun) -> set[str]:
    """The mappings that a run syncs, backfills or checks, and whatever else it has as assets."""
    keys = set(run.asset_selection or ())
    keys |= {check.asset_key for check in run.asset_check_selection or ()}
    named = {key.path[-1] for key in keys}
    if MAPPING_TAG in run.tags:  # NAME_full is a job of steps, without assets
        named.add(run.tags[MAPPING_TAG])
    return named


def _error_of(context: dg.RunFailureSensorContext) -> str:
    """What the failed step says, else what Dagster says of the run."""
    for event in context.get_step_failure_events():
        error = event.step_failure_data.user_failure_data
        if error is not None and error.description:
            return error.description
        if event.step_failure_data.error is not None:
            return event.step_failure_data.error.message
    return context.failure_event.message or "the run failed"


def alerts_sensor(root: Path, mappings: Sequence[Mapping], prefix: str) -> dg.SensorDefinition:
    """Looks who is behind `max_lag:`, and sends what is due."""
    lags = {each.name: each.max_lag for each in mappings if each.max_lag is not None}

    @dg.sensor(  # pyright: ignore[reportUnknownMemberType] (PathLike without its argument)
        name=prefix + ALERTS,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells {ALERT_URL} of mappings behind `max_lag:`, and sends what is due.",
    )
    def tell(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        project = Project(root)
        try:
            receiver = receiver_of(project)
        except InputError as error:
            return dg.SkipReason(f"{error}; {error.hint}")
        if receiver is None:
            return dg.SkipReason(f"{ALERT_URL} is not set")
        with Store.open(project.store_url) as store:
            synced = store.synced()
            now = datetime.now(UTC)
            late = {
                name: synced[name].isoformat()
                for name, lag in lags.items()
                if name in synced and now - synced[name] > lag
            }
            before: dict[str, str] = json.loads(context.cursor or "{}")
            _tell_lag(store, receiver, before, late)
            context.update_cursor(json.dumps(late))
            sent = send_due(store, receiver)
        return dg.SkipReason(
            f"{len(late)} mappings are late; {sent.taken} alerts taken, {sent.failed} not"
        )

    return tell


def _tell_lag(
    store: Store, receiver: Receiver, before: dict[str, str], late: dict[str, str]
) -> None:
    for name, since in late.items():
        if before.get(name) != since:
            data = {"synced_at": since}
            alert(store, receiver, "mapping.late", name, data, once=since)
    for name in before.keys() - late.keys():
        alert(store, receiver, "mapping.on-time", name, {}, once=before[name])
