"""The watermark of MySQL and MariaDB.

No commit that was open at the horizon is missed by the next delta.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pymysql
import pytest

from syncline.endpoints.base import Holder, ReadSpec
from syncline.endpoints.mysql import MysqlEndpoint
from syncline.errors import (
    CheckpointVoid,
    CredentialsRefused,
    GuardStopped,
    InputError,
    Unreachable,
)
from syncline.record import Type
from syncline.testing.servers.server import credentials


def connected(url: str) -> pymysql.Connection[Any]:
    host, port, user, password = credentials(url)
    return pymysql.connect(
        host=host,
        port=port,
        user=user,
        password=password,
        database=urlsplit(url).path[1:],
        autocommit=True,
    )


def run(connection: pymysql.Connection[Any], sql: str, *params: object) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params or None)
        return tuple(cursor.fetchall())


@pytest.fixture
def raw(mariadb_url: str) -> Iterator[pymysql.Connection[Any]]:
    with closing(connected(mariadb_url)) as connection:
        run(
            connection,
            "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP(6) NULL, wall DATETIME(6), n INT,"
            " KEY (at))",
        )
        yield connection


@pytest.fixture
def endpoint(mariadb_url: str, raw: pymysql.Connection[Any]) -> Iterator[MysqlEndpoint]:
    assert raw
    made = MysqlEndpoint(mariadb_url)
    yield made
    made.close()


def spec_of(cursor: str = "at") -> ReadSpec:
    types = {
        "id": Type("bigint"),
        "at": Type("timestamptz"),
        "wall": Type("timestamp"),
        "n": Type("integer"),
    }
    return ReadSpec(
        "t", ("id",), {"id": types["id"], cursor: types[cursor]}, by="timestamp", cursor=cursor
    )


def read(endpoint: MysqlEndpoint, spec: ReadSpec, since: str | None = None) -> tuple[set[int], str]:
    with endpoint.read(spec, mode="delta" if since else "full", since=since) as opened:
        assert opened.guarantee.level == "bounded"
        return {
            i for b in opened.batches() for i in b.records.column("id").to_pylist()
        }, opened.horizon


def at_of(horizon: str) -> datetime:
    return datetime.fromisoformat(json.loads(horizon)["at"])


def test_f01_a_commit_long_after_its_timestamp_is_delivered(
    endpoint: MysqlEndpoint, raw: pymysql.Connection[Any], mariadb_url: str
) -> None:
    """The horizon stays before the oldest open transaction, however long it takes."""
    with closing(connected(mariadb_url)) as slow:
        run(slow, "START TRANSACTION")
        run(slow, "INSERT INTO t (id, at) VALUES (1, NOW(6))")
        time.sleep(2.2)
        run(raw, "INSERT INTO t (id, at) VALUES (2, NOW(6))")
        seen, horizon = read(endpoint, spec_of())
        assert seen == {2}
        run(slow, "COMMIT")
    seen, horizon = read(endpoint, spec_of(), horizon)
    assert seen == {1, 2}
    run(raw, "UPDATE t SET at = at - INTERVAL 1 HOUR, n = 1")
    assert (
        read(endpoint, spec_of(), horizon)[0] == set()
    )  # an update that moves the cursor back: bounded


def test_the_horizon_is_the_clock_less_a_margin_where_nothing_is_open(
    endpoint: MysqlEndpoint, raw: pymysql.Connection[Any]
) -> None:
    """Readers do not hold it back: a long report on the source can't write."""
    with closing(connected(endpoint.engine.url.render_as_string(hide_password=False))) as report:
        run(report, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        run(report, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        began = run(report, "SELECT UTC_TIMESTAMP(6)")[0][0]
        until = time.monotonic() + 60
        while True:
            _, horizon = read(endpoint, spec_of())
            after = run(raw, "SELECT UTC_TIMESTAMP(6)")[0][0]
            assert after - at_of(horizon) >= timedelta(seconds=1)
            if at_of(horizon) > began:
                break
            assert time.monotonic() < until
            time.sleep(0.2)


def test_null_cursors_have_a_pass_of_their_own_and_a_delta_is_inclusive(
    endpoint: MysqlEndpoint, raw: pymysql.Connection[Any]
) -> None:
    """A record stamped at the very horizon is delivered; those never stamped always are."""
    _, horizon = read(endpoint, spec_of())
    at = json.loads(horizon)["at"]
    run(raw, "SET time_zone = '+00:00'")
    run(
        raw,
        "INSERT INTO t (id, at) VALUES (1, %s), (2, %s - INTERVAL 1 MICROSECOND), (3, NULL)",
        at,
        at,
    )
    assert read(endpoint, spec_of(), horizon)[0] == {1, 3}


def test_nothing_is_lost_under_concurrent_writers(
    endpoint: MysqlEndpoint, raw: pymysql.Connection[Any], mariadb_url: str
) -> None:
    """Six writers commit late while deltas go on.

    In the end every row's last version was delivered.
    """
    run(raw, "INSERT INTO t (id, at, n) SELECT seq, NOW(6), 0 FROM seq_1_to_60")
    types = {"id": Type("bigint"), "at": Type("timestamptz"), "n": Type("integer")}
    spec = ReadSpec("t", ("id",), types, by="timestamp", cursor="at")
    until = time.monotonic() + 5

    def write(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - when to commit is no secret
        with closing(connected(mariadb_url)) as own:
            while time.monotonic() < until:
                run(own, "START TRANSACTION")
                run(
                    own,
                    "UPDATE t SET n = n + 1, at = NOW(6) WHERE id = %s",
                    chance.randint(seed * 10 + 1, seed * 10 + 10),
                )
                time.sleep(chance.random() * 1.8)
                run(own, chance.choice(["COMMIT", "COMMIT", "ROLLBACK"]))

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(6)]
    for writer in writers:
        writer.start()
    copy: dict[int, int] = {}
    horizon: str | None = None
    while any(writer.is_alive() for writer in writers) or horizon is None:
        horizon = deliver(endpoint, spec, horizon, copy)
        time.sleep(0.2)
    deliver(endpoint, spec, horizon, copy)
    assert copy == dict(run(raw, "SELECT id, n FROM t"))


def deliver(
    endpoint: MysqlEndpoint, spec: ReadSpec, since: str | None, copy: dict[int, int]
) -> str:
    with endpoint.read(spec, mode="delta" if since else "full", since=since) as opened:
        for batch in opened.batches():
            copy |= {row["id"]: row["n"] for row in batch.records.to_pylist()}
        return opened.horizon


def test_f02_a_prepared_transaction_holds_the_horizon(
    endpoint: MysqlEndpoint, raw: pymysql.Connection[Any]
) -> None:
    """Nobody can tell when it began.

    The next delta begins where this one did, or with every row.
    """
    _, before = read(endpoint, spec_of())
    run(raw, "XA START 'syncline-test'")
    run(raw, "INSERT INTO t (id, at) VALUES (1, NOW(6))")
    run(raw, "XA END 'syncline-test'")
    run(raw, "XA PREPARE 'syncline-test'")
    try:
        time.sleep(1.5)
        assert at_of(read(endpoint, spec_of(), before)[1]) == at_of(before)
        assert json.loads(read(endpoint, spec_of())[1])["at"] is None
    finally:
        run(raw, "XA COMMIT 'syncline-test'")
    assert read(endpoint, spec_of(), before)[0] == {1}


@pytest.mark.usefixtures("raw")
def test_f04_a_transaction_is_not_said_to_be_open_for_longer_than_it_is(
    endpoint: MysqlEndpoint, mariadb_url: str
) -> None:
    """InnoDB cuts the start to the second: one of just now seemed to stand for up to a second."""
    for number in range(10):  # a start on the very second hides the cut
        with closing(connected(mariadb_url)) as own:
            (before,) = run(own, "SELECT UTC_TIMESTAMP(6)")[0]
            run(own, "START TRANSACTION")
            run(own, "INSERT INTO t (id, at) VALUES (%s, NOW(6))", number)
            holder = held(endpoint, own)
            assert holder.since is not None
            assert holder.since >= before.replace(tzinfo=UTC)
            run(own, "ROLLBACK")


def held(endpoint: MysqlEndpoint, by: pymysql.Connection[Any]) -> Holder:
    """Who holds the horizon, once it is that session: the list of transactions is a copy."""
    (number,) = run(by, "SELECT CONNECTION_ID()")[0]
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = endpoint.pulse(spec_of(), None)
        if found is not None and found.holder is not None and str(number) in found.holder.who:
            assert found.holder.ends_by == f"KILL {number}"
            return found.holder
        time.sleep(0.2)
    raise AssertionError(f"session {number} is never seen to hold the horizon")


def test_f06_without_process_the_delta_is_refused_with_the_grant(
    raw: pymysql.Connection[Any], mariadb_url: str
) -> None:
    """A role that can't see the others' transactions gets told what to grant.

    A full read needs no such right.
    """
    parts = urlsplit(mariadb_url)
    name = parts.path[1:]
    run(raw, f"CREATE USER '{name}'@'%' IDENTIFIED BY 'pw'")
    run(raw, f"GRANT SELECT ON `{name}`.* TO '{name}'@'%'")
    limited = MysqlEndpoint(
        parts._replace(netloc=f"{name}:pw@{parts.hostname}:{parts.port}").geturl()
    )
    with pytest.raises(CredentialsRefused) as refused:
        read(limited, spec_of())
    assert f"GRANT PROCESS ON *.* TO '{name}'@'%'" in refused.value.hint
    with limited.read(ReadSpec("t", ("id",), {"id": Type("bigint")}), mode="full") as opened:
        assert opened.guarantee.level == "none"
    run(raw, f"GRANT PROCESS ON *.* TO '{name}'@'%'")
    limited.close()
    assert read(limited, spec_of())[0] == set()
    limited.close()
    run(raw, f"DROP USER '{name}'@'%'")


def test_a_list_of_transactions_that_is_never_renewed_is_not_believed(
    endpoint: MysqlEndpoint,
    raw: pymysql.Connection[Any],
    mariadb_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Read all the time by a monitor, the list stays as old as it is.

    Refused, not taken for the present.
    """
    monkeypatch.setattr("syncline.watermark.mysql._TRIES", 6)
    stop = threading.Event()

    def watch() -> None:
        with closing(connected(mariadb_url)) as own:
            while not stop.wait(0.02):
                run(own, "SELECT COUNT(*) FROM information_schema.INNODB_TRX")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        until = time.monotonic() + 60
        while (refused := _refused(endpoint)) is None:  # the monitor may have been held up
            assert time.monotonic() < until
        assert "INNODB_TRX" in str(refused)
    finally:
        stop.set()
        watcher.join()
    assert read(endpoint, spec_of())[0] == set(run(raw, "SELECT id FROM t"))


def _refused(endpoint: MysqlEndpoint) -> Unreachable | None:
    try:
        read(endpoint, spec_of())
    except Unreachable as error:
        return error
    return None


def test_a_clock_set_back_stops_the_run(endpoint: MysqlEndpoint) -> None:
    """A server whose clock is before the checkpoint is not where it was."""
    _, horizon = read(endpoint, spec_of())
    facts = json.loads(horizon)
    facts["at"] = "2100-01-01 00:00:00.000000"
    with pytest.raises(GuardStopped) as stopped:
        read(endpoint, spec_of(), json.dumps(facts))
    assert stopped.value.reason == "other-database"


def test_a_checkpoint_of_another_cursor_or_table_is_void(
    endpoint: MysqlEndpoint, raw: pymysql.Connection[Any]
) -> None:
    """A position says nothing of another column, nor of a table renamed into its own's place."""
    _, horizon = read(endpoint, spec_of())
    with pytest.raises(CheckpointVoid, match="cursor at"):
        read(endpoint, spec_of("wall"), horizon)
    time.sleep(1.1)  # when a table was made is kept in whole seconds
    run(raw, "CREATE TABLE other LIKE t")
    run(raw, "RENAME TABLE t TO aside, other TO t")
    with pytest.raises(CheckpointVoid, match="relation"):
        read(endpoint, spec_of(), horizon)


def test_f23_a_server_whose_log_is_behind_stops(endpoint: MysqlEndpoint) -> None:
    """Its files are an older copy's, or another server's; a log that is further is no reason."""
    _, horizon = read(endpoint, spec_of())
    facts = json.loads(horizon)
    durable = int(facts["identity"]["log"])
    facts["identity"]["log"] = str(durable + 10**12)
    with pytest.raises(GuardStopped, match="its log is durable up to") as stopped:
        read(endpoint, spec_of(), json.dumps(facts))
    assert stopped.value.reason == "other-database"
    facts["identity"]["log"] = str(durable - 1)
    assert read(endpoint, spec_of(), json.dumps(facts))[0] == set()


def test_f55_a_table_restored_from_a_dump_stops(
    endpoint: MysqlEndpoint, raw: pymysql.Connection[Any]
) -> None:
    """It was made again, and lacks what was seen last: a full sync would write the past over the
    present. One that has it is read in full.
    """
    run(raw, "INSERT INTO t (id, at) VALUES (1, NOW(6) - INTERVAL 1 HOUR), (2, NOW(6))")
    _, horizon = read(endpoint, spec_of())
    time.sleep(1.1)  # when a table was made is kept in whole seconds
    run(raw, "RENAME TABLE t TO dump")
    run(raw, "CREATE TABLE t LIKE dump")
    run(raw, "INSERT INTO t SELECT * FROM dump WHERE id = 1")
    with pytest.raises(GuardStopped, match="restored backup: the table was made again") as stopped:
        read(endpoint, spec_of(), horizon)
    assert stopped.value.reason == "other-database"
    run(raw, "INSERT INTO t SELECT * FROM dump WHERE id = 2")
    with pytest.raises(CheckpointVoid, match="relation"):
        read(endpoint, spec_of(), horizon)


def test_a_cursor_that_is_no_time_is_refused(endpoint: MysqlEndpoint) -> None:
    """A counter can't be held against the server's clock."""
    info = endpoint.describe("t")
    assert info is not None
    assert {name: endpoint.best_delta(info, name) for name in ("at", "wall", "n")} == {
        "at": "timestamp", "wall": "timestamp", "n": "none",
    }  # fmt: skip
    with pytest.raises(InputError, match="not a time"):
        read(endpoint, spec_of("n"))


@pytest.mark.parametrize("zone", ["-05:00", "+05:00", "+00:00"])
def test_a_datetime_cursor_may_hold_the_servers_wall_clock(
    endpoint: MysqlEndpoint, raw: pymysql.Connection[Any], mariadb_url: str, zone: str
) -> None:
    """A DATETIME written by NOW() on a server that is not in UTC, or in UTC by the application.

    Both delivered.
    """
    before = run(raw, "SELECT @@global.time_zone")[0][0]
    run(raw, "SET GLOBAL time_zone = %s", zone)
    try:
        _, horizon = read(endpoint, spec_of("wall"))
        with closing(connected(mariadb_url)) as writer:
            run(writer, "INSERT INTO t (id, wall) VALUES (1, NOW(6)), (2, UTC_TIMESTAMP(6))")
            run(writer, "INSERT INTO t (id, wall) VALUES (3, UTC_TIMESTAMP(6) - INTERVAL 1 DAY)")
        assert read(endpoint, spec_of("wall"), horizon)[0] == {1, 2}
    finally:
        run(raw, "SET GLOBAL time_zone = %s", before)
