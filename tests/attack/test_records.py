"""Records that a target can't take as they are: parked, written together, or dead letters."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from syncline.errors import SynclineError
from syncline.store.store import Store
from syncline.verify import verify
from tests.attack.conftest import Make, in_step
from tests.integration.project_bench import FIELDS, ProjectBench, now, person

LEDGER = "conflicts: manual\n"
SQL = [("xmin", "postgres"), ("mariadb", "mariadb"), ("sqlite", "sqlite")]


def letters(bench: ProjectBench) -> list[Any]:
    with Store.open(bench.project.store_url) as store:
        return list(store.dead_letters("people"))


# --- two records, one target key ---


@pytest.mark.parametrize("rest", ["", LEDGER], ids=["plain", "ledger"])
@pytest.mark.parametrize("size", [1, 100], ids=["two batches", "one batch"])
def test_f59_two_source_records_of_one_target_key(size: int, rest: str, make: Make) -> None:
    """A text key becomes a number: `1` lands, and `01`, which is the same number, never does,
    whether it comes in the same batch, in another, or in a later run.
    """
    bench = make("sqlite", "postgres", rest=rest)
    bench.source.sql("drop table people")
    bench.source.sql("create table people (id text primary key, name text, updated_at timestamptz)")
    bench.target.sql("create table people_copy (id bigint primary key, name text)")
    put = "insert into people values (:id, :name, '2024-01-01 00:00:00+00:00')"
    for key, name in (("1", "the first"), ("01", "the second"), ("2", "another")):
        bench.source.sql(put, id=key, name=name)
    bench.write(fields="  name: name\n", rest="delta: {cursor: updated_at}\n" + rest)
    done = bench.run(batch_size=size)
    assert (done.inserted, done.dead_letters) == (2, 1)
    bench.source.sql(put, id="+1", name="the third")
    bench.source.sql(put, id=" 1", name="the fourth")
    bench.run()
    found = bench.target.sql("select id, name from people_copy order by id")
    assert [tuple(row) for row in found] == [(1, "the first"), (2, "another")]
    assert {letter.source["id"] for letter in letters(bench)} == {"01", "+1", " 1"}
    assert all("another key could be the same record" in each.error for each in letters(bench))


ODD_KEYS = pytest.mark.parametrize(("kind", "odd"), [("numeric", 1), ("double precision", 3)])


def with_odd_keys(bench: ProjectBench, kind: str, odd: int, rest: str) -> list[str]:
    """The source's keys are of that type, and so many of them no finite numbers."""
    bench.source.sql("drop table people")
    bench.source.sql(f"create table people (id {kind} primary key, name text)")
    keys = ["1", "2.5", *["NaN", "Infinity", "-Infinity"][:odd]]
    for key in keys:
        bench.source.sql(f"insert into people values ('{key}', 'key {key}')")
    bench.write(fields="  name: name\n", rest="deletes: {mode: mirror, guard: 90%}\n" + rest)
    return keys


@pytest.mark.slow
@pytest.mark.parametrize("rest", ["", LEDGER], ids=["plain", "ledger"])
@ODD_KEYS
def test_f25_a_key_that_no_statement_of_the_target_can_say_is_a_dead_letter(
    kind: str, odd: int, rest: str, make: Make
) -> None:
    """NaN and the infinities are keys on PostgreSQL, and no numbers on MariaDB: the others land,
    and one that goes again leaves nothing behind.
    """
    bench = make("xmin", "mariadb", rest=rest)
    with_odd_keys(bench, kind, odd, rest)
    done = bench.run()
    assert (done.inserted, done.dead_letters) == (2, odd)
    assert all("NaN or infinite" in each.error for each in letters(bench))
    bench.source.sql("update people set name = 'edited'")
    assert bench.run().updated == 2
    bench.source.sql("delete from people where id in (1, 'NaN')")
    assert bench.run().deleted == 1
    assert [row[0] for row in bench.target.sql("select name from people_copy")] == ["edited"]


