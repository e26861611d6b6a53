"""Launcher: run workers as Dagster starts them, and whether one of them is still there.

Dagster's own launcher can't tell: after the whole machine went down its runs would be "started" for
ever, and hold the slots of their pools.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Final

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

_SECONDS: Final = 10


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, whose run workers `run_monitoring` can ask about.

    A worker that is wrongly thought dead does no harm: the lease of the mapping, which the next run
    must get, is still its own.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the code server that started the worker is there, and still has it."""
        if GRPC_INFO_TAG not in run.tags:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "not started by a code server")
        if not _listens(json.loads(run.tags[GRPC_INFO_TAG])):
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its code server is gone")
        client: DagsterGrpcClient | None = self._get_grpc_client_for_termination(run.run_id)  # pyright: ignore[reportUnknownMemberType]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.SUCCESS, "it has ended")
        asked = CanCancelExecutionRequest(run_id=run.run_id)
        try:
            answer = client.can_cancel_execution(asked, timeout=_SECONDS)
        except Exception as error:  # noqa: BLE001 - a busy server; it is asked again soon
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"no answer: {type(error).__name__}")
        if deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its code server no longer has it")


def _listens(server: dict[str, Any]) -> bool:
    """Whether anything listens there. Only a refusal says no: a server that is slow is one."""
    path = server.get("socket")
    family, where = (
        (socket.AF_UNIX, path) if path else (socket.AF_INET, (server["host"], server["port"]))
    )
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(_SECONDS)
        try:
            client.connect(where)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
        return True
