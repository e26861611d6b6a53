"""What a run tells of itself, and remembers of the tables, for those who can't ask a database."""

from __future__ import annotations

from pathlib import Path

from syncline import catalogue
from syncline.batch import Batch
from syncline.store.store import Store
from syncline.sync import RunOptions, run
from tests.integration.dagster_bench import DagsterBench
from tests.integration.project_bench import Make, now


def test_a_run_tells_where_its_checkpoint_was_and_is(make: Make) -> None:
    """Both as instants and as positions; the store keeps them with the run."""
    bench = make(3)
    first = bench.run()
    assert (first.checkpoint_before, first.position_before) == (None, None)
    assert first.position is not None
    bench.source.edit(1, name="Changed", updated_at=now())
    second = bench.run()
    assert second.checkpoint_before == first.checkpoint
    assert second.position_before == first.position
    assert second.position != first.position
    with Store.open(bench.project.store_url) as store:
        assert store.runs("people")[0].summary["position"] == second.position


def test_each_batch_is_given_once_it_is_durable(make: Make) -> None:
    """`on_batch` sees the mapped records, in batches, when the target has them already."""
    bench = make(10)
    seen: list[list[int]] = []

    def look(batch: Batch) -> None:
        keys = batch.keys.column("id").to_pylist()
        assert set(keys) <= set(bench.target.rows())
        seen.append(keys)

    run(bench.project, "people", RunOptions(batch_size=4, on_batch=look))
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_run_that_goes_on_over_drift_tells_it(make: Make) -> None:
    """Where `drift: warn` lets it: the column that the mapping reads and that changed."""
    bench = make(3, rest="drift: warn\n")
    assert bench.run().drift == ()
    bench.source.sql("alter table people add column more text")
    assert bench.run().drift == ()  # nobody reads it
    bench.source.sql("alter table people drop column city")
    bench.source.sql("alter table people add column city varchar(9)")
    (told,) = bench.run().drift
    assert told.startswith("source column city was")
    assert bench.run().drift == ()


def test_a_run_remembers_its_tables(tmp_path: Path) -> None:
    """Types as the databases spell them, what is never NULL, and what foreign keys point at."""
    bench = DagsterBench(tmp_path / "project", records=1)
    bench.sql("app", "create table towns (id integer primary key)")
    bench.sql(
        "app",
        "create table users (id bigint primary key, name varchar(80) not null, seen timestamp, "
        "town integer references towns (id))",
    )
    bench.write("customers")
    assert catalogue.known(bench.project) == {}
    run(bench.project, "customers")
    kept = catalogue.known(bench.project)["customers"]
    assert kept.source.columns == {"id": "INTEGER", "name": "TEXT", "seen": "TEXT"}
    assert kept.target.columns["name"] == "varchar(80)"
    assert "name" in kept.target.required
    assert kept.refers == ["towns"]
    catalogue.forget(bench.project, ["customers", "others"])
    assert catalogue.known(bench.project) == {}


def test_a_catalogue_that_can_not_be_read_or_kept_stops_nothing(tmp_path: Path) -> None:
    """It is a cache: broken content counts as none, and a directory in its place is left alone."""
    bench = DagsterBench(tmp_path / "project", records=1)
    bench.write("customers")
    folder = bench.root / ".syncline" / catalogue.FOLDER
    folder.mkdir(parents=True)
    (folder / "customers.json").write_text("{")
    assert catalogue.known(bench.project) == {}
    (folder / "customers.json").unlink()
    folder.rmdir()
    folder.write_text("a file")
    assert run(bench.project, "customers").inserted == 1
    assert catalogue.known(bench.project) == {}
