"""A project as a Dagster code location: assets, dependencies, pools, schedules, what is broken."""

from __future__ import annotations

import runpy
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from syncline.dagster import SyncConfig, build_definitions, register_pools
from syncline.dagster.describe import code
from syncline.errors import InputError
from syncline.project import Project
from tests.integration.dagster_bench import CUSTOMERS, DagsterBench, attempts

ROOT = Path(__file__).parents[2]
RICH = """\
description: Customers, as the app wants them.
source: {connection: shop, table: customers}
target: {connection: far, collection: users}
key: {_id: id}
where: "id <> 9"
fields:
  name: upper(name) || '!'
  status: {from: kind, values: {"1": active, "2": gone}, else: unknown}
  country: {value: US, type: text}
  region: {lookup: regions, match: region_id, take: title}
  secret: {value: xyzzy, mask: true}
lookups: {regions: {connection: shop, table: regions, key: id}}
deletes: {mode: soft, column: deleted_at}
conflicts: {strategy: merge, fields: {status: target}}
schedule: "*/5 * * * *"
group: crm/people
owners: ["team:data", ann@example.org]
tags: {tier: gold}
"""


@pytest.fixture
def bench(tmp_path: Path) -> DagsterBench:
    """A project without mappings."""
    return DagsterBench(tmp_path / "project")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def filed(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in files, which a schedule opens for itself."""
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as made:
        yield made


def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def test_a_mapping_is_an_asset_of_its_name_with_all_it_says(
    bench: DagsterBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Group, kinds, owners, tags, pool and places of the asset are those of the mapping."""
    monkeypatch.setenv("FAR_URL", "mongodb://u:hidden@nowhere.invalid/app")
    bench.write("customers", RICH)
    definitions = build_definitions(bench.root)
    dg.Definitions.validate_loadable(definitions)
    spec = specs(definitions)["customers"]
    assert spec.group_name == "crm/people"
    assert spec.kinds == {"sqlite", "mongodb"}
    assert list(spec.owners) == ["team:data", "ann@example.org"]
    assert spec.tags["tier"] == "gold"
    assert spec.metadata["target"].value == "far: users"
    assert "hidden" not in repr(spec)
    job = definitions.resolve_implicit_global_asset_job_def()
    assert job.get_node_named("customers").definition.pool == "syncline_customers"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://h/d", "postgres"),
        ("postgres://h/d", "postgres"),
        ("mariadb://h/d", "mariadb"),
        ("mysql://h/d", "mysql"),
        ("mongodb+srv://h/d", "mongodb"),
    ],
)
def test_a_kind_is_what_the_url_names(
    bench: DagsterBench, monkeypatch: pytest.MonkeyPatch, url: str, kind: str
) -> None:
    """MySQL and MariaDB are told apart, and every spelling of a scheme leads to Dagster's word."""
    monkeypatch.setenv("FAR_URL", url)
    bench.write("customers", CUSTOMERS.replace("app", "far"))
    assert specs(build_definitions(bench.root))["customers"].kinds == {"sqlite", kind}


