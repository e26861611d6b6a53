"""Lookups whose table changes: records map otherwise then, though none of them moved."""

from __future__ import annotations

import pytest

from syncline.plan import plan
from tests.attack.conftest import Make
from tests.integration.project_bench import ProjectBench, now

FIELDS = "  name: name\n  city: {lookup: cities, match: city, take: called}\n"
LOOKUPS = "lookups: {cities: {connection: from_here, table: cities, key: name}}\n"


def bench_of(make: Make, watermark: str, rest: str = "") -> ProjectBench:
    """Ten people in Rome or nowhere, whose city is looked up."""
    bench = make(watermark, count=10, fields=FIELDS, rest=LOOKUPS + rest)
    bench.source.sql("create table cities (name varchar(20) primary key, called varchar(20))")
    bench.source.sql("insert into cities values ('Rome', 'Roma')")
    bench.source.sql("update people set city = 'Rome'")
    return bench


def cities(bench: ProjectBench) -> set[str]:
    return {row[0] for row in bench.target.sql("select city from people_copy")}


@pytest.mark.parametrize("watermark", [pytest.param("xmin", marks=pytest.mark.slow), "sqlite"])
@pytest.mark.parametrize("rest", ["", "conflicts: manual\n"], ids=["plain", "ledger"])
def test_a_lookup_that_changed_means_a_full_sync(watermark: str, rest: str, make: Make) -> None:
    """No record of the source moved, so a delta would leave them all as they were."""
    bench = bench_of(make, watermark, rest)
    bench.run()
    assert cities(bench) == {"Roma"}
    assert bench.run().mode == "delta"
    bench.source.sql("update cities set called = 'Rom'")
    assert "lookup" in plan(bench.project, "people").stopped
    summary = bench.run()
    assert (summary.mode, summary.conflicts) == ("full", 0)
    assert cities(bench) == {"Rom"}
    bench.source.edit(3, name="Moved", updated_at=now())
    assert bench.run().mode == "delta"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_lookup_that_changes_amid_a_full_sync_means_another(workers: int, make: Make) -> None:
    """What was written before it changed is written again by the next run."""
    bench = bench_of(make, "xmin")

    def change_and_die(_: object) -> None:
        bench.source.sql("update cities set called = 'Rom'")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.run(batch_size=2, on_progress=change_and_die, workers=workers)
    bench.run()
    bench.run()
    assert cities(bench) == {"Rom"}
    assert bench.run().mode == "delta"
