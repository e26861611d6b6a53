"""Deltas by xmin: nothing missed, and void where they would not be exact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import psycopg
import pytest

from syncline.endpoints.postgres import PostgresEndpoint
from syncline.errors import (
    CheckpointVoid,
    GuardStopped,
    InputError,
)
from tests.endpoints.postgres.support import (
    changed,
    paged,
    read_all,
    spec_of,
)


def test_f01_a_late_commit_is_delivered(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], postgres_url: str
) -> None:
    """A transaction open across several deltas is delivered, savepoints too, after its commit."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY, v int)")
    database.execute("INSERT INTO w VALUES (1, 0)")
    with psycopg.connect(postgres_url) as late:
        late.execute("INSERT INTO w VALUES (2, 0)")
        with late.transaction():  # a savepoint: a subtransaction's xid
            late.execute("UPDATE w SET v = 1 WHERE id = 1")
        _, horizon = read_all(endpoint, spec_of(endpoint, "w"))
        for number in (3, 4):
            database.execute("INSERT INTO w VALUES (%s, 0)", [number])
            ids, horizon = changed(endpoint, horizon)
            assert number in ids
            assert 2 not in ids
        late.commit()
    ids, horizon = changed(endpoint, horizon)
    assert {1, 2} <= ids
    assert changed(endpoint, horizon)[0] == set()


@pytest.mark.parametrize("rewrite", ["VACUUM FULL w", "VACUUM FREEZE w", "ANALYZE w"])
def test_maintenance_is_no_change(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], rewrite: str
) -> None:
    """Vacuuming, freezing and rewriting neither void the checkpoint nor deliver rows again."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY)")
    database.execute("INSERT INTO w SELECT generate_series(1, 10)")
    database.execute("ALTER TABLE w ADD d int DEFAULT 7")
    _, horizon = read_all(endpoint, spec_of(endpoint, "w"))
    database.execute(rewrite)
    assert changed(endpoint, horizon)[0] == set()


F53 = {
    "a partition attached": (
        """CREATE TABLE w (id int) PARTITION BY RANGE (id);
        CREATE TABLE w1 PARTITION OF w FOR VALUES FROM (0) TO (9);
        CREATE TABLE w2 (id int); INSERT INTO w2 VALUES (10)""",
        "ALTER TABLE w ATTACH PARTITION w2 FOR VALUES FROM (9) TO (99)",
        "partition",
    ),
    "a table swapped by rename": (
        "CREATE TABLE w (id int); CREATE TABLE other (id int)",
        "ALTER TABLE w RENAME TO gone; ALTER TABLE other RENAME TO w",
        "replaced",
    ),
    "an enum value renamed": (
        "CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE w (id int, m mood)",
        "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
        "enum",
    ),
    "a column with a fast default": (
        "CREATE TABLE w (id int); INSERT INTO w VALUES (1)",
        "ALTER TABLE w ADD d text DEFAULT 'x'",
        "columns",
    ),
    "a composite type changed": (
        "CREATE TYPE pair AS (a int); CREATE TABLE w (id int, p pair)",
        "ALTER TYPE pair ADD ATTRIBUTE b int",
        "columns",
    ),
}


@pytest.mark.parametrize("case", F53)
def test_f53_values_that_move_without_xmin_void_the_checkpoint(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], case: str
) -> None:
    """Where rows or values change and no xmin moves, the delta says that a full sync is needed."""
    before, during, reason = F53[case]
    database.execute(before.encode())
    _, horizon = read_all(endpoint, spec_of(endpoint, "w"))
    changed(endpoint, horizon)
    database.execute(during.encode())
    with pytest.raises(CheckpointVoid, match=reason):
        changed(endpoint, horizon)


def test_a_checkpoint_of_another_kind_or_timeline_is_void(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """No checkpoint, another watermark or timeline, and 2^31 transactions each mean full."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY)")
    _, horizon = read_all(endpoint, spec_of(endpoint, "w"))
    facts = json.loads(horizon)
    for void in (
        "not json",
        json.dumps({**facts, "by": "timestamp"}),
        json.dumps({**facts, "timeline": "77"}),
        json.dumps({**facts, "x": facts["x"] - 2**31}),
    ):
        with pytest.raises(CheckpointVoid):
            changed(endpoint, void)


@pytest.mark.parametrize("change", [{"system": "1"}, {"database": "1"}, {"x": 2**40}])
def test_f23_f55_another_or_restored_database_stops(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], change: Mapping[str, Any]
) -> None:
    """Another system id or database, or a snapshot before the checkpoint's, stops the run."""
    database.execute("CREATE TABLE w (id int PRIMARY KEY)")
    _, horizon = read_all(endpoint, spec_of(endpoint, "w"))
    with pytest.raises(GuardStopped) as stopped:
        changed(endpoint, json.dumps({**json.loads(horizon), **change}))
    assert stopped.value.reason == "other-database"


def test_a_delta_is_paged_by_key(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A delta goes on after a position, in the key's own order and not that of its text."""
    database.execute("CREATE TABLE w (id numeric PRIMARY KEY)")
    _, horizon = read_all(endpoint, spec_of(endpoint, "w"))
    database.execute("INSERT INTO w SELECT generate_series(1, 25)")
    rows = paged(endpoint, spec_of(endpoint, "w", batch_rows=4), "delta", since=horizon)
    assert [int(r["id"]) for r in rows] == list(range(1, 26))


def test_a_view_has_no_xmin(endpoint: PostgresEndpoint, database: psycopg.Connection[Any]) -> None:
    """Asking for xmin of a view is refused, with the way out."""
    database.execute("CREATE VIEW w AS SELECT 1 AS id")
    with pytest.raises(InputError, match="view"):
        read_all(endpoint, spec_of(endpoint, "w"))
