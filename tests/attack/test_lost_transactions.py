"""Transactions that are lost to another's: by a deadlock, and by a serialization failure."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.attack.conftest import Hands, Make, in_step
from tests.attack.writers import NUMBERS
from tests.integration.project_bench import Side, now, person

pytestmark = (
    pytest.mark.slow
)  # seconds of waiting for locks and of writing beside others: `make test-all` runs it

SERVERS = ["postgres", "mariadb"]


@pytest.mark.parametrize("kind", SERVERS)
def test_f18_the_victim_of_a_deadlock_is_tried_again_whole(
    kind: str, make: Make, hands: Hands
) -> None:
    """Another application and a run lock the same records in opposite order; the run is the one
    that the server picks, and it still writes everything, once.
    """
    bench = make("sqlite", kind, count=30, rest="conflicts: {strategy: merge}\n")
    bench.run()
    if kind == "postgres":
        # Who looks for a deadlock first is its victim: the run looks after 10 s, the other after a
        # minute more. It looks once: by then the other must wait as well.
        bench.target.sql(
            "do $$ begin execute format('alter database %I set deadlock_timeout = 10000',"
            " current_database()); end $$"
        )
    other = hands(bench.target)
    if kind == "postgres":
        other.run("SET deadlock_timeout = 70000")
    else:
        # InnoDB picks whoever wrote less.
        other.run("CREATE TABLE heavy (id int)")
    other.begin()
    if kind == "mariadb":
        other.run("INSERT INTO heavy SELECT seq FROM seq_1_to_5000")
    other.run("UPDATE people_copy SET city = 'Oslo' WHERE id = 20")
    for key in range(10, 25):
        bench.source.edit(key, name=f"Edited {key}", updated_at=now())
    result: list[Any] = []
    running = threading.Thread(target=lambda: result.append(bench.run()), daemon=True)
    running.start()
    _until_waiting(bench.target)
    other.run("UPDATE people_copy SET city = 'Oslo' WHERE id = 10")
    other.run("COMMIT")
    running.join(100)
    assert [each.updated for each in result] == [15]
    rows = bench.target.rows()
    assert {rows[key]["name"] for key in range(10, 25)} == {
        f"Edited {key}" for key in range(10, 25)
    }
    assert {rows[10]["city"], rows[20]["city"]} == {"Oslo"}


def _until_waiting(side: Side) -> None:
    """Wait until the run waits for a lock."""
    question = {
        "postgres": "select count(*) from pg_locks l join pg_database d on d.oid = l.database"
        " where not granted or (l.locktype = 'tuple') and d.datname = current_database()",
        "mariadb": "select count(*) from information_schema.innodb_trx"
        " where trx_state = 'LOCK WAIT'",
    }[side.kind]
    until = time.monotonic() + 100
    while not side.sql(question)[0][0]:
        assert time.monotonic() < until, "the run never waited"
        time.sleep(0.15)


LOSING = {
    "postgres": [
        "create sequence losses",
        (
            "create function lose() returns trigger language plpgsql as $$ begin"
            " if nextval('losses') <= 3 then"
            " raise exception 'could not serialize access' using errcode = '40001';"
            " end if; return new; end $$"
        ),
        (
            "create constraint trigger loses after update on {table} {deferred}"
            " for each row execute function lose()"
        ),
    ],
    "mariadb": [
        "create sequence losses",
        (
            "create trigger loses before update on {table} for each row"
            " if nextval(losses) <= 3 then"
            " signal sqlstate '40001' set mysql_errno = {code}, message_text = 'lost to another';"
            " end if"
        ),
    ],
}
"""What takes no rollback back is a sequence's count: three transactions are lost, no more."""
LOSSES = [
    ("postgres", "people_copy", "", 0),
    ("postgres", "people_copy", "deferrable initially deferred", 0),
    ("postgres", "syncline_state", "deferrable initially deferred", 0),
    ("mariadb", "people_copy", "", 1020),
    ("mariadb", "people_copy", "", 1213),
    ("mariadb", "syncline_state", "", 1205),
]


@pytest.mark.parametrize(
    "rest", ["conflicts: {detect: none}\n", "conflicts: manual\n"], ids=["plain", "ledger"]
)
@pytest.mark.parametrize(("kind", "table", "deferred", "code"), LOSSES)
def test_f18_a_transaction_that_can_not_be_serialized_is_tried_again_whole(
    kind: str, table: str, deferred: str, code: int, rest: str, make: Make
) -> None:
    """The server itself says so (SQLSTATE 40001; 1020, 1205 and 1213 of MariaDB), at a record, just
    before the COMMIT, or at the state: what was written is written again, and counted once.
    """
    bench = make("sqlite", kind, count=30, rest=rest)
    bench.run()
    for key in range(10, 25):
        bench.source.edit(key, name=f"Edited {key}", updated_at=now())
    bench.source.put(person(100, updated_at=now()))
    for statement in LOSING[kind]:
        bench.target.sql(statement.format(table=table, deferred=deferred, code=code))
    done = bench.run()
    ((losses,),) = bench.target.sql(
        "select last_value from losses" if kind == "postgres" else "select nextval(losses)"
    )
    assert losses > 3, "nothing was lost"
    assert (done.mode, done.updated, done.inserted, done.conflicts) == ("delta", 15, 1, 0)
    assert in_step(bench)
    again = bench.run(mode="full")
    assert (again.inserted, again.updated, again.conflicts) == (0, 0, 0)


