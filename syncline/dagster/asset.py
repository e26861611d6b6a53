"""Asset: one mapping as an asset, of the same name, that syncs it."""

# No `from __future__ import annotations` here: Dagster reads the op's annotations as they stand.

import keyword
from collections.abc import Mapping as MappingOf
from pathlib import Path
from typing import Any, Final

import dagster as dg

from syncline.connections import Connection
from syncline.dagster.config import SyncConfig
from syncline.dagster.describe import describe
from syncline.dagster.sync import sync
from syncline.errors import InputError
from syncline.mapping.model import Mapping
from syncline.project import Project

DEFAULT_GROUP: Final = "mappings"
"""The group of a mapping that names none."""

_RESERVED: Final = frozenset(keyword.kwlist) | {
    "context", "conf", "config", "meta", "arg_dict", "dict", "input_arg_dict", "output_arg_dict",
    "int", "str", "float", "bool", "input", "output", "type",
}  # fmt: skip
"""What Dagster refuses as the name of an op. A table may well be called `type`."""

_KINDS: Final = {"postgresql": "postgres", "postgres": "postgres", "mongodb+srv": "mongodb"}
"""Dagster's name of a kind, where a URL's scheme says it otherwise."""


def pool_of(name: str) -> str:
    """The pool that a mapping's runs share, so that no two of them overlap."""
    return f"syncline_{name}"


def op_of(name: str) -> str:
    """The op that a run's config stands under: the mapping's name, unless Dagster reserves it."""
    return f"{name}_" if name in _RESERVED else name


def asset_of(
    project: Project, mapping: Mapping, deps: list[dg.AssetKey], retry_policy: dg.RetryPolicy
) -> dg.AssetsDefinition:
    """The asset of a mapping. Raises as Dagster does for a group, owner or tag that it refuses."""
    name, root = mapping.name, project.root
    connections, missing = _connections(project, mapping)

    @dg.multi_asset(
        name=op_of(name),
        # Not specs= and deps=: those name outputs and inputs after assets, and `type` is refused.
        outs={
            "result": dg.AssetOut(
                key=dg.AssetKey(name),
                dagster_type=dg.Nothing,
                description=describe(mapping, missing=missing),
                group_name=mapping.group or DEFAULT_GROUP,
                kinds=kinds_of(connections),
                owners=mapping.owners,
                tags=mapping.tags,
                metadata=_metadata(mapping, mapping.path),
            )
        },
        ins={f"after_{key.path[-1]}": dg.AssetIn(key, dagster_type=dg.Nothing) for key in deps},
        pool=pool_of(name),
        retry_policy=retry_policy,
    )
    def run(context: dg.AssetExecutionContext, config: SyncConfig) -> dg.MaterializeResult[Any]:
        return sync(context, root, name, config)

    return run


def kinds_of(connections: MappingOf[str, Connection]) -> set[str]:
    """The kinds of database that these connections lead to, as Dagster names them."""
    # The scheme as written, not Connection.scheme: that has one word for MySQL and MariaDB.
    schemes = {each.url.partition(":")[0].lower() for each in connections.values()}
    return {_KINDS.get(scheme, scheme) for scheme in schemes}


def _connections(project: Project, mapping: Mapping) -> tuple[dict[str, Connection], str]:
    """The mapping's connections that can be resolved here, and what is wrong with the others."""
    found: dict[str, Connection] = {}
    missing: list[str] = []
    for name in dict.fromkeys((mapping.source.connection, mapping.target.connection)):
        try:
            found[name] = project.connections[name]
        except InputError as error:
            missing.append(str(error))
    return found, "; ".join(missing)


def _metadata(mapping: Mapping, path: Path | None) -> dict[str, dg.MetadataValue]:
    source, target = mapping.source, mapping.target
    metadata: dict[str, dg.MetadataValue] = {
        "source": dg.MetadataValue.text(f"{source.connection}: {source.name}"),
        "target": dg.MetadataValue.text(f"{target.connection}: {target.name}"),
        "strategy": dg.MetadataValue.text(mapping.conflicts.strategy),
    }
    if path is not None:
        metadata["mapping"] = dg.PathMetadataValue(str(path))
    return metadata
