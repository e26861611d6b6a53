"""Verify by several workers, each a range of keys, says what one alone says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncline.errors import InputError, RunFailed
from syncline.ranges import WHOLE, Part
from syncline.store.store import Store
from syncline.sync import Cancelled
from syncline.verify import compare, parts_of
from tests.conftest import NewDatabase
from tests.integration.project_bench import ProjectBench, Side, now, person
from tests.integration.verify.support import ALIKE, LEDGER, SOURCE_WINS, Make, adds_up, look, told

SMALL = "batch_size: 3\n"


def plant(bench: ProjectBench) -> None:
    """One of each: missing, extra, different, late, the target's own, and one that is apart."""
    bench.target.remove(7)
    bench.source.remove(1, 38)
    bench.target.edit(22, city="Changed by hand")
    bench.source.edit(30, name="Late", updated_at=now())
    bench.target.put(person(1_000))


def the_same(report: Any) -> dict[str, Any]:
    """What must not depend on how many compared."""
    left_out = {"run_id", "seconds", "rows_per_second", "samples", "travelled"}
    found = {name: value for name, value in report.as_dict().items() if name not in left_out}
    return {**found, "samples": sorted(repr(one) for one in report.samples)}


@pytest.mark.parametrize(
    ("source", "target", "kinds"),
    [
        pytest.param("sqlite", "sqlite", {"records", "gone"}, marks=pytest.mark.slow),
        ("postgres", "postgres", {"sums"}),
        pytest.param("mongo", "postgres", {"records", "gone"}, marks=pytest.mark.slow),
        pytest.param("mariadb", "postgres", {"sums"}, marks=pytest.mark.slow),
        pytest.param("mariadb", "sqlite", {"sums"}, marks=pytest.mark.slow),
    ],
)
def test_by_parts_the_same_is_found(make: Make, source: str, target: str, kinds: set[str]) -> None:
    """The parts' counts add up to those of one worker, also where something is wrong."""
    rest = "conflicts: {strategy: source, detect: ledger}\ndeletes: {mode: mirror, guard: 50%}\n"
    bench = make(40, source=source, target=target, rest=rest + SMALL)
    if source == "postgres":  # it knows how many records there are once they were counted
        bench.source.sql("analyze people")
    parts = parts_of(bench.project, bench.name, 2)
    assert {part.what for part in parts} == kinds
    assert len(parts) > 2
    alike = look(bench, workers=2)
    assert (*told(alike), alike.equal) == (*ALIKE, 40)
    plant(bench)
    alone, together = look(bench, workers=1), look(bench, workers=2)
    assert (alone.missing, alone.extra, alone.different, alone.late) == (1, 2, 1, 1)
    assert the_same(together) == the_same(alone)
    assert adds_up(together)
    with Store.open(bench.project.store_url) as store:
        run = store.runs(bench.name)[0]
    assert (run.run_id, run.mode, run.status) == (together.run_id, "verify", "differs")
    bench.source.close()
    bench.target.close()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["postgres", "mariadb"])
def test_a_composite_key_is_divided_by_its_first_column(
    new_database: NewDatabase, tmp_path: Path, target: str
) -> None:
    """Where that is a whole number; all records of one number are in one part, and none in two."""
    here, there = (
        Side(kind, new_database(kind), name) for kind, name in (("postgres", "a"), (target, "b"))
    )
    for side in (here, there):
        side.sql(f"create table {side.table} (n int, t varchar(9), v int, primary key (n, t))")
    here.sql("insert into a select i / 7, 'k' || i % 7, i from generate_series(0, 69) i")
    here.sql("analyze a")
    bench = ProjectBench(tmp_path, here, there, rest=SOURCE_WINS + SMALL, fields="  v: v\n")
    mapping = bench.folder / "mappings" / "people.yaml"
    mapping.write_text(mapping.read_text().replace("key: {id: id}", "key: {n: n, t: t}"))
    bench.run()
    parts = parts_of(bench.project, bench.name, 4)
    assert (len(parts) > 2, {part.what for part in parts}) == (True, {"sums"})
    there.sql("delete from b where v = 30")
    there.sql("update b set v = -1 where v = 69")
    here.sql("delete from a where v = 0")
    alone, together = look(bench, workers=1), look(bench, workers=4)
    assert (alone.missing, alone.extra, alone.different) == (1, 1, 1)
    assert (alone.by, the_same(together)) == ("checksums", the_same(alone))


def test_each_part_says_what_is_wrong_in_its_range(make: Make) -> None:
    """Compared one by one, wherever: each record is in exactly one of them."""
    bench = make(40, rest=SOURCE_WINS + SMALL)
    bench.target.remove(7)
    bench.target.remove(33)
    parts = parts_of(bench.project, bench.name, 4)
    found = [compare(bench.project, bench.name, part, pause=0) for part in parts]
    assert sum(one.read for one in found) == 40
    assert [one.missing for one in found if one.missing] == [1, 1]
    assert [one.samples[0].key["id"] for one in found if one.samples] == [7, 33]
    with Store.open(bench.project.store_url) as store:
        assert [run.mode for run in store.runs(bench.name)] == ["full"]  # parts are no runs


def test_what_can_not_be_divided_is_compared_whole(make: Make) -> None:
    """A single batch, and checksums by a key that each database orders in its own way."""
    bench = make(5)
    assert parts_of(bench.project, bench.name, 4) == [WHOLE]
    assert (*told(look(bench, workers=4)), look(bench, workers=4).equal) == (*ALIKE, 5)


def test_parts_tell_their_progress_together_and_end_when_that_is_cancelled(make: Make) -> None:
    """All of them, and it is recorded so."""
    bench = make(40, rest=LEDGER + SMALL)
    reads: list[int] = []
    assert told(look(bench, workers=2, on_progress=lambda at: reads.append(at.read))) == ALIKE
    assert max(reads) == 40

    def stop(_: object) -> None:
        raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        look(bench, workers=2, on_progress=stop)
    with Store.open(bench.project.store_url) as store:
        assert [run.status for run in store.runs(bench.name)][:2] == ["cancelled", "ok"]


def test_a_part_of_sums_that_are_not_to_be_had_any_more_fails(make: Make) -> None:
    """As where a field became an expression since it was divided: the part is not skipped."""
    bench = make(20)
    with pytest.raises(RunFailed, match="changed while it was compared"):
        compare(bench.project, bench.name, Part("sums", None, "10"), pause=0)


def test_parts_of_a_target_that_is_not_there_are_refused(make: Make) -> None:
    """As the whole is."""
    bench = make(3)
    bench.target.sql("drop table people_copy")
    with pytest.raises(InputError, match="not there yet"):
        parts_of(bench.project, bench.name, 2)
