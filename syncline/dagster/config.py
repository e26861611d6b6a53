"""What a run can be told in Dagster's launchpad, and the options of the engine that it becomes."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from syncline.errors import InputError

if TYPE_CHECKING:
    from syncline.batch import Batch
    from syncline.sync import Progress, RunOptions

MAX_BATCH = 1_000_000
"""Records in a batch: the same limit as `batch_size:` of a mapping."""


class SyncMode(Enum):
    """How much of the source a run reads."""

    delta = "delta"
    full = "full"


# By the functional form, since Dagster goes by the names of members, and these have dashes.
Allow = Enum(
    "Allow",
    {
        "empty-source": "empty-source",
        "deletes": "deletes",
        "schema": "schema",
        "other-database": "other-database",
        "conflicts": "conflicts",
    },
)


class SyncConfig(dg.Config):
    """The config of one mapping's run. All of it may be left out: then the run is a delta.

    `mode` and `allow` are checked by Dagster when a run is launched, the rest when it begins; a run
    that is refused is not retried.
    """

    mode: SyncMode = Field(
        default=SyncMode.delta,
        description="delta: what changed since the checkpoint (all, where there is none); "
        "full: every record.",
    )
    batch_size: int | None = Field(
        default=None,
        description=f"Records in a batch, 1 to {MAX_BATCH}; else what the mapping says.",
    )
    window_start: str | None = Field(
        default=None,
        description="Backfill from this value of the cursor column on (UTC). The checkpoint stays.",
    )
    window_end: str | None = Field(
        default=None,
        description="Backfill up to this value of the cursor column, itself left out (UTC).",
    )
    dry_run: bool = Field(
        default=False,
        description="Write nothing: an observation of the asset says what the run would do.",
    )
    allow: list[Allow] = Field(
        default=[],
        description="Guards that this run may pass: "
        + ", ".join(each.value for each in Allow)
        + ".",
    )


def options_of(
    config: SyncConfig,
    *,
    trigger: str,
    on_progress: Callable[[Progress], None],
    on_batch: Callable[[Batch], None],
    cancelled: Callable[[], bool],
) -> RunOptions:
    """The engine's options. Raises InputError (exit 2) for a config that no run can follow."""
    from syncline.endpoints.base import Range
    from syncline.sync import RunOptions

    check(config)
    windowed = config.window_start is not None or config.window_end is not None
    return RunOptions(
        mode="backfill" if windowed else config.mode.value,
        batch_size=config.batch_size,
        allow=frozenset(str(each.value) for each in config.allow),
        window=Range("cursor", config.window_start, config.window_end) if windowed else None,
        trigger=trigger,
        on_progress=on_progress,
        on_batch=on_batch,
        cancelled=cancelled,
    )


def check(config: SyncConfig) -> None:
    """Raises InputError (exit 2) for a config that no run can follow."""
    size, start, end = config.batch_size, config.window_start, config.window_end
    if size is not None and not 1 <= size <= MAX_BATCH:
        raise InputError(f"batch_size is {size}: it goes from 1 to {MAX_BATCH:,}")
    if "" in (start, end):
        raise InputError("an empty window_start or window_end", hint="leave it out for an open end")
    if start is not None and start == end:
        raise InputError(f"the window from {start} to {end} is empty: its end is not part of it")
    if config.dry_run and (start or end):
        raise InputError(
            "a dry run takes no window: it says what a delta or a full sync would do",
            hint="leave the window out, or leave dry_run out",
        )
    if config.mode is SyncMode.full and (start or end):
        raise InputError(
            "mode full reads every record and takes no window",
            hint="leave the mode out to backfill the window, or leave the window out",
        )
