"""What a run of a mapping leaves in Dagster: numbers, checkpoints, a sample; and a dry run."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from syncline.dagster import SyncConfig, batches
from tests.integration.dagster_bench import (
    CUSTOMERS,
    DagsterBench,
    attempts,
    failure_of,
    numbers_of,
)

EDITED = "update customers set name = 'new', seen = '2050-01-01 00:00:00' where id = 3"


@pytest.fixture
def bench(tmp_path: Path) -> DagsterBench:
    """A project with ten customers and one mapping of them."""
    made = DagsterBench(tmp_path / "project")
    made.write("customers")
    return made


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def test_each_batch_tells_its_speed_what_is_left_and_the_slow_side(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """One line of the run's log, read where the UI reads it."""
    run = bench.run(instance)
    messages = [event.user_message for event in instance.all_logs(run.run_id)]
    (line,) = [message for message in messages if "batch 1" in message]
    pattern = (
        r"customers: read 10( of about [\d,]+)?, wrote 10, [\d,]+ records/s, [\d.,]+ MB/s, batch 1"
        r"(, about [\d,]+ s left)?, slow: (source|mapping|target)"
    )
    assert re.fullmatch(pattern, line), line


def test_each_batch_is_an_event_whose_numbers_can_be_plotted(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """An observation of the asset, under names of its own; it is no materialization."""
    run = bench.run(instance, config={"customers": {"batch_size": 4}})
    told = instance.fetch_observations(dg.AssetKey("customers"), limit=10, ascending=True).records
    found = [record.asset_observation for record in told]
    assert [one.metadata["progress_read"].value for one in found if one] == [4, 8, 10]
    assert [one.metadata["progress_written"].value for one in found if one] == [4, 8, 10]
    last = found[-1]
    assert last is not None
    assert last.description is not None
    assert last.description.startswith("customers: read 10")
    assert last.metadata["progress_batches"].value == 3
    assert last.metadata["progress_rows_per_second"].value > 0
    assert last.metadata["progress_bytes_per_second"].value > 0
    assert last.metadata["progress_slow_side"].value in {"source", "mapping", "target"}
    assert {record.run_id for record in told} == {run.run_id}
    assert not [name for name in numbers_of(run, "customers") if name.startswith("progress_")]


@pytest.mark.parametrize(
    ("seconds", "growth", "lines", "told"),
    [(3600.0, 1e9, 3, [1, 2, 3, 4, 5]), (0.0, 0.0, 10, [*range(1, 11)])],
)
def test_of_ten_thousand_batches_some_are_told(
    bench: DagsterBench,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    growth: float,
    lines: int,
    told: list[int],
) -> None:
    """The first ones each; then a line in so many seconds, and an event as the run grows longer, so
    that neither the log is flooded nor the plots of whole runs.
    """
    monkeypatch.setattr(batches, "ALL", 3)
    monkeypatch.setattr(batches, "SECONDS", seconds)
    monkeypatch.setattr(batches, "GROWTH", growth)
    run = bench.run(instance, config={"customers": {"batch_size": 1}})
    found = instance.fetch_observations(dg.AssetKey("customers"), limit=99, ascending=True).records
    events = [one.asset_observation for one in found]
    assert [one.metadata["progress_batches"].value for one in events if one] == told
    said = [event.user_message for event in instance.all_logs(run.run_id)]
    assert sum("records/s" in line for line in said) == lines


def test_checkpoint_and_lag_are_told_before_and_after(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """Instants that can be plotted, and the positions in the source's own words."""
    first = numbers_of(bench.run(instance), "customers")
    assert not {"checkpoint_before", "lag_before_seconds", "position_before"} & set(first)
    bench.sql("shop", EDITED)
    time.sleep(1.1)
    second = numbers_of(bench.run(instance), "customers")
    assert second["checkpoint_before"] == first["checkpoint"]
    assert second["position_before"] == first["position"]
    assert second["position"] != first["position"]
    assert second["lag_before_seconds"] >= 1
    assert 0 <= second["lag_seconds"] < second["lag_before_seconds"] + second["seconds"]


def test_a_sample_shows_the_first_records_as_they_were_mapped(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """A few of them, with the values of masked fields hidden, and none where nothing was read."""
    text = CUSTOMERS.replace(
        "seen: seen", "seen: {from: seen, mask: true}\n  big: id * 10000000000000000"
    )
    bench.write("customers", text)
    result = bench.run(instance)
    (found,) = result.asset_materializations_for_node("customers")
    sample = found.metadata["sample"]
    assert isinstance(sample, dg.TableMetadataValue)
    assert [record.data["id"] for record in sample.records] == [1, 2, 3, 4, 5]
    first = sample.records[0].data
    assert first["name"] == "NAME 1!"
    assert first["big"] == "10000000000000000"  # a browser would round the number
    assert first["seen"] == "•••"
    assert "2000-01-01" not in repr(found)
    bench.sql("shop", "delete from customers")
    (empty,) = bench.run(
        instance, config={"customers": {"allow": ["empty-source"]}}
    ).asset_materializations_for_node("customers")
    assert "sample" not in empty.metadata


def test_the_materialization_has_the_columns_as_they_are(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """In Dagster's own panel, with the types of the target."""
    (found,) = bench.run(instance).asset_materializations_for_node("customers")
    schema = found.metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchemaMetadataValue)
    assert [column.name for column in schema.value.columns] == ["id", "name", "seen"]
    assert {column.type for column in schema.value.columns} == {"INTEGER", "TEXT"}


def test_the_review_app_is_a_link_of_every_run(
    bench: DagsterBench, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the conflicts of this mapping, under the address that the environment gives."""
    monkeypatch.setenv("SYNCLINE_REVIEW_URL", "https://review.example")
    (found,) = bench.run(instance).asset_materializations_for_node("customers")
    link = found.metadata["review"]
    assert isinstance(link, dg.UrlMetadataValue)
    assert link.url == "https://review.example/conflicts?mapping=customers"


def test_a_dry_run_writes_nothing_and_tells_what_a_run_would(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """An observation of the asset, with counts and samples; no materialization, no check."""
    bench.run(instance)
    bench.sql("shop", EDITED)
    bench.put([11])
    bench.sql("shop", "update customers set seen = '2051-01-01 00:00:00' where id = 11")
    result = bench.run(instance, "customers", config={"customers": {"dry_run": True}})
    assert result.success
    assert bench.users()[3] == "NAME 3!"
    assert 11 not in bench.users()
    assert result.asset_materializations_for_node("customers") == []
    assert result.get_asset_check_evaluations() == []
    (event,) = result.get_asset_observation_events()
    observed = event.asset_observation_data.asset_observation
    numbers = {name: value.value for name, value in observed.metadata.items()}
    assert (numbers["would_insert"], numbers["would_update"]) == (1, 1)
    assert numbers["mode"] == "delta"
    rows = [record.data for record in observed.metadata["sample"].records]
    assert {
        "record": "3", "what": "update", "field": "name", "now": "NAME 3!", "would be": "NEW!",
    } in rows  # fmt: skip


def test_a_dry_run_can_be_of_a_full_sync_and_says_what_would_stop_it(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """The guard is named, as `syncline plan` does."""
    bench.write("customers", more="deletes: {mode: mirror, guard: 5%}\nexclusive: true\n")
    bench.run(instance)
    bench.sql("shop", "delete from customers where id > 5")
    config = {"customers": {"dry_run": True, "mode": "full"}}
    (event,) = bench.run(instance, "customers", config=config).get_asset_observation_events()
    metadata = event.asset_observation_data.asset_observation.metadata
    assert metadata["mode"].value == "full"
    assert metadata["would_delete"].value == 5
    assert "deletes" in str(metadata["stopped"].value)
    assert len(bench.users()) == 10


def test_a_dry_run_of_a_window_is_refused(
    bench: DagsterBench, instance: dg.DagsterInstance
) -> None:
    """There is no plan of a backfill: it says so, once, with exit code 2."""
    config = {"customers": {"dry_run": True, "window_start": "2000-01-01"}}
    result = bench.run(instance, "customers", config=config)
    told = failure_of(result, "customers").user_failure_data
    assert told.metadata["exit_code"].value == 2
    assert attempts(result) == 1


def test_every_field_of_the_config_is_explained_in_the_launchpad() -> None:
    """Typed, with a default and a sentence."""
    fields = SyncConfig.to_fields_dict()
    assert set(fields) == {
        "mode", "batch_size", "window_start", "window_end", "dry_run", "allow",
    }  # fmt: skip
    assert all(field.description and not field.is_required for field in fields.values())
