"""Runs of a mapping from Dagster: config, numbers, progress, retries, cancel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import structlog

from syncline import ledger
from syncline.dagster import SyncConfig
from syncline.dagster.failure import may_pass
from syncline.errors import (
    GuardStopped,
    InputError,
    LeaseHeld,
    RunFailed,
    TooManyDeadLetters,
    Transient,
    Unreachable,
)
from syncline.project import Project
from syncline.run import opened
from syncline.sync import Cancelled
from tests.integration.dagster_bench import (
    CUSTOMERS,
    DagsterBench,
    attempts,
    failure_of,
    numbers_of,
)


@pytest.fixture
def bench(tmp_path: Path) -> DagsterBench:
    """A project with ten customers and one mapping of them."""
    made = DagsterBench(tmp_path / "project")
    made.write("customers")
    return made


LOGS = {"python_logs": {"managed_python_loggers": ["syncline"], "python_log_level": "INFO"}}
"""The engine's lines are part of a run's log, as `dagster_home/dagster.yaml` has it."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral(settings=LOGS) as made:
        yield made


@pytest.fixture(autouse=True)
def _structlog_untouched() -> Iterator[None]:
    """Each test finds structlog as a new process does."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def messages(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> list[str]:
    """The lines of a run's log."""
    return [entry.user_message for entry in instance.all_logs(result.run_id)]


def test_a_run_syncs_and_tells_its_numbers(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """What was read and written is metadata in numbers; a second run finds nothing to do."""
    first = numbers_of(bench.run(instance), "customers")
    assert bench.users() == {key: f"NAME {key}!" for key in range(1, 11)}
    assert {name: first[name] for name in ("read", "inserted", "updated", "mode", "status")} == {
        "read": 10, "inserted": 10, "updated": 0, "mode": "full", "status": "ok",
    }  # fmt: skip
    assert first["rows_per_second"] > 0
    assert 0 < first["seconds"] < 60
    assert first["checkpoint"] == pytest.approx(time.time(), abs=60)
    assert first["guarantee"] in {"exact", "bounded", "none"}
    bench.sql(
        "shop", "update customers set name = 'new', seen = '2050-01-01 00:00:00' where id = 3"
    )
    second = numbers_of(bench.run(instance), "customers")
    assert (second["mode"], second["inserted"], second["updated"]) == ("delta", 0, 1)
    assert bench.users()[3] == "NEW!"


def test_every_number_can_be_plotted(bench: DagsterBench, instance: dg.DagsterInstance) -> None:
    """Counts and seconds are numbers to Dagster, whatever they are."""
    (found,) = bench.run(instance).asset_materializations_for_node("customers")
    for name in (
        "read", "inserted", "updated", "deleted", "unchanged", "conflicts", "queued",
        "dead_letters", "rows_per_second",
    ):  # fmt: skip
        assert isinstance(found.metadata[name], dg.IntMetadataValue), name
    assert isinstance(found.metadata["seconds"], dg.FloatMetadataValue)
    assert isinstance(found.metadata["checkpoint"], dg.TimestampMetadataValue)


def test_each_batch_is_a_line_of_the_runs_log_and_so_is_what_the_engine_says(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """With batches of 4 ten records take three lines; the engine's own lines stand there too."""
    result = bench.run(instance, config={"customers": {"batch_size": 4}})
    lines = messages(instance, result)
    batches = [line for line in lines if line.startswith("customers: read")]
    assert [line.split(",")[0].split()[2] for line in batches] == ["4", "8", "10"]
    assert any("run finished" in line and "mapping=customers" in line for line in lines)


def test_a_small_delta_is_less_than_a_second_of_work(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """All of it, with Dagster's steps and events and the checks; only the launch comes on top."""
    assert bench.run(instance).success
    bench.sql("shop", "update customers set name = 'new', seen = '2050-01-01' where id = 3")
    job = bench.definitions().resolve_implicit_global_asset_job_def()
    began = time.process_time()
    result = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("customers")])
    took = time.process_time() - began
    assert numbers_of(result, "customers")["updated"] == 1
    assert took < 5, f"{took:.1f} s"  # 0.4 s where this process has a core for itself


def test_mode_full_reads_every_record_again(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """After a first run, mode full reads all and writes none."""
    bench.run(instance)
    found = numbers_of(bench.run(instance, config={"customers": {"mode": "full"}}), "customers")
    assert (found["mode"], found["read"], found["inserted"]) == ("full", 10, 0)


def test_a_window_backfills_by_the_cursor_and_leaves_the_checkpoint(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """`[start, end)` of the cursor is read, and nothing else; there is still no checkpoint."""
    bench.sql("shop", "update customers set seen = '2010-01-0' || id || ' 00:00:00' where id < 9")
    window = {"window_start": "2010-01-02 00:00:00", "window_end": "2010-01-05 00:00:00"}
    found = numbers_of(bench.run(instance, config={"customers": window}), "customers")
    assert (found["mode"], found["read"]) == ("backfill", 3)
    assert sorted(bench.users()) == [2, 3, 4]
    assert "checkpoint" not in found


@pytest.mark.parametrize(
    "config", [{"mode": "sideways"}, {"allow": ["everything"]}, {"batch_sice": 5}]
)
def test_config_of_the_wrong_form_is_refused_before_a_run_begins(
    bench: DagsterBench, instance: dg.DagsterInstance, config: dict[str, object]
) -> None:
    """Dagster itself knows the modes, the guards and the names: nothing is launched."""
    with pytest.raises(dg.DagsterInvalidConfigError):
        bench.run(instance, config={"customers": config})
    assert instance.get_runs() == []


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 2_000_000}, "batch_size is 2000000"),
        ({"window_start": ""}, "an empty window_start"),
        ({"window_start": "2024-01-01", "window_end": "2024-01-01"}, "is empty"),
        ({"mode": "full", "window_end": "2024-01-01"}, "takes no window"),
    ],
)
def test_config_that_no_run_can_follow_fails_once(
    bench: DagsterBench, instance: dg.DagsterInstance, config: dict[str, object], told: str
) -> None:
    """Exit code 2: told in the failure, not retried, nothing written."""
    result = bench.run(instance, config={"customers": config})
    failure = failure_of(result, "customers").user_failure_data
    assert told in failure.description
    assert failure.metadata["exit_code"].value == 2
    assert attempts(result) == 1
    assert bench.sql("app", "select name from sqlite_master where name = 'users'") == []


