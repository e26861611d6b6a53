"""Sources: the tables that mappings read and none writes, as external assets."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping as MappingOf
from typing import Final

import dagster as dg

from syncline.catalogue import Side, Tables
from syncline.dagster.columns import origins_of, source_schema
from syncline.dagster.kinds import kinds_of
from syncline.dagster.order import Table, Upstream, key_of_table, source_of
from syncline.mapping.model import Mapping
from syncline.project import Project

GROUP: Final = "sources"


def sources_of(
    project: Project,
    mappings: MappingOf[str, Mapping],
    upstream: MappingOf[str, Upstream],
    seen: MappingOf[str, Tables],
    taken: Collection[dg.AssetKey],
) -> list[dg.AssetSpec]:
    """One external asset for each table that no mapping writes; `taken` are keys of others."""
    columns: dict[Table, dict[str, None]] = {}
    sides: dict[Table, Side] = {}
    for name, mapping in mappings.items():
        for table in upstream[name].tables:
            columns.setdefault(table, {})
        for origins in origins_of(mapping).values():
            for table, column in origins:
                if table in columns:
                    columns[table][column] = None
        if name in seen:
            sides.setdefault(source_of(mapping), seen[name].source)
    return [
        _spec(project, table, list(used), sides.get(table))
        for table, used in columns.items()
        if key_of_table(table) not in taken
    ]


def _spec(project: Project, table: Table, columns: list[str], seen: Side | None) -> dg.AssetSpec:
    connection, name = table
    return dg.AssetSpec(
        key_of_table(table),
        description=f"`{name}` of the connection `{connection}`: read here, never written.",
        group_name=GROUP,
        kinds=kinds_of(project, [connection])[0],
        metadata={
            "dagster/table_name": name,
            "dagster/column_schema": source_schema(columns, seen),
        },
    )
