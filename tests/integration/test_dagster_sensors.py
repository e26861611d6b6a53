"""What starts runs by itself, and what tells of them: `after:`, decisions, webhooks, alerts."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from syncline.conflict import Conflict, Kind
from syncline.dagster import sensors
from syncline.project import Project
from syncline.store import Decision, Store, Waiting
from syncline.store.outbox import Message
from tests.integration.dagster_bench import CUSTOMERS, DagsterBench

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def bench(tmp_path: Path) -> DagsterBench:
    """A project with customers, and with orders that come after them."""
    made = DagsterBench(tmp_path / "project")
    made.write("customers")
    return made


@pytest.fixture
def store(bench: DagsterBench) -> Iterator[Store]:
    with Store.open(Project(bench.root).store_url) as opened:
        yield opened


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in files, which sensors open for themselves."""
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as made:
        yield made


def tick(
    bench: DagsterBench, instance: dg.DagsterInstance, name: str, cursor: str | None = None
) -> dg.SensorExecutionData:
    """Evaluate a sensor once, as the daemon does."""
    definitions = bench.definitions()
    sensor = definitions.resolve_sensor_def(name)
    return sensor.evaluate_tick(
        dg.build_sensor_context(
            instance=instance, cursor=cursor, repository_def=definitions.get_repository_def()
        )
    )


def asked(data: dg.SensorExecutionData) -> list[tuple[str, ...]]:
    """The runs that a tick asks for: key, and the assets of each."""
    return [
        (request.run_key or "", *(key.path[-1] for key in request.asset_selection or ()))
        for request in data.run_requests or ()
    ]


def launched(
    instance: dg.DagsterInstance, data: dg.SensorExecutionData, sensor: str, status: str
) -> list[dg.DagsterRun]:
    """The runs that the daemon would make of a tick."""
    return [
        instance.create_run_for_job(
            job_def=_empty,
            tags={
                **request.tags, "dagster/run_key": request.run_key or "",
                "dagster/sensor_name": sensor,
            },
            status=dg.DagsterRunStatus(status),
        )
        for request in data.run_requests or ()
    ]  # fmt: skip


@dg.job  # pyright: ignore[reportUnknownMemberType] (of a keyword that is not used)
def _empty() -> None: ...


# --- after ---------------------------------------------------------------------------------------


