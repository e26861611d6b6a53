"""What is MariaDB's and MySQL's own: its sessions, its snapshots, its catalogue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pytest

from syncline.endpoints.base import Comparison, Range, ReadSpec
from syncline.endpoints.mysql import MysqlEndpoint
from syncline.errors import CredentialsRefused, InputError, Unreachable
from syncline.record import Type
from tests.endpoints.mariadb_bench import (
    LOOKALIKES,
    Raw,
    all_of,
    info_of,
    insert,
    read_spec,
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


# --- reading --------------------------------------------------------------------------------------


def test_a_read_sees_one_snapshot_and_may_be_left_half_way(
    endpoint: MysqlEndpoint, raw: Raw
) -> None:
    """What commits while a read goes on is not in it.

    A read left early gives its connection back.
    """
    raw.run("CREATE TABLE t (id INT PRIMARY KEY, v TEXT)")
    raw.connection.cursor().executemany(
        "INSERT INTO t VALUES (%s, %s)", [(i, "x" * 1000) for i in range(5000)]
    )
    spec = read_spec(info_of(endpoint), "id", rows=1000)
    with endpoint.read(spec, mode="full") as read:
        raw.run("INSERT INTO t VALUES (99999, 'late')")
        assert sum(b.records.num_rows for b in read.batches()) == 5000
    for _ in range(20):
        with endpoint.read(spec, mode="full") as read:
            next(iter(read.batches()))
    assert len(all_of(endpoint, spec)) == 5001


def test_batches_are_cut_by_bytes_too(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """Wide records make small batches: memory is bounded by bytes, not only by rows."""
    raw.run("CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT)")
    raw.connection.cursor().executemany(
        "INSERT INTO t VALUES (%s, %s)", [(i, "x" * 20_000) for i in range(1200)]
    )
    spec = read_spec(info_of(endpoint), "id", rows=100_000, batch_bytes=1 << 20)
    with endpoint.read(spec, mode="full") as read:
        sizes = [b.records.num_rows for b in read.batches()]
    assert sum(sizes) == 1200
    assert max(sizes[1:]) < 80


def test_filters_and_windows_run_in_the_database(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """A backfill reads `[from, to)` by key or cursor, instants in UTC.

    A filter keeps what it says.
    """
    raw.run("SET time_zone = '+00:00'")
    raw.run("CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP(3) NULL)")
    for i in range(10):
        raw.run("INSERT INTO t VALUES (%s, %s)", i, f"2024-01-01 00:00:0{i}" if i else None)
    info = info_of(endpoint)
    spec = read_spec(info, "id", cursor="at", by="timestamp")
    window = Range("cursor", "2024-01-01T02:00:03+02:00", "2024-01-01 00:00:07")
    assert [r["id"] for r in all_of(endpoint, spec, mode="backfill", window=window)] == [3, 4, 5, 6]
    assert [
        r["id"] for r in all_of(endpoint, spec, mode="backfill", window=Range("key", "8", None))
    ] == [8, 9]
    with pytest.raises(InputError, match="no value of type"):
        all_of(endpoint, spec, mode="backfill", window=Range("key", "eight", None))
    filtered = read_spec(info, "id", filters=(Comparison("id", ">=", 4), Comparison("id", "<>", 6)))
    assert [r["id"] for r in all_of(endpoint, filtered)] == [4, 5, 7, 8, 9]


def test_f45_a_role_that_can_only_read_is_enough_for_a_source(
    endpoint: MysqlEndpoint, raw: Raw, mariadb_url: str
) -> None:
    """Reading in full, by key and by window needs SELECT and nothing else."""
    endpoint.create_table("t", {"a": Type("text"), "b": Type("integer")}, {"v": Type("text")})
    spec = target_spec(info_of(endpoint), "a", "b")
    insert(endpoint, spec, [{"a": a, "b": b, "v": "v"} for a in LOOKALIKES for b in range(100)])
    reader = MysqlEndpoint(user_with(raw, mariadb_url, "SELECT"))
    info = info_of(reader)
    assert info == info_of(endpoint)
    wanted = read_spec(info, "a", "b", rows=70)
    assert len(all_of(reader, wanted)) == 500
    keys = pa.concat_tables(list(reader.keys(wanted)))
    assert reader.fetch(wanted, keys)[0].num_rows == 500
    assert reader.duplicate_keys("t", ["a"]) != ()
    with pytest.raises(CredentialsRefused):
        reader.prepare(spec)
    reader.close()


def test_the_catalogue_is_told_as_it_is(endpoint: MysqlEndpoint, raw: Raw) -> None:
    """Keys, unique sets of NOT NULL columns, foreign keys, generated columns, triggers, views."""
    raw.run("CREATE TABLE p (a INT, b INT, PRIMARY KEY (a, b))")
    raw.run(
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, a INT NOT NULL, b INT NOT NULL, n"
        " INT UNIQUE,"
        " g INT AS (a + 1) STORED, d INT DEFAULT 5, UNIQUE (a, b), FOREIGN KEY (a, b) REFERENCES"
        " p (a, b))"
    )
    raw.run("CREATE VIEW v AS SELECT id FROM t")
    raw.run(
        "CREATE TABLE w (id INT PRIMARY KEY, at TIMESTAMP NOT NULL DEFAULT NOW() ON UPDATE NOW())"
    )
    raw.run("CREATE TRIGGER trg BEFORE INSERT ON p FOR EACH ROW SET NEW.b = NEW.b + 1")
    assert endpoint.tables() == ["p", "t", "v", "w"]
    info = info_of(endpoint)
    assert info.primary_key == ("id",)
    assert set(info.unique) == {("id",), ("a", "b")}
    assert [(f.columns, f.table, f.referred) for f in info.foreign_keys] == [
        (("a", "b"), "p", ("a", "b"))
    ]
    assert info.columns["g"].generated
    assert info.columns["id"].has_default
    assert info.columns["d"].has_default
    assert not info.columns["n"].has_default
    assert info_of(endpoint, "v").is_view
    assert {n: info_of(endpoint, n).rewrites for n in "ptvw"} == {
        "p": True,
        "t": False,  # a generated column changes nothing that was written
        "v": False,
        "w": True,
    }
    schema = raw.run("SELECT DATABASE()")[0][0]
    assert info_of(endpoint, f"{schema}.t").columns == info.columns
    assert endpoint.describe("T") is None


def test_f36_any_identifier_is_quoted(endpoint: MysqlEndpoint) -> None:
    """Names with backticks, percent signs and SQL in them are only names."""
    table, column = "x`; DROP TABLE y; -- %s", "c`%s %d %(x)s?"
    endpoint.create_table(table, {column: Type("text")}, {"v`%": Type("text")})
    spec = target_spec(info_of(endpoint, table), column)
    rows = [{column: f"k{i}", "v`%": "100%"} for i in range(40)]
    assert insert(endpoint, spec, rows).landed.all()
    with endpoint.begin(spec) as tx:
        new = table_of(spec, [{**r, "v`%": "%s"} for r in rows])
        assert tx.update(
            new, {"v`%": np.ones(40, np.bool_)}, tx.fetch(new.select([column]))
        ).landed.all()
        tx.commit()
    found = all_of(endpoint, read_spec(info_of(endpoint, table), column))
    assert sorted(r[column] for r in found) == sorted(r[column] for r in rows)
    assert {r["v`%"] for r in found} == {"%s"}


# --- connecting -----------------------------------------------------------------------------------


def test_f39_a_refused_login_is_the_users_error_and_shows_no_password(mariadb_url: str) -> None:
    """A login is refused as credentials, a missing database as input; the password is not told."""
    parts = urlsplit(mariadb_url)
    wrong = parts._replace(
        netloc=f"{parts.username}:canary-pw@{parts.hostname}:{parts.port}"
    ).geturl()
    with pytest.raises(CredentialsRefused) as refused:
        MysqlEndpoint(wrong).tables()
    assert (
        "canary-pw" not in f"{refused.value} {refused.value.__cause__!r} {MysqlEndpoint(wrong)!r}"
    )
    with pytest.raises(InputError, match="Unknown database") as missing:
        MysqlEndpoint(parts._replace(path="/nope_nope").geturl()).tables()
    assert not isinstance(missing.value, CredentialsRefused)


def test_f17_a_server_that_is_not_there_is_unreachable() -> None:
    """A closed port is a matter that may pass."""
    with pytest.raises(Unreachable):
        MysqlEndpoint("mysql://u:p@127.0.0.1:1/d", connect_timeout=1).tables()


@pytest.mark.parametrize(
    "url", ["mysql://u:p@host", "mysql://u:p@host/d?charset=latin1", "postgresql://h/d"]
)
def test_a_url_that_can_not_be_used_is_refused(url: str) -> None:
    """No database, or an option that would undo what the session needs."""
    with pytest.raises(InputError):
        MysqlEndpoint(url)


def test_a_statement_that_runs_too_long_is_ended(mariadb_url: str, raw: Raw) -> None:
    """The statement timeout ends it as a matter that may pass."""
    raw.run("CREATE VIEW t AS SELECT SLEEP(150) AS id")
    impatient = MysqlEndpoint(mariadb_url, statement_timeout=1)
    spec = ReadSpec("t", ("id",), {"id": Type("bigint")})
    began = time.monotonic()
    with pytest.raises(Unreachable), impatient.read(spec, mode="full") as read:
        next(read.batches())
    assert time.monotonic() - began < 100
    impatient.close()
