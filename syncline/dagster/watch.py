"""Watch: the sensors of a project. Each looks at all of its mappings, so that there are few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf

import dagster as dg

from syncline.dagster import automation
from syncline.dagster.alerts import alerts_sensor, failed_sensor
from syncline.dagster.retention import old_runs_sensor
from syncline.dagster.sensors import settled_sensor, webhooks_sensor
from syncline.mapping.model import Mapping
from syncline.project import Project


def sensors_of(
    project: Project, mappings: Sequence[Mapping], keys: MappingOf[str, dg.AssetKey], prefix: str
) -> Iterator[dg.SensorDefinition]:
    """The sensors of these mappings, by names that begin so; none where there are no mappings."""
    if not mappings:
        return
    named = {each.name: each for each in mappings}
    yield settled_sensor(project.root, named, prefix)
    yield webhooks_sensor(project.root, named, prefix)
    yield failed_sensor(project.root, {key.path[-1] for key in keys.values()}, prefix)
    yield alerts_sensor(project.root, mappings, prefix)
    yield old_runs_sensor(prefix)
    condition = automation.sensor_of(mappings, keys, prefix)
    if condition is not None:
        yield condition
