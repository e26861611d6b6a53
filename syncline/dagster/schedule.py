"""Schedule: the cron of a mapping. It is off until someone switches it on in the UI."""

from __future__ import annotations

from typing import Any

import dagster as dg

from syncline.dagster.checks import inline_check_keys, selection_of
from syncline.mapping.model import Mapping

_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
ASSET_JOB = "__ASSET_JOB"
"""Dagster's own job of all assets."""
MOST_JOBS = 50
"""So many schedules have a job each, which the asset's page needs to list its schedule. Each such
job looks at every asset of the project: 200 of them made the definitions load a second later.
"""
_SCHEDULE_TAG = "dagster/schedule_name"
"""Dagster tags the runs of a schedule with its name."""


def schedule_of(mapping: Mapping, *, own_job: bool) -> dg.ScheduleDefinition | None:
    """The mapping's schedule, in UTC; None where it has none.

    With a job of its `own_job` the page of the mapping's asset lists it.

    A tick is skipped while the run of an earlier one is under way or waits: the next delta takes in
    all that the skipped one would have, and a queue of them would only grow.
    """
    if mapping.schedule is None:
        return None
    name = f"{mapping.name}_schedule"

    @dg.schedule(  # pyright: ignore[reportUnknownMemberType] (PathLike without its argument)
        name=name,
        cron_schedule=mapping.schedule,
        **_launches(mapping, own_job=own_job),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"A delta of {mapping.name}, by `schedule:` of its mapping.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        before = context.instance.get_runs(
            dg.RunsFilter(tags={_SCHEDULE_TAG: name}, statuses=_ACTIVE), limit=1
        )
        if before:
            return dg.SkipReason(f"run {before[0].run_id} of an earlier tick has not ended yet")
        return dg.RunRequest(
            asset_selection=[dg.AssetKey(mapping.name)], asset_check_keys=inline_check_keys(mapping)
        )

    return tick


def _launches(mapping: Mapping, *, own_job: bool) -> dict[str, Any]:
    return {"target": selection_of(mapping)} if own_job else {"job_name": ASSET_JOB}