AT_COMMIT = [
    "create sequence losses",
    (
        "create function lose() returns trigger language plpgsql as $$ begin"
        " if nextval('losses') <= 3 then raise exception 'could not serialize access during %',"
        " current_query() using errcode = '40001'; end if; return new; end $$"
    ),
    (
        "create function defer() returns trigger language plpgsql as"
        " $$ begin set constraints loses deferred; return null; end $$"
    ),
    (
        "create constraint trigger loses after update on {table} deferrable"
        " for each row execute function lose()"
    ),
    "create trigger defers before update on {table} for each statement execute function defer()",
]
"""A run has its constraints asked at once; who defers one again behind its back has it asked last.
"""


@pytest.mark.parametrize(
    "rest", ["conflicts: {detect: none}\n", "conflicts: manual\n"], ids=["plain", "ledger"]
)
@pytest.mark.parametrize("table", ["people_copy", "syncline_state"])
def test_f18_a_commit_that_can_not_be_serialized_is_tried_again_whole(
    table: str, rest: str, make: Make
) -> None:
    """The server refuses the COMMIT itself: that is no lost answer, nothing of it landed, and all
    of it is written again, once.
    """
    bench = make("sqlite", "postgres", count=30, rest=rest)
    bench.run()
    for key in range(10, 25):
        bench.source.edit(key, name=f"Edited {key}", updated_at=now())
    bench.source.put(person(100, updated_at=now()))
    for statement in AT_COMMIT:
        bench.target.sql(statement.format(table=table))
    with capture_logs() as said:
        done = bench.run()
    reasons = [line["reason"] for line in said if line["event"] == "lost; trying again"]
    assert any("during COMMIT" in reason for reason in reasons)
    assert (done.mode, done.updated, done.inserted, done.conflicts) == ("delta", 15, 1, 0)
    assert in_step(bench)
    again = bench.run(mode="full")
    assert (again.inserted, again.updated, again.conflicts) == (0, 0, 0)


@pytest.fixture
def serializable() -> Iterator[Callable[[Side], None]]:
    """Makes transactions of a database serializable where they don't say otherwise, or on MariaDB
    refuse what is not of their snapshot.
    """
    undo: list[Callable[[], object]] = []

    def make_it(side: Side) -> None:
        if side.kind == "postgres":
            side.sql(
                "do $$ begin execute format('alter database %I set default_transaction_isolation ="
                " serializable', current_database()); end $$"
            )
            return
        found = side.sql("show global variables like 'innodb_snapshot_isolation'")
        if not found:
            pytest.skip("this server has no innodb_snapshot_isolation")
        side.sql("set global innodb_snapshot_isolation = on")
        undo.append(lambda: side.sql(f"set global innodb_snapshot_isolation = {found[0][1]}"))

    yield make_it
    for each in undo:
        each()


@pytest.mark.parametrize("kind", SERVERS)
def test_f18_writers_that_serialize_do_not_keep_a_run_from_ending_exact(
    kind: str, make: Make, hands: Hands, serializable: Callable[[Side], None]
) -> None:
    """A target whose every transaction is serializable, and applications that write the records
    that a run writes, in transactions that contest each other: nothing of either is lost.
    """
    bench = make("sqlite", kind, count=60, rest="conflicts: {strategy: merge}\n")
    serializable(bench.target)
    bench.run()
    stop, wrote = threading.Event(), dict[int, str]()

    def write(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - which records is no secret
        other = hands(bench.target)
        while not stop.is_set():
            key, told = chance.randrange(30) * 2 + number, f"City {next(NUMBERS)}"
            try:
                other.begin()
                other.run("SELECT sum(amount) FROM people_copy WHERE id < 60")
                other.run("UPDATE people_copy SET city = %s WHERE id = %s", told, key)
                other.run("COMMIT")
                wrote[key] = told
            except Exception:  # noqa: BLE001 - what the server refuses an application is its own
                other.run("ROLLBACK")

    writers = [threading.Thread(target=write, args=(number,), daemon=True) for number in range(2)]
    for writer in writers:
        writer.start()
    try:
        for turn in range(4):
            for key in range(0, 60, 2):
                bench.source.edit(key, name=f"Turn {turn} of {key}", updated_at=now())
            assert bench.run(batch_size=10).mode == "delta"
    finally:
        stop.set()
        for writer in writers:
            writer.join(100)
    bench.run()
    rows, truth = bench.target.rows(), bench.source.rows()
    assert {key: row["name"] for key, row in rows.items()} == {
        key: row["name"] for key, row in truth.items()
    }
    assert wrote
    assert {key: rows[key]["city"] for key in wrote} == wrote
