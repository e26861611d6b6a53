"""Backfills in Dagster: what a mapping declares, as partitions; resumed, and harmless to deltas."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import syncline.sync
from syncline import backfill_steps, ledger
from syncline.backfill import Chosen, Declared
from syncline.backfill_steps import Group
from syncline.dagster import register_pools
from syncline.errors import InputError, LeaseLost, MappingErrors, Unreachable
from syncline.ledger import peek
from syncline.mapping.backfill import Backfill
from syncline.project import Project
from syncline.run import RunOptions, opened
from syncline.store import Chunk
from tests.integration.dagster_bench import CUSTOMERS, DagsterBench

YEAR = "backfill: {by: cursor, from: 2013-01-01, to: 2014-01-01, every: month}\n"
KEYS = "backfill: {by: key, from: 1, to: 13, every: 5}\n"


@pytest.fixture
def bench(tmp_path: Path) -> DagsterBench:
    """A project with twelve customers, one seen in each month of 2013."""
    made = DagsterBench(tmp_path / "project", records=0)
    made.put(range(1, 13))
    for key in range(1, 13):
        made.sql("shop", "update customers set seen = ? where id = ?", _seen(key), key)
    made.write("customers", more=YEAR)
    return made


def _seen(month: int) -> str:
    return f"2013-{month:02}-15 00:00:00"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def launch(
    bench: DagsterBench, instance: dg.DagsterInstance, first: str, last: str
) -> dg.ExecuteInProcessResult:
    """One run of a range of partitions, as the UI launches it."""
    asset = next(
        each
        for each in bench.definitions().assets or ()
        if isinstance(each, dg.AssetsDefinition)
        and each.key == dg.AssetKey(["backfill", "customers"])
    )
    return dg.materialize(
        [asset],
        instance=instance,
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
        },
        raise_on_error=False,
    )


def done(instance: dg.DagsterInstance) -> set[str]:
    """The partitions that the UI shows as done."""
    return set(instance.get_materialized_partitions(dg.AssetKey(["backfill", "customers"])))


def checkpoint(bench: DagsterBench) -> Any:
    with opened(Project(bench.root), "customers") as run:
        return peek(run.target, run.spec)[1].checkpoint


def test_a_range_of_months_is_one_run_and_each_is_told_as_it_is_done(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """What lies in the windows is synced, and nothing else; there is no checkpoint from it."""
    result = launch(bench, instance, "2013-03-01", "2013-05-01")
    assert result.success
    assert sorted(bench.users()) == [3, 4, 5]
    assert done(instance) == {"2013-03-01", "2013-04-01", "2013-05-01"}
    assert checkpoint(bench) is None
    lines = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert "customers: 2013-05-01 is done, 3 of 3" in lines


def steps_of(result: dg.ExecuteInProcessResult) -> list[str]:
    """The steps that were begun, without what all their names begin with."""
    begun = [e.step_key or "" for e in result.all_events if e.event_type_value == "STEP_START"]
    return [key.removeprefix("backfill_customers.backfill_customers_") for key in begun]


def held(bench: DagsterBench) -> str:
    """Who has the lease."""
    ((holder,),) = bench.sql("app", "select holder from syncline_state where mapping = 'customers'")
    return holder


def test_with_workers_the_partitions_of_a_run_are_dynamic_steps_under_one_lease(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Each partition is told as it is done; then the lease is free, there is no checkpoint from it,
    and nothing is left beside the mapping's state.
    """
    bench.write("customers", more=YEAR + "workers: 2\n")
    result = launch(bench, instance, "2013-01-01", "2013-04-01")
    assert result.success
    steps = steps_of(result)
    assert steps == ["divide", *(f"bring[{number}_of_4]" for number in range(4)), "finish"]
    assert sorted(bench.users()) == [1, 2, 3, 4]
    assert len(done(instance)) == 4
    assert checkpoint(bench) is None
    assert held(bench) == ""
    delta = bench.run(instance, "customers")
    assert delta.success
    (found,) = delta.asset_materializations_for_node("customers")
    assert (found.metadata["inserted"].value, found.metadata["unchanged"].value) == (8, 4)
    rows = bench.sql("app", "select count(*) from syncline_state where mapping like 'customers%'")
    again = launch(bench, instance, "2013-02-01", "2013-02-01")
    assert steps_of(again) == ["divide", "bring[0_of_1]", "finish"]
    same = bench.sql("app", "select count(*) from syncline_state where mapping like 'customers%'")
    assert same == rows