@pytest.mark.parametrize("rest", ["", LEDGER], ids=["plain", "ledger"])
@pytest.mark.parametrize("target", ["sqlite", "postgres"])
def test_f25_records_whose_keys_can_not_be_read_are_each_a_dead_letter(
    target: str, rest: str, make: Make
) -> None:
    """Infinite and ancient dates are keys on PostgreSQL and no dates here: of a batch with several,
    none is passed over, and each says what its key was.
    """
    bench = make("xmin", target, rest=rest)
    bench.source.sql("drop table people")
    bench.source.sql("create table people (id date primary key, name text)")
    odd = ["infinity", "-infinity", "0044-03-15 BC"]
    for key in ["2024-01-01", *odd, "9999-12-31"]:
        bench.source.sql(f"insert into people values ('{key}', 'the same name')")
    bench.write(fields="  name: name\n", rest=rest)
    done = bench.run()
    assert (done.inserted, done.dead_letters) == (2, 3)
    found = letters(bench)
    assert {each.source["id"] for each in found} == set(odd)
    assert all(each.source["id"] in each.error for each in found)
    assert bench.run(mode="full").dead_letters == 3
    assert len(letters(bench)) == 3
    found = verify(bench.project, "people")
    assert (found.equal, found.dead_letters, found.missing, found.different) == (2, 3, 0, 0)


# --- constraints of the target ---


@pytest.mark.parametrize("rest", ["", LEDGER], ids=["plain", "ledger"])
@pytest.mark.parametrize(("watermark", "target"), SQL)
def test_f57_two_records_swap_a_unique_value(
    watermark: str, target: str, rest: str, make: Make
) -> None:
    """Each is refused for as long as the other still has the value: both land all the same."""
    bench = make(watermark, target, count=6, rest=rest)
    kind = "varchar(100)" if target == "mariadb" else "text"
    bench.run()
    if target != "sqlite":
        bench.target.sql(
            f"alter table people_copy alter column name type {kind}"
            if target == "postgres"
            else f"alter table people_copy modify column name {kind}"
        )
    bench.target.sql("create unique index only_one on people_copy (name)")
    bench.run(allow=frozenset({"schema"}))
    bench.source.edit(2, name="Waiting", updated_at=now())
    bench.source.edit(3, name="Person 2", updated_at=now())
    bench.source.edit(2, name="Person 3", updated_at=now())
    bench.run()
    bench.run()
    assert in_step(bench)
    with Store.open(bench.project.store_url) as store:
        assert not store.conflicts(mapping="people")


@pytest.mark.parametrize(("watermark", "target"), SQL)
def test_f57_a_child_arrives_before_its_parent(watermark: str, target: str, make: Make) -> None:
    """The child is refused by its foreign key, parked, and lands once its parent is there."""
    bench = make(watermark, target, count=3, rest=LEDGER)
    bench.run()
    bench.target.sql("create table cities (name varchar(50) primary key)")
    bench.target.sql("insert into cities values ('Rome')")
    _refer(bench, target)
    bench.source.edit(1, city="Oslo", updated_at=now())
    bench.source.edit(2, name="Unhindered", updated_at=now())
    first = bench.run(allow=frozenset({"schema"}))
    assert first.status == "waiting"
    rows = bench.target.rows()
    assert (rows[1]["city"], rows[2]["name"]) == ("Rome", "Unhindered")
    bench.target.sql("insert into cities values ('Oslo')")
    assert bench.run().status == "ok"
    assert in_step(bench)


def _refer(bench: ProjectBench, target: str) -> None:
    """Have the copies' `city` refer to `cities`."""
    if target == "sqlite":
        with sqlite3.connect(bench.target.url.removeprefix("sqlite:///")) as database:
            (made,) = database.execute(
                "select sql from sqlite_master where name = 'people_copy'"
            ).fetchone()
            database.execute("alter table people_copy rename to before")
            head, _, tail = made.rpartition(", PRIMARY KEY")
            key = f", PRIMARY KEY{tail}" if head else ""
            body = head or made.rstrip(")")
            database.execute(
                f"{body}{key[:-1] if key else ''}, foreign key (city) references cities (name))"
            )
            database.execute("insert into people_copy select * from before")
            database.execute("drop table before")
        return
    if target == "mariadb":
        bench.target.sql("alter table people_copy modify column city varchar(50)")
    bench.target.sql(
        "alter table people_copy add constraint lives_in "
        "foreign key (city) references cities (name)"
    )


