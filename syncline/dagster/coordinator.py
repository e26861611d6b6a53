"""Coordinator: the order in which queued runs begin, and how many may use one connection.

Dagster counts runs by their tags, and a run that waits for its mapping's pool would be counted
against its connections too. So runs of one mapping are told apart by a tag, which is looked at
first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import dagster as dg
from dagster._config.config_schema import UserConfigSchema
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import (
    QueuedRunCoordinator,
    RunQueueConfig,
)
from dagster._core.storage.tags import BACKFILL_ID_TAG, PRIORITY_TAG
from dagster._serdes import ConfigurableClassData

from syncline.dagster.automation import CONNECTION_TAG, MAPPING_TAG

BEHIND: Final = "-1"
"""The priority of a backfill's runs, and of all but one of a mapping's that wait: however many of
those there are, other mappings are not behind them."""


class ConnectionRunCoordinator(QueuedRunCoordinator):
    """Dagster's own queue, with a limit for each connection that `connections` names.

    In `dagster.yaml`: `connections: {crm: 4}` lets at most four runs at once read or write `crm`.
    Everything else is as in Dagster's QueuedRunCoordinator.
    """

    def __init__(
        self,
        connections: Mapping[str, int] | None = None,
        inst_data: ConfigurableClassData | None = None,
        **given: Any,
    ) -> None:
        super().__init__(inst_data=inst_data, **given)
        self._connections = dict(connections or {})

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """That of Dagster, and `connections`."""
        limits = dg.Field(
            dg.Map(str, int, key_label_name="connection"),
            is_required=False,
            description="So many runs at once may use the connection.",
        )
        return {**cast("dict[str, dg.Field]", super().config_type()), "connections": limits}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> ConnectionRunCoordinator:
        """As Dagster makes it of `dagster.yaml`."""
        return cls(inst_data=inst_data, **config_value)

    def get_run_queue_config(self) -> RunQueueConfig:
        """Dagster's, with one run a mapping, and the limits of the connections."""
        config = super().get_run_queue_config()
        own: list[Mapping[str, Any]] = [
            {"key": MAPPING_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
        ]
        own += [
            {"key": f"{CONNECTION_TAG}/{name}", "limit": limit}
            for name, limit in self._connections.items()
        ]
        return config._replace(tag_concurrency_limits=[*config.tag_concurrency_limits, *own])

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Queue a run, with what it uses as its tags."""
        run = context.dagster_run
        tags = _tags(context)
        behind = BACKFILL_ID_TAG in run.tags or self._waits(tags.get(MAPPING_TAG))
        if behind and PRIORITY_TAG not in run.tags:
            tags[PRIORITY_TAG] = BEHIND
        if tags:
            self._instance.add_run_tags(run.run_id, tags)
        return super().submit_run(context)

    def _waits(self, mapping: str | None) -> bool:
        """Whether a run of the mapping has its place in the queue already."""
        if mapping is None:
            return False
        queued = dg.RunsFilter(tags={MAPPING_TAG: mapping}, statuses=[dg.DagsterRunStatus.QUEUED])
        return any(run.tags.get(PRIORITY_TAG) != BEHIND for run in self._instance.get_runs(queued))


def _tags(context: SubmitRunContext) -> dict[str, str]:
    """The connections of the run's assets, and the mapping where it is of one."""
    run, graph = context.dagster_run, context.workspace.asset_graph
    keys = run.asset_selection or graph.asset_keys_for_job(run.job_name)
    tags: dict[str, str] = {}
    mappings: set[str] = set()
    for key in keys:
        if not graph.has(key):
            continue
        found = graph.get(key).tags
        used = {name: text for name, text in found.items() if name.startswith(CONNECTION_TAG + "/")}
        if used:
            mappings.add(key.path[-1])
            tags |= used
    if len(mappings) == 1:
        tags[MAPPING_TAG] = mappings.pop()
    return tags
