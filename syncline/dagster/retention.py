"""Retention: old runs of Dagster, which it would keep for ever, with their events and logs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.tags import (
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
    REPOSITORY_LABEL_TAG,
)

from syncline.errors import InputError

SENSOR: Final = "old_runs_sensor"
VARIABLE: Final = "SYNCLINE_KEEP_RUNS_DAYS"
DAYS: Final = 90
SECONDS: Final = 20.0
"""How long one look may delete; Dagster allows a sensor a minute."""
_PAGE: Final = 200
_MOST: Final = 1000
_PARTITIONED: Final = (BACKFILL_ID_TAG, PARTITION_NAME_TAG)


def days_kept() -> int:
    """SYNCLINE_KEEP_RUNS_DAYS, else 90. Raises InputError where that is no number above 0."""
    text = os.environ.get(VARIABLE) or str(DAYS)
    if not text.isdecimal() or int(text) == 0:
        raise InputError(f"{VARIABLE} is {text!r}", hint="a number of days, 1 or more")
    return int(text)


def old_runs_sensor(prefix: str) -> dg.SensorDefinition:
    """Deletes runs that ended long ago, some each time; off until someone switches it on."""

    @dg.sensor(  # pyright: ignore[reportUnknownMemberType] (PathLike without its argument)
        name=prefix + SENSOR,
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Deletes runs older than {VARIABLE} ({DAYS}), with their events and logs. "
        "The newest materialization of an asset stays, and so do backfills.",
    )
    def old_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        location = context.code_location_origin
        if location is None:
            return dg.SkipReason("the code location is not known, so neither are its runs")
        try:
            days = days_kept()
        except InputError as error:
            return dg.SkipReason(f"{error}: {error.hint}")
        owner = f"{context.repository_name}@{location.location_name}"
        done = delete_old(context.instance, owner, datetime.now(UTC) - timedelta(days=days))
        return dg.SkipReason(f"{done:,} runs older than {days} days deleted")

    return old_runs


def delete_old(instance: dg.DagsterInstance, owner: str, before: datetime) -> int:
    """Delete the runs of a code location that began before that instant and have ended; how many.

    `owner` is `REPOSITORY@LOCATION`: runs of others are theirs. Kept are runs that Dagster's pages
    need: with the newest materialization or observation of an asset, and those of partitions, which
    would be shown as missing.
    """
    ends = time.monotonic() + SECONDS
    done = 0
    for run_id in list(islice(_old(instance, owner, before), _MOST)):
        if time.monotonic() > ends:
            break
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        instance.delete_run(run_id)
        storage = instance.event_log_storage
        if isinstance(storage, SqliteEventLogStorage):  # it keeps a file for each run, if empty
            Path(storage.path_for_shard(run_id)).unlink(missing_ok=True)
        done += 1
    return done


def _old(instance: dg.DagsterInstance, owner: str, before: datetime) -> Iterator[str]:
    newest = set(_newest(instance))
    asked = dg.RunsFilter(
        created_before=before,
        statuses=list(FINISHED_STATUSES),
        tags={REPOSITORY_LABEL_TAG: owner},
    )
    cursor: str | None = None
    while runs := instance.get_runs(asked, cursor=cursor, limit=_PAGE, ascending=True):
        cursor = runs[-1].run_id
        for run in runs:
            if run.run_id not in newest and not any(tag in run.tags for tag in _PARTITIONED):
                yield run.run_id


def _newest(instance: dg.DagsterInstance) -> Iterator[str]:
    """The runs that told the newest of some asset."""
    for record in instance.get_asset_records():
        entry = record.asset_entry
        for newest in (entry.last_materialization_record, entry.last_observation_record):
            if newest is not None:
                yield newest.run_id
