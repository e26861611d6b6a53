"""Transactions that are lost to another's: by a deadlock, and by a serialization failure."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.attack.conftest import Hands, Make
from tests.integration.project_bench import Side, now

pytestmark = pytest.mark.slow  # seconds of waiting for locks: `make test-all` runs it

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
        # Who looks for a deadlock first is its victim: the run looks after 2 s, the other after 60.
        bench.target.sql(
            "do $$ begin execute format('alter database %I set deadlock_timeout = 2000',"
            " current_database()); end $$"
        )
    other = hands(bench.target)
    if kind == "postgres":
        other.run("SET deadlock_timeout = 60000")
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
    running.join(60)
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
    until = time.monotonic() + 30
    while not side.sql(question)[0][0]:
        assert time.monotonic() < until, "the run never waited"
        time.sleep(0.15)
