"""Foreign keys that cascade: the target deletes a child by itself when its parent goes."""

from __future__ import annotations

import pytest

from syncline.store.store import Store
from syncline.sync import RunOptions, run
from tests.attack.conftest import DELTA, Make
from tests.integration.project_bench import ProjectBench

MIRROR = "deletes: {mode: mirror, guard: 90%}\n"
PARENTS = "create table parents (id int primary key, name varchar(20), updated_at timestamp(6))"
CHILDREN = (
    "create table children (id int primary key, parent int, updated_at timestamp(6),"
    " foreign key (parent) references parents (id) on delete cascade)"
)
FAMILY = """\
source: {{connection: from_here, table: {table}}}
target: {{connection: to_there, table: {table}}}
key: {{id: id}}
fields:
  {field}: {field}
{rest}"""


def family(make: Make, watermark: str, target: str, rest: str) -> ProjectBench:
    """Two parents, the first with two children, on both sides, and a mapping for each table."""
    bench = make(watermark, target)
    rest = DELTA[watermark] + MIRROR + rest
    for side in (bench.source, bench.target):
        side.sql(PARENTS)
        side.sql(CHILDREN)
    for table, field in (("parents", "name"), ("children", "parent")):
        text = FAMILY.format(table=table, field=field, rest=rest)
        (bench.folder / "mappings" / f"{table}.yaml").write_text(text)
    bench.source.sql("insert into parents values (1, 'one', now()), (2, 'two', now())")
    bench.source.sql("insert into children values (10, 1, now()), (11, 1, now())")
    for name in ("parents", "children"):
        run(bench.project, name, RunOptions())
    return bench


def children(bench: ProjectBench) -> list[tuple[int, int]]:
    return [tuple(row) for row in bench.target.sql("select id, parent from children order by id")]


@pytest.mark.parametrize("first", ["parents", pytest.param("children", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "rest",
    [
        pytest.param("", id="plain", marks=pytest.mark.slow),
        pytest.param("conflicts: manual\n", id="ledger"),
    ],
)
@pytest.mark.parametrize(
    ("watermark", "target"),
    [("xmin", "postgres"), pytest.param("mariadb", "mariadb", marks=pytest.mark.slow)],
)
def test_f57_a_child_that_a_cascade_deleted_is_not_lost(
    watermark: str, target: str, rest: str, first: str, make: Make
) -> None:
    """One child moves to the other parent, the first parent goes with its other child: what the
    target's cascade took along and the source still has lands again, or waits for a person.
    """
    bench = family(make, watermark, target, rest)
    assert children(bench) == [(10, 1), (11, 1)]
    bench.source.sql("update children set parent = 2, updated_at = now() where id = 10")
    bench.source.sql("delete from parents where id = 1")
    other = "children" if first == "parents" else "parents"
    for name in (first, other, first, other):
        run(bench.project, name, RunOptions())
    with Store.open(bench.project.store_url) as store:
        waiting = [entry.key for entry in store.conflicts(mapping="children")]
    assert children(bench) == [(10, 2)] or (waiting == [{"id": 10}] and children(bench) == [])
    assert bench.target.sql("select id from parents") == [(2,)]
    if first == "children" or not rest:
        assert (children(bench), waiting) == ([(10, 2)], [])
