"""Schema drift: columns that change between two runs, and what the mapping says of that."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import MongoClient
from structlog.testing import capture_logs

from syncline.errors import GuardStopped, InputError, MappingErrors
from syncline.plan import plan
from syncline.status import status
from tests.attack.conftest import Make, in_step
from tests.attack.line import after
from tests.attack.test_network import terminate
from tests.integration.project_bench import now, person

SQL = [("xmin", "postgres"), ("mariadb", "mariadb"), ("sqlite", "sqlite")]
NARROW = {
    "postgres": "alter table {table} alter column name type varchar(30)",
    "mariadb": "alter table {table} modify column name varchar(30)",
}


@pytest.mark.parametrize(("watermark", "target"), SQL[:2])
@pytest.mark.parametrize("side", ["source", "target"])
def test_f22_a_column_that_was_narrowed_stops_the_next_run(
    watermark: str, target: str, side: str, make: Make
) -> None:
    """Before the first write, saying which column and how; `--allow schema` lets it by."""
    bench = make(watermark, target, count=5)
    bench.run()
    bench.run()
    at = bench.source if side == "source" else bench.target
    at.sql(NARROW[target].format(table=at.table))
    bench.source.edit(2, name="Moved", updated_at=now())
    with pytest.raises(GuardStopped) as stopped:
        bench.run()
    assert stopped.value.reason == "schema"
    assert f"{side} column name was narrowed" in str(stopped.value)
    assert bench.target.rows()[2]["name"] == "Person 2"
    bench.run(allow=frozenset({"schema"}))
    assert in_step(bench)
    assert bench.run().status == "ok"


def test_f22_a_column_that_is_read_and_was_renamed_or_dropped_is_an_error_before_any_write(
    make: Make,
) -> None:
    """The mapping names a column that is not there: its line is told, and nothing is written."""
    bench = make("xmin", "postgres", count=5)
    bench.run()
    bench.source.edit(2, name="Moved", updated_at=now())
    bench.source.sql("alter table people rename column city to town")
    with pytest.raises(MappingErrors, match="city"):
        bench.run()
    assert bench.target.rows()[2]["name"] == "Person 2"


@pytest.mark.parametrize(("policy", "told"), [("warn", True), ("stop", True), ("ignore", False)])
def test_columns_that_no_field_uses_never_stop(policy: str, told: bool, make: Make) -> None:
    """They are told in the log, but for `ignore`."""
    bench = make("xmin", "postgres", count=5, rest=f"drift: {policy}\n")
    bench.run()
    bench.source.sql("alter table people add column nick text")
    with capture_logs() as said:
        bench.run()
    assert any("column nick" in str(line) for line in said) is told
    assert in_step(bench)


@pytest.mark.parametrize("policy", ["warn", "ignore"])
def test_a_mapping_may_say_that_a_changed_type_does_not_stop(policy: str, make: Make) -> None:
    """What does not fit is a dead letter then, as any value."""
    bench = make("xmin", "postgres", count=5, rest=f"drift: {policy}\n")
    bench.run()
    bench.source.sql(NARROW["postgres"].format(table="people"))
    bench.source.edit(2, name="Moved", updated_at=now())
    bench.run()
    assert in_step(bench)


@pytest.mark.parametrize(("watermark", "target"), [*SQL, ("xmin", "mongo")])
@pytest.mark.parametrize("ledger", ["", "conflicts: merge\n"], ids=["plain", "ledger"])
def test_evolve_brings_a_new_column_of_the_source_to_the_target(
    watermark: str, target: str, ledger: str, make: Make
) -> None:
    """The column is added there, every record is read once for it, and it stays a field."""
    bench = make(watermark, target, count=5, rest=f"drift: evolve\n{ledger}")
    bench.run()
    bench.source.sql("alter table people add column nick varchar(40)")
    bench.source.sql("update people set nick = 'N' where id = 3")

    def nicks() -> dict[int, object]:
        if target == "mongo":
            with MongoClient[dict[str, Any]](bench.target.url) as client:
                found = client.get_default_database()[bench.target.table].find({})
                return {document["_id"]: document["nick"] for document in found}
        return dict(bench.target.sql(f"select id, nick from {bench.target.table}"))

    summary = bench.run()
    assert (summary.mode, summary.conflicts) == ("full", 0)
    assert nicks() == {0: None, 1: None, 2: None, 3: "N", 4: None}
    bench.source.put(person(9, updated_at=now()))
    bench.source.sql("update people set nick = 'M' where id = 9")
    assert bench.run().mode == "delta"
    assert nicks()[9] == "M"
    bench.source.sql("alter table people add column more varchar(40)")
    bench.run()
    assert nicks()[3] == "N"


ROUNDED = {
    "postgres": "alter table people_copy alter column amount type numeric(14,0)",
    "mariadb": "alter table people_copy modify column amount decimal(14,0)",
}
WHOLE = {kind: sql.replace("(14,0)", "(14,2)") for kind, sql in ROUNDED.items()}


@pytest.mark.parametrize("ledger", ["", "conflicts: merge\n"], ids=["plain", "ledger"])
@pytest.mark.parametrize("target", ["postgres", "mariadb"])
def test_f22_a_target_column_narrowed_in_mid_run_stops_before_the_next_write(
    target: str, ledger: str, make: Make
) -> None:
    """Its cents would be rounded away without a word: nothing more is written. Once it is as it
    was, the next run goes on.
    """
    bench = make("sqlite", target, count=50, rest=ledger)
    narrow = after(2, lambda: bench.target.sql(ROUNDED[target]))
    with pytest.raises(GuardStopped) as stopped:
        bench.run(batch_size=10, on_progress=narrow)
    assert stopped.value.reason == "schema"
    assert "target column amount was narrowed" in str(stopped.value)
    assert sorted(bench.target.rows()) == list(range(20))
    bench.target.sql(WHOLE[target])
    done = bench.run(batch_size=10)
    assert (done.mode, done.inserted) == ("full", 30)
    rows, truth = bench.target.rows(), bench.source.rows()
    assert {key: rows[key] for key in range(20, 50)} == {key: truth[key] for key in range(20, 50)}


@pytest.mark.parametrize("how", ["drop column city", "rename column city to town"])
@pytest.mark.parametrize("target", ["postgres", "mariadb", "sqlite"])
def test_f22_a_target_column_dropped_or_renamed_in_mid_run_stops_before_the_next_write(
    target: str, how: str, make: Make
) -> None:
    """It is an error at once, tried no second time."""
    bench = make("sqlite", target, count=50)
    lose = after(2, lambda: bench.target.sql(f"alter table people_copy {how}"))
    with pytest.raises((GuardStopped, InputError), match="city"):
        bench.run(batch_size=10, on_progress=lose)
    assert bench.target.sql("select count(*) from people_copy")[0][0] == 20


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_f22_a_source_column_narrowed_while_the_connection_was_lost_stops(
    kind: str, make: Make
) -> None:
    """A read keeps its table from being altered; once the connection broke nobody does, so the
    columns are looked at again before reading goes on.
    """
    bench = make("xmin" if kind == "postgres" else kind, "sqlite")
    wide = "w" * 60_000  # more than waits in buffers
    bench.source.put(*(person(key, city=wide) for key in range(600)))
    narrow = NARROW[kind].format(table="people")

    def cut() -> None:
        terminate(bench.source)
        bench.source.sql(narrow)

    with pytest.raises(GuardStopped, match="source column name was narrowed"):
        bench.run(batch_size=10, on_progress=after(2, cut))
    assert len(bench.target.rows()) < 600


def test_plan_and_status_tell_what_drifted(make: Make) -> None:
    """Each change in words, and that the run would stop for it."""
    bench = make("xmin", "postgres", count=3)
    bench.run()
    assert status(bench.project, "people").drift == []
    bench.source.sql("alter table people add column nick text")
    bench.target.sql(NARROW["postgres"].format(table="people_copy"))
    told = ["source column nick (text) is new", "target column name was narrowed: text is now "]
    for report in (plan(bench.project, "people"), status(bench.project, "people")):
        assert [line[: len(told[1])] for line in report.drift] == told
    assert plan(bench.project, "people").stopped.startswith("schema: ")


def test_a_target_column_that_may_be_null_no_more_stops(make: Make) -> None:
    """Nullability is remembered too; what loosens does not stop."""
    bench = make("xmin", "postgres", count=5)
    bench.run()
    bench.target.sql("alter table people_copy alter column name set not null")
    with pytest.raises(GuardStopped, match="column name may be NULL no more"):
        bench.run()
    bench.run(allow=frozenset({"schema"}))
    bench.target.sql("alter table people_copy alter column name drop not null")
    bench.source.sql("alter table people alter column name set not null")
    with capture_logs() as said:
        bench.run()
    assert any("target column name may be NULL now" in str(line) for line in said)