def test_config_can_be_given_as_an_object(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """In code, `dg.RunConfig` takes a SyncConfig."""
    job = bench.definitions().resolve_implicit_global_asset_job_def()
    config = dg.RunConfig(ops={"customers": SyncConfig(batch_size=3)})
    assert job.execute_in_process(config, instance=instance).success
    assert len(bench.users()) == 10


def test_what_may_pass_is_retried_and_no_secret_is_told(
    bench: DagsterBench, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1: a database that can't be reached is tried as often as the policy says."""
    monkeypatch.setenv("FAR_URL", "postgresql://me:opensesame@127.0.0.1:1/app")
    bench.write("customers", CUSTOMERS.replace("connection: app", "connection: far"))
    result = bench.run(instance)
    assert not result.success
    assert attempts(result) == 3
    failure = failure_of(result, "customers").user_failure_data
    assert failure.metadata["exit_code"].value == 1
    assert failure.metadata["error"].value == "Unreachable"
    everything = "".join(entry.to_json() for entry in instance.all_logs(result.run_id))
    assert "127.0.0.1" in everything
    assert "opensesame" not in everything


def test_a_mapping_that_does_not_fit_the_databases_is_not_retried(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Exit code 2: an unknown column is found when the run looks at the database."""
    bench.write("customers", CUSTOMERS.replace("upper(name)", "upper(nmae)"))
    result = bench.run(instance)
    failure = failure_of(result, "customers").user_failure_data
    assert "nmae" in failure.description
    assert failure.metadata["exit_code"].value == 2
    assert attempts(result) == 1


def test_a_guard_is_not_retried_and_can_be_allowed(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Exit code 3: the failure names the config that lets it pass, and with that it does."""
    bench.write("customers", more="deletes: {mode: mirror, guard: 5%}\nexclusive: true\n")
    bench.run(instance)
    bench.sql("shop", "delete from customers where id > 5")
    result = bench.run(instance)
    failure = failure_of(result, "customers").user_failure_data
    assert failure.metadata["exit_code"].value == 3
    assert "`allow: [deletes]`" in failure.metadata["hint"].value
    assert attempts(result) == 1
    assert len(bench.users()) == 10
    allowed = bench.run(instance, config={"customers": {"allow": ["deletes"]}})
    assert numbers_of(allowed, "customers")["deleted"] == 5
    assert len(bench.users()) == 5


def test_a_lease_that_another_run_holds_is_not_retried(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Exit code 4: the pool and the schedule see to it that runs follow each other."""
    bench.run(instance)
    with opened(Project(bench.root), "customers") as run, ledger.hold(run.target, run.spec):
        result = bench.run(instance)
    assert failure_of(result, "customers").user_failure_data.metadata["exit_code"].value == 4
    assert attempts(result) == 1
    assert bench.run(instance).success


def test_a_fault_of_ours_is_not_retried_and_shows_its_traceback(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """An error that syncline does not know would only repeat; the log says where it came from."""
    (bench.root / "resolvers").mkdir()
    (bench.root / ".syncline").write_text("a file where the control store's directory should be")
    result = bench.run(instance)
    assert attempts(result) == 1
    assert "FileExistsError" in failure_of(result, "customers").user_failure_data.description
    assert any("Traceback" in line and "state_dir" in line for line in messages(instance, result))


@pytest.mark.parametrize(
    ("error", "retried"),
    [
        (Unreachable("gone"), True),
        (Transient("deadlock"), True),
        (RunFailed("the disk is full"), True),
        (TooManyDeadLetters("more than 1000"), False),
        (Cancelled("by someone"), False),
        (InputError("wrong"), False),
        (GuardStopped("deletes", "too many"), False),
        (LeaseHeld("by another"), False),
        (ZeroDivisionError(), False),
    ],
)
def test_only_what_may_pass_is_worth_another_try(error: Exception, *, retried: bool) -> None:
    """Exit code 1 is retried, unless the same records would only do the same again."""
    assert may_pass(error) is retried


def test_what_waits_for_a_person_is_told(bench: DagsterBench, instance: dg.DagsterInstance) -> None:
    """A conflict of the strategy manual is counted, and the log names the command that lists it."""
    bench.write("customers", more="conflicts: manual\n")
    bench.run(instance)
    bench.sql("shop", "update customers set name = 'a', seen = '2050-01-01 00:00:00' where id = 1")
    bench.sql("app", "update users set name = 'b' where id = 1")
    result = bench.run(instance)
    found = numbers_of(result, "customers")
    assert (found["status"], found["queued"]) == ("waiting", 1)
    assert any("syncline conflicts list customers" in line for line in messages(instance, result))


def test_a_mapping_runs_after_those_it_names(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """When the first fails, the one after it does not begin."""
    bench.write("later", CUSTOMERS.replace("users", "copies"), more="after: [customers]\n")
    steps = [e.step_key for e in bench.run(instance).all_events if e.is_step_success]
    assert [step for step in steps if not step.endswith("_scan")] == ["customers", "later"]
    bench.sql("shop", "alter table customers rename to gone")
    result = bench.run(instance)
    assert [e.step_key for e in result.all_events if e.is_step_skipped] == []
    assert failure_of(result, "customers")
    assert "later" not in {e.step_key for e in result.all_events if e.is_step_start}