def test_a_mapping_that_comes_after_others_runs_when_they_have(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Once for each run of what it names; the switch is off at first."""
    bench.write("orders", CUSTOMERS.replace("users", "orders"), more="after: [customers]\n")
    definitions = bench.definitions()
    sensor = definitions.resolve_sensor_def("after_sensor")
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    first = dg.evaluate_automation_conditions(defs=definitions, instance=instance)
    assert first.total_requested == 0
    bench.run(instance, "customers")
    second = dg.evaluate_automation_conditions(
        defs=definitions, instance=instance, cursor=first.cursor
    )
    assert second.get_num_requested(dg.AssetKey("orders")) == 1
    assert second.get_num_requested(dg.AssetKey("customers")) == 0
    bench.run(instance, "orders")
    third = dg.evaluate_automation_conditions(
        defs=definitions, instance=instance, cursor=second.cursor
    )
    assert third.total_requested == 0


def test_a_schedule_goes_before_after(bench: DagsterBench) -> None:
    """With a cron of its own the mapping runs by that: `after:` is the order, no trigger."""
    bench.write("orders", more='after: [customers]\nschedule: "@daily"\n')
    specs = {spec.key.path[-1]: spec for spec in bench.definitions().resolve_all_asset_specs()}
    orders: Any = specs["orders"]
    assert orders.automation_condition is None
    assert "after_sensor" not in {each.name for each in bench.definitions().sensors or ()}


@pytest.mark.parametrize(
    ("lag", "fail", "warn"), [("15m", 900, 720), ("30s", 60, None), ("70s", 70, None)]
)
def test_max_lag_is_a_freshness_policy(
    bench: DagsterBench, lag: str, fail: int, warn: int | None
) -> None:
    """Late past `max_lag`, warned before it; never below the minute that Dagster can tell."""
    bench.write("customers", more=f"max_lag: {lag}\n")
    specs = bench.definitions().resolve_all_asset_specs()
    (spec,) = (each for each in specs if each.key == dg.AssetKey("customers"))
    policy = spec.freshness_policy
    assert policy == dg.FreshnessPolicy.time_window(
        timedelta(seconds=fail), timedelta(seconds=warn) if warn else None
    )


# --- decisions -----------------------------------------------------------------------------------


def decide(store: Store, key: int, mapping: str = "customers") -> None:
    """Somebody settles a conflict of that record."""
    conflict = Conflict(
        mapping=mapping, key={"id": key}, kind=Kind.BOTH_CHANGED, contested=frozenset({"name"}),
        baseline={"name": "c"}, source={"id": key, "name": "a"}, target={"id": key, "name": "b"},
    )  # fmt: skip
    store.queue(
        [
            Waiting(
                mapping=mapping, key={"id": key}, ledger_key=str(key), conflict=conflict,
                source_prints="s", target_prints="t", run_id="run-1", reason="both moved",
            )
        ]
    )  # fmt: skip
    (entry,) = [each for each in store.conflicts(mapping=mapping) if each.key == {"id": key}]
    now = datetime.now(UTC)
    store.decide(entry.id, Decision("source", "ann", now, "s", "t"))


def test_settled_conflicts_start_one_run_that_writes_them(
    bench: DagsterBench,
    instance: dg.DagsterInstance,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One run for all that was decided, and again only once something new is; not before the time
    to take a decision back is over.
    """
    bench.write("others")
    monkeypatch.setattr(sensors, "UNDO", timedelta(hours=1))
    decide(store, 0)
    assert asked(tick(bench, instance, "settled_conflicts_sensor")) == []
    monkeypatch.setattr(sensors, "UNDO", timedelta())
    store.undo(store.conflicts()[0].id)
    assert asked(tick(bench, instance, "settled_conflicts_sensor")) == []
    decide(store, 1)
    decide(store, 2)
    decide(store, 3, "unknown")
    first = tick(bench, instance, "settled_conflicts_sensor")
    ((key, asset),) = asked(first)
    assert asset == "customers"
    (request,) = first.run_requests or ()
    checks = {each.name for each in request.asset_check_keys or ()}
    assert checks == {"conflicts", "dead_letters", "drift"}  # and no scan
    assert asked(tick(bench, instance, "settled_conflicts_sensor")) == [(key, asset)]  # one run key
    launched(instance, first, "settled_conflicts_sensor", "NOT_STARTED")
    decide(store, 4)
    assert asked(tick(bench, instance, "settled_conflicts_sensor")) == []  # that run will see it
    (run,) = instance.get_runs()
    instance.report_run_failed(run)
    ((again, _),) = asked(tick(bench, instance, "settled_conflicts_sensor"))
    assert again != key


# --- webhooks ------------------------------------------------------------------------------------


def test_a_webhook_starts_a_run_with_its_id_as_key(
    bench: DagsterBench, instance: dg.DagsterInstance, store: Store
) -> None:
    """And is answered only once that run is there: until then every tick asks again."""
    store.inbox.put("customers", "msg_1")
    first = tick(bench, instance, "webhooks_sensor")
    assert asked(first) == [("customers msg_1", "customers")]
    lost = tick(bench, instance, "webhooks_sensor", first.cursor)
    assert asked(lost) == [("customers msg_1", "customers")]
    launched(instance, lost, "webhooks_sensor", "STARTED")
    after = tick(bench, instance, "webhooks_sensor", lost.cursor)
    assert asked(after) == []
    assert store.inbox.waiting() == []


def test_webhooks_that_come_together_are_answered_by_one_run(
    bench: DagsterBench, instance: dg.DagsterInstance, store: Store
) -> None:
    """A flood makes one run at work and one that waits, never a queue; and none is forgotten."""
    bench.write("orders")
    for number in range(5):
        store.inbox.put("customers", f"msg_{number}")
    store.inbox.put("orders", "msg_1")
    store.inbox.put("gone", "msg_1")
    first = tick(bench, instance, "webhooks_sensor")
    assert sorted(asked(first)) == [
        ("customers msg_4", "customers"),
        ("orders msg_1", "orders"),
    ]
    runs = launched(instance, first, "webhooks_sensor", "NOT_STARTED")
    store.inbox.put("customers", "msg_5")
    second = tick(bench, instance, "webhooks_sensor", first.cursor)
    assert asked(second) == []
    assert [each.message_id for each in store.inbox.waiting()] == ["msg_1", "msg_5"]
    for run in runs:
        instance.report_run_failed(run)
    third = tick(bench, instance, "webhooks_sensor", second.cursor)
    assert asked(third) == [("customers msg_5", "customers")]


# --- alerts --------------------------------------------------------------------------------------


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alerts go to where nobody listens; what matters is what is put into the outbox."""
    monkeypatch.setenv("SYNCLINE_ALERT_URL", "http://127.0.0.1:9/alerts")
    monkeypatch.setenv("SYNCLINE_ALERT_SECRET", SECRET)


def kinds(store: Store) -> list[str]:
    return [message.kind for message in reversed(store.outbox.listed())]


def data_of(message: Message) -> dict[str, object]:
    return json.loads(message.body)["data"]


def tell(
    bench: DagsterBench, instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult
) -> None:
    """What Dagster does after a failed run."""
    (event,) = [each for each in result.all_events if each.is_failure and each.is_job_event]
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_runs_sensor",
        dagster_event=event,
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()
    bench.definitions().resolve_sensor_def("failed_runs_sensor")(context)


@pytest.mark.usefixtures("receiver")
def test_a_failed_run_is_told_with_its_mapping_and_those_of_others_are_not(
    bench: DagsterBench, instance: dg.DagsterInstance, store: Store
) -> None:
    """A full sync by shards is a job without assets; a job of the user's own is no concern."""
    bench.write("customers", more="workers: 2\n")
    bench.sql("shop", "drop table customers")
    full = bench.definitions().resolve_job_def("customers_full")
    tell(bench, instance, full.execute_in_process(instance=instance, raise_on_error=False))

    @dg.op
    def theirs() -> None:
        raise dg.Failure("no")

    @dg.job
    def own() -> None:
        theirs()

    tell(bench, instance, own.execute_in_process(instance=instance, raise_on_error=False))
    assert [(each.kind, each.mapping) for each in store.outbox.listed()] == [
        ("run.failed", "customers")
    ]


@pytest.mark.usefixtures("receiver")
def test_a_run_that_failed_is_told_once(
    bench: DagsterBench, instance: dg.DagsterInstance, store: Store
) -> None:
    """With the mapping, the run, and what went wrong."""
    bench.sql("shop", "drop table customers")
    result = bench.run(instance, "customers")
    for _ in range(2):
        tell(bench, instance, result)
    (message,) = store.outbox.listed()
    assert (message.kind, message.mapping) == ("run.failed", "customers")
    told = data_of(message)
    assert told["run"] == result.run_id
    assert "customers" in str(told["error"])


@pytest.mark.usefixtures("receiver")
def test_a_mapping_that_falls_behind_is_told_and_when_it_caught_up(
    bench: DagsterBench, instance: dg.DagsterInstance, store: Store
) -> None:
    """Once when it is late by `max_lag`, whoever ran it last, and once when it is not any more."""
    bench.write("customers", more="max_lag: 15m\n")
    cursor = tick(bench, instance, "alerts_sensor").cursor
    assert kinds(store) == []  # it never ran, and is late for nothing
    for age, told in [
        (timedelta(minutes=10), []),
        (timedelta(hours=1), ["mapping.late"]),
        (timedelta(), ["mapping.late", "mapping.on-time"]),
    ]:
        run_id = store.start_run("customers", "delta")
        at = datetime.now(UTC) - age
        store.finish_run(run_id, "ok", {"checkpoint": at.isoformat()})
        for _ in range(2):
            cursor = tick(bench, instance, "alerts_sensor", cursor).cursor
        assert kinds(store) == told
    failed = store.start_run("customers", "delta")
    store.finish_run(failed, "failed", {}, error="no")
    tick(bench, instance, "alerts_sensor", cursor)
    assert kinds(store) == ["mapping.late", "mapping.on-time"]


def test_without_a_receiver_nothing_is_kept(
    bench: DagsterBench, instance: dg.DagsterInstance, store: Store
) -> None:
    """And the tick says which variable would change that."""
    data = tick(bench, instance, "alerts_sensor")
    assert "SYNCLINE_ALERT_URL" in (data.skip_message or "")
    assert kinds(store) == []
