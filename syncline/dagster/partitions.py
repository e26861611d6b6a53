"""Partitions of a backfill: the chunks that they are, and how each is told once it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import dagster as dg
from pydantic import Field

from syncline.dagster.batches import teller
from syncline.dagster.config import MAX_BATCH, Allow, SyncConfig, options_of
from syncline.dagster.metadata import metadata_of, warnings_of
from syncline.dagster.samples import FirstRecords
from syncline.mapping.backfill import Backfill, Unit, instant_of

if TYPE_CHECKING:
    from syncline.backfill import Chosen
    from syncline.mapping.model import Mapping
    from syncline.project import Project
    from syncline.run import RunOptions, RunSummary
    from syncline.store import Chunk

    Context = dg.AssetExecutionContext | dg.OpExecutionContext

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


def key_of(name: str) -> dg.AssetKey:
    """The asset of a mapping's backfill."""
    return dg.AssetKey([PREFIX, name])


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


def _ranges(declared: Backfill) -> dict[str, Chunk]:
    """The ranges of numbers by the names of their partitions: `START_END`, the end left out."""
    from datetime import UTC, datetime

    from syncline.backfill import Declared

    chunks = Declared(declared, datetime.now(UTC)).chunks()
    return {f"{chunk.start}_{chunk.end}": chunk for chunk in chunks}


def chunks_of(declared: Backfill, partitions: Sequence[str]) -> dict[str, Chunk]:
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


@dataclass(frozen=True)
class Partitions:
    """The partitions that a run of Dagster is to sync; `words` name it to the control store."""

    project: Project
    name: str
    keys: Sequence[str]
    words: str

    @cached_property
    def mapping(self) -> Mapping:
        """The mapping, as its file says it now."""
        return self.project.mapping(self.name)

    @cached_property
    def names(self) -> dict[Chunk, str]:
        """The partitions by their chunks, in order."""
        assert self.mapping.backfill is not None
        chunks = chunks_of(self.mapping.backfill, self.keys)
        return {chunk: partition for partition, chunk in chunks.items()}

    @cached_property
    def asked(self) -> Chosen:
        """The same as the engine is asked for it."""
        from syncline.backfill import Chosen

        assert self.mapping.backfill is not None
        return Chosen(self.mapping.backfill.by, self.words, tuple(self.names))

    @cached_property
    def first(self) -> FirstRecords:
        """The sample of what is synced."""
        return FirstRecords(self.mapping)

    def options(
        self,
        context: Context,
        config: BackfillConfig,
        trigger: str,
        cancelled: Callable[[], bool],
    ) -> RunOptions:
        """How each of them is run."""
        return options_of(
            SyncConfig(batch_size=config.batch_size, allow=config.allow),
            trigger=trigger,
            on_progress=teller(context, key_of(self.name)),
            on_batch=self.first.look,
            cancelled=cancelled,
        )


def tell_done(
    context: Context, chosen: Partitions, done: Iterable[tuple[Chunk, RunSummary]], count: int
) -> None:
    """Tell each partition as soon as it is done."""
    for number, (chunk, summary) in enumerate(done, 1):
        partition = chosen.names[chunk]
        context.log.info("%s: %s is done, %d of %d", chosen.name, partition, number, count)
        for line in warnings_of(summary):
            context.log.warning(line)
        metadata = metadata_of(chosen.project, chosen.mapping, summary, chosen.first)
        key = key_of(chosen.name)
        context.log_event(dg.AssetMaterialization(key, partition=partition, metadata=metadata))
