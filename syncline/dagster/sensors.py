"""Sensors: decisions that wait to be written, and webhooks that came in, each start a run.

They are on from the start: what they answer is an act of somebody, who settled a conflict or holds
a secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import dagster as dg

from syncline.dagster.checks import inline_check_keys
from syncline.mapping.model import Mapping
from syncline.project import Project
from syncline.store import Store
from syncline.store.inbox import Received

SETTLED: Final = "settled_conflicts_sensor"
WEBHOOKS: Final = "webhooks_sensor"
UNDO: Final = timedelta(seconds=30)
"""A decision may be taken back for a while, and the review app, where it runs, writes it itself."""
_SENSOR_TAG: Final = "dagster/sensor_name"
_RUN_KEY_TAG: Final = "dagster/run_key"
_NOT_BEGUN: Final = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED]


def settled_sensor(
    root: Path, mappings: MappingOf[str, Mapping], prefix: str
) -> dg.SensorDefinition:
    """Runs a mapping when conflicts of it were decided: the run writes the decisions.

    One run for all that was decided by then; where that run fails, the next one of the mapping
    writes them.
    """
    sensor = prefix + SETTLED

    @dg.sensor(  # pyright: ignore[reportUnknownMemberType] (PathLike without its argument)
        name=sensor,
        asset_selection=dg.AssetSelection.assets(*mappings),
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs a mapping whose conflicts were decided: the run writes the decisions.",
    )
    def settled(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        with Store.open(Project(root).store_url) as store:
            last = datetime.now(UTC) - UNDO
            decided = {name: at for name, at in store.settled().items() if at <= last}
        asked = [name for name in decided if name in mappings and not _waits(context, name, sensor)]
        for name in sorted(asked):
            run_key = f"{name} {decided[name].isoformat()}"
            yield _run_of(mappings[name], run_key)
        if not asked:
            yield dg.SkipReason("no decision waits to be written, or a run for it waits already")

    return settled


def webhooks_sensor(
    root: Path, mappings: MappingOf[str, Mapping], prefix: str
) -> dg.SensorDefinition:
    """Runs a mapping that webhooks came in for; one run answers all that are there by then.

    A message is answered once there is a run with its id as key, and not before: a daemon that dies
    in between asks again, and Dagster makes no second run for a key. While a run waits in the queue
    there is no other: those that come meanwhile get the next one.
    """
    sensor = prefix + WEBHOOKS

    @dg.sensor(  # pyright: ignore[reportUnknownMemberType] (PathLike without its argument)
        name=sensor,
        asset_selection=dg.AssetSelection.assets(*mappings),
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs a mapping that a webhook came in for: POST /hooks/MAPPING.",
    )
    def hooks(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        with Store.open(Project(root).store_url) as store:
            asked: dict[str, int] = json.loads(context.cursor or "{}")
            newest = _newest(store)
            for name, up_to in asked.items():
                _answer(context, store, name, up_to)
            waiting = _newest(store) if asked else newest
        ready = {
            name: message
            for name, message in waiting.items()
            if name in mappings and not _waits(context, name, sensor)
        }
        if not ready and not asked:
            return dg.SkipReason("no webhook waits for a run")
        return dg.SensorResult(
            run_requests=[_run_of(mappings[name], _key(each)) for name, each in ready.items()],
            cursor=json.dumps({name: each.id for name, each in ready.items()}),
        )

    return hooks


def _newest(store: Store) -> dict[str, Received]:
    """The newest message of each mapping that waits."""
    return {message.mapping: message for message in store.inbox.waiting()}


def _answer(context: dg.SensorEvaluationContext, store: Store, name: str, up_to: int) -> None:
    message = next(
        (each for each in store.inbox.waiting() if (each.mapping, each.id) == (name, up_to)), None
    )
    if message is None:
        return
    found = context.instance.get_runs(dg.RunsFilter(tags={_RUN_KEY_TAG: _key(message)}), limit=1)
    if found:
        store.inbox.answered(name, up_to, found[0].run_id)


def _key(message: Received) -> str:
    return f"{message.mapping} {message.message_id}"


def _run_of(mapping: Mapping, run_key: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=run_key,
        asset_selection=[dg.AssetKey(mapping.name)],
        asset_check_keys=inline_check_keys(mapping),
        tags={"syncline/asked_for": mapping.name},
    )


def _waits(context: dg.SensorEvaluationContext, name: str, sensor: str) -> bool:
    """Whether a run that this sensor asked for has not begun: it will see what came since, too."""
    waits = dg.RunsFilter(
        tags={_SENSOR_TAG: sensor, "syncline/asked_for": name}, statuses=_NOT_BEGUN
    )
    return bool(context.instance.get_runs(waits, limit=1))
