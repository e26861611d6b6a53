"""The workspace as `make dev` opens it: webserver, daemon and run workers, driven by GraphQL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.integration.dagster_bench import DagsterBench

ROOT = Path(__file__).parents[2]
RECORDS = 3000
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
Found = TypeVar("Found")
ASSETS = """{ assetNodes {
    assetKey { path } groupName kinds pools description dependencyKeys { path }
    assetChecksOrError { ... on AssetChecks { checks {
        name executionForLatestMaterialization { status } } } }
} }"""
LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on PythonError { message } }
} } } }"""
SCHEDULES = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
    schedules { name cronSchedule executionTimezone scheduleState { status } }
} } } }"""
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
} }"""
RUNS = """query($ids: [String!]) { runsOrError(filter: {runIds: $ids}) { ... on Runs {
    results { runId status }
} } }"""
LOG = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
    __typename ... on MessageEvent { message }
} } } }"""
PLOTTED = """query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
    assetMaterializations(limit: 1) { metadataEntries {
        label ... on IntMetadataEntry { intValue }
    } }
} } }"""
TERMINATE = "mutation($id: String!) { terminateRun(runId: $id) { __typename } }"

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]


class Ui:
    """A running Dagster, and its GraphQL."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, output: Path) -> None:
        self.process, self.output = process, output
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, query: str, **variables: Any) -> Any:
        """The data that a query gives."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(  # noqa: S310 - our own server on 127.0.0.1
            f"{self.url}/graphql", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
            found = json.load(answer)
        assert "errors" not in found, found["errors"]
        return found["data"]

    def until(self, look: Callable[[], Found | None], seconds: float = 200) -> Found:
        """What `look` finds, looked for until it is there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.output.read_text()
            try:
                if found := look():
                    return found
            except (urllib.error.URLError, ConnectionError):
                pass  # not up yet
            time.sleep(0.2)
        pytest.fail(f"not there after {seconds} s; {self.output.read_text()[-3000:]}")

    def launch(self, asset: str, config: dict[str, Any]) -> str:
        """Launch an asset as the launchpad does; the run's id."""
        selector = {
            "repositoryLocationName": "syncline",
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": [asset]}],
        }
        given = {"selector": selector, "runConfigData": {"ops": {asset: {"config": config}}}}
        answer = self.ask(LAUNCH, params=given)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]

    def statuses(self, *run_ids: str) -> list[str]:
        """The statuses of some runs at one moment."""
        found = self.ask(RUNS, ids=list(run_ids))["runsOrError"]["results"]
        return [run["status"] for run in found]

    def ended(self, run_id: str) -> str:
        """A run's status once it has ended."""

        def look() -> str | None:
            (status,) = self.statuses(run_id)
            return status if status in ENDED else None

        return self.until(look)

    def log(self, run_id: str) -> list[str]:
        """The lines of a run's log."""
        events = self.ask(LOG, id=run_id)["logsForRun"]["events"]
        return [event.get("message", "") for event in events]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> DagsterBench:
    """A project with two mappings that work and one that does not load."""
    made = DagsterBench(tmp_path_factory.mktemp("ui") / "project", records=RECORDS)
    made.write("customers", more='schedule: "*/5 * * * *"\ngroup: crm\nbatch_size: 1000\n')
    made.write("orders", more="after: [customers]\n")
    made.write("typo", "source: {}\n")
    return made


@pytest.fixture(scope="module")
def ui(bench: DagsterBench) -> Iterator[Ui]:
    """Dagster on that project, from this repository's workspace and instance file."""
    home = bench.root.parent / "dagster_home"
    home.mkdir()
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", home)
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "SYNCLINE_PROJECT": str(bench.root),
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run(
        [programs / "dagster", "instance", "info"],
        env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    output = bench.root.parent / "output"
    command = [
        programs / "dg",
        "dev",
        "-w",
        "workspace.yaml",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield Ui(process, port, output)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def assets_of(ui: Ui) -> dict[str, Any] | None:
    found = ui.ask(ASSETS)["assetNodes"]
    return {"/".join(node["assetKey"]["path"]): node for node in found} or None


def test_the_workspace_loads_and_lists_every_mapping(ui: Ui) -> None:
    """Assets with group, kinds, pool and dependencies; the location has no error."""
    assets = ui.until(lambda: assets_of(ui))
    assert set(assets) == {"customers", "orders", "typo"}
    assert assets["customers"]["groupName"] == "crm"
    assert assets["customers"]["kinds"] == ["sqlite"]
    assert assets["customers"]["pools"] == ["syncline_customers"]
    assert "| `name` | `upper(name) \\|\\| '!'` |" in assets["customers"]["description"]
    assert assets["orders"]["dependencyKeys"] == [{"path": ["customers"]}]
    (location,) = ui.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
    assert location["name"] == "syncline"
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation"


def test_the_schedule_is_listed_and_off(ui: Ui) -> None:
    """Nothing runs by itself before someone switches it on."""
    ui.until(lambda: assets_of(ui))
    (repository,) = ui.ask(SCHEDULES)["repositoriesOrError"]["nodes"]
    assert repository["schedules"] == [
        {
            "name": "customers_schedule",
            "cronSchedule": "*/5 * * * *",
            "executionTimezone": "UTC",
            "scheduleState": {"status": "STOPPED"},
        }
    ]


def test_a_broken_mapping_shows_a_failed_check_without_a_run(ui: Ui) -> None:
    """The daemon reports it soon after the start."""

    def look() -> bool:
        (check,) = (assets_of(ui) or {})["typo"]["assetChecksOrError"]["checks"]
        return (check["executionForLatestMaterialization"] or {}).get("status") == "FAILED"

    ui.until(lambda: assets_of(ui))
    ui.until(look)


def test_a_run_is_canceled_at_a_batch_and_the_next_one_completes(
    ui: Ui, bench: DagsterBench
) -> None:
    """Launched, seen at work, terminated: it is CANCELED, not retried, and goes on where it was."""
    ui.until(lambda: assets_of(ui))
    run_id = ui.launch("customers", {"batch_size": 2})
    ui.until(lambda: any(line.startswith("customers: read") for line in ui.log(run_id)))
    ui.ask(TERMINATE, id=run_id)
    assert ui.ended(run_id) == "CANCELED"
    done = len(bench.users())
    assert 0 < done < RECORDS
    assert done % 2 == 0
    again = ui.launch("customers", {})
    assert ui.ended(again) == "SUCCESS"
    assert len(bench.users()) == RECORDS
    key = {"path": ["customers"]}
    (run,) = ui.ask(PLOTTED, key=key)["assetOrError"]["assetMaterializations"]
    numbers = {entry["label"]: entry.get("intValue") for entry in run["metadataEntries"]}
    assert numbers["inserted"] == RECORDS - done


def test_runs_of_a_mapping_do_not_overlap(ui: Ui) -> None:
    """Launched together, also as the first ones ever, each waits for the slot of the pool."""
    ui.until(lambda: assets_of(ui))
    runs = [ui.launch("orders", {"mode": "full", "batch_size": 100}) for _ in range(4)]
    waited = False

    def look() -> bool:
        nonlocal waited
        statuses = ui.statuses(*runs)
        under_way = sum(status in {"STARTING", "STARTED"} for status in statuses)
        assert under_way < 2
        waited |= under_way == 1 and "QUEUED" in statuses
        return set(statuses) <= ENDED

    ui.until(look)
    assert waited
    assert set(ui.statuses(*runs)) == {"SUCCESS"}