def test_f57_a_constraint_that_is_deferred_is_asked_before_the_commit(make: Make) -> None:
    """One bad record does not cost its batch, though PostgreSQL would tell only at COMMIT."""
    bench = make("xmin", "postgres", count=3, rest=LEDGER)
    bench.run()
    bench.target.sql("create table cities (name text primary key)")
    bench.target.sql("insert into cities values ('Rome')")
    bench.target.sql(
        "alter table people_copy add constraint lives_in foreign key (city) "
        "references cities (name) deferrable initially deferred"
    )
    bench.source.edit(1, city="Oslo", updated_at=now())
    bench.source.edit(2, name="Unhindered", updated_at=now())
    assert bench.run().status == "waiting"
    assert bench.target.rows()[2]["name"] == "Unhindered"
    bench.target.sql("insert into cities values ('Oslo')")
    bench.run()
    assert in_step(bench)


# --- what no document can hold ---


@pytest.mark.parametrize(
    "value",
    ["'\"' || repeat('x', 17 * 1024 * 1024) || '\"'", "repeat('[', 101) || repeat(']', 101)"],
    ids=["over 16 MB", "101 levels deep"],
)
def test_f35_what_no_document_can_hold_is_a_dead_letter(value: str, make: Make) -> None:
    """The one record stays out and is told; the others land."""
    bench = make("xmin", "mongo", count=4, rest=LEDGER, fields=FIELDS + "  data: data\n")
    bench.source.sql("alter table people add column data jsonb")
    bench.source.sql(f"update people set data = ({value})::jsonb where id = 2")
    done = bench.run()
    assert (done.inserted, done.dead_letters) == (3, 1)
    assert set(bench.target.rows()) == {0, 1, 3}
    bench.source.sql("update people set data = '1' where id = 2")
    assert bench.run().inserted == 1
    assert letters(bench) == []


# --- a dead letter that can't be kept ---


def test_f26_a_dead_letter_that_can_not_be_stored_stops_the_run(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The control store's disk is full: nothing is skipped, and the checkpoint stays."""
    url = tmp_path / "store.db"
    monkeypatch.setenv("SYNCLINE_STORE_URL", f"sqlite:///{url}")
    fields = FIELDS.replace("  amount: amount\n", "  amount: cast(name as integer)\n")
    bench = make("sqlite", "sqlite", rest=LEDGER, fields=fields)
    bench.source.put(*(person(key, name=str(key)) for key in range(20)))
    bench.run()
    with sqlite3.connect(url) as store:
        (table,) = store.execute(
            "select name from sqlite_master where type = 'table' and name like '%dead%'"
        ).fetchone()
        store.execute(
            f"create trigger full before insert on {table} "
            "begin select raise(abort, 'database or disk is full'); end"
        )
    bench.source.put(person(30, name="no number", updated_at=now()))
    bench.source.put(person(31, name="31", updated_at=now()))
    with pytest.raises(SynclineError):
        bench.run()
    assert 31 not in bench.target.rows()
    with sqlite3.connect(url) as store:
        store.execute("drop trigger full")
    done = bench.run()
    assert (done.inserted, done.dead_letters) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("rest", ["", LEDGER], ids=["plain", "ledger"])
@ODD_KEYS
def test_f25_keys_that_are_no_finite_numbers_are_keys_of_documents(
    kind: str, odd: int, rest: str, make: Make
) -> None:
    """NaN and the infinities: written, edited and deleted as any other."""
    bench = make("xmin", "mongo", rest=rest)
    keys = with_odd_keys(bench, kind, odd, rest)
    assert bench.run().inserted == len(keys)
    bench.source.sql("update people set name = 'edited'")
    assert bench.run().updated == len(keys)
    bench.source.sql("delete from people where id in (1, 'NaN')")
    assert bench.run().deleted == 2
    assert [document["name"] for document in bench.target.documents.find()] == ["edited"] * (
        len(keys) - 2
    )
