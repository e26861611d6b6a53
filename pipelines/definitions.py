"""What `workspace.yaml` loads: the mappings of the project, and what you add to them.

The project is the one that SYNCLINE_PROJECT names, else the one that holds this file. Leave out
what you do not want, and add assets, jobs or sensors of your own beside it.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from pipelines.executor import chosen
from syncline.dagster import parts_of, register_pools
from syncline.project import Project

parts = parts_of(Project.find(start=Path(__file__).parent))

defs = dg.Definitions(
    # One asset for each mapping, of its name, and the tables that they only read.
    assets=[*parts.assets, *parts.sources],
    # Parity and duplicates, which read both sides whole; the other checks are part of each run.
    asset_checks=parts.checks,
    # `schedule:` of the mappings, off until someone switches them on.
    schedules=parts.schedules,
    # `after:`, settled conflicts, webhooks, alerts, and mappings that do not load.
    sensors=parts.sensors,
    # `workers:` of the mappings: full syncs by shards as NAME_full, comparisons as NAME_verify.
    jobs=parts.jobs,
    executor=chosen(),
)

register_pools(defs)
