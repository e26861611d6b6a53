"""Definitions: a project's mappings as a Dagster code location, and what it is made of."""

from __future__ import annotations

import gc
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from syncline import catalogue
from syncline.dagster.asset import Placed, asset_of
from syncline.dagster.backfill import backfill_of
from syncline.dagster.broken import Broken, asset_of_broken, sensor_of
from syncline.dagster.failure import RETRIES
from syncline.dagster.load import asset_name, load, problems_of
from syncline.dagster.order import upstreams
from syncline.dagster.parity import verify_job_of
from syncline.dagster.scan import scan_of
from syncline.dagster.schedule import MOST_JOBS, schedule_of
from syncline.dagster.shards import job_of
from syncline.dagster.sources import sources_of
from syncline.dagster.watch import sensors_of
from syncline.errors import InputError
from syncline.mapping.model import Mapping
from syncline.project import Project


@dataclass(slots=True)
class Parts:
    """What a project becomes in Dagster, for a code location to put together.

    `assets` has one for each mapping, of its name, one for each backfill that is declared, and
    those in the place of mappings that do not load; `sources` the tables that are only read;
    `checks` those that read both sides whole; `jobs` the full syncs and comparisons by key ranges.
    """

    assets: list[dg.AssetsDefinition] = field(default_factory=list[dg.AssetsDefinition])
    sources: list[dg.AssetSpec] = field(default_factory=list[dg.AssetSpec])
    checks: list[dg.AssetChecksDefinition] = field(default_factory=list[dg.AssetChecksDefinition])
    schedules: list[dg.ScheduleDefinition] = field(default_factory=list[dg.ScheduleDefinition])
    sensors: list[dg.SensorDefinition] = field(default_factory=list[dg.SensorDefinition])
    jobs: list[dg.JobDefinition] = field(default_factory=list[dg.JobDefinition])

    def definitions(self, executor: dg.ExecutorDefinition | None = None) -> dg.Definitions:
        """All of it as Definitions."""
        return dg.Definitions(
            assets=[*self.assets, *self.sources],
            asset_checks=self.checks,
            schedules=self.schedules,
            sensors=self.sensors,
            jobs=self.jobs,
            executor=executor,
        )


def build_definitions(
    project: Project | Path | str,
    *,
    executor: dg.ExecutorDefinition | None = None,
    retry_policy: dg.RetryPolicy = RETRIES,
    only: Collection[str] | None = None,
    prefix: str = "",
) -> dg.Definitions:
    """A project's mappings as Definitions, to be used as they are or merged with others.

    `project` is a project or its directory; raises InputError where that holds no
    `connections.yaml`, or no mapping of a name in `only`. Each mapping is an asset of its name,
    with its checks, dependencies, pool and schedule; the tables that are only read are external
    assets; sensors watch them all. A mapping that does not load becomes an asset of the group
    `broken`, with a failing check that says why. The retry policy is for what may pass; nothing
    else is retried. No database is opened. The names of the sensors begin with `prefix`, so that
    one code location can have the mappings of several projects.
    """
    parts = parts_of(project, retry_policy=retry_policy, only=only, prefix=prefix)
    return parts.definitions(executor)


def parts_of(
    project: Project | Path | str,
    *,
    retry_policy: dg.RetryPolicy = RETRIES,
    only: Collection[str] | None = None,
    prefix: str = "",
) -> Parts:
    """The parts that `build_definitions` puts together; raises as it does."""
    if not isinstance(project, Project):
        project = Project.find(explicit=Path(project))
    with _uncollected():
        return _parts_of(project, retry_policy, only, prefix)


@contextmanager
def _uncollected() -> Generator[None]:
    """Without Python's cyclic collector: it would look at all that is made within again and again,
    a seventh of the time, and find nothing to free.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _parts_of(
    project: Project, retry_policy: dg.RetryPolicy, only: Collection[str] | None, prefix: str
) -> Parts:
    mappings, broken = load(project)
    keys = {path.stem: dg.AssetKey(asset_name(path.stem)) for path in project.mapping_paths}
    _check_names(project, only, keys)
    seen = catalogue.known(project)
    named = {mapping.name: mapping for mapping in mappings}
    upstream = upstreams(named, keys, seen)
    few = sum(each.schedule is not None for each in mappings) <= MOST_JOBS
    parts, right = Parts(), list[Mapping]()
    for name, mapping in named.items():
        if only is not None and name not in only:
            continue
        placed = Placed(project, mapping, upstream[name], keys, seen.get(name))
        try:
            _add(parts, placed, retry_policy, keys, few=few)
            right.append(mapping)
        except Exception as error:  # noqa: BLE001 - what Dagster refuses must not take the others down
            path = mapping.path or project.mappings_dir / name
            refused = "; ".join(problems_of(error))
            broken.append(Broken(name, path, (f"{mapping.where_is()}: Dagster: {refused}",)))
    shown = [one for one in broken if only is None or one.path.stem in only]
    parts.assets += map(asset_of_broken, shown)
    parts.sensors += sensors_of(project, right, keys, prefix)
    parts.sensors += [sensor_of(shown, prefix)] if shown else []
    taken = {key for asset in parts.assets for key in asset.keys}
    chosen = {name: one for name, one in named.items() if only is None or name in only}
    parts.sources += sources_of(project, chosen, upstream, seen, taken)
    return parts


def _add(
    parts: Parts,
    placed: Placed,
    retry_policy: dg.RetryPolicy,
    taken: Collection[str],
    *,
    few: bool,
) -> None:
    """Add what a mapping becomes, all of it or nothing."""
    asset = asset_of(placed, retry_policy)
    scan = scan_of(placed, retry_policy, taken)
    schedule = schedule_of(placed.mapping, own_job=few)
    jobs = (
        job_of(placed.project, placed.mapping, retry_policy),
        verify_job_of(placed.project, placed.mapping, retry_policy),
    )
    backfill = backfill_of(placed.project, placed.mapping, retry_policy)
    parts.assets += [asset] if backfill is None else [asset, backfill]
    parts.checks += [scan] if scan is not None else []
    parts.schedules += [schedule] if schedule is not None else []
    parts.jobs += [job for job in jobs if job is not None]


def _check_names(project: Project, only: Collection[str] | None, known: Collection[str]) -> None:
    if unknown := [name for name in only or () if name not in known]:
        raise InputError(
            f"there is no mapping {', '.join(map(repr, unknown))} in {project.mappings_dir}",
            hint=f"it holds: {', '.join(known) or 'none yet'}",
        )
