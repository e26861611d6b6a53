"""Schema drift: columns that change between two runs, and what the mapping says of that."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import MongoClient
from structlog.testing import capture_logs

from syncline.errors import GuardStopped, MappingErrors
from tests.attack.conftest import Make, in_step
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
