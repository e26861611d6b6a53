"""The checks of a mapping: by every run, alone, and those that block what comes after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from syncline.dagster.checks import check_names, inline_check_keys
from tests.integration.dagster_bench import CUSTOMERS, DagsterBench, attempts, failure_of

LATER = CUSTOMERS.replace("users", "copies") + "after: [customers]\n"
EDITED = "update customers set name = 'a', seen = '2050-01-01 00:00:00' where id = 1"


@pytest.fixture
def bench(tmp_path: Path) -> DagsterBench:
    """A project with ten customers and one mapping of them."""
    made = DagsterBench(tmp_path / "project")
    made.put([9999])  # the newest: what a delta reads again, so that none of the others is late
    made.write("customers")
    return made


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


def alone(
    bench: DagsterBench, instance: dg.DagsterInstance, *names: str
) -> dg.ExecuteInProcessResult:
    """Make these checks of `customers`, as `Execute` on its Checks tab does."""
    keys = [dg.AssetCheckKey(dg.AssetKey("customers"), name) for name in names]
    job = dg.define_asset_job("chosen", dg.AssetSelection.checks(*keys))
    definitions = dg.Definitions.merge(bench.definitions(), dg.Definitions(jobs=[job]))
    found = definitions.resolve_job_def("chosen")
    return found.execute_in_process(instance=instance, raise_on_error=False)


def values(found: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in found.metadata.items()}


def test_every_run_makes_the_checks_that_cost_nothing(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Not the scans, whose own step says why; freshness only where the mapping has a `max_lag`."""
    bench.write("customers", more="max_lag: 1h\n")
    result = bench.run(instance, "customers")
    found = evaluations(result)
    assert set(found) == {"conflicts", "dead_letters", "freshness", "drift"}
    assert all(one.passed for one in found.values())
    assert values(found["freshness"])["max_lag_seconds"] == 3600
    lines = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert any("is being synced, so it is not scanned" in line for line in lines)


def test_a_check_alone_syncs_nothing(bench: DagsterBench, instance: dg.DagsterInstance) -> None:
    """What stands on the Checks tab can be made without a run of the mapping."""
    bench.write("customers", more="max_lag: 1h\n")
    bench.run(instance)
    bench.put([11])
    result = alone(bench, instance, "conflicts", "freshness", "parity")
    assert set(evaluations(result)) == {"conflicts", "freshness", "parity"}
    assert result.asset_materializations_for_node("customers") == []
    assert len(bench.users()) == 11


