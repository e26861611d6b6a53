"""The queue of runs: one run a mapping, limits of connections, backfills behind, lost workers."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.instance_for_test import instance_for_test
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)
from dagster_graphql.test.utils import execute_dagster_graphql

from syncline.dagster.launcher import WatchedRunLauncher
from tests.integration.dagster_bench import CUSTOMERS, DagsterBench

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
} }"""


class Queue:
    """A project's code location, and an instance whose runs are queued and never begin to work."""

    def __init__(self, instance: dg.DagsterInstance, context: Any) -> None:
        self.instance, self.context = instance, context
        self.daemon = QueuedRunCoordinatorDaemon(1, 25)

    def launch(self, *assets: str, **tags: str) -> str:
        """Launch assets as the UI does; the run's id."""
        workspace = self.context.create_request_context()
        (location,) = workspace.code_locations
        selector = {
            "repositoryLocationName": location.name,
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": asset.split("/")} for asset in assets],
        }
        metadata = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
        params = {"selector": selector, "executionMetadata": metadata}
        found = execute_dagster_graphql(workspace, LAUNCH, {"params": params}).data["launchRun"]
        assert found["__typename"] == "LaunchRunSuccess", found
        return found["run"]["runId"]

    def begin(self) -> None:
        """One look of the daemon at the queue."""
        daemon: Any = self.daemon
        list(daemon.run_iteration(self.context))

    def begun(self) -> set[str]:
        """The runs that have begun and not ended."""
        filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])
        return {run.run_id for run in self.instance.get_runs(filters)}

    def end(self, run_id: str) -> None:
        """A run ends."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        self.instance.report_run_failed(run)

    def tags(self, run_id: str) -> dict[str, str]:
        """The tags of a run that are ours."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return {key: value for key, value in run.tags.items() if key.startswith("syncline")}


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """Four mappings from `shop` to `app`; at most two runs at once may use `app`."""
    bench = DagsterBench(tmp_path / "project")
    for name in ("a", "b", "c", "d"):
        backfill = "backfill: {from: 2000-01-01, to: 2000-01-03}\n" if name == "d" else ""
        bench.write(name, CUSTOMERS.replace("users", name), more=backfill)
    monkeypatch.setenv("SYNCLINE_PROJECT", str(bench.root))
    shutil.copy(ROOT / "pipelines" / "definitions.py", tmp_path)
    overrides = {
        "run_coordinator": {
            "module": "syncline.dagster.coordinator",
            "class": "ConnectionRunCoordinator",
            "config": {"connections": {"app": 2}},
        },
        "run_launcher": {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"},
        "concurrency": {
            "runs": {"max_concurrent_runs": 10},
            "pools": {"default_limit": 1, "granularity": "run"},
        },
    }
    origin = LoadableTargetOrigin(python_file=str(tmp_path / "definitions.py"))
    with instance_for_test(overrides) as instance:
        target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin))
        with WorkspaceProcessContext(instance, target) as context:
            yield Queue(instance, context)


def test_a_run_is_told_by_its_mapping_and_its_connections(queue: Queue) -> None:
    """Also one of several mappings, which counts for every connection and for no single mapping."""
    both = {"syncline_connection/shop": "source", "syncline_connection/app": "target"}
    assert queue.tags(queue.launch("a")) == {**both, "syncline/mapping": "a"}
    assert queue.tags(queue.launch("a", "b")) == both


def test_runs_of_one_connection_are_limited_and_those_of_one_mapping_starve_nobody(
    queue: Queue,
) -> None:
    """Those that wait for their mapping take up no place of the connection."""
    first, *waiting = [queue.launch("a") for _ in range(5)]
    other, third = queue.launch("b"), queue.launch("c")
    queue.begin()
    assert queue.begun() == {first, other}  # two may use `app`, one of them `a`
    queue.end(other)
    queue.begin()
    assert queue.begun() == {first, third}
    queue.end(first)
    queue.begin()
    assert queue.begun() == {waiting[0], third}


def test_the_runs_of_a_backfill_wait_behind_the_deltas(queue: Queue) -> None:
    """Launched first, it begins last; a priority that somebody gave it stands."""
    backfill = queue.launch("b", **{"dagster/backfill": "year"})
    first, second = queue.launch("a"), queue.launch("c")
    queue.begin()
    assert queue.begun() == {first, second}
    queue.end(first)
    queue.begin()
    assert queue.begun() == {second, backfill}
    urgent = queue.launch("d", **{"dagster/backfill": "year", "dagster/priority": "5"})
    run = queue.instance.get_run_by_id(urgent)
    assert run is not None
    assert run.tags["dagster/priority"] == "5"


def test_each_mapping_gets_its_turn(queue: Queue) -> None:
    """However many runs of one wait: the first of each is through before any second one."""
    runs = [queue.launch(name) for name in "aaaaabcd"]
    order: list[str] = []
    while len(order) < len(runs):
        queue.begin()
        order += [run for run in runs if run in queue.begun() - set(order)]
        ended = next(run for run in order if run in queue.begun())
        queue.end(ended)
    assert set(order[:4]) == {runs[0], *runs[-3:]}


# --- whether a worker is still there -------------------------------------------------------------


@pytest.fixture
def launcher() -> Iterator[WatchedRunLauncher]:
    with instance_for_test(
        {"run_launcher": {"module": "syncline.dagster.launcher", "class": "WatchedRunLauncher"}}
    ) as instance:
        found = instance.run_launcher
        assert isinstance(found, WatchedRunLauncher)
        yield found


def run_at(**server: Any) -> dg.DagsterRun:
    """A run that a code server there has begun."""
    return dg.DagsterRun("job", tags={".dagster/grpc_info": json.dumps(server)})


def test_a_run_whose_code_server_is_gone_is_found_out(
    launcher: WatchedRunLauncher, tmp_path: Path
) -> None:
    """Nobody listens where it was: the socket's file may be gone, or be left behind by a crash."""
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(left))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # taken, so that nobody else begins to listen there
        for server in (
            {"host": "localhost", "socket": str(tmp_path / "none")},
            {"host": "localhost", "socket": str(left)},
            {"host": "127.0.0.1", "port": silent.getsockname()[1]},
        ):
            found = launcher.check_run_worker_health(run_at(**server))
            assert found.status.value == "NOT_FOUND", server


def test_a_run_that_can_not_be_asked_about_is_left_alone(
    launcher: WatchedRunLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began in a process of its own, or its server is too busy to answer."""
    monkeypatch.setattr("syncline.dagster.launcher._SECONDS", 1)
    assert launcher.check_run_worker_health(dg.DagsterRun("job")).status.value == "RUNNING"
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        run = run_at(host="127.0.0.1", port=busy.getsockname()[1])
        launcher._instance.add_run(run)  # pyright: ignore[reportPrivateUsage]
        assert launcher.check_run_worker_health(run).status.value == "RUNNING"
