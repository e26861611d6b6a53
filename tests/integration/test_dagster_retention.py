"""Old runs are deleted, with all that Dagster kept of them, once someone switches that on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.storage.tags import BACKFILL_ID_TAG, REPOSITORY_LABEL_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from syncline.dagster.retention import SENSOR, VARIABLE, delete_old
from tests.integration.dagster_bench import DagsterBench

pytestmark = pytest.mark.slow

OWNER = "__repository__@syncline"
OURS = {REPOSITORY_LABEL_TAG: OWNER}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    return made


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in files."""
    with dg.DagsterInstance.local_temp(str(home)) as made:
        yield made


@pytest.fixture
def bench(tmp_path: Path) -> DagsterBench:
    made = DagsterBench(tmp_path / "project")
    made.write("customers")
    return made


def run(bench: DagsterBench, instance: dg.DagsterInstance, **tags: str) -> str:
    job = bench.definitions().resolve_implicit_global_asset_job_def()
    selected = [dg.AssetKey("customers")]
    return job.execute_in_process(instance=instance, asset_selection=selected, tags=tags).run_id


def later() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def test_old_runs_go_with_their_files_and_the_newest_of_an_asset_stays(
    bench: DagsterBench, instance: dg.DagsterInstance, home: Path
) -> None:
    """Of two runs the older goes, and nothing of it is left on the disk; a second look does no
    more, and the asset still shows its newest materialization.
    """
    old, new = run(bench, instance, **OURS), run(bench, instance, **OURS)
    assert delete_old(instance, OWNER, later()) == 1
    assert [each.run_id for each in instance.get_runs()] == [new]
    assert not [path for path in home.rglob("*") if old in str(path) and path.is_file()]
    assert delete_old(instance, OWNER, later()) == 0
    newest = instance.get_latest_materialization_event(dg.AssetKey("customers"))
    assert newest is not None
    assert newest.run_id == new


def test_runs_of_others_and_backfills_and_runs_that_are_not_old_stay(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """A code location deletes its own runs only, and none whose partitions would look missing."""
    began = datetime.now(UTC)
    runs = [
        run(bench, instance),
        run(bench, instance, **{**OURS, BACKFILL_ID_TAG: "year"}),
        run(bench, instance, **OURS),
        run(bench, instance, **OURS),
    ]
    assert delete_old(instance, OWNER, began) == 0
    assert delete_old(instance, OWNER, later()) == 1
    assert {each.run_id for each in instance.get_runs()} == {runs[0], runs[1], runs[3]}


def test_the_sensor_is_off_at_first_and_counts_days(
    bench: DagsterBench, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what it did; a number of days that is none is told, and nothing is deleted."""
    (sensor,) = (each for each in bench.definitions().sensors or () if each.name == SENSOR)
    assert isinstance(sensor, dg.SensorDefinition)
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    run(bench, instance, **OURS)
    run(bench, instance, **OURS)

    def look() -> str:
        context = dg.SensorEvaluationContext(
            None, repository_name="__repository__", instance=instance,
            code_location_origin=InProcessCodeLocationOrigin(
                LoadableTargetOrigin(module_name="pipelines.definitions"), location_name="syncline"
            ),
        )  # fmt: skip
        (told,) = [sensor.evaluate_tick(context).skip_message]
        return told or ""

    assert look() == "0 runs older than 90 days deleted"
    monkeypatch.setenv(VARIABLE, "soon")
    assert look() == "SYNCLINE_KEEP_RUNS_DAYS is 'soon': a number of days, 1 or more"
    assert len(instance.get_runs()) == 2