def test_conflicts_and_dead_letters_are_counted_against_their_limits(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """A failed count is a warning that names the command which lists what waits."""
    fields = CUSTOMERS.replace("seen: seen", "seen: seen\n  age: cast(name as integer)")
    bench.sql("shop", "update customers set name = id where id > 1")
    bench.write("customers", fields, more="conflicts: manual\nchecks: {dead_letters: 1}\n")
    found = evaluations(bench.run(instance, "customers"))
    assert found["dead_letters"].passed
    assert values(found["dead_letters"])["dead_letters"] == 1
    bench.sql("app", "update users set name = 'b' where id = 2")
    bench.sql("shop", "update customers set name = '3', seen = '2050-01-01' where id = 2")
    found = evaluations(bench.run(instance, "customers"))
    assert not found["conflicts"].passed
    assert found["conflicts"].severity is dg.AssetCheckSeverity.WARN
    assert "syncline conflicts list customers" in (found["conflicts"].description or "")


def test_parity_finds_what_differs_and_shows_it(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Missing, extra and different records, by the code of `syncline verify`; masks hold."""
    masked = CUSTOMERS.replace("name: upper(name) || '!'", "name: {sql: upper(name), mask: true}")
    bench.write("customers", masked, more="exclusive: true\n")
    bench.run(instance)
    assert evaluations(alone(bench, instance, "parity"))["parity"].passed
    bench.sql("app", "update users set name = 'xyzzy' where id = 1")
    bench.sql("app", "delete from users where id = 2")
    found = evaluations(alone(bench, instance, "parity"))["parity"]
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.ERROR
    numbers = values(found)
    assert (numbers["read"], numbers["missing"], numbers["different"]) == (11, 1, 1)
    rows = [record.data for record in found.metadata["samples"].records]
    assert {
        "record": "1",
        "what": "different",
        "field": "name",
        "source": "•••",
        "target": "•••",
    } in rows
    assert "xyzzy" not in repr(found)
    bench.write("customers", masked, more="exclusive: true\nchecks: {parity: 2}\n")
    assert evaluations(alone(bench, instance, "parity"))["parity"].passed


def test_duplicates_of_the_key_are_found_on_either_side(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """A source without a primary key, into which somebody wrote a key twice."""
    bench.run(instance)
    assert evaluations(alone(bench, instance, "duplicates"))["duplicates"].passed
    bench.sql("app", "create table other (id integer, name text, seen text)")
    bench.sql("app", "insert into other select * from users")
    bench.sql("app", "drop table users")
    bench.sql("app", "alter table other rename to users")
    bench.sql("app", "insert into users values (7, 'again', null)")
    result = alone(bench, instance, "duplicates")
    if result.success:
        found = evaluations(result)["duplicates"]
        assert not found.passed
        assert "7" in (found.description or "")
    else:  # the mapping does not bind to a target whose key is not unique, and says so
        assert "unique" in failure_of(result, "customers_scan").user_failure_data.description


def test_freshness_fails_where_the_last_sync_is_too_old_or_never_was(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """By the clock of the checkpoint, whoever ran the mapping."""
    bench.write("customers", more="max_lag: 0s\n")
    found = evaluations(alone(bench, instance, "freshness"))["freshness"]
    assert not found.passed
    assert "never synced" in (found.description or "")
    bench.run(instance)
    found = evaluations(alone(bench, instance, "freshness"))["freshness"]
    assert not found.passed
    assert values(found)["lag_seconds"] > 0


def test_drift_fails_in_the_run_that_it_stops_and_alone(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """The column that changed is named; the run that it stopped shows the check as failed."""
    bench.run(instance)
    bench.sql("shop", "alter table customers drop column seen")
    bench.sql("shop", "alter table customers add column seen varchar(9)")
    assert not evaluations(alone(bench, instance, "drift"))["drift"].passed
    result = bench.run(instance, "customers")
    assert not result.success
    found = evaluations(result)["drift"]
    assert not found.passed
    assert "source column seen was" in (found.description or "")
    assert attempts(result) == 1


def test_a_blocking_check_that_fails_stops_what_comes_after(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """The mapping itself was synced, and is not tried again; the one after it does not begin."""
    bench.write("later", LATER)
    bench.write("customers", more="checks: {parity: {blocking: true}}\nconflicts: manual\n")
    assert bench.run(instance).success
    bench.sql("app", "delete from users where id = 2")  # the sync leaves it deleted ..
    bench.sql("app", "delete from syncline_ledger_customers where k = 2")  # .. and forgets it
    bench.sql("shop", EDITED)
    result = bench.run(instance)
    begun = {e.step_key for e in result.all_events if e.is_step_start}
    assert not evaluations(result)["parity"].passed
    assert "later" not in begun
    assert len(result.asset_materializations_for_node("customers")) == 1
    assert bench.users()[1] == "A!"
    assert sum(e.step_key == "customers" and e.is_step_start for e in result.all_events) == 1
    told = failure_of(result, "customers").user_failure_data.description
    assert "blocking check parity failed" in told


def test_a_check_that_can_not_look_fails_its_step_and_not_the_check(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Nothing is known of the two sides, so nothing is said of them."""
    result = alone(bench, instance, "parity")
    assert not result.success
    assert evaluations(result) == {}
    told = failure_of(result, "customers_scan").user_failure_data
    assert "is not there yet" in told.description
    assert told.metadata["exit_code"].value == 2
    assert attempts(result) == 1


def test_scans_are_part_of_every_run_where_the_mapping_says_so(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Then there is no op of their own, and a RunRequest names them too."""
    scans = "checks: {parity: {every_run: true}, duplicates: {every_run: true}}\n"
    bench.write("customers", more=scans)
    mapping = bench.project.mapping("customers")
    assert check_names(mapping, inline=False) == []
    assert "parity" in {key.name for key in inline_check_keys(mapping)}
    result = bench.run(instance)
    found = evaluations(result)
    assert found["parity"].passed
    assert found["duplicates"].passed
    assert {e.step_key for e in result.all_events if e.is_step_start} == {"customers"}
    assert evaluations(alone(bench, instance, "parity"))["parity"].passed


def test_a_scan_takes_a_name_that_no_mapping_has(bench: DagsterBench) -> None:
    """A mapping may be called as the op of another's scan would be."""
    bench.write("customers_scan", CUSTOMERS.replace("users", "others"))
    definitions = bench.definitions()
    dg.Definitions.validate_loadable(definitions)
    job = definitions.resolve_implicit_global_asset_job_def()
    names = {node.name for node in job.nodes}
    assert names == {"customers", "customers_scan_", "customers_scan", "customers_scan_scan"}
