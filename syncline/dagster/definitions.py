"""Definitions: a project's mappings as a Dagster code location."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from syncline.dagster.asset import asset_of
from syncline.dagster.automation import automated
from syncline.dagster.broken import Broken, asset_of_broken, sensor_of
from syncline.dagster.failure import RETRIES
from syncline.dagster.load import asset_name, load, problems_of
from syncline.dagster.schedule import schedule_of
from syncline.dagster.watch import sensors_of
from syncline.mapping.model import Mapping
from syncline.project import Project


def build_definitions(
    project: Project | Path | str,
    *,
    executor: dg.ExecutorDefinition | None = None,
    retry_policy: dg.RetryPolicy = RETRIES,
) -> dg.Definitions:
    """One asset for each mapping, with its dependencies, pool and schedule, and the sensors.

    `project` is a project or its directory; raises InputError where that holds no
    `connections.yaml`. A mapping that does not load becomes an asset of the group `broken`, with a
    failing check that says why. The retry policy is for what may pass; nothing else is retried. No
    database is opened.
    """
    if not isinstance(project, Project):
        project = Project.find(explicit=Path(project))
    mappings, broken = load(project)
    keys = {path.stem: dg.AssetKey(asset_name(path.stem)) for path in project.mapping_paths}
    assets: list[dg.AssetsDefinition] = []
    schedules: list[dg.ScheduleDefinition] = []
    right: list[Mapping] = []
    for mapping in mappings:
        try:
            asset, schedule = _parts(project, mapping, keys, retry_policy)
        except Exception as error:  # noqa: BLE001 - what Dagster refuses must not take the others down
            path = mapping.path or project.mappings_dir / mapping.name
            refused = "; ".join(problems_of(error))
            broken.append(
                Broken(mapping.name, path, (f"{mapping.where_is()}: Dagster: {refused}",))
            )
            continue
        assets.append(asset)
        right.append(mapping)
        if schedule is not None:
            schedules.append(schedule)
    return dg.Definitions(
        assets=[*assets, *map(asset_of_broken, broken)],
        schedules=schedules,
        sensors=[*sensors_of(project, right, keys), *([sensor_of(broken)] if broken else [])],
        executor=executor,
    )


def _parts(
    project: Project,
    mapping: Mapping,
    keys: dict[str, dg.AssetKey],
    retry_policy: dg.RetryPolicy,
) -> tuple[dg.AssetsDefinition, dg.ScheduleDefinition | None]:
    asset = asset_of(project, mapping, [keys[name] for name in mapping.after], retry_policy)
    return automated(asset, mapping, keys), schedule_of(mapping, asset)
