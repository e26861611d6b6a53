"""Writing to MariaDB and MySQL: what moved, what is refused, and the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
import pymysql
import pytest

from syncline.endpoints.base import TargetSpec
from syncline.endpoints.mysql import MysqlEndpoint
from syncline.errors import InputError, Transient, Unreachable
from syncline.record import Type
from tests.endpoints.mariadb_bench import (
    LOOKALIKES,
    Raw,
    info_of,
    insert,
    table_of,
    target_spec,
    user_with,
)


@pytest.fixture
def raw(mariadb_url: str) -> Iterator[Raw]:
    session = Raw(mariadb_url)
    with closing(session):
        yield session


@pytest.fixture
def endpoint(mariadb_url: str) -> Iterator[MysqlEndpoint]:
    made = MysqlEndpoint(mariadb_url)
    yield made
    made.close()


# --- what moved -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 300])
def test_f47_a_record_edited_between_fetch_and_write_is_not_overwritten(
    endpoint: MysqlEndpoint, raw: Raw, count: int
) -> None:
    """An edit, a deletion and a change of case only, committed since the fetch, are all seen.

    Then fetched anew.
    """
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": Type("text"), "n": Type("integer")})
    spec = target_spec(info_of(endpoint), "id")
    insert(endpoint, spec, [{"id": i, "v": "old", "n": i} for i in range(count)])
    with endpoint.begin(spec) as tx:
        new = table_of(spec, [{"id": i, "v": "new", "n": -i} for i in range(count)])
        seen = tx.fetch(new.select(["id"]))
        raw.run("UPDATE t SET v = 'OLD' WHERE id = 0")
        raw.run("DELETE FROM t WHERE id = 1")
        changed = {"v": np.ones(count, np.bool_), "n": np.arange(count) % 2 == 0}
        written = tx.update(new, changed, seen)
        assert np.flatnonzero(~written.landed).tolist() == [0, 1]
        assert tx.fetch(new.select(["id"])).rows.column("v").to_pylist()[:2] == ["OLD", "new"]
        again = tx.fetch(new.select(["id"]).slice(0, 1))
        raw_delete = tx.delete(new.select(["id"]).slice(0, 1), seen_first(seen))
        assert not raw_delete.landed.any()
        assert tx.delete(new.select(["id"]).slice(0, 1), again).landed.all()
        tx.commit()
    assert raw.run("SELECT COUNT(*), SUM(n < 0), SUM(n > 0) FROM t WHERE v = 'new'") == (
        (count - 2, (count - 1) // 2, (count - 2) // 2),
    )


def seen_first(seen: Any) -> Any:
    return type(seen)(seen.rows.slice(0, 1), ())


def test_rows_that_are_only_fetched_are_not_locked(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """Others write what a transaction has only looked at, and wait only for what it writes."""
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": Type("text")})
    spec = target_spec(info_of(endpoint), "id")
    insert(endpoint, spec, [{"id": i, "v": "old"} for i in range(3)])
    raw.run("SET SESSION innodb_lock_wait_timeout = 1")
    with endpoint.begin(spec) as tx:
        keys = table_of(spec, [{"id": i} for i in range(3)]).select(["id"])
        seen = tx.fetch(keys)
        raw.run("UPDATE t SET v = 'theirs' WHERE id = 0")
        new = table_of(spec, [{"id": i, "v": "ours"} for i in range(3)])
        written = tx.update(
            new.slice(2), {"v": np.ones(1, np.bool_)}, type(seen)(seen.rows.slice(2), ())
        )
        assert written.landed.all()
        raw.run("UPDATE t SET v = 'theirs' WHERE id = 1")
        with pytest.raises(pymysql.err.OperationalError, match="Lock wait timeout"):
            raw.run("UPDATE t SET v = 'theirs' WHERE id = 2")


def test_f18_a_deadlock_is_a_transient(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """The victim of a deadlock is told to begin its transaction again."""
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": Type("text")})
    spec = target_spec(info_of(endpoint), "id")
    insert(endpoint, spec, [{"id": i, "v": "old"} for i in range(100)])
    raw.run("START TRANSACTION")
    raw.run("UPDATE t SET v = 'theirs' WHERE id >= 10")  # the heavier transaction is not the victim
    one = np.ones(1, np.bool_)
    with pytest.raises(Transient), endpoint.begin(spec) as tx:  # noqa: PT012 - the second update
        first = table_of(spec, [{"id": 1, "v": "ours"}])
        assert tx.update(first, {"v": one}, tx.fetch(first.select(["id"]))).landed.all()
        waiting = threading.Thread(target=lambda: raw.run("UPDATE t SET v = 'theirs' WHERE id = 1"))
        waiting.start()
        time.sleep(0.5)
        second = table_of(spec, [{"id": 20, "v": "ours"}])
        tx.update(second, {"v": one}, tx.fetch(second.select(["id"])))
    waiting.join(100)
    raw.run("COMMIT")
    assert raw.run("SELECT COUNT(*) FROM t WHERE v = 'theirs'") == ((91,),)


def test_f15_a_killed_session_is_unreachable_and_the_pool_recovers(
    endpoint: MysqlEndpoint, raw: Raw
) -> None:
    """A connection that is cut raises Unreachable.

    Nothing of its transaction stays; the next one works.
    """
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": Type("text")})
    spec = target_spec(info_of(endpoint), "id")
    with pytest.raises(Unreachable), endpoint.begin(spec) as tx:  # noqa: PT012 - the second insert
        tx.insert(table_of(spec, [{"id": 1}]))
        kill_others(raw)
        tx.insert(table_of(spec, [{"id": 2}]))
    with endpoint.begin(spec) as tx:
        assert tx.is_empty()


def kill_others(raw: Raw) -> None:
    for (session,) in raw.run(
        "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <>"
        " CONNECTION_ID()"
    ):
        raw.run(f"KILL {int(session)}")


# --- refused records ------------------------------------------------------------------------------


def test_f25_one_poison_row_does_not_keep_the_others_out(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """Of a thousand records the bad ones are named, with what kind of refusal it was.

    The others land.
    """
    raw.run("CREATE TABLE p (id INT PRIMARY KEY)")
    raw.run(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(5), u INT UNIQUE, c INT CHECK (c > 0),"
        " p INT, FOREIGN KEY (p) REFERENCES p (id))"
    )
    spec = TargetSpec(
        "m",
        "t",
        {"id": Type("bigint")},
        {n: Type("bigint") for n in ("u", "c", "p")} | {"v": Type("text")},
    )
    bad = {100: {"id": 2**40}, 200: {"u": 1}, 300: {"c": -1}, 400: {"p": 9}, 500: {"v": "longer"}}
    rows = [{"id": i, "u": i, **bad.get(i, {})} for i in range(1000)]
    written = insert(endpoint, spec, rows)
    kinds = {r.row: r.kind for r in written.refused}
    assert kinds == {
        100: "value",
        200: "constraint",
        300: "constraint",
        400: "constraint",
        500: "value",
    }
    assert written.landed.sum() == 995
    assert raw.run("SELECT COUNT(*) FROM t") == ((995,),)


def test_refused_updates_and_deletes_are_found_among_the_others(
    endpoint: MysqlEndpoint, raw: Raw
) -> None:
    """Through the temporary table as well.

    A bad value, a taken unique value, a parent that is needed.
    """
    raw.run("CREATE TABLE t (id INT PRIMARY KEY, u INT UNIQUE, v VARCHAR(5))")
    raw.run("CREATE TABLE child (id INT REFERENCES t (id))")
    spec = TargetSpec("m", "t", {"id": Type("bigint")}, {"u": Type("bigint"), "v": Type("text")})
    insert(endpoint, spec, [{"id": i, "u": i, "v": "old"} for i in range(100)])
    raw.run("INSERT INTO child VALUES (7)")
    rows = [{"id": i, "u": 50 if i == 30 else i + 1000, "v": "new"} for i in range(100)]
    rows[40]["u"] = 2**40
    with endpoint.begin(spec) as tx:
        new = table_of(spec, rows)
        mask = {"u": np.arange(100) < 45, "v": np.arange(100) != 60}
        written = tx.update(new, mask, tx.fetch(new.select(["id"])))
        assert {r.row: r.kind for r in written.refused} == {30: "constraint", 40: "value"}
        assert written.landed.sum() == 98
        keys = new.select(["id"])
        gone = tx.delete(keys, tx.fetch(keys))
        assert {r.row: r.kind for r in gone.refused} == {7: "constraint"}
        tx.commit()
    assert raw.run("SELECT id, u, v FROM t") == ((7, 1007, "new"),)


def test_updates_need_no_right_to_temporary_tables(
    endpoint: MysqlEndpoint, raw: Raw, mariadb_url: str
) -> None:
    """A role that may not make temporary tables writes row by row instead."""
    endpoint.create_table("t", {"id": Type("bigint")}, {"v": Type("text")})
    spec = target_spec(info_of(endpoint), "id")
    insert(endpoint, spec, [{"id": i, "v": "old"} for i in range(40)])
    limited = MysqlEndpoint(user_with(raw, mariadb_url, "SELECT, INSERT, UPDATE, DELETE"))
    with limited.begin(spec) as tx:
        new = table_of(spec, [{"id": i, "v": "new"} for i in range(40)])
        assert tx.update(
            new, {"v": np.ones(40, np.bool_)}, tx.fetch(new.select(["id"]))
        ).landed.all()
        tx.commit()
    limited.close()
    assert raw.run("SELECT COUNT(*) FROM t WHERE v = 'new'") == ((40,),)


def test_a_row_larger_than_the_server_takes_is_refused(mariadb_url: str, raw: Raw) -> None:
    """Over max_allowed_packet the server would cut the connection: the record is named before."""
    packet = raw.run("SELECT @@global.max_allowed_packet")[0][0]
    raw.run("SET GLOBAL max_allowed_packet = 1048576")
    try:
        small = MysqlEndpoint(mariadb_url)
        small.create_table("t", {"id": Type("bigint")}, {"v": Type("text")})
        spec = target_spec(info_of(small), "id")
        rows = [{"id": 1, "v": "x" * 900_000}, {"id": 2, "v": "'" * 900_000}, {"id": 3, "v": "ok"}]
        written = insert(small, spec, rows)
        small.close()
    finally:
        raw.run(f"SET GLOBAL max_allowed_packet = {packet}")
    assert [(r.row, r.kind) for r in written.refused] == [(1, "value")]
    assert raw.run("SELECT id, LENGTH(v) FROM t ORDER BY id") == ((1, 900_000), (3, 2))


def test_a_table_without_transactions_is_no_target(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """MyISAM would keep what a rolled back transaction wrote."""
    raw.run("CREATE TABLE t (id INT PRIMARY KEY) ENGINE=MyISAM")
    with (
        pytest.raises(InputError, match="MyISAM"),
        endpoint.begin(target_spec(info_of(endpoint), "id")),
    ):
        pass


# --- ledger ---------------------------------------------------------------------------------------


def test_ledger_keys_are_bytes(endpoint: MysqlEndpoint) -> None:
    """Lookalike keys have ledger rows of their own, and one too long for an index is refused."""
    endpoint.create_table("t", {"id": Type("bigint")}, {})
    spec = TargetSpec("Customers-ä", "t", {"id": Type("bigint")}, {}, ledger=True)
    endpoint.prepare(spec)
    with endpoint.begin(spec) as tx:
        tx.ledger_put(ledger_rows(LOOKALIKES), fresh=True)
        tx.ledger_put(ledger_rows([*LOOKALIKES, "ä" * 350]), fresh=True)
        found = tx.ledger_fetch(pa.array(["a ", "nope", "A"]))
        assert dict(zip(found["k"].to_pylist(), found["__row"].to_pylist(), strict=True)) == {
            "a ": 0,
            "A": 2,
        }
        with pytest.raises(InputError, match="701 bytes"):
            tx.ledger_put(ledger_rows(["x" * 701]), fresh=True)
        tx.commit()
    assert endpoint.tables() == ["t"]
    endpoint.drop_ledger(spec)
    with endpoint.begin(spec, write=False) as tx:
        assert tx.ledger_is_empty()
        assert tx.state() is None


def ledger_rows(keys: Sequence[str]) -> pa.Table:
    some = len(keys)
    return pa.table({
        "k": pa.array(keys), "s": pa.array([b"\0" * 8] * some),
        "t": pa.array([None] * some, pa.binary()),
        "held": pa.array([None] * some, pa.binary()), "gone": pa.array([0] * some, pa.int16()),
        "hold": pa.array([0] * some, pa.int16()), "layout": pa.array([0] * some, pa.int32()),
        "epoch": pa.array([1] * some, pa.int64()),
    })  # fmt: skip


def test_f20_the_state_row_is_locked_to_commit(endpoint: MysqlEndpoint) -> None:
    """A second transaction waits for the lease's row, then finds the epoch moved."""
    endpoint.create_table("t", {"id": Type("bigint")}, {})
    spec = TargetSpec("m", "t", {"id": Type("bigint")}, {})
    endpoint.prepare(spec)
    put = {"holder": "h", "lease_seconds": 3000.0, "document": "{}"}
    with endpoint.begin(spec) as tx:
        assert tx.put_state(epoch=1, expected_epoch=None, **put)
        tx.commit()
    seen: list[object] = []

    def second() -> None:
        with endpoint.begin(spec) as later:
            state = later.state()
            assert state is not None
            seen.append(state.epoch)
            seen.append(later.put_state(epoch=2, expected_epoch=1, **put))

    with endpoint.begin(spec) as tx:
        state = tx.state()
        assert state is not None
        assert state.lease_until is not None
        assert 2900 < (state.lease_until - state.now).total_seconds() <= 3000
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.3)
        assert seen == []
        assert tx.put_state(epoch=2, expected_epoch=1, **put)
        tx.commit()
    waiting.join(100)
    assert seen == [2, False]
