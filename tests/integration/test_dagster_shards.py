"""A full sync by shards in Dagster: a job of dynamic steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from syncline import ledger, steps
from syncline.errors import LeaseHeld, LeaseLost
from syncline.run import RunOptions, opened
from tests.integration.dagster_bench import DagsterBench

WORKERS = "workers: 2\nbatch_size: 5\nconflicts: {strategy: source, detect: ledger}\n"
SPEED = {"seconds", "rows_per_second"}
"""What no two comparisons have alike."""


@pytest.fixture
def bench(tmp_path: Path) -> DagsterBench:
    """A project with forty customers and one mapping of them, for two workers."""
    made = DagsterBench(tmp_path / "project", 40)
    made.write("customers", more=WORKERS)
    return made


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def full(bench: DagsterBench, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = bench.definitions().resolve_job_def("customers_full")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def test_a_mapping_with_workers_has_a_job_of_dynamic_steps(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Divided, each shard a step, then the asset is materialized with the numbers of all."""
    result = full(bench, instance)
    assert result.success
    begun = [e.step_key for e in result.all_events if e.event_type_value == "STEP_START"]
    assert begun == [
        "customers_divide", "customers_shard[0]", "customers_shard[1]", "customers_finish",
    ]  # fmt: skip
    assert bench.users() == {key: f"NAME {key}!" for key in range(1, 41)}
    (told,) = [e for e in result.all_events if e.event_type_value == "ASSET_MATERIALIZATION"]
    assert told.asset_key == dg.AssetKey("customers")
    metadata = told.materialization.metadata
    assert (metadata["read"].value, metadata["inserted"].value) == (40, 40)
    again = bench.run(instance)  # the asset's own run: a delta from before the first shard
    assert again.success
    with pytest.raises(LeaseLost, match="knows of no run"):
        steps.end(bench.project, "customers", RunOptions(trigger=f"dagster:{result.run_id}"))


def test_a_mapping_with_one_worker_has_no_such_job(tmp_path: Path) -> None:
    """Its asset alone is enough."""
    made = DagsterBench(tmp_path / "project")
    made.write("customers")
    assert not made.definitions().jobs


def test_the_lease_stays_with_the_run_between_its_steps_and_is_free_once_that_is_over(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Another run is kept out meanwhile; when the run of Dagster is known to be over, it goes on
    with the shards where they are.
    """
    begun = steps.begin(bench.project, "customers", RunOptions(trigger="dagster:gone"))
    assert begun.shards == (0, 1)
    steps.bring(bench.project, "customers", 0, RunOptions(trigger="dagster:gone"))
    steps.bring(bench.project, "customers", 0, RunOptions(trigger="dagster:gone"))  # twice
    with (
        opened(bench.project, "customers") as run,
        pytest.raises(LeaseHeld, match="run:"),
        ledger.hold(run.target, run.spec),
    ):
        pass
    assert 0 < len(bench.users()) < 40
    result = full(bench, instance)
    assert result.success
    begun_steps = [e.step_key for e in result.all_events if e.event_type_value == "STEP_START"]
    assert begun_steps == ["customers_divide", "customers_shard[1]", "customers_finish"]
    assert len(bench.users()) == 40
    with pytest.raises(LeaseLost, match="knows of no run"):
        steps.bring(bench.project, "customers", 1, RunOptions(trigger="dagster:gone"))


def test_a_canceled_run_by_steps_frees_the_lease_at_once(
    bench: DagsterBench, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends behind its batch and is not tried again; the next run goes on from there."""
    asked: list[int] = []

    @contextmanager
    def soon(*_: object) -> Iterator[Callable[[], bool]]:
        def should_end() -> bool:
            asked.append(1)
            return len(asked) > 2

        yield should_end

    with monkeypatch.context() as patched:
        patched.setattr("syncline.dagster.sync.asked_to_end", soon)
        result = full(bench, instance)
    assert not result.success
    assert not [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]
    landed = len(bench.users())
    assert 0 < landed < 40
    assert bench.run(instance, "customers").success
    assert bench.users() == {key: f"NAME {key}!" for key in range(1, 41)}


def parity(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> tuple[dg.ExecuteInProcessResult, dg.AssetCheckEvaluation]:
    """Run the job that compares by ranges; what the check is said to have found."""
    job = bench.definitions().resolve_job_def("customers_verify")
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert result.success
    (event,) = [e for e in result.all_events if e.event_type_value == "ASSET_CHECK_EVALUATION"]
    return result, event.asset_check_evaluation_data


def test_a_comparison_by_ranges_tells_what_one_process_would(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Each range a step; the check's result is that of the check made whole, in the same words."""
    assert bench.run(instance).success
    result, found = parity(bench, instance)
    steps_ = [e.step_key for e in result.all_events if e.event_type_value == "STEP_START"]
    assert steps_[0] == "customers_ranges"
    assert steps_[-1] == "customers_parity"
    assert len(steps_) > 3
    assert (found.passed, found.metadata["read"].value) == (True, 40)
    assert found.target_materialization_data is not None
    bench.sql("app", "delete from users where id = 7")
    _, found = parity(bench, instance)
    whole = bench.check(instance, "parity")
    assert (found.passed, found.description) == (False, whole.description)
    told = {name: value for name, value in found.metadata.items() if name not in SPEED}
    assert told == {name: value for name, value in whole.metadata.items() if name not in SPEED}
    key = dg.AssetCheckKey(dg.AssetKey("customers"), "parity")
    (newest,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert newest.status.value == "FAILED"
