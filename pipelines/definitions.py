"""What `workspace.yaml` loads: the mappings of the project, and what you add to them.

The project is the one that SYNCLINE_PROJECT names, else the one that holds this file. To add
assets, jobs or sensors of your own: `defs = dg.Definitions.merge(defs, dg.Definitions(..))`.
"""

from __future__ import annotations

from pathlib import Path

from pipelines.executor import chosen
from syncline.dagster import build_definitions, register_pools
from syncline.project import Project

defs = build_definitions(Project.find(start=Path(__file__).parent), executor=chosen())
register_pools(defs)
