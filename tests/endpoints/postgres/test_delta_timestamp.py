"""Deltas by a timestamp cursor, and what roles may read."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from syncline.endpoints.base import (
    ReadSpec,
)
from syncline.endpoints.postgres import PostgresEndpoint
from syncline.errors import (
    CredentialsRefused,
    InputError,
)
from syncline.record import Type
from tests.endpoints.postgres.support import (
    changed,
    paged,
    read_all,
    spec_of,
    timed,
)


@pytest.fixture
def stamped(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    database.execute("CREATE TABLE w (id int PRIMARY KEY, at timestamptz DEFAULT now())")
    database.execute("INSERT INTO w VALUES (1, now() - interval '1 day'), (2, NULL)")
    return database


def test_a_timestamp_delta_waits_for_open_transactions(
    endpoint: PostgresEndpoint, stamped: psycopg.Connection[Any], postgres_url: str
) -> None:
    """The horizon stays before the oldest open transaction; its rows come when it commits."""
    with psycopg.connect(postgres_url) as late:
        late.execute("INSERT INTO w (id) VALUES (3)")
        rows, horizon = read_all(endpoint, timed(endpoint))
        assert [r["id"] for r in rows] == [1, 2]
        stamped.execute("SELECT pg_sleep(1.2)")
        stamped.execute("INSERT INTO w (id) VALUES (4)")
        rows, horizon = read_all(endpoint, timed(endpoint), "delta", since=horizon)
        assert [r["id"] for r in rows] == [4, 2]  # and the row without a cursor, each time
        late.commit()
    rows, _ = read_all(endpoint, timed(endpoint), "delta", since=horizon)
    assert [r["id"] for r in rows] == [3, 4, 2]


def test_f08_many_rows_of_one_timestamp_are_paged(
    endpoint: PostgresEndpoint, stamped: psycopg.Connection[Any]
) -> None:
    """Rows of one instant, and those without, are read once each in pages of 7, in both passes."""
    _, horizon = read_all(endpoint, timed(endpoint))
    stamped.execute("INSERT INTO w SELECT i FROM generate_series(100, 199) i")
    stamped.execute("INSERT INTO w SELECT i, NULL FROM generate_series(200, 220) i")
    rows = paged(endpoint, timed(endpoint, batch_rows=7), "delta", since=horizon)
    assert [r["id"] for r in rows] == [*range(100, 200), 2, *range(200, 221)]


def test_f02_a_prepared_transaction_keeps_the_horizon(
    endpoint: PostgresEndpoint, stamped: psycopg.Connection[Any]
) -> None:
    """The horizon stays while a prepared transaction is open: nobody knows when it began."""
    row = stamped.execute("SHOW max_prepared_transactions").fetchone()
    if row == ("0",):
        pytest.skip("this server allows no prepared transactions")
    _, horizon = read_all(endpoint, timed(endpoint))
    stamped.execute("BEGIN")
    stamped.execute("INSERT INTO w (id) VALUES (5)")
    stamped.execute("PREPARE TRANSACTION 'two'")
    try:
        _, held = read_all(endpoint, timed(endpoint), "delta", since=horizon)
        assert json.loads(held)["from"] == json.loads(horizon)["from"]
        assert json.loads(read_all(endpoint, timed(endpoint))[1])["from"] is None
    finally:
        stamped.execute("COMMIT PREPARED 'two'")
    assert 5 in {r["id"] for r in read_all(endpoint, timed(endpoint), "delta", since=held)[0]}


def test_f05_f45_a_role_that_may_only_select_reads_by_xmin(
    reader: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """SELECT is enough for all reads by xmin; a timestamp cursor is refused, with the GRANT."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY, at timestamptz)")
    database.execute("GRANT SELECT ON w TO syncline_reader")
    _, horizon = read_all(reader, spec_of(reader, "w"))
    database.execute("INSERT INTO w VALUES (1, now())")
    assert changed(reader, horizon)[0] == {1}
    assert (
        reader.fetch(spec_of(reader, "w"), pa.table({"id": pa.array([1], pa.int32())}))[0].num_rows
        == 1
    )
    with pytest.raises(InputError) as refused:
        read_all(reader, timed(reader))
    assert "GRANT pg_read_all_stats" in refused.value.hint
    assert "xmin" in refused.value.hint
    database.execute("GRANT pg_read_all_stats TO syncline_reader")
    assert len(read_all(reader, timed(reader))[0]) == 1
    database.execute("REVOKE SELECT ON w FROM syncline_reader")
    with pytest.raises(CredentialsRefused):
        read_all(reader, spec_of(reader, "w"))


def test_rights_on_some_columns_are_enough(
    reader: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A role that may read only some columns, and so may not lock the table, reads those."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY, secret text)")
    database.execute("REVOKE ALL ON w FROM syncline_reader")
    database.execute("GRANT SELECT (id) ON w TO syncline_reader")
    spec = ReadSpec("w", ("id",), {"id": Type("integer")}, "xmin")
    database.execute("INSERT INTO w VALUES (1, 'x')")
    rows, horizon = read_all(reader, spec)
    assert rows == [{"id": 1}]
    assert sum(keys.num_rows for keys in reader.keys(spec)) == 1
    with pytest.raises(CredentialsRefused, match="permission denied"):
        read_all(reader, spec, "delta", since=horizon)  # xmin is a column too
