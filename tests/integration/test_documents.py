"""Documents: nested paths both ways, composite keys as a subdocument, edits inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import Decimal128, ObjectId

from syncline.project import Project
from syncline.sync import RunOptions, RunSummary, run
from tests.conftest import NewDatabase
from tests.integration.project_bench import Side, now

NESTED = """\
source: {connection: here, collection: people}
target: {connection: there, table: people, create: true}
key: {id: _id}
fields:
  name: {sql: "concat_ws(' ', name.first, name.last)", type: text}
  city: address.city
  tags: tags
  balance: {from: balance, type: "decimal(14,2)"}
  at: updated_at
delta: {cursor: updated_at}
conflicts: merge
"""

COMPOSITE = """\
source: {connection: here, table: order_lines}
target: {connection: there, collection: lines}
key: {_id.order: order_id, _id.line: line}
fields:
  item.name: name
  item.price.amount: {from: price, type: "decimal(10,2)"}
  item.price.currency: {value: EUR}
delta: {cursor: updated_at}
deletes: {mode: mirror, guard: 60%}
conflicts: merge
"""


def project(folder: Path, source: str, target: str, mapping: str) -> Path:
    (folder / "mappings").mkdir()
    (folder / "mappings" / "one.yaml").write_text(mapping)
    (folder / "connections.yaml").write_text("connections: {here: '${HERE}', there: '${THERE}'}\n")
    (folder / ".env").write_text(f"HERE={source}\nTHERE={target}\n")
    return folder


def sync(folder: Path) -> RunSummary:
    return run(Project.find(explicit=folder), "one", RunOptions())


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
def test_nested_documents_become_rows_and_follow(
    kind: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """A path is a column, an array is JSON, a missing path NULL, and an ObjectId a key."""
    source, target = Side("mongo", new_database("mongo"), "people"), new_database(kind)
    ann, bob = ObjectId(), ObjectId()
    source.documents.insert_many(
        [
            {"_id": ann, "name": {"first": "Ann", "last": "Lee"}, "address": {"city": "Rome"},
             "tags": ["a", {"b": 1}], "balance": Decimal128("12.50"), "updated_at": now()},
            {"_id": bob, "name": {"first": "Bob"}, "updated_at": now()},
        ]
    )  # fmt: skip
    folder = project(tmp_path, source.url, target, NESTED)
    assert sync(folder).inserted == 2
    there = Side(kind, target, "people")
    rows = {row.id: row for row in there.sql("select * from people")}
    assert (rows[str(ann)].name, rows[str(ann)].city) == ("Ann Lee", "Rome")
    tags: Any = rows[str(ann)].tags
    assert (json.loads(tags) if isinstance(tags, str) else tags) == ["a", {"b": 1}]
    assert str(rows[str(ann)].balance) == "12.50"
    assert (rows[str(bob)].name, rows[str(bob)].city, rows[str(bob)].balance) == ("Bob", None, None)
    source.documents.update_one(
        {"_id": bob}, {"$set": {"address.city": "Oslo", "updated_at": now()}}
    )
    assert sync(folder).updated == 1
    assert there.sql("select city from people where name = 'Bob'") == [("Oslo",)]
    source.close()
    there.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
def test_rows_become_nested_documents_with_a_composite_key(
    kind: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """The key is a subdocument in the mapping's order; other fields of the document stay."""
    source, url = Side(kind, new_database(kind), "order_lines"), new_database("mongo")
    number = "decimaltext(10,2)" if kind == "sqlite" else "decimal(10,2)"
    stamp = "datetime(6)" if kind == "mariadb" else "timestamptz"
    source.sql(
        "create table order_lines (order_id bigint, line bigint, name varchar(50), "
        f"price {number}, updated_at {stamp}, primary key (order_id, line))"
    )
    for order, line in [(1, 1), (1, 2), (2, 1)]:
        source.put(
            {
                "order_id": order,
                "line": line,
                "name": f"item {line}",
                "price": "9.90",
                "updated_at": now(),
            }
        )
    folder = project(tmp_path, source.url, url, COMPOSITE)
    assert sync(folder).inserted == 3
    client: Any = pymongo.MongoClient(url)
    lines: Any = client.get_default_database()["lines"]
    found = lines.find_one({"_id": {"order": 1, "line": 2}})
    assert list(found["_id"]) == ["order", "line"]
    assert found["item"] == {
        "name": "item 2",
        "price": {"amount": Decimal128("9.90"), "currency": "EUR"},
    }
    lines.update_one({"_id": {"order": 1, "line": 2}}, {"$set": {"item.color": "red"}})
    source.sql("update order_lines set name = 'renamed', updated_at = :at "
               "where order_id = 1 and line = 2",
               at=source._row({"at": now()})["at"])  # fmt: skip
    assert (sync(folder).updated, sync(folder).updated) == (1, 0)
    found = lines.find_one({"_id": {"order": 1, "line": 2}})
    assert (found["item"]["name"], found["item"]["color"]) == ("renamed", "red")
    source.sql("delete from order_lines where order_id = 2")
    assert sync(folder).deleted == 1
    assert lines.count_documents({}) == 2
    client.close()
    source.close()
