"""Connections to PostgreSQL: made, refused, cut, timed out; and tables made."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from syncline.endpoints.base import (
    Fetched,
    ReadSpec,
    TargetSpec,
)
from syncline.endpoints.postgres import PostgresEndpoint
from syncline.errors import (
    CredentialsRefused,
    InputError,
    Transient,
    Unreachable,
)
from syncline.record import Type, parse_type
from tests.endpoints.postgres.support import (
    a_batch,
    ints,
    read_all,
    seen,
    target,
    written,
)


def test_create_table_makes_the_types_that_it_describes(endpoint: PostgresEndpoint) -> None:
    """A created table has its key, and every column the canonical type it was asked for."""
    names = [
        "bool",
        "smallint",
        "integer",
        "bigint",
        "real",
        "double",
        "text",
        "text(7)",
        "bytes",
        "date",
        "time",
        "timestamp",
        "timestamp(3)",
        "timestamptz",
        "uuid",
        "json",
        "decimal",
        "decimal(14,2)",
    ]
    fields = {f"c{i}": endpoint.fits(parse_type(name)) for i, name in enumerate(names)}
    endpoint.create_table("public.made", {"k": Type("bigint")}, fields)
    info = endpoint.describe("made")
    assert info is not None
    assert info.primary_key == ("k",)
    assert {n: c.type for n, c in info.columns.items()} == {"k": Type("bigint"), **fields}
    with pytest.raises(InputError, match="already exists"):
        endpoint.create_table("public.made", {"k": Type("bigint")}, {})


def test_f15_a_terminated_backend_is_unreachable_and_then_replaced(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec
) -> None:
    """A connection that is cut raises Unreachable, at COMMIT too; the next call has a new one."""
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'syncline'"
    )
    with pytest.raises(Unreachable), endpoint.begin(things) as tx:  # noqa: PT012
        tx.insert(a_batch([1]))
        database.execute(kill)
        tx.commit()
    database.execute(kill)
    with endpoint.begin(things) as tx:
        assert tx.is_empty()
    with pytest.raises(Unreachable), endpoint.begin(things) as tx:  # noqa: PT012
        database.execute(kill)
        tx.insert(a_batch([1]))


def test_f18_a_deadlock_is_transient(
    endpoint: PostgresEndpoint,
    database: psycopg.Connection[Any],
    things: TargetSpec,
    postgres_url: str,
) -> None:
    """Of two transactions that wait for each other, the one ended says that it may be retried."""
    database.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    rows = a_batch([1, 2], name=["x", "y"])
    moved = {"name": np.ones(1, np.bool_)}
    with psycopg.connect(postgres_url) as other:
        other.execute("SET deadlock_timeout = '30s'")
        other.execute("UPDATE t SET n = 1 WHERE id = 2")
        waiting = threading.Thread(target=other.execute, args=["UPDATE t SET n = 1 WHERE id = 1"])
        with pytest.raises(Transient), endpoint.begin(things) as tx:  # noqa: PT012
            current = seen(tx, rows.select(["id"]))
            tx.update(rows.slice(0, 1), moved, Fetched(current.rows.slice(0, 1)))
            waiting.start()
            while written(database, "SELECT FROM pg_locks WHERE NOT granted") == []:
                time.sleep(0.01)
            tx.update(rows.slice(1, 1), moved, Fetched(current.rows.slice(1, 1)))
        waiting.join()


def test_bad_connections_are_told_apart_and_hide_the_password(postgres_url: str) -> None:
    """Unreachable, refused and misnamed are three errors; no message or repr has the password."""
    parts = psycopg.conninfo.conninfo_to_dict(postgres_url)
    host, port, user = parts["host"], parts["port"], parts["user"]
    cases = [
        (f"postgresql://u:canary-secret@127.0.0.1:1/{'x'}", Unreachable),
        (f"postgresql://no_such_role:canary-secret@{host}:{port}/postgres", CredentialsRefused),
        (f"postgresql://{user}:canary-secret@{host}:{port}/no_such_database", InputError),
    ]
    for url, error in cases:
        endpoint = PostgresEndpoint(url, connect_timeout=60)
        with pytest.raises(error) as raised:
            endpoint.version()
        assert "canary" not in str(raised.value) + raised.value.hint + repr(endpoint)
    with pytest.raises(InputError) as raised:
        PostgresEndpoint("postgresql://u:canary-secret@[bad/x")
    assert "canary" not in str(raised.value)


def test_a_statement_timeout_is_unreachable(
    postgres_url: str, database: psycopg.Connection[Any]
) -> None:
    """A statement past its time raises Unreachable; a stream is not such a statement."""
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
    database.execute("INSERT INTO t VALUES (1)")
    endpoint = PostgresEndpoint(postgres_url, statement_timeout=4)
    spec = target(endpoint, "t", {"id": "bigint"}, {})
    with psycopg.connect(postgres_url) as other, endpoint.begin(spec) as tx:
        current = seen(tx, pa.table({"id": ints(1)}))
        other.execute("SELECT FROM t FOR UPDATE")
        with pytest.raises(Unreachable, match="statement timeout"):
            tx.delete(pa.table({"id": ints(1)}), current)
    endpoint.close()


def test_missing_tables_and_columns_are_input_errors(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A table or column that is not there is told by name, before anything is read or written."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY)")
    with pytest.raises(InputError, match="there is no table"):
        read_all(endpoint, ReadSpec("nowhere", ("id",), {"id": Type("integer")}))
    with pytest.raises(InputError, match="no column 'x'"):
        read_all(endpoint, ReadSpec("w", ("id",), {"id": Type("integer"), "x": Type("text")}))
