"""Pools: one slot a mapping, so that its runs wait for each other and do not fail on the lease."""

from __future__ import annotations

import os
from collections.abc import Iterator

import dagster as dg


def register_pools(definitions: dg.Definitions, instance: dg.DagsterInstance | None = None) -> int:
    """Give every pool of the definitions one slot on the instance; returns how many were new.

    Dagster makes a pool when its first run is queued, and in that moment lets others pass. A limit
    that someone has set stays. The instance is by default the one at DAGSTER_HOME; without one
    there is nothing to do.
    """
    if instance is None:
        if not os.environ.get("DAGSTER_HOME"):
            return 0
        with dg.DagsterInstance.get() as found:
            return register_pools(definitions, found)
    storage = instance.event_log_storage
    known = {limit.name for limit in storage.get_pool_limits()}
    new = sorted(set(_pools(definitions)) - known)
    for pool in new:
        storage.set_concurrency_slots(pool, 1)
    return len(new)


def _pools(definitions: dg.Definitions) -> Iterator[str]:
    for asset in definitions.assets or ():
        if isinstance(asset, dg.AssetsDefinition) and asset.is_executable:
            yield from filter(None, (each.pool for each in asset.node_def.iterate_op_defs()))
