"""Asset: one mapping as an asset, of the same name, that syncs it and checks what it did."""

# No `from __future__ import annotations` here: Dagster reads the op's annotations as they stand.

import keyword
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from syncline.catalogue import Tables
from syncline.dagster.automation import condition_of, connection_tags, freshness_of
from syncline.dagster.checks import inline_specs
from syncline.dagster.columns import lineage_of, schema_of
from syncline.dagster.config import SyncConfig
from syncline.dagster.describe import describe
from syncline.dagster.kinds import kinds_of
from syncline.dagster.order import Upstream
from syncline.dagster.review import review_link
from syncline.dagster.sync import sync
from syncline.dagster.version import code_version
from syncline.mapping.model import Mapping
from syncline.project import Project

DEFAULT_GROUP: Final = "mappings"
"""The group of a mapping that names none."""

_RESERVED: Final = frozenset(keyword.kwlist) | {
    "context", "conf", "config", "meta", "arg_dict", "dict", "input_arg_dict", "output_arg_dict",
    "int", "str", "float", "bool", "input", "output", "type",
}  # fmt: skip
"""What Dagster refuses as the name of an op. A table may well be called `type`."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A mapping in its project's graph: what it comes after, and its tables as a run saw them.

    `keys` are the assets of all mapping files of the project, by name.
    """

    project: Project
    mapping: Mapping
    upstream: Upstream
    keys: MappingOf[str, dg.AssetKey]
    seen: Tables | None = None

    @property
    def key(self) -> dg.AssetKey:
        """The mapping's asset."""
        return dg.AssetKey(self.mapping.name)


def pool_of(name: str) -> str:
    """The pool that a mapping's runs share, so that no two of them overlap."""
    return f"syncline_{name}"


def op_of(name: str) -> str:
    """The op that a run's config stands under: the mapping's name, unless Dagster reserves it."""
    return f"{name}_" if name in _RESERVED else name


def asset_of(placed: Placed, retry_policy: dg.RetryPolicy) -> dg.AssetsDefinition:
    """The asset of a mapping. Raises as Dagster does for a group, owner or tag that it refuses."""
    mapping, root = placed.mapping, placed.project.root
    name = mapping.name
    places = [mapping.source.connection, mapping.target.connection]
    kinds, missing = kinds_of(placed.project, places)

    @dg.multi_asset(
        name=op_of(name),
        # Not specs= and deps=: those name outputs and inputs after assets, and `type` is refused.
        outs={
            "result": dg.AssetOut(
                key=placed.key,
                dagster_type=dg.Nothing,
                is_required=False,
                description=describe(mapping, missing=missing),
                group_name=mapping.group or DEFAULT_GROUP,
                code_version=code_version(placed.project, mapping),
                kinds=kinds,
                owners=mapping.owners,
                tags={**mapping.tags, **connection_tags(mapping)},
                automation_condition=condition_of(mapping, placed.keys),
                freshness_policy=freshness_of(mapping),
                metadata=_metadata(placed),
            )
        },
        ins={
            f"after_{number}": dg.AssetIn(key, dagster_type=dg.Nothing)
            for number, key in enumerate(placed.upstream.keys)
        },
        check_specs=inline_specs(mapping, placed.key),
        can_subset=True,  # so that its checks can be made without a sync
        pool=pool_of(name),
        retry_policy=retry_policy,
    )
    def run(context: dg.AssetExecutionContext, config: SyncConfig) -> Iterator[Any]:
        yield from sync(context, root, name, config)

    return run


def _metadata(placed: Placed) -> dict[str, Any]:
    mapping, upstream = placed.mapping, placed.upstream
    source, target = mapping.source, mapping.target
    metadata: dict[str, Any] = {
        "source": dg.MetadataValue.text(f"{source.connection}: {source.name}"),
        "target": dg.MetadataValue.text(f"{target.connection}: {target.name}"),
        "strategy": dg.MetadataValue.text(mapping.conflicts.strategy),
        "dagster/table_name": target.name,
        "dagster/column_schema": schema_of(mapping, placed.seen),
        "dagster/column_lineage": lineage_of(mapping, upstream),
    }
    if mapping.path is not None:
        metadata["mapping"] = dg.PathMetadataValue(str(mapping.path))
    if link := review_link(mapping.name):
        metadata["review"] = link
    return metadata