def test_the_description_shows_the_fields_as_a_table(
    bench: DagsterBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field stands in the table with what it holds; a masked constant does not."""
    monkeypatch.setenv("FAR_URL", "mongodb://h/d")
    bench.write("customers", RICH)
    text = specs(build_definitions(bench.root))["customers"].description or ""
    assert text.startswith("Customers, as the app wants them.\n\n`shop: customers` to `far: users`")
    for line in (
        "- where `id <> 9`",
        "- conflicts: `merge`; `status` by `target`",
        "- deletes: `soft` in `deleted_at`",
        "- schedule: `*/5 * * * *` (UTC)",
        "| `_id` (key) | `id` | |",
        r"| `name` | `upper(name) \|\| '!'` |  |",
        '| `status` | `kind`: `1` is `"active"`, `2` is `"gone"`, else `"unknown"` |  |',
        '| `country` | always `"US"` | `text` |',
        "| `region` | `regions.title` by `region_id` |  |",
        "| `secret` | always `***` |  |",
    ):
        assert line in text.splitlines()
    assert "xyzzy" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a", "`a`"), ("a\n  b", "`a b`"), ("a|b", r"`a\|b`"), ("a`b", "`` a`b ``")],
)
def test_code_of_a_description_stays_in_its_cell(text: str, shown: str) -> None:
    """Line breaks, bars and backticks of an expression do not end the table's cell."""
    assert code(text) == shown


def test_the_file_that_the_docs_give_a_new_project_defines_its_mappings(
    bench: DagsterBench,
) -> None:
    """`definitions.py`, as the page on Dagster has it, where the project may be anywhere."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "dagster.md"
    text = page.read_text().split("one file more, `definitions.py`:\n\n```python\n")[1]
    bench.write("customers", CUSTOMERS)
    (bench.root / "definitions.py").write_text(text.split("```")[0])
    made = runpy.run_path(str(bench.root / "definitions.py"))
    assert "customers" in specs(made["defs"])


def test_a_missing_variable_is_told_and_harms_nothing(
    bench: DagsterBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Definitions load where the environment has no URL; the asset's page says which it lacks."""
    monkeypatch.delenv("FAR_URL", raising=False)
    bench.write("customers", CUSTOMERS.replace("app", "far"))
    spec = specs(build_definitions(bench.root))["customers"]
    (first, *_) = (spec.description or "").splitlines()
    assert "neither the environment nor .env has FAR_URL" in first
    assert spec.kinds == {"sqlite"}
    assert spec.group_name == "mappings"


def test_after_makes_a_dependency_whatever_the_names(bench: DagsterBench) -> None:
    """`after:` is a dependency, also to and from a mapping whose name Dagster reserves."""
    bench.write("type")
    bench.write("class", more="after: [type]\n")
    bench.write("orders", more="after: [class, type]\n")
    definitions = build_definitions(bench.root)
    dg.Definitions.validate_loadable(definitions)
    found = specs(definitions)
    assert before(found, "orders") == {"class", "type", "shop/customers"}
    assert before(found, "class") == {"type", "shop/customers"}


def before(found: dict[str, dg.AssetSpec], name: str) -> set[str]:
    """The assets that an asset comes after."""
    return {dep.asset_key.to_user_string() for dep in found[name].deps}


BROKEN = {
    "typo": CUSTOMERS.replace("table: users", "tabel: users"),
    "not_yaml": "source: [",
    "Bad-Name": CUSTOMERS,
    "circle_one": CUSTOMERS + "after: [circle_two]\n",
    "circle_two": CUSTOMERS + "after: [circle_one]\n",
    "refused": CUSTOMERS + "tags: {'no good': x}\n",
}


def test_broken_mappings_show_what_is_wrong_and_the_others_work(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Each broken file is an asset that says why, by line; the good one runs beside it."""
    bench.write("customers")
    for name, text in BROKEN.items():
        bench.write(name, text)
    (bench.root / "mappings" / "customers.yml").write_text("{}")
    definitions = bench.definitions()
    dg.Definitions.validate_loadable(definitions)
    found = specs(definitions)
    told = {name: s.description or "" for name, s in found.items() if s.group_name == "broken"}
    assert set(told) == {
        "typo", "not_yaml", "Bad_Name", "circle_one", "circle_two", "refused", "customers_",
    }  # fmt: skip
    assert "typo.yaml:3: unknown key `tabel`; did you mean `table`?" in told["typo"]
    assert "not valid YAML" in told["not_yaml"]
    assert "circle_one after circle_two after circle_one" in told["circle_one"]
    assert "Dagster: " in told["refused"]
    assert "customers.yml" in told["customers_"]
    result = bench.run(instance)
    assert not result.success
    assert bench.users()[1] == "NAME 1!"


def test_a_broken_mapping_fails_its_run_once_and_its_check(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Running it fails the check with the reason, materializes nothing, and is not tried again."""
    bench.write("typo", BROKEN["typo"])
    result = bench.run(instance, "typo")
    assert not result.success
    assert attempts(result) == 1
    assert result.asset_materializations_for_node("typo") == []
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("loads", False)


def test_a_sensor_reports_broken_mappings_without_a_run(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """It reports each failed check once, and again when what is wrong has changed."""
    bench.write("typo", BROKEN["typo"])

    def tick(cursor: str | None) -> dg.SensorExecutionData:
        sensor = bench.definitions().resolve_sensor_def("broken_mappings_sensor")
        return sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=cursor))

    first = tick(None)
    (event,) = first.asset_events
    assert isinstance(event, dg.AssetCheckEvaluation)
    assert (event.asset_key, event.passed) == (dg.AssetKey("typo"), False)
    assert tick(first.cursor).asset_events == []
    bench.write("typo", BROKEN["not_yaml"])
    assert len(tick(first.cursor).asset_events) == 1


def test_a_project_without_broken_mappings_has_no_such_sensor(bench: DagsterBench) -> None:
    """What only broken mappings need is not there without them."""
    bench.write("customers")
    definitions = build_definitions(bench.root)
    assert "broken_mappings_sensor" not in {each.name for each in definitions.sensors or ()}
    assert specs(definitions)["customers"].group_name == "mappings"


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    """Without connections.yaml there is nothing to load: the error says how to begin."""
    with pytest.raises(InputError, match=r"connections\.yaml"):
        build_definitions(tmp_path)


def test_a_schedule_is_the_mappings_cron_in_utc_and_off_at_first(
    bench: DagsterBench, filed: dg.DagsterInstance
) -> None:
    """One schedule for each mapping that has one; a tick asks for a delta of that mapping alone."""
    bench.write("customers", more='schedule: "*/5 * * * *"\n')
    bench.write("orders")
    definitions = bench.definitions()
    (schedule,) = definitions.schedules or ()
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.name == "customers_schedule"
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("*/5 * * * *", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    asked = schedule.evaluate_tick(dg.build_schedule_context(filed))
    (request,) = asked.run_requests or ()
    assert request.asset_selection == [dg.AssetKey("customers")]
    checks = {key.name for key in request.asset_check_keys or ()}
    assert checks == {"conflicts", "dead_letters", "drift"}  # and no scan


def test_a_tick_is_skipped_while_an_earlier_one_runs(
    bench: DagsterBench, filed: dg.DagsterInstance
) -> None:
    """A run that takes longer than its schedule makes no queue; when it ended, it goes on."""
    bench.write("customers", more='schedule: "* * * * *"\n')
    definitions = bench.definitions()
    schedule = definitions.resolve_schedule_def("customers_schedule")
    run = filed.create_run_for_job(
        definitions.resolve_implicit_global_asset_job_def(),
        tags={"dagster/schedule_name": "customers_schedule"},
        status=dg.DagsterRunStatus.STARTED,
    )
    skipped = schedule.evaluate_tick(dg.build_schedule_context(filed))
    assert not skipped.run_requests
    assert run.run_id in (skipped.skip_message or "")
    filed.report_run_failed(run)
    assert schedule.evaluate_tick(dg.build_schedule_context(filed)).run_requests


@pytest.mark.parametrize(("most", "jobs"), [(50, {"customers", "orders"}), (1, set[str]())])
def test_the_page_of_an_asset_lists_its_schedule_unless_there_are_very_many(
    bench: DagsterBench, monkeypatch: pytest.MonkeyPatch, most: int, jobs: set[str]
) -> None:
    """It lists the schedules of jobs that hold the asset, and Dagster's own job does not count."""
    monkeypatch.setattr("syncline.dagster.definitions.MOST_JOBS", most)
    bench.write("customers", more='schedule: "*/5 * * * *"\n')
    bench.write("orders", CUSTOMERS.replace("users", "orders"), more='schedule: "0 * * * *"\n')
    repository = bench.definitions().get_repository_def()
    found = {
        "/".join(key.path)
        for schedule in repository.schedule_defs
        for key in repository.get_job(schedule.job_name).asset_layer.executable_asset_keys
        if not schedule.job_name.startswith("__ASSET_JOB")
    }
    assert found == jobs


def test_pools_get_one_slot_and_a_limit_of_the_users_stays(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Every mapping's pool is there before its first run; broken mappings need none."""
    bench.write("customers")
    bench.write("orders")
    bench.write("typo", BROKEN["typo"])
    instance.event_log_storage.set_concurrency_slots("syncline_orders", 2)
    assert register_pools(bench.definitions(), instance) == 1
    assert register_pools(bench.definitions(), instance) == 0
    limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    assert limits == {"syncline_customers": 1, "syncline_orders": 2}


def test_without_a_dagster_home_no_pool_is_registered(
    bench: DagsterBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading the definitions outside an instance, as a test does, touches none."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    bench.write("customers")
    assert register_pools(bench.definitions()) == 0


def test_the_code_location_loads_the_project_that_is_named(
    bench: DagsterBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pipelines.definitions` composes the project at SYNCLINE_PROJECT, on the executor named."""
    bench.write("customers")
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("SYNCLINE_PROJECT", str(bench.root))
    monkeypatch.setenv("SYNCLINE_EXECUTOR", "multiprocess")
    defs = runpy.run_module("pipelines.definitions")["defs"]
    assert set(specs(defs)) == {"customers", "shop/customers"}
    assert defs.executor is dg.multiprocess_executor
    monkeypatch.setenv("SYNCLINE_EXECUTOR", "celery")
    monkeypatch.setenv("SYNCLINE_CELERY_BROKER", "redis://queue:6379/0")
    executor = runpy.run_module("pipelines.definitions")["defs"].executor
    assert executor.name == "celery"
    monkeypatch.setenv("SYNCLINE_EXECUTOR", "nonsense")
    with pytest.raises(ValueError, match="in_process, multiprocess"):
        runpy.run_module("pipelines.definitions")


def test_the_page_names_every_sensor_every_check_and_every_key_of_the_config(
    bench: DagsterBench,
) -> None:
    """docs/how-to/dagster.md is where people look them up."""
    bench.write("customers", more="max_lag: 1h\n")
    bench.write("later", CUSTOMERS.replace("users", "copies"), more="after: [customers]\n")
    bench.write("typo", "source: {}\n")
    page = (ROOT / "docs" / "how-to" / "dagster.md").read_text()
    definitions = bench.definitions()
    named = [sensor.name for sensor in definitions.sensors or ()]
    named += [key.name for key in definitions.resolve_asset_graph().asset_check_keys]
    assert len(named) > 12
    missing = [name for name in named if f"`{name}`" not in page]
    missing += [name for name in SyncConfig.model_fields if f"      {name}: " not in page]
    assert missing == []


def test_two_hundred_mappings_load_in_two_seconds(bench: DagsterBench) -> None:
    """Definitions of many mappings load fast enough to be reloaded after each edit."""
    for number in range(200):
        after = f"after: [m{number - 1:03}]\n" if number % 10 else ""
        bench.write(f"m{number:03}", more=f'schedule: "*/5 * * * *"\n{after}')
    began = time.process_time()
    definitions = build_definitions(Project(bench.root))
    dg.Definitions.validate_loadable(definitions)
    took = time.process_time() - began
    assert len(specs(definitions)) == 201  # with their source
    assert len(list(definitions.schedules or ())) == 200
    assert took < 10, f"{took:.1f} s"  # 1.1 s where this process has a core for itself
