"""Shards in Dagster: the full sync of a mapping with `workers:` as a job of dynamic steps.

`NAME_full` divides the key range, brings each shard in a step of its own, wherever the executor
puts it, and ends with the materialization of the mapping's asset. Nothing is handed from step to
step but the number of a shard, so no storage has to be shared: what the steps need of each other is
in the mapping's state, in the target (`syncline.steps`).
"""

# No `from __future__ import annotations` here: Dagster reads the op's annotations as they stand.

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from syncline.dagster.asset import op_of, pool_of
from syncline.dagster.automation import MAPPING_TAG
from syncline.dagster.batches import teller
from syncline.dagster.config import MAX_BATCH, Allow
from syncline.dagster.lent import ended, step, trigger_of
from syncline.dagster.load import asset_name
from syncline.dagster.metadata import metadata_of, warnings_of
from syncline.dagster.samples import FirstRecords
from syncline.mapping.model import Mapping
from syncline.project import Project


class FullConfig(dg.Config):
    """The config of a full sync by shards. All of it may be left out."""

    batch_size: int | None = Field(
        default=None,
        description=f"Records in a batch, 1 to {MAX_BATCH}; else what the mapping says.",
    )
    workers: int | None = Field(
        default=None, description="For how many workers to divide; else what the mapping says."
    )
    restart: bool = Field(default=False, description="Begin an unfinished full sync again.")
    allow: list[Allow] = Field(default=[], description="Guards that this run may pass.")


def job_name(mapping: Mapping) -> str:
    """The name of the mapping's job."""
    return f"{mapping.name}_full"


def job_of(
    project: Project, mapping: Mapping, retry_policy: dg.RetryPolicy
) -> dg.JobDefinition | None:
    """The job of a mapping's full sync by shards; None where it has one worker."""
    if mapping.workers == 1:
        return None
    name, root, retries = mapping.name, project.root, retry_policy.max_retries
    first = f"{op_of(name)}_divide"

    @dg.op(
        name=first,
        out={"shards": dg.DynamicOut(dagster_type=dg.Nothing)},
        pool=pool_of(name),
        description="Takes the lease, and divides the source's key range.",
    )
    def divide(
        context: dg.OpExecutionContext,
        config: FullConfig,  # noqa: ARG001 - all steps read it, where the run keeps it
    ) -> Iterator[dg.DynamicOutput[None]]:
        from syncline import steps

        with step(context, Project(root), name, 0) as cancelled:
            options = _options(context, name, first, cancelled)
            begun = steps.begin(Project(root), name, options, ended=ended(context.instance))
            context.log.info("%d shards; run %s", len(begun.shards), begun.run_id)
        for shard in begun.shards:
            yield dg.DynamicOutput(None, mapping_key=str(shard), output_name="shards")

    @dg.op(
        name=f"{op_of(name)}_shard",
        ins={"shard": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        retry_policy=retry_policy,
        description="Brings one shard; begun again, it goes on behind its last batch.",
    )
    def bring(context: dg.OpExecutionContext) -> None:
        from syncline import steps

        with step(context, Project(root), name, retries) as cancelled:
            options = _options(context, name, first, cancelled)
            shard = context.get_mapping_key() or ""
            steps.bring(Project(root), name, int(shard), options)

    @dg.op(
        name=f"{op_of(name)}_finish",
        ins={"shards": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        retry_policy=retry_policy,
        description="Once all shards are done: deletes, what was parked, and the checkpoint.",
    )
    def finish(context: dg.OpExecutionContext) -> None:
        _finish(context, root, name, first, retries)

    @dg.graph(name=job_name(mapping))
    def full() -> None:
        finish(divide().map(bring).collect())

    return full.to_job(  # pyright: ignore[reportUnknownMemberType] (PathLike without its argument)
        description=f"A full sync of {name} by {mapping.workers} workers or more, in shards.",
        tags={MAPPING_TAG: name},
    )


def _finish(
    context: dg.OpExecutionContext, root: Path, name: str, first: str, retries: int
) -> None:
    from syncline import steps

    project = Project(root)
    with step(context, project, name, retries) as cancelled:
        mapping = project.mapping(name)
        summary = steps.end(project, name, _options(context, name, first, cancelled))
    for line in warnings_of(summary):
        context.log.warning(line)
    metadata: dict[str, Any] = dict(metadata_of(project, mapping, summary, FirstRecords(mapping)))
    context.log_event(dg.AssetMaterialization(dg.AssetKey(asset_name(name)), metadata=metadata))


def _options(context: dg.OpExecutionContext, name: str, first: str, cancelled: Any) -> Any:
    """The engine's options: every step goes by the config of the first."""
    from syncline.run import RunOptions

    given: Any = context.run.run_config
    config = FullConfig(**given.get("ops", {}).get(first, {}).get("config", {}))
    return RunOptions(
        mode="full",
        batch_size=config.batch_size,
        workers=config.workers,
        restart=config.restart,
        allow=frozenset(str(each.value) for each in config.allow),
        trigger=trigger_of(context),
        on_progress=teller(context, dg.AssetKey(asset_name(name))),
        cancelled=cancelled,
    )
