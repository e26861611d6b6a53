"""Backfill: the asset `backfill/NAME` of a mapping that declares one, with a partition a chunk.

An asset of its own: the mapping's has no partitions, so that a delta needs none.
"""

# No `from __future__ import annotations` here: Dagster reads the op's annotations as they stand.

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from pydantic import Field

from syncline.dagster.asset import DEFAULT_GROUP, op_of, pool_of
from syncline.dagster.automation import connection_tags
from syncline.dagster.batches import teller
from syncline.dagster.config import MAX_BATCH, Allow, SyncConfig, options_of
from syncline.dagster.metadata import metadata_of, warnings_of
from syncline.dagster.samples import FirstRecords
from syncline.dagster.sync import told
from syncline.mapping.backfill import Backfill, Unit, instant_of
from syncline.mapping.model import Mapping
from syncline.project import Project

if TYPE_CHECKING:
    from syncline.store import Chunk

PREFIX: Final = "backfill"
_CRONS: Final[dict[Unit, str]] = {
    "hour": "0 * * * *",
    "day": "0 0 * * *",
    "week": "0 0 * * 1",
    "month": "0 0 1 * *",
    "year": "0 0 1 1 *",
}


class BackfillConfig(dg.Config):
    """The config of a backfill's run. What is read is chosen by partitions."""

    batch_size: int | None = Field(
        default=None,
        description=f"Records in a batch, 1 to {MAX_BATCH}; else what the mapping says.",
    )
    allow: list[Allow] = Field(default=[], description="Guards that this run may pass.")


def backfill_of(
    project: Project, mapping: Mapping, retry_policy: dg.RetryPolicy
) -> dg.AssetsDefinition | None:
    """The asset that backfills a mapping; None where the mapping declares no `backfill:`."""
    declared, name, root = mapping.backfill, mapping.name, project.root
    if declared is None:
        return None

    @dg.multi_asset(
        name=f"{PREFIX}_{op_of(name)}",
        outs={
            "result": dg.AssetOut(
                key=dg.AssetKey([PREFIX, name]),
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


def partitions_of(declared: Backfill) -> dg.PartitionsDefinition[str]:
    """One partition a window or range; those of time grow with it, unless `to` ends them."""
    if isinstance(declared.every, str):
        return dg.TimeWindowPartitionsDefinition(
            start=instant_of(declared.from_),
            end=None if declared.to is None else instant_of(declared.to),
            cron_schedule=_CRONS[declared.every],
            fmt="%Y-%m-%dT%H:%M" if declared.every == "hour" else "%Y-%m-%d",
            timezone="UTC",
        )
    return dg.StaticPartitionsDefinition(list(_ranges(declared)))


def policy_of(declared: Backfill) -> dg.BackfillPolicy:
    """All that is asked for in one run, or so many partitions a run."""
    if declared.runs == "one":
        return dg.BackfillPolicy.single_run()
    return dg.BackfillPolicy.multi_run(declared.per_run)


def _ranges(declared: Backfill) -> "dict[str, Chunk]":
    """The ranges of numbers by the names of their partitions: `START_END`, the end left out."""
    from datetime import UTC, datetime

    from syncline.backfill import Declared

    chunks = Declared(declared, datetime.now(UTC)).chunks()
    return {f"{chunk.start}_{chunk.end}": chunk for chunk in chunks}


def chunks_of(declared: Backfill, partitions: Sequence[str]) -> "dict[str, Chunk]":
    """The chunk of each of these partitions, as `syncline backfill` would cut it."""
    from syncline.backfill import Asked
    from syncline.mapping.backfill import CHUNKS

    if not isinstance(declared.every, str):
        ranges = _ranges(declared)
        return {name: ranges[name] for name in partitions}
    cut = partitions_of(declared)
    assert isinstance(cut, dg.TimeWindowPartitionsDefinition)
    found: dict[str, Chunk] = {}
    for name in partitions:
        window = cut.time_window_for_partition_key(name)
        start, end = (
            at.isoformat() if declared.every == "hour" else at.date().isoformat()
            for at in (window.start, window.end)
        )
        (found[name],) = Asked(declared.by, start, end, CHUNKS[declared.every]).chunks()
    return found


def _backfill(
    context: dg.AssetExecutionContext, root: Path, name: str, config: BackfillConfig
) -> None:
    """Run the partitions that are not done, and tell each as soon as it is."""
    from syncline.backfill import Chosen, backfill

    project = Project(root)
    with told(context, project, name) as cancelled:
        mapping = project.mapping(name)
        assert mapping.backfill is not None
        chunks = chunks_of(mapping.backfill, context.partition_keys)
        names = {chunk: partition for partition, chunk in chunks.items()}
        # A retry of the step, or of the run, goes on where it stopped; a new launch begins anew.
        words = f"dagster {context.run.root_run_id or context.run.run_id}"
        first = FirstRecords(mapping)
        options = options_of(
            SyncConfig(batch_size=config.batch_size, allow=config.allow),
            trigger=f"dagster:{context.run.run_id}",
            on_progress=teller(context, dg.AssetKey([PREFIX, name])),
            on_batch=first.look,
            cancelled=cancelled,
        )
        chosen = Chosen(mapping.backfill.by, words, tuple(names))
        for number, (chunk, summary) in enumerate(backfill(project, name, chosen, options), 1):
            line = f"{name}: {names[chunk]} is done, {number} of {len(chunks)}"
            context.log.info(line)
            for line in warnings_of(summary):
                context.log.warning(line)
            context.log_event(
                dg.AssetMaterialization(
                    dg.AssetKey([PREFIX, name]),
                    partition=names[chunk],
                    metadata=metadata_of(project, mapping, summary, first),
                )
            )


def _description(mapping: Mapping, declared: Backfill) -> str:
    what = "the first key column" if declared.by == "key" else f"`{mapping.delta.cursor}`"
    return (
        f"The history of `{mapping.name}` again, by {what}: choose partitions and launch. The "
        "delta's checkpoint stays where it is, and newer values of the target stand.\n\n"
        f"On the command line: `syncline backfill {mapping.name}`"
    )
