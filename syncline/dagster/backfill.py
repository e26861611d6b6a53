"""Backfill: the asset `backfill/NAME` of a mapping that declares one, with a partition a chunk.

An asset of its own: the mapping's has no partitions, so that a delta needs none. With `workers:`
the partitions of a run are dynamic steps (`syncline.dagster.chunks`).
"""

# No `from __future__ import annotations` here: Dagster reads the op's annotations as they stand.

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from syncline.dagster.asset import DEFAULT_GROUP, op_of, pool_of
from syncline.dagster.automation import connection_tags
from syncline.dagster.chunks import graph_of
from syncline.dagster.partitions import (
    PREFIX,
    BackfillConfig,
    Partitions,
    key_of,
    partitions_of,
    policy_of,
    tell_done,
)
from syncline.dagster.sync import told
from syncline.mapping.backfill import Backfill
from syncline.mapping.model import Mapping
from syncline.project import Project


def backfill_of(
    project: Project, mapping: Mapping, retry_policy: dg.RetryPolicy
) -> dg.AssetsDefinition | None:
    """The asset that backfills a mapping; None where the mapping declares no `backfill:`."""
    declared, name, root = mapping.backfill, mapping.name, project.root
    if declared is None:
        return None
    if mapping.workers > 1:
        return _by_steps(project, mapping, declared, retry_policy)

    @dg.multi_asset(
        name=f"{PREFIX}_{op_of(name)}",
        outs={
            "result": dg.AssetOut(
                key=key_of(name),
                dagster_type=dg.Nothing,
                is_required=False,  # each partition is told as it is done, not all at the end
                description=_description(mapping, declared),
                group_name=mapping.group or DEFAULT_GROUP,
                owners=mapping.owners,
                tags={**mapping.tags, **connection_tags(mapping)},
            )
        },
        partitions_def=partitions_of(declared),
        backfill_policy=policy_of(declared),
        pool=pool_of(name),
        retry_policy=retry_policy,
    )
    def run(context: dg.AssetExecutionContext, config: BackfillConfig) -> Iterator[dg.Output[Any]]:
        _backfill(context, root, name, config)
        yield from ()

    return run


def _by_steps(
    project: Project, mapping: Mapping, declared: Backfill, retry_policy: dg.RetryPolicy
) -> dg.AssetsDefinition:
    """The same asset, made of the steps that share its partitions out."""
    made: Any = dg.AssetsDefinition  # whose types leave out what a hook is of
    return made.from_graph(
        graph_of(project, mapping, retry_policy),
        keys_by_output_name={"result": key_of(mapping.name)},
        descriptions_by_output_name={"result": _description(mapping, declared)},
        group_name=mapping.group or DEFAULT_GROUP,
        owners_by_output_name={"result": mapping.owners},
        tags_by_output_name={"result": {**mapping.tags, **connection_tags(mapping)}},
        partitions_def=partitions_of(declared),
        backfill_policy=policy_of(declared),
    )


def _backfill(
    context: dg.AssetExecutionContext, root: Path, name: str, config: BackfillConfig
) -> None:
    """Run the partitions that are not done, and tell each as soon as it is."""
    from syncline.backfill import backfill

    project = Project(root)
    with told(context, project, name) as cancelled:
        # A retry of the step, or of the run, goes on where it stopped; a new launch begins anew.
        words = f"dagster {context.run.root_run_id or context.run.run_id}"
        chosen = Partitions(project, name, tuple(context.partition_keys), words)
        trigger = f"dagster:{context.run.run_id}"
        options = chosen.options(context, config, trigger, cancelled)
        done = backfill(project, name, chosen.asked, options)
        tell_done(context, chosen, done, len(chosen.names))


def _description(mapping: Mapping, declared: Backfill) -> str:
    what = "the first key column" if declared.by == "key" else f"`{mapping.delta.cursor}`"
    return (
        f"The history of `{mapping.name}` again, by {what}: choose partitions and launch. The "
        "delta's checkpoint stays where it is, and newer values of the target stand.\n\n"
        f"On the command line: `syncline backfill {mapping.name}`"
    )
