"""`drift: evolve` where columns of the source grow: those of the target follow, or it stops."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from syncline import ledger
from syncline.errors import GuardStopped
from syncline.plan import plan
from syncline.run import opened
from tests.attack.conftest import Make
from tests.integration.project_bench import ProjectBench, Side, now

EVOLVE = "drift: evolve\n"
FIELDS = "  name: name\n  n: n\n  amount: amount\n  ratio: ratio\n  seen: seen\n"
NARROW = {
    "postgres": "id bigint primary key, name varchar(20) collate \"C\" not null default 'none',"
    " n integer, amount numeric(6,2), ratio real, seen timestamp(0), updated_at timestamptz",
    "mariadb": "id bigint primary key, name varchar(20) collate utf8mb4_bin not null default 'none'"
    " comment 'it''s 100% a, b (c)', n int, amount decimal(6,2), ratio float, seen datetime,"
    " updated_at datetime(6)",
    "sqlite": "id bigint primary key, name varchar(20) not null, n integer,"
    " amount decimaltext(6,2), ratio real, seen timestamp, updated_at timestamptz",
}
WIDE = {
    "postgres": [
        "alter table people alter name type text",
        "alter table people alter n type bigint",
        "alter table people alter amount type numeric(12,2)",
        "alter table people alter ratio type double precision",
        "alter table people alter seen type timestamp",
    ],
    "mariadb": [
        "alter table people modify name varchar(400) collate utf8mb4_bin not null default 'none'",
        (
            "alter table people modify n bigint, modify amount decimal(12,2), modify ratio double,"
            " modify seen datetime(6)"
        ),
    ],
}
BIG = "repeat('x', 300)"
PAIRS = [
    ("xmin", "postgres"),
    *(
        pytest.param(*pair, marks=pytest.mark.slow)
        for pair in [
            ("xmin", "mariadb"), ("mariadb", "postgres"), ("mariadb", "mariadb"), ("xmin", "mongo"),
        ]
    ),
]  # fmt: skip


def bench_of(make: Make, watermark: str, target: str, rest: str = EVOLVE) -> ProjectBench:
    """Five people, synced, whose columns are narrow on both sides."""
    bench = make(watermark, target, fields=FIELDS, rest=rest)
    source = bench.source
    source.sql("drop table people")
    source.sql(f"create table people ({NARROW[source.kind]})".replace(":", "\\:"))
    if target != "mongo":
        bench.target.sql(f"create table people_copy ({NARROW[target]})".replace(":", "\\:"))
    for key in range(5):
        source.sql(
            "insert into people (id, name, n, amount, ratio, seen, updated_at) values"
            " (:id, :name, :id, 12.25, 0.1, '2024-01-02 03\\:04\\:05', '2024-01-01 00\\:00\\:00')",
            id=key,
            name=f"Person {key}",
        )
    bench.run()
    return bench


def widen(source: Side) -> None:
    """Every column grows, and one record needs all of it."""
    for statement in WIDE[source.kind]:
        source.sql(statement)
    source.sql(
        f"update people set name = {BIG}, n = 5000000000, amount = 12345678.12, ratio = 1e300,"
        " seen = '2024-01-02 03\\:04\\:05.123456', updated_at = :at where id = 3",
        at=now(),
    )


def found(side: Side) -> dict[int, tuple[object, ...]]:
    """The fields of all records."""
    if side.kind == "mongo":
        return {
            one["_id"]: (one["name"], one["n"], one["amount"].to_decimal(), one["ratio"])
            for one in side.documents.find()
        }
    rows = side.sql(f"select id, name, n, amount, ratio from {side.table}")
    return {row[0]: tuple(row[1:]) for row in rows}


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param("", id="plain", marks=pytest.mark.slow),
        pytest.param("conflicts: manual\n", id="ledger"),
    ],
)
@pytest.mark.parametrize(("watermark", "target"), PAIRS)
def test_a_wider_column_of_the_source_widens_the_target_s(
    watermark: str, target: str, rest: str, make: Make
) -> None:
    """Once, before the first write; what does not depend on the type stays as it was, and no
    record waits for a person for it.
    """
    bench = bench_of(make, watermark, target, EVOLVE + rest)
    widen(bench.source)
    assert "schema" not in plan(bench.project, "people").stopped
    with capture_logs() as said:
        summary = bench.run()
    assert (summary.mode, summary.dead_letters, summary.conflicts) == ("full", 0, 0)
    assert found(bench.target) == found(bench.source)
    changes = [one for one in said if one["event"] == "widened"]
    assert len(changes) == (0 if target == "mongo" else 5)
    if target == "postgres":
        ((kept,),) = bench.target.sql(
            "select array[attnotnull\\:\\:text, (select collname from pg_collation c where c.oid ="
            " attcollation), (select pg_get_expr(adbin, adrelid) from pg_attrdef d where d.adrelid"
            " = attrelid and adnum = attnum)] from pg_attribute where attrelid ="
            " 'people_copy'\\:\\:regclass and attname = 'name'"
        )
        assert kept[:2] == ["true", "C"]
        assert kept[2].startswith("'none'")
    if target == "mariadb":
        made = bench.target.sql("show create table people_copy")[0][1]
        line = next(line for line in made.splitlines() if "`name`" in line)
        assert "utf8mb4_bin NOT NULL DEFAULT 'none' COMMENT 'it''s 100% a, b (c)'" in line
    with capture_logs() as said:
        assert bench.run().mode == "delta"
    assert [one for one in said if one["event"] == "widened"] == []


def test_edits_of_the_target_are_known_behind_a_wider_column(make: Make) -> None:
    """What was edited there before the column grew is no new conflict afterwards."""
    bench = bench_of(make, "xmin", "postgres", EVOLVE + "conflicts: manual\n")
    bench.target.sql("update people_copy set name = 'Edited there', n = 77 where id = 2")
    bench.run()
    for statement in WIDE["postgres"][:2]:
        bench.source.sql(statement)
    summary = bench.run()
    assert (summary.mode, summary.conflicts, summary.queued) == ("full", 0, 0)
    assert found(bench.target)[2][:2] == ("Edited there", 77)


def test_a_run_that_died_behind_the_widening_goes_on(make: Make) -> None:
    """The target is wide already: nothing is altered, nothing stops, the rest is done."""
    bench = bench_of(make, "xmin", "postgres", EVOLVE + "conflicts: manual\n")
    bench.target.sql("update people_copy set name = 'Edited there' where id = 2")
    widen(bench.source)

    def die(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.run(batch_size=1, on_progress=die)
    summary = bench.run()
    assert (summary.mode, summary.conflicts) == ("full", 0)
    rows = found(bench.target)
    assert rows.pop(2)[0] == "Edited there"
    truth = found(bench.source)
    assert rows == {key: row for key, row in truth.items() if key != 2}


REFUSALS = {
    "a view": ("postgres", "create view seen_people as select n from people_copy"),
    "a generated column": (
        "postgres",
        "alter table people_copy add column twice int generated always as (n * 2) stored",
    ),
    "a foreign key": (
        "mariadb",
        (
            "create table parents (n int primary key) as select n from people_copy;"
            "alter table people_copy add foreign key (n) references parents (n)"
        ),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("why", REFUSALS)
def test_what_the_target_refuses_to_widen_stops_with_the_statement(why: str, make: Make) -> None:
    """Before the first write; once somebody has run it, or allowed it, the run goes on."""
    kind, statement = REFUSALS[why]
    bench = bench_of(make, "xmin", kind)
    for each in statement.split(";"):
        bench.target.sql(each)
    bench.source.sql("alter table people alter name type text")
    bench.source.sql("alter table people alter n type bigint")
    bench.source.sql("update people set name = 'Moved', updated_at = now() where id = 1")
    for _ in range(2):
        with pytest.raises(GuardStopped) as stopped:
            bench.run()
        assert stopped.value.reason == "schema"
        assert "ALTER TABLE" in stopped.value.hint
    assert found(bench.target)[1][0] == "Person 1"
    bench.run(allow=frozenset({"schema"}))
    assert found(bench.target)[1][0] == "Moved"


@pytest.mark.slow
def test_sqlite_s_decimals_and_keys_are_not_widened(make: Make) -> None:
    """SQLite alters no type: told, with what to do. A key's type is what the ledger knows."""
    bench = bench_of(make, "xmin", "sqlite")
    bench.source.sql("alter table people alter n type bigint")
    bench.source.sql("alter table people alter name type text")
    bench.source.sql("update people set n = 5000000000, updated_at = now() where id = 1")
    bench.run()
    assert found(bench.target)[1][1] == 5_000_000_000
    bench.source.sql("alter table people alter amount type numeric(12,4)")
    with pytest.raises(GuardStopped, match="could not be widened: SQLite") as stopped:
        bench.run()
    assert "DECIMALTEXT(12,4)" in stopped.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("declared", [True, False])
