"""Writes to PostgreSQL: only while the row is as seen, and never cut."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from syncline.endpoints.base import (
    Fetched,
    TargetSpec,
)
from syncline.endpoints.postgres import PostgresEndpoint
from syncline.errors import (
    InputError,
)
from tests.endpoints.postgres.support import (
    a_batch,
    ints,
    seen,
    target,
    written,
)


def test_insert_lands_what_is_new_and_leaves_what_is_taken(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec
) -> None:
    """Where a key is taken the other rows land, and that one is neither landed nor refused."""
    database.execute("INSERT INTO t VALUES (2, 'own')")
    with endpoint.begin(things) as tx:
        result = tx.insert(a_batch([1, 2, 3, 3], name=["a", "b", "c", "d"]))
        assert result.landed.tolist() == [True, False, True, False]
        assert result.refused == ()
        tx.commit()
    assert written(database, "SELECT id, name FROM t ORDER BY id") == [
        (1, "a"),
        (2, "own"),
        (3, "c"),
    ]


def test_f25_one_bad_record_does_not_stop_the_others(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec
) -> None:
    """Each refused record is found among the rest and told by kind; all others land."""
    database.execute("INSERT INTO t (id, code) VALUES (500, 'taken')")
    rows = a_batch(
        range(300),
        name=["toolong" if i == 7 else "a\0b" if i == 8 else "ok" for i in range(300)],
        n=[100 if i == 150 else 1 for i in range(300)],
        code=["taken" if i == 299 else None for i in range(300)],
    )
    with endpoint.begin(things) as tx:
        result = tx.insert(rows)
        tx.commit()
    assert [(r.row, r.kind) for r in result.refused] == [
        (7, "value"), (8, "value"), (150, "constraint"), (299, "constraint"),
    ]  # fmt: skip
    assert result.landed.sum() == 296
    assert written(database, "SELECT count(*) FROM t") == [(297,)]


def test_update_writes_the_moved_fields_only(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec
) -> None:
    """Each row sets exactly its moved fields; others are not named, so their triggers rest."""
    database.execute("INSERT INTO t VALUES (1, 'a', 1, 'x'), (2, 'b', 2, 'y'), (3, 'c', 3, 'z')")
    database.execute("CREATE TABLE fired (id bigint)")
    database.execute(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO fired VALUES (NEW.id); RETURN NEW; END'"
    )
    database.execute(
        "CREATE TRIGGER g BEFORE UPDATE OF code ON t FOR EACH ROW EXECUTE FUNCTION f()"
    )
    rows = a_batch([1, 2, 3], name=["A", "B", "C"], n=[10, None, 30], code=["X", "Y", "Z"])
    moved = {
        "name": np.array([True, False, False]),
        "n": np.array([True, True, False]),
        "code": np.array([False, False, True]),
    }
    with endpoint.begin(things) as tx:
        result = tx.update(rows, moved, seen(tx, rows.select(["id"])))
        assert result.landed.all()
        tx.commit()
    assert written(database, "SELECT * FROM t ORDER BY id") == [
        (1, "A", 10, "x"), (2, "b", None, "y"), (3, "c", 3, "Z"),
    ]  # fmt: skip
    assert written(database, "SELECT * FROM fired") == [(3,)]


@pytest.mark.parametrize("how", ["update", "delete"])
def test_f47_a_record_edited_since_it_was_fetched_is_left(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec, how: str
) -> None:
    """An edit committed between fetch and write is not overwritten: the row did not land."""
    database.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    rows = a_batch([1, 2, 3], name=["A", "B", "C"])
    with endpoint.begin(things) as tx:
        current = seen(tx, rows.select(["id"]))
        database.execute("UPDATE t SET n = 7 WHERE id = 2")
        if how == "update":
            result = tx.update(rows, {"name": np.ones(3, np.bool_)}, current)
        else:
            result = tx.delete(rows.select(["id"]), current)
        assert result.landed.tolist() == [True, False, True]
        assert result.refused == ()
        tx.commit()
    assert (2, "b", 7) in written(database, "SELECT id, name, n FROM t")


def test_f47_an_edit_in_flight_is_waited_for_and_left(
    endpoint: PostgresEndpoint,
    database: psycopg.Connection[Any],
    things: TargetSpec,
    postgres_url: str,
) -> None:
    """Where another transaction holds the row when ours writes, its commit wins."""
    database.execute("INSERT INTO t VALUES (1, 'a')")
    rows = a_batch([1], name=["A"])
    with endpoint.begin(things) as tx, psycopg.connect(postgres_url) as other:
        current = seen(tx, rows.select(["id"]))
        other.execute("UPDATE t SET name = 'their' WHERE id = 1")
        timer = threading.Timer(0.5, other.commit)
        timer.start()
        result = tx.update(rows, {"name": np.ones(1, np.bool_)}, current)
        timer.join()
        assert not result.landed.any()
        tx.commit()
    assert written(database, "SELECT name FROM t") == [("their",)]


def test_update_and_delete_bisect_to_the_refused_record(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec
) -> None:
    """A check or foreign key that refuses one row of a call leaves the others written."""
    database.execute("INSERT INTO t SELECT i, 'a', 1 FROM generate_series(1, 20) i")
    database.execute("CREATE TABLE child (t bigint REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
    database.execute("INSERT INTO child VALUES (13)")
    rows = a_batch(range(1, 21), n=[100 if i == 5 else 2 for i in range(1, 21)])
    keys = rows.select(["id"])
    with endpoint.begin(things) as tx:
        result = tx.update(rows, {"n": np.ones(20, np.bool_)}, seen(tx, keys))
        assert [(r.row, r.kind) for r in result.refused] == [(4, "constraint")]
        assert result.landed.sum() == 19
        result = tx.delete(keys, seen(tx, keys))
        assert [(r.row, r.kind) for r in result.refused] == [(12, "constraint")]
        assert result.landed.sum() == 19
        tx.commit()
    assert written(database, "SELECT id FROM t") == [(13,)]


WRITABLE = [
    ("boolean", "bool", [True, False]),
    ("smallint", "smallint", [-5, 5]),
    ("numeric(14,2)", "decimal(14,2)", ["-1.50", "99.99"]),
    ("numeric", "decimal", ["1.5", "123456789012345678901234567890123456789012345.5"]),
    ("money", "decimal(19,2)", ["-1.50", "12.34"]),
    ("real", "real", [1.5, -2.5]),
    ("text", "text", ["a", ""]),
    ("char(4)", "text(4)", ["ab", "abcd"]),
    ("bytea", "bytes", [b"\x00", b""]),
    ("date", "date", ["0001-01-01", "9999-12-31"]),
    ("time", "time", [dt.time(0), dt.time(23, 59, 59, 999999)]),
    ("timestamp", "timestamp", ["0001-01-01 00:00:00", "2024-01-01 00:00:00.000001"]),
    ("timestamptz", "timestamptz", ["9999-12-31 23:59:59.999999Z", "2024-01-01 00:00:00Z"]),
    ("uuid", "uuid", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"] * 2),
    ("jsonb", "json", ['{"a": [1.50, null]}', '"x"']),
    ("json", "json", ['{"b":1,  "a":2}', "null"]),
    ("mood", "text", ["sad", "glad"]),
    ("mood[]", "json", ['["sad", "glad"]', "[]"]),
    ("int[]", "json", ["[[1, 2], [3, 4]]", "[1, null]"]),
    ("numeric[]", "json", ["[12345678901234567890.10]", "[1]"]),
    ("text[]", "json", ['["a,b", "{}", "\\""]', '["NULL", null]']),
    ("interval", "text", ["P1DT2H", "P1Y"]),
    ("inet", "text", ["10.0.0.1", "::1"]),
    ("bit(3)", "text", ["101", "000"]),
    ("int4range", "text", ["[1,5)", "empty"]),
    ("short_text", "text(10)", ["x", "y"]),
]


@pytest.mark.usefixtures("own_types")
@pytest.mark.parametrize(("native", "canonical", "values"), WRITABLE)
def test_every_type_is_written_and_read_back_the_same(
    endpoint: PostgresEndpoint,
    database: psycopg.Connection[Any],
    native: str,
    canonical: str,
    values: list[Any],
) -> None:
    """Inserted straight or cast on the way, then updated: what is read back is what was written."""
    database.execute(f"CREATE TABLE v (id bigint PRIMARY KEY, c {native})")
    spec = target(endpoint, "v", {"id": "bigint"}, {"c": canonical})
    arrow = spec.fields["c"].arrow
    text = pa.array([str(v) for v in values], pa.string())
    array = (
        pa.array(values, arrow)
        if isinstance(values[0], bool | int | float | bytes | dt.time)
        else text.cast(arrow)
    )
    with endpoint.begin(spec) as tx:
        result = tx.insert(pa.table({"id": ints(1, 2), "c": array}))
        assert result.refused == ()
        current = seen(tx, pa.table({"id": ints(1, 2)}))
        assert current.misfits == ()
        assert current.rows.column("c").combine_chunks() == array
        swapped = array.take(pa.array([1, 0]))
        result = tx.update(
            pa.table({"id": ints(1, 2), "c": swapped}), {"c": np.ones(2, np.bool_)}, current
        )
        assert result.landed.all()
        again = seen(tx, pa.table({"id": ints(1, 2)}))
        assert again.rows.column("c").combine_chunks() == swapped
        assert again.rows.schema.field("c").type == arrow


def test_values_that_a_column_would_cut_are_refused(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Nothing is cut by a cast: too many bits, too long an element, no such label, no uuid."""
    database.execute("CREATE TYPE mood AS ENUM ('sad')")
    database.execute(
        "CREATE TABLE v (id bigint PRIMARY KEY, b bit(3), a varchar(2)[], m mood, u uuid)"
    )
    fields = {"b": "text", "a": "json", "m": "text", "u": "uuid"}
    spec = target(endpoint, "v", {"id": "bigint"}, fields)
    rows = pa.table(
        {
            "id": ints(1, 2, 3, 4, 5),
            "b": ["101", "1010", None, None, None],
            "a": ['["ab"]', None, '["abc"]', None, None],
            "m": ["sad", None, None, "glad", None],
            "u": [None, None, None, None, "not-a-uuid"],
        }
    )
    with endpoint.begin(spec) as tx:
        result = tx.insert(rows)
        assert [(r.row, r.kind) for r in result.refused] == [(i, "value") for i in (1, 2, 3, 4)]
        assert result.landed.tolist() == [True, False, False, False, False]


