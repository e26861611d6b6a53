"""Component: a syncline project inside a Dagster project, as `dg scaffold defs` writes it."""

# No `from __future__ import annotations` here: Dagster reads the fields' annotations.

from pathlib import Path

import dagster as dg
from pydantic import BaseModel, Field

from syncline import scaffold
from syncline.connections import FILE
from syncline.dagster.definitions import build_definitions
from syncline.dagster.load import asset_name
from syncline.dagster.pools import register_pools
from syncline.project import Project


class SyncMappingParams(BaseModel):
    """What `dg scaffold defs syncline.dagster.SyncMapping NAME` may be told."""

    project: str = Field(
        default=".",
        description="The directory of connections.yaml and mappings/, from the new one; made there "
        "where it is missing.",
    )
    mappings: list[str] | None = Field(
        default=None, description="Names of mappings; without it, all of the project."
    )


class SyncMappingScaffolder(dg.Scaffolder[SyncMappingParams]):
    """Writes `defs.yaml`, and a project to begin with where there is none yet."""

    @classmethod
    def get_scaffold_params(cls) -> type[SyncMappingParams]:
        """The options of the command."""
        return SyncMappingParams

    def scaffold(self, request: dg.ScaffoldRequest[SyncMappingParams]) -> None:
        """Write the files. Raises InputError where a file of the project would be overwritten."""
        params = request.params
        root = request.target_path / params.project
        if not (root / FILE).is_file():
            scaffold.make(root)
        dg.scaffold_component(request, params.model_dump(exclude_none=True))


@dg.scaffold_with(SyncMappingScaffolder)
class SyncMapping(dg.Component, dg.Model, dg.Resolvable):
    """Mappings of a syncline project: what `build_definitions` gives, in YAML."""

    project: str = Field(
        default=".",
        description="The directory of connections.yaml and mappings/, from this file's directory.",
    )
    mappings: list[str] | None = Field(
        default=None, description="Names of mappings; without it, all of the project."
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The mappings' assets, checks, schedules and sensors; their pools are registered.

        Raises InputError where there is no such project, or no mapping of a name.
        """
        project = Project.find(explicit=Path(context.path) / self.project)
        # Several of them may stand in one Dagster project, which wants other names for sensors.
        prefix = asset_name(Path(context.path).name) + "_"
        definitions = build_definitions(project, only=self.mappings, prefix=prefix)
        register_pools(definitions)
        return definitions
