"""Cancel: a run that Dagster asks to end does so between two batches, and the next one goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from syncline.dagster import cancel
from syncline.store.store import Store
from tests.integration.dagster_bench import CUSTOMERS, DagsterBench, attempts, numbers_of

MANY = 3000
"""Records enough for a run, in small batches, that can be canceled on its way."""


@pytest.fixture
def many(tmp_path: Path) -> DagsterBench:
    """The same with so many customers that a run takes a while."""
    made = DagsterBench(tmp_path / "project", records=MANY)
    made.write("customers", more="batch_size: 5\n")
    return made


@pytest.fixture
def filed(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in files, which other threads and processes can look at while a run goes on."""
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as made:
        yield made


def when_it_reads(
    instance: dg.DagsterInstance, then: Callable[[dg.DagsterRun], None]
) -> threading.Thread:
    """Wait, in a thread, until a run has told of its first batch; then act on it."""

    def watch() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for run in instance.get_runs():
                lines = (entry.user_message for entry in instance.all_logs(run.run_id))
                if any(line.startswith("customers: read") for line in lines):
                    then(run)
                    return
                if run.is_finished:
                    return
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def check_canceled(
    bench: DagsterBench, instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult
) -> None:
    """It ended between two batches, is shown as canceled, was not retried; the next completes."""
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert attempts(result) == 1
    done = len(bench.users())
    assert 0 < done < MANY
    assert done % 5 == 0
    again = bench.run(instance, "customers", config={"customers": {"batch_size": 1000}})
    assert numbers_of(again, "customers")["inserted"] == MANY - done
    assert len(bench.users()) == MANY


def test_a_canceled_run_ends_between_two_batches_and_the_next_goes_on(
    many: DagsterBench, filed: dg.DagsterInstance
) -> None:
    """Dagster's interrupt, which it raises anywhere, is held back to the end of the batch."""
    many.write("other", CUSTOMERS.replace("users", "others"), more="after: [customers]\n")
    many.write("third", CUSTOMERS.replace("users", "thirds"))

    def stop(run: dg.DagsterRun) -> None:
        filed.report_run_canceling(run)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    watching = when_it_reads(filed, stop)
    result = many.run(filed, "customers")
    watching.join()
    check_canceled(many, filed, result)
    assert signal.getsignal(signal.SIGINT) is before


def test_cancel_ends_every_mapping_of_the_run(
    many: DagsterBench, filed: dg.DagsterInstance
) -> None:
    """Where one process runs several mappings, those that had not begun do not write either."""
    many.write("zebra", CUSTOMERS.replace("users", "zebras"))

    def stop(run: dg.DagsterRun) -> None:
        filed.report_run_canceling(run)
        os.kill(os.getpid(), signal.SIGINT)

    watching = when_it_reads(filed, stop)
    result = many.run(filed)
    watching.join()
    run = filed.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert result.asset_materializations_for_node("zebra") == []
    assert many.sql("app", "select name from sqlite_master where name = 'zebras'") == []


def test_cancel_needs_no_signal(
    many: DagsterBench, filed: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that gets no signal, as on another machine, asks for the run's status."""
    monkeypatch.setattr(cancel, "POLL_SECONDS", 0.05)
    watching = when_it_reads(filed, filed.report_run_canceling)
    with ThreadPoolExecutor(1) as pool:  # no signal reaches a thread
        result = pool.submit(many.run, filed, "customers").result()
    watching.join()
    check_canceled(many, filed, result)


def test_a_second_interrupt_goes_through(filed: dg.DagsterInstance) -> None:
    """Whoever asks twice does not want to wait for the batch to end."""
    with cancel.asked_to_end(filed, "none") as should_end:
        assert not should_end()
        signal.raise_signal(signal.SIGTERM)
        assert should_end()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_canceled_parity_check_ends_and_is_not_tried_again(
    many: DagsterBench, filed: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two batches of what it compares; the check has no result, since none is known."""
    monkeypatch.setattr(cancel, "POLL_SECONDS", 0.0)
    many.run(filed, config={"customers": {"batch_size": 1000}})
    key = dg.AssetCheckKey(dg.AssetKey("customers"), "parity")
    job = dg.define_asset_job("parity", dg.AssetSelection.checks(key))
    definitions = dg.Definitions.merge(many.definitions(), dg.Definitions(jobs=[job]))
    seen: list[str] = []

    @contextmanager
    def at_once(instance: dg.DagsterInstance, run_id: str) -> Iterator[Callable[[], bool]]:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        instance.report_run_canceling(run)
        seen.append(run_id)
        with cancel.asked_to_end(instance, run_id) as should_end:
            yield should_end

    monkeypatch.setattr("syncline.dagster.sync.asked_to_end", at_once)
    result = definitions.resolve_job_def("parity").execute_in_process(
        instance=filed, raise_on_error=False
    )
    run = filed.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert seen == [result.run_id]
    assert list(result.get_asset_check_evaluations()) == []
    with Store.open(many.project.store_url) as store:
        assert store.runs("customers")[0].status == "cancelled"
