"""A running Dagster and its GraphQL, which is what its pages use."""

from __future__ import annotations

import json
import urllib.request
from typing import Any, Final

from tests.acceptance.dagster_process import DagsterProcess

ENDED: Final = {"SUCCESS", "FAILURE", "CANCELED"}
REPOSITORY: Final = {"repositoryLocationName": "syncline", "repositoryName": "__repository__"}
LOCATIONS: Final = """{ workspaceOrError { ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on PythonError { message } }
} } } }"""
ASSETS: Final = """{ assetNodes {
    assetKey { path } groupName kinds pools description dependencyKeys { path }
    targetingInstigators { __typename ... on Schedule { name } ... on Sensor { name } }
    assetChecksOrError { ... on AssetChecks { checks {
        name executionForLatestMaterialization { status } } } }
} }"""
LAUNCH: Final = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
} }"""
TERMINATE: Final = "mutation($id: String!) { terminateRun(runId: $id) { __typename } }"
RUNS: Final = """query($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs {
    results { runId status tags { key value } }
} } }"""
LOG: Final = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
    __typename ... on MessageEvent { message }
} } } }"""
NUMBERS: Final = """query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
    assetMaterializations(limit: 1) { runId metadataEntries {
        label ... on IntMetadataEntry { intValue }
    } }
} } }"""
OBSERVED: Final = """query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
    assetObservations(limit: 100) { runId metadataEntries {
        label ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue }
    } }
} } }"""
PARTITIONS: Final = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) {
    ... on AssetNode { partitionKeys partitionStats { numMaterialized numFailed } }
} }"""
SCHEDULES: Final = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
    schedules { name cronSchedule executionTimezone scheduleState { id status } }
} } } }"""
SWITCH_ON: Final = """mutation($name: ScheduleSelector!) { startSchedule(scheduleSelector: $name) {
    __typename ... on PythonError { message }
} }"""
SWITCH_OFF: Final = "mutation($id: String!) { stopRunningSchedule(id: $id) { __typename } }"
BACKFILL: Final = """mutation($params: LaunchBackfillParams!) {
    launchPartitionBackfill(backfillParams: $params) {
        __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
} }"""
BACKFILL_STATUS: Final = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status }
} }"""
SLOTS: Final = """{ instance { concurrencyLimits {
    concurrencyKey limit claimedSlots { runId } pendingStepCount
} } }"""


class Ui(DagsterProcess):
    """Dagster on a project, asked as its pages ask."""

    def ask(self, query: str, **variables: Any) -> Any:
        """The data that a query gives."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(  # noqa: S310 - our own server on 127.0.0.1
            f"{self.url}/graphql", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
            found = json.load(answer)
        assert "errors" not in found, found["errors"]
        return found["data"]

    def loaded(self) -> None:
        """Wait until the code location is there."""
        self.until(self.assets)

    def assets(self) -> dict[str, Any]:
        """Every asset by its name."""
        found = self.ask(ASSETS)["assetNodes"]
        return {"/".join(node["assetKey"]["path"]): node for node in found}

    def checked(self, asset: str, check: str) -> str | None:
        """What an asset's check found last; None where it was never made."""
        found = self.assets()[asset]["assetChecksOrError"]["checks"]
        (execution,) = (
            one["executionForLatestMaterialization"] for one in found if one["name"] == check
        )
        return None if execution is None else execution["status"]

    def launch(self, asset: str, config: dict[str, Any], check: str | None = None) -> str:
        """Launch an asset, or a check of it alone, as the UI does; the run's id."""
        path = {"path": [asset]}
        selector = {
            **REPOSITORY,
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [] if check else [path],
            **({"assetCheckSelection": [{"assetKey": path, "name": check}]} if check else {}),
        }
        given = {"ops": {asset: {"config": config}}} if config else {}
        params = {"selector": selector, "runConfigData": given}
        answer = self.ask(LAUNCH, params=params)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]

    def terminate(self, run_id: str) -> None:
        """Ask a run to end."""
        self.ask(TERMINATE, id=run_id)

    def runs(self, **filters: Any) -> list[dict[str, Any]]:
        """Runs, newest first."""
        return self.ask(RUNS, filter=filters)["runsOrError"]["results"]

    def tagged(self, key: str, value: str) -> list[dict[str, Any]]:
        """The runs that have this tag, newest first."""
        return self.runs(tags=[{"key": key, "value": value}])

    def statuses(self, *run_ids: str) -> list[str]:
        """The statuses of some runs at one moment."""
        return [run["status"] for run in self.runs(runIds=list(run_ids))]

    def ended(self, run_id: str) -> str:
        """A run's status once it has ended."""

        def look() -> str | None:
            (status,) = self.statuses(run_id)
            return status if status in ENDED else None

        return self.until(look)

    def idle(self) -> None:
        """Wait until no run is under way or waits."""
        active = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
        self.until(lambda: not self.runs(statuses=active))

    def log(self, run_id: str) -> list[str]:
        """The lines of a run's log."""
        events = self.ask(LOG, id=run_id)["logsForRun"]["events"]
        return [event.get("message", "") for event in events]

    def numbers(self, asset: str) -> dict[str, Any]:
        """The whole numbers of an asset's newest materialization, and its `run`."""
        key = {"path": [asset]}
        (newest,) = self.ask(NUMBERS, key=key)["assetOrError"]["assetMaterializations"]
        counts = {one["label"]: one.get("intValue") for one in newest["metadataEntries"]}
        return {**counts, "run": newest["runId"]}

    def observed(self, asset: str, run_id: str) -> list[dict[str, Any]]:
        """The numbers of a run's batches, as they were told, the newest first."""
        found = self.ask(OBSERVED, key={"path": [asset]})["assetOrError"]["assetObservations"]
        return [
            {
                one["label"]: one.get("intValue", one.get("floatValue"))
                for one in each["metadataEntries"]
            }
            for each in found
            if each["runId"] == run_id
        ]

    def partitions(self, *path: str) -> tuple[int, int]:
        """How many partitions an asset has, and how many of them are materialized."""
        node = self.ask(PARTITIONS, key={"path": list(path)})["assetNodeOrError"]
        return len(node["partitionKeys"]), node["partitionStats"]["numMaterialized"]

    def worker(self, run_id: str) -> int:
        """The process that works on a run."""

        def look() -> int | None:
            said = [line for line in self.log(run_id) if "(pid: " in line]
            return int(said[0].rpartition("(pid: ")[2].partition(")")[0]) if said else None

        return self.until(look)

    def schedules(self) -> list[dict[str, Any]]:
        """Every schedule, and whether it is on."""
        (repository,) = self.ask(SCHEDULES)["repositoriesOrError"]["nodes"]
        return repository["schedules"]

    def switch_on(self, schedule: str) -> None:
        """Switch a schedule on."""
        answer = self.ask(SWITCH_ON, name=REPOSITORY | {"scheduleName": schedule})["startSchedule"]
        assert answer["__typename"] == "ScheduleStateResult", answer

    def switch_off(self, schedule: str) -> None:
        """Switch a schedule off, and wait until what it has launched by then has ended."""
        (found,) = (one for one in self.schedules() if one["name"] == schedule)
        self.ask(SWITCH_OFF, id=found["scheduleState"]["id"])
        self.idle()

    def backfill(self, path: list[str], partitions: list[str]) -> str:
        """Launch a backfill of an asset; its id."""
        params = {"assetSelection": [{"path": path}], "partitionNames": partitions}
        launched = self.ask(BACKFILL, params=params)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return launched["backfillId"]

    def backfilled(self, backfill: str) -> str:
        """A backfill's status once it has ended."""

        def look() -> str | None:
            found = self.ask(BACKFILL_STATUS, id=backfill)["partitionBackfillOrError"]["status"]
            return None if found in {"REQUESTED", "CANCELING", "COMPLETING"} else found

        return self.until(look)
