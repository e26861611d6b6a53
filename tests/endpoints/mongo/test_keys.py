"""MongoDB's keys: ids of every type, composite ones, keys of other fields and their index."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo.database import Database

from syncline.endpoints.base import Fetched, ReadSpec
from syncline.endpoints.mongo import MongoEndpoint
from syncline.errors import InputError
from tests.endpoints.mongo.support import (
    Row,
    insert,
    read_all,
    source,
    table,
    target,
    types_of,
    update,
)


def test_ids_of_every_type_are_paged_over_and_resumed(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """`$gt` keeps to one BSON type; the pages do not."""
    # No plain bytes: the stand-in, unlike MongoDB, keeps them and uuids in orders of their own.
    ids: list[Any] = [
        None, -5, 1.5, Decimal128("2"), Int64(2**60), "", "a", "B", {"a": 1}, {"a": 1, "b": 2},
        uuid.UUID(int=1), ObjectId("a" * 24), ObjectId("b" * 24), False, True,
        datetime(1960, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC),
    ]  # fmt: skip
    database.docs.insert_many([{"_id": each, "n": n} for n, each in enumerate(ids)])
    for batch_rows in (1, 2, 5, 100):
        spec = ReadSpec("docs", ("_id",), types_of({"n": "bigint"}), batch_rows=batch_rows)
        with mongo.read(spec, mode="full") as read:
            batches = list(read.batches())
        numbers = [n for batch in batches for n in batch.records["n"].to_pylist()]
        assert sorted(numbers) == list(range(len(ids)))
        count = 0
        for batch in batches:
            count += batch.records.num_rows
            rest, _ = read_all(mongo, spec, after=batch.position)
            assert [row["n"] for row in rest] == numbers[count:]


def test_pages_end_early_where_documents_are_large(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """`batch_bytes` bounds what is held at once, and nothing is skipped."""
    database.docs.insert_many([{"_id": n, "v": "x" * 1000} for n in range(12_000)])
    spec = source({"v": "text"}, batch_bytes=1 << 20)
    with mongo.read(spec, mode="full") as read:
        batches = [batch.records["_id"].to_pylist() for batch in read.batches()]
    assert len(batches) > 1
    assert [key for keys in batches for key in keys] == list(range(12_000))


def test_object_ids_are_found_and_written_by_their_hex(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Text keys meet ObjectIds; in a collection of ObjectIds new keys are ObjectIds too."""
    first, second = ObjectId(), ObjectId()
    database.docs.insert_one({"_id": first, "v": "x", "owner": ObjectId()})
    spec = target({"v": "text", "owner": "text"}, {"_id": "text"})
    assert update(mongo, spec, str(first), {"v": "y"}).landed.all()
    owner = str(ObjectId())
    written = insert(mongo, spec, (str(second), "z", owner), (str(first), "taken", owner))
    assert written.landed.tolist() == [True, False]
    documents = {d["_id"]: d for d in database.docs.find()}
    assert documents[first]["v"] == "y"
    assert documents[second] == {"_id": second, "v": "z", "owner": ObjectId(owner)}
    rows, _ = mongo.fetch(
        ReadSpec("docs", ("_id",), types_of({"_id": "text", "v": "text"})),
        pa.table({"_id": [str(second), "no id"]}),
    )
    assert rows.to_pylist() == [{"_id": str(second), "v": "z", "__row": 0}]


def test_texts_that_look_like_object_ids_stay_texts_elsewhere(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Only where the collection holds ObjectIds is a hex text written as one."""
    assert insert(mongo, target({}, {"_id": "text"}), ("a" * 24,)).landed.all()
    assert database.docs.find_one() == {"_id": "a" * 24}


def test_a_composite_id_is_a_document_of_fixed_order(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """`_id.x, _id.y` is written, found, updated, read and deleted as one subdocument."""
    spec = target({"v": "text"}, {"_id.region": "text", "_id.n": "bigint"})
    written = insert(mongo, spec, ("a", 1, "x"), ("a", 2, "y"), ("b", 1, "z"), ("a", 1, "again"))
    assert written.landed.tolist() == [True, True, True, False]
    assert list(database.docs.find_one({"v": "x"})["_id"].items()) == [("region", "a"), ("n", 1)]  # type: ignore[index]
    keys = table(target({}, {"_id.region": "text", "_id.n": "bigint"}), ("b", 1), ("a", 2))
    with mongo.begin(spec) as tx:
        current = tx.fetch(keys)
        assert current.rows["v"].to_pylist() == ["z", "y"]
        rows = current.rows.set_column(
            current.rows.column_names.index("v"), "v", pa.array(["Z", "Y"])
        )
        assert tx.update(rows, {"v": np.array([True, False])}, current).landed.all()
        assert tx.delete(keys.slice(1), Fetched(current.rows.slice(1))).landed.all()
        tx.commit()
    source = ReadSpec("docs", tuple(spec.key), {**spec.key, **spec.fields}, batch_rows=1)
    rows, _ = read_all(mongo, source)
    assert [(row["_id.region"], row["_id.n"], row["v"]) for row in rows] == [
        ("a", 1, "x"), ("b", 1, "Z"),
    ]  # fmt: skip
    assert sum(part.num_rows for part in mongo.keys(source)) == 2


def test_a_key_of_other_fields_gets_its_unique_index(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """The server's index, not a look beforehand, keeps the key unique; `_id` is left alone."""
    spec = target({"v": "text"}, {"user_id": "bigint"})
    assert insert(mongo, spec, (1, "a"), (2, "b")).landed.all()
    written = insert(mongo, spec, (2, "taken"), (3, "c"))
    assert (written.landed.tolist(), written.refused) == ([False, True], ())
    indexes = database.docs.index_information().values()
    assert [("user_id", 1)] in [index["key"] for index in indexes if index.get("unique")]
    assert all(isinstance(document["_id"], ObjectId) for document in database.docs.find())
    assert update(mongo, spec, 2, {"v": "B"}).landed.all()


def test_a_target_whose_key_is_not_unique_is_an_input_error(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Before the first write, with the field named."""
    database.docs.insert_many([{"user_id": 1}, {"user_id": 1}])
    with pytest.raises(InputError, match="user_id"):
        mongo.prepare(target({"v": "text"}, {"user_id": "bigint"}))


def test_another_unique_index_refuses_as_a_constraint(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A taken e-mail parks the record; the others of its batch land."""
    database.docs.create_index([("email", 1)], unique=True)
    spec = target({"email": "text"})
    written = insert(mongo, spec, (1, "a"), (2, "a"), (3, "c"))
    assert written.landed.tolist() == [True, False, True]
    assert [(r.row, r.kind) for r in written.refused] == [(1, "constraint")]
    changed = update(mongo, spec, 3, {"email": "a"})
    assert not changed.landed.any()
    assert [(r.row, r.kind) for r in changed.refused] == [(0, "constraint")]


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"a": "json", "a.b": "text"}, {"_id": "bigint"}), ({"a..b": "text"}, {"_id": "bigint"}),
        ({"$a": "text"}, {"_id": "bigint"}), ({"v": "text"}, {"_id.a": "text", "b": "text"}),
    ],
)  # fmt: skip
def test_paths_that_can_not_be_written_are_an_input_error(
    mongo: MongoEndpoint, fields: Mapping[str, str], key: Mapping[str, str]
) -> None:
    """Overlapping, empty and operator-like paths stop before the first write."""
    with pytest.raises(InputError):
        mongo.prepare(target(fields, key))
