"""What the endpoint tells of a table, as the catalogue has it."""

from __future__ import annotations

from typing import Any

import psycopg
import pyarrow as pa

from syncline.endpoints.postgres import PostgresEndpoint
from tests.endpoints.postgres.support import (
    read_all,
    spec_of,
    target,
)


def test_describe_tells_keys_columns_and_what_rewrites(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Keys, foreign keys, generated and identity columns, triggers and views are told."""
    database.execute("CREATE TABLE parent (a int, b text, PRIMARY KEY (a, b))")
    database.execute(
        """CREATE TABLE child (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text NOT NULL UNIQUE,
        maybe text UNIQUE, a int, b text, double_a int GENERATED ALWAYS AS (a * 2) STORED,
        since timestamptz DEFAULT now(),
        FOREIGN KEY (a, b) REFERENCES parent)"""
    )
    database.execute("CREATE VIEW seen AS SELECT * FROM parent")
    child = endpoint.describe("child")
    parent = endpoint.describe("public.parent")
    view = endpoint.describe("seen")
    assert child
    assert parent
    assert view
    assert child.primary_key == ("id",)
    assert child.unique == (("id",), ("code",))
    assert [(f.columns, f.table, f.referred) for f in child.foreign_keys] == [
        (("a", "b"), "public.parent", ("a", "b"))
    ]
    assert child.columns["id"].has_default
    assert not child.columns["id"].generated
    assert child.columns["double_a"].generated
    assert child.columns["since"].has_default
    assert not parent.rewrites  # its foreign key's own triggers change nothing
    assert view.is_view
    assert endpoint.best_delta(view, None) == "none"
    assert endpoint.best_delta(parent, None) == "xmin"
    assert endpoint.describe("nowhere") is None
    assert endpoint.tables() == ["public.child", "public.parent", "public.seen"]
    database.execute(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
    )
    database.execute("CREATE TRIGGER g BEFORE UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION f()")
    changed = endpoint.describe("parent")
    assert changed
    assert changed.rewrites


def test_f36_hostile_identifiers_are_quoted(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """f36: names with quotes and semicolons are only names, read and written."""
    name, column = 'x"; DROP TABLE y; --', "a'b\"c\\ {0}"
    quoted = '"' + name.replace('"', '""') + '"'
    quoted_column = '"' + column.replace('"', '""') + '"'
    database.execute("CREATE TABLE y (id int)")
    database.execute(f"CREATE TABLE {quoted} (id int PRIMARY KEY, {quoted_column} text)".encode())
    database.execute(f"INSERT INTO {quoted} VALUES (1, 'v')".encode())
    rows, _ = read_all(endpoint, spec_of(endpoint, name))
    assert rows == [{"id": 1, column: "v"}]
    spec = target(endpoint, name, {"id": "integer"}, {column: "text"})
    with endpoint.begin(spec) as tx:
        assert tx.insert(pa.table({"id": pa.array([2], pa.int32()), column: ["w"]})).landed.all()
        tx.commit()
    assert [r[column] for r in read_all(endpoint, spec_of(endpoint, name))[0]] == ["v", "w"]
    assert "public.y" in endpoint.tables()


def test_duplicate_keys_finds_repeats_and_nulls(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """A key that repeats or has a NULL is told; a unique NOT NULL one is not even looked at."""
    database.execute("CREATE TABLE d (id int PRIMARY KEY, a text, b int)")
    database.execute("INSERT INTO d VALUES (1,'x',1), (2,'x',1), (3,'y',NULL), (4,'z',1)")
    assert endpoint.duplicate_keys("d", ["id"]) == []
    assert sorted(endpoint.duplicate_keys("d", ["a", "b"]), key=str) == [("x", 1), ("y", None)]
