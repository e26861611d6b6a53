"""Lent: the lease of a run whose steps are processes of their own, and who may take it from it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

import dagster as dg

from syncline.dagster.sync import told
from syncline.project import Project

_TRIGGER: Final = "dagster:"
_ROOT: Final = "dagster/root_run_id"
_ACTIVE: Final = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING,
]  # fmt: skip


def trigger_of(context: dg.OpExecutionContext) -> str:
    """What the steps of a run find their run of syncline by; a retry of the run goes on with it."""
    return f"{_TRIGGER}{context.run.root_run_id or context.run.run_id}"


def ended(instance: dg.DagsterInstance) -> Callable[[str], bool]:
    """Says of the trigger of a run of syncline whether the run of Dagster behind it is over."""

    def over(trigger: str) -> bool:
        if not trigger.startswith(_TRIGGER):
            return False
        root = trigger.removeprefix(_TRIGGER).partition(" ")[0]  # a chunk's group stands behind it
        run = instance.get_run_by_id(root)
        again = dg.RunsFilter(tags={_ROOT: root}, statuses=_ACTIVE)
        return (run is None or run.is_finished) and not instance.get_runs(again, limit=1)

    return over


@contextmanager
def step(
    context: dg.OpExecutionContext, project: Project, name: str, retries: int
) -> Generator[Callable[[], bool]]:
    """As `told`; a step that was canceled, or failed for good, frees the lease of its run."""
    from syncline import steps

    try:
        with told(context, project, name) as cancelled:
            yield cancelled
    except dg.Failure as failure:
        if not failure.allow_retries or context.retry_number >= retries:
            error: Any = failure.metadata.get("error")
            was_cancelled = error is None or error.value == "Cancelled"
            steps.give_up(project, name, trigger_of(context), cancelled=was_cancelled)
        raise
