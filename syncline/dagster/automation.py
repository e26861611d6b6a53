"""Automation: what Dagster watches of a mapping by itself: `after:`, `max_lag:`, connections."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import dagster as dg

from syncline.mapping.model import Mapping

CONNECTION_TAG: Final = "syncline_connection"
"""Before the `/` of the tags that name the connections of an asset, and of a run."""
MAPPING_TAG: Final = "syncline/mapping"
"""The tag of a run of one mapping, with its name."""
SENSOR: Final = "after_sensor"
_SHORTEST_WINDOW: Final = timedelta(minutes=1)
"""Dagster takes no freshness policy below this."""


def connection_tags(mapping: Mapping) -> dict[str, str]:
    """One tag for each connection, with what it is to the mapping: `source`, `target` or `both`."""
    source, target = mapping.source.connection, mapping.target.connection
    if source == target:
        return {f"{CONNECTION_TAG}/{source}": "both"}
    return {f"{CONNECTION_TAG}/{source}": "source", f"{CONNECTION_TAG}/{target}": "target"}


def condition_of(
    mapping: Mapping, keys: MappingOf[str, dg.AssetKey]
) -> dg.AutomationCondition[dg.AssetKey] | None:
    """A mapping with `after:` and no schedule runs when what it comes after has run.

    Only the assets that `after:` names count: other dependencies (tables of the source, foreign
    keys) are there for the graph, and may never be materialized.
    """
    if mapping.schedule is not None or not mapping.after:
        return None
    named = dg.AssetSelection.assets(*(keys[name] for name in mapping.after))
    eager: Any = dg.AutomationCondition.eager()  # what its methods give is generic, without a type
    return eager.allow(named).with_label(f"after {', '.join(mapping.after)}")


def freshness_of(mapping: Mapping) -> dg.FreshnessPolicy | None:
    """`max_lag:` as Dagster's own policy: late when the last run is older; warned at 4/5 of it."""
    if mapping.max_lag is None:
        return None
    fail = max(mapping.max_lag, _SHORTEST_WINDOW)
    warn = fail * 0.8
    return dg.FreshnessPolicy.time_window(fail, warn if warn >= _SHORTEST_WINDOW else None)


def sensor_of(
    mappings: Sequence[Mapping], keys: MappingOf[str, dg.AssetKey], prefix: str
) -> dg.AutomationConditionSensorDefinition | None:
    """The switch of all mappings that have a condition; None where none has. It is off at first."""
    watched = [keys[each.name] for each in mappings if condition_of(each, keys) is not None]
    if not watched:
        return None
    return dg.AutomationConditionSensorDefinition(
        prefix + SENSOR,
        target=dg.AssetSelection.assets(*watched),
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=10,
        description="Runs a mapping with `after:` and no schedule when those before it have run.",
    )