def test_a_declared_type_or_a_narrower_source_never_alters_the_target(
    declared: bool, make: Make
) -> None:
    """The mapping's own word holds; and a source that shrank is no reason either."""
    bench = bench_of(make, "xmin", "postgres")
    if declared:
        fields = FIELDS.replace("  n: n\n", "  n: {from: n, type: integer}\n")
        bench.write(fields=fields, rest="delta: {by: xmin}\n" + EVOLVE)
        bench.run()
        bench.source.sql("alter table people alter n type bigint")
    else:
        bench.source.sql("alter table people alter name type varchar(10)")
    with pytest.raises(GuardStopped):
        bench.run()
    native = "select format_type(atttypid, atttypmod) from pg_attribute where attrelid ="
    native += " 'people_copy'\\:\\:regclass and attname in ('n', 'name') order by 1"
    assert [row[0] for row in bench.target.sql(native)] == ["character varying(20)", "integer"]


@pytest.mark.slow
def test_it_happens_under_the_lease(make: Make) -> None:
    """While another run has the mapping nothing is altered."""
    bench = bench_of(make, "xmin", "postgres")
    widen(bench.source)
    with (
        opened(bench.project, "people") as run,
        ledger.hold(run.target, run.spec),
        pytest.raises(Exception, match="is being written by"),
    ):
        bench.run()
    assert bench.target.sql(
        "select atttypid\\:\\:regtype\\:\\:text from pg_attribute where attrelid ="
        " 'people_copy'\\:\\:regclass and attname = 'n'"
    ) == [("integer",)]