def test_a_step_that_broke_goes_on_with_the_partitions_of_its_group(
    bench: DagsterBench, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are done are not run again; the others' steps are not touched by it."""
    bench.write("customers", more=YEAR + "workers: 2\n")
    bring, windows = backfill_steps.bring_one, list[str | None]()

    def breaks(*given: Any) -> Any:
        windows.append(given[-1].window.start)
        if len(windows) == 3:
            raise Unreachable("gone for a moment")
        return bring(*given)

    monkeypatch.setattr(backfill_steps, "bring_one", breaks)
    monkeypatch.setattr(backfill_steps, "PER_WORKER", 1)
    assert launch(bench, instance, "2013-01-01", "2013-05-01").success  # two groups: 2 and 3
    assert windows[:3] == ["2013-01-01", "2013-02-01", "2013-03-01"]
    assert sorted(str(one) for one in windows) == sorted([*done(instance), "2013-03-01"])
    assert len(done(instance)) == 5


def test_a_backfill_by_steps_that_fails_for_good_leaves_no_lease(
    bench: DagsterBench, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one that fails nor one whose processes were all killed: the next delta runs at once,
    and writes what is left to it alone.
    """
    bench.write("customers", more=YEAR + "workers: 2\n")

    def breaks(*_: Any) -> Any:
        raise InputError("wrong for good")

    with monkeypatch.context() as broken:
        broken.setattr(backfill_steps, "bring_one", breaks)
        assert not launch(bench, instance, "2013-01-01", "2013-02-01").success
    assert bench.run(instance, "customers").success
    chosen = Chosen("cursor", "of nobody", (Chunk("2013-01-01", "2013-02-01"),))
    options = RunOptions(trigger="dagster:a-run-that-is-gone")
    assert backfill_steps.begin(bench.project, "customers", chosen, options, 2)
    assert held(bench).startswith("run:")
    assert bench.run(instance, "customers").success
    with pytest.raises(LeaseLost, match="knows of no run"):
        list(backfill_steps.bring(bench.project, "customers", chosen, Group(0, 1), options))


def test_ranges_of_keys_are_partitions_too(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """The last is as short as it must be; an end is left out."""
    bench.write("customers", more=KEYS)
    assert launch(bench, instance, "6_11", "11_13").success
    assert sorted(bench.users()) == list(range(6, 13))
    assert done(instance) == {"6_11", "11_13"}


def test_a_run_that_broke_goes_on_with_the_partitions_that_are_left(
    bench: DagsterBench, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retry does not run again what is done; a new launch does."""
    run, windows = syncline.sync.run, list[str | None]()

    def breaks(project: Project, name: str, options: Any) -> Any:
        windows.append(options.window.start)
        if len(windows) == 2:
            raise Unreachable("gone for a moment")
        return run(project, name, options)

    monkeypatch.setattr(syncline.sync, "run", breaks)
    assert launch(bench, instance, "2013-01-01", "2013-03-01").success
    assert windows == ["2013-01-01", "2013-02-01", "2013-02-01", "2013-03-01"]
    assert done(instance) == {"2013-01-01", "2013-02-01", "2013-03-01"}
    launch(bench, instance, "2013-01-01", "2013-01-01")
    assert windows[4:] == ["2013-01-01"]


@pytest.mark.parametrize("strategy", ["merge", "{strategy: latest, clock: seen}", "manual"])
def test_f49_a_backfill_leaves_newer_values_and_the_checkpoint(
    bench: DagsterBench, instance: dg.DagsterInstance, strategy: str
) -> None:
    """An edit of the target stands; a change that no delta has brought yet is brought, and is no
    conflict to the next delta, which starts where it would have.
    """
    bench.write("customers", more=YEAR + f"conflicts: {strategy}\n")
    bench.run(instance, "customers")
    before = checkpoint(bench)
    bench.sql("app", "update users set name = 'edited here', seen = '2030-01-01' where id = 3")
    bench.sql("shop", "update customers set name = 'moved' where id = 4")
    result = launch(bench, instance, "2013-01-01", "2013-12-01")
    assert result.success
    assert bench.users()[3] == "edited here"
    assert bench.users()[4] == "MOVED!"
    assert checkpoint(bench) == before
    delta = bench.run(instance, "customers")
    (found,) = delta.asset_materializations_for_node("customers")
    assert found.metadata["conflicts"].value == 0
    assert bench.users()[3] == "edited here"


def test_the_command_line_cuts_as_dagster_does(bench: DagsterBench) -> None:
    """The windows of `syncline backfill customers` are the partitions."""
    from syncline.dagster.partitions import chunks_of, partitions_of

    for more in (YEAR, KEYS):
        bench.write("customers", more=more)
        declared = Project(bench.root).mapping("customers").backfill
        assert declared is not None
        names = partitions_of(declared).get_partition_keys()
        chunks = chunks_of(declared, names)
        assert list(chunks.values()) == Declared(declared, datetime.now(UTC)).chunks()


@pytest.mark.parametrize(
    ("every", "start", "names"),
    [
        ("hour", "2013-01-01T05:00", ["2013-01-01T05:00", "2013-01-01T06:00"]),
        ("day", "2013-01-01", ["2013-01-01", "2013-01-02"]),
        ("week", "2013-01-07", ["2013-01-07", "2013-01-14"]),
        ("year", "2013-01-01", ["2013-01-01", "2014-01-01"]),
    ],
)
def test_every_unit_begins_where_it_says(every: str, start: str, names: list[str]) -> None:
    """Both ways to cut agree on the first windows, and none is left out at the start."""
    from syncline.dagster.partitions import chunks_of, partitions_of

    declared = Backfill.model_validate({"from": start, "every": every})
    now = datetime(2016, 1, 1, tzinfo=UTC)
    assert partitions_of(declared).get_partition_keys(now)[:2] == names
    assert list(chunks_of(declared, names).values()) == Declared(declared, now).chunks()[:2]


@pytest.mark.parametrize("workers", [1, 2])
def test_runs_of_a_backfill_take_turns_by_the_pool_and_by_the_lease(
    bench: DagsterBench, instance: dg.DagsterInstance, workers: int
) -> None:
    """Launched as many runs, they wait in the queue for the mapping's one slot; one that begins
    all the same, as from elsewhere, is refused and writes nothing.
    """
    more = YEAR.replace("}", ", runs: many}") + f"workers: {workers}\n"
    bench.write("customers", more=more)
    (asset,) = [
        each
        for each in bench.definitions().assets or ()
        if isinstance(each, dg.AssetsDefinition) and each.key.path[0] == "backfill"
    ]
    pools = {op.pool for op in asset.node_def.iterate_op_defs()}
    assert pools - {None} == {"syncline_customers"}
    assert register_pools(bench.definitions(), instance) == 1
    assert bench.run(instance, "customers").success  # makes the table
    bench.sql("app", "delete from users")
    with opened(bench.project, "customers") as run, ledger.hold(run.target, run.spec):
        result = launch(bench, instance, "2013-01-01", "2013-01-01")
        assert not result.success
        assert bench.users() == {}
    assert launch(bench, instance, "2013-01-01", "2013-01-01").success
    assert len(done(instance)) == 1


def test_many_runs_where_the_mapping_says_so(bench: DagsterBench) -> None:
    """So many partitions a run, each behind the deltas of others in the queue."""
    bench.write("customers", more=YEAR.replace("}", ", runs: many, per_run: 3}"))
    (asset,) = [
        each
        for each in bench.definitions().assets or ()
        if isinstance(each, dg.AssetsDefinition) and each.key.path[0] == "backfill"
    ]
    assert asset.backfill_policy == dg.BackfillPolicy.multi_run(3)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("{from: 2013-01-15, every: month}", "on the first of a month"),
        ("{from: 2013-01-08, every: week}", "on a Monday"),
        ("{from: soon, every: day}", "no date"),
        ("{from: 2013-01-01, to: 2013-01-01}", "there is nothing from"),
        ("{by: key, from: 2013-01-01}", "have a number in `every`"),
        ("{by: key, from: 1, every: 10}", "both numbers"),
        ("{by: key, from: 1, to: 1, every: 10}", "there is nothing from"),
        ("{by: key, from: 0, to: 1000000000, every: 1}", "larger `every`"),
    ],
)
def test_a_backfill_that_can_not_be_cut_is_refused(
    bench: DagsterBench, wrong: str, told: str
) -> None:
    """With file and line, when the mapping loads."""
    bench.write("customers", more=f"backfill: {wrong}\n")
    with pytest.raises(MappingErrors, match=told):
        Project(bench.root).mapping("customers")


def test_windows_need_a_cursor(bench: DagsterBench) -> None:
    """A mapping whose delta has none says so when it loads."""
    bench.write("customers", CUSTOMERS.replace("delta: {by: timestamp, cursor: seen}\n", ""), YEAR)
    with pytest.raises(MappingErrors, match="cursor"):
        Project(bench.root).mapping("customers")