def test_uuid_and_composite_keys_are_fetched_inserted_and_deleted(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Keys of other types and several columns go through every call, past a collision too."""
    database.execute("CREATE TABLE v (u uuid, d date, PRIMARY KEY (d, u))")
    spec = target(endpoint, "v", {"u": "uuid", "d": "date"}, {})
    uuids = [f"00000000-0000-0000-0000-{i:012d}" for i in range(4)]
    rows = pa.table({"u": uuids, "d": pa.array([19000 + i for i in range(4)], pa.date32())})
    with endpoint.begin(spec) as tx:
        assert tx.insert(rows.slice(0, 2)).landed.all()
        assert tx.insert(rows).landed.tolist() == [False, False, True, True]
        current = seen(tx, rows)
        assert current.rows.column("u").to_pylist() == uuids
        assert tx.delete(rows.slice(1, 2), Fetched(current.rows.slice(1, 2))).landed.all()
        assert sum(k.num_rows for k in tx.scan_keys()) == 2


def test_an_identity_key_and_a_key_without_index_are_written(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """An identity key takes the source's value; without an index a taken key is left alone."""
    database.execute("CREATE TABLE a (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)")
    database.execute("CREATE TABLE b (id bigint, v text)")
    for table in ("a", "b"):
        spec = target(endpoint, table, {"id": "bigint"}, {"v": "text"})
        with endpoint.begin(spec) as tx:
            assert tx.is_empty()
            assert tx.insert(pa.table({"id": ints(7), "v": ["x"]})).landed.all()
            assert tx.insert(pa.table({"id": ints(7, 8), "v": ["y", "z"]})).landed.tolist() == [
                False,
                True,
            ]
            assert not tx.is_empty()
            tx.commit()
        assert written(database, f"SELECT * FROM {table} ORDER BY id") == [(7, "x"), (8, "z")]


def test_a_partitioned_target_is_updated_by_version(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Rows of two partitions at the same place in their files are told apart."""
    database.execute("CREATE TABLE v (id bigint PRIMARY KEY, n int) PARTITION BY RANGE (id)")
    database.execute("CREATE TABLE v1 PARTITION OF v FOR VALUES FROM (0) TO (10)")
    database.execute("CREATE TABLE v2 PARTITION OF v FOR VALUES FROM (10) TO (20)")
    database.execute("INSERT INTO v VALUES (1, 1), (11, 11)")
    spec = target(endpoint, "v", {"id": "bigint"}, {"n": "integer"})
    with endpoint.begin(spec) as tx:
        current = seen(tx, pa.table({"id": ints(1, 11)}))
        rows = pa.table({"id": ints(11), "n": pa.array([5], pa.int32())})
        assert tx.update(
            rows, {"n": np.ones(1, np.bool_)}, Fetched(current.rows.slice(1))
        ).landed.all()
        tx.commit()
    assert written(database, "SELECT * FROM v ORDER BY id") == [(1, 1), (11, 5)]


def test_f22_a_column_changed_between_batches_is_seen(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A column that changes to a type of the same width is not filled with the former's bits."""
    database.execute("CREATE TABLE v (id bigint PRIMARY KEY, n bigint)")
    spec = target(endpoint, "v", {"id": "bigint"}, {"n": "bigint"})
    with endpoint.begin(spec) as tx:
        tx.insert(pa.table({"id": ints(1), "n": ints(1)}))
        tx.commit()
    database.execute("ALTER TABLE v ALTER n TYPE double precision")
    with endpoint.begin(spec) as tx:
        tx.insert(pa.table({"id": ints(2), "n": ints(2)}))
        tx.commit()
    assert written(database, "SELECT n FROM v ORDER BY id") == [(1.0,), (2.0,)]
    database.execute("ALTER TABLE v DROP n")
    with pytest.raises(InputError, match="no column 'n'"), endpoint.begin(spec):
        pass


def test_leaving_without_commit_rolls_back(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], things: TargetSpec
) -> None:
    """Rows, ledger and state of a transaction that did not commit are not there."""
    with endpoint.begin(things) as tx:
        tx.insert(a_batch([1]))
        tx.put_state(epoch=1, holder="h", lease_seconds=1, document="{}", expected_epoch=None)
    assert written(database, "SELECT count(*) FROM t") == [(0,)]
    with endpoint.begin(things) as tx:
        assert tx.state() is None


def test_a_target_with_row_security_is_written(
    reader: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Where policies hold for the role, which COPY refuses, rows are inserted and updated."""
    database.execute("CREATE TABLE v (id bigint PRIMARY KEY, n int)")
    database.execute("GRANT ALL ON v TO syncline_reader")
    database.execute("GRANT CREATE ON SCHEMA public TO syncline_reader")
    database.execute("ALTER TABLE v ENABLE ROW LEVEL SECURITY")
    database.execute("CREATE POLICY p ON v USING (n < 10)")
    database.execute("INSERT INTO v VALUES (9, 90)")
    spec = target(reader, "v", {"id": "bigint"}, {"n": "integer"})
    rows = pa.table({"id": ints(1, 2), "n": pa.array([1, 2], pa.int32())})
    with reader.begin(spec) as tx:
        assert tx.insert(rows).landed.all()
        assert tx.fetch(pa.table({"id": ints(9)})).rows.num_rows == 0
        current = seen(tx, rows.select(["id"]))
        moved = rows.set_column(1, "n", pa.array([5, 6], pa.int32()))
        assert tx.update(moved, {"n": np.ones(2, np.bool_)}, current).landed.all()
        tx.commit()
    assert written(database, "SELECT * FROM v ORDER BY id") == [(1, 5), (2, 6), (9, 90)]
