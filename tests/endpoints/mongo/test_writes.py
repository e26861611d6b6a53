"""MongoDB's writes are conditional: every edit between fetch and write is seen."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pymongo.database import Database

from syncline.endpoints.mongo import MongoEndpoint
from tests.endpoints.mongo.support import (
    Row,
    insert,
    table,
    target,
    update,
)

EDITS: dict[str, tuple[Row, Row]] = {
    "null becomes missing": ({"v": None}, {"$unset": {"v": ""}}),
    "missing becomes null": ({}, {"$set": {"v": None}}),
    "a value becomes an array of it": ({"v": 1}, {"$set": {"v": [1]}}),
    "an array is put into an array": ({"v": [1]}, {"$set": {"v": [[1]]}}),
    "an array loses its order": ({"v": [1, 2]}, {"$set": {"v": [2, 1]}}),
    "a number becomes a text": ({"v": 1}, {"$set": {"v": "1"}}),
    "null becomes an array of null": ({"v": None}, {"$set": {"v": [None]}}),
    "a field is added inside": ({"v": {"a": 1}}, {"$set": {"v.b": 1}}),
    "the order of fields changes": ({"v": {"a": 1, "b": 2}}, {"$set": {"v": {"b": 2, "a": 1}}}),
    "a nested field moves": ({"w": {"x": 1}}, {"$set": {"w.x": 2}}),
    "a misfit moves": ({"w": {"x": "text"}}, {"$set": {"w.x": "other"}}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_between_fetch_and_write_is_seen(
    mongo: MongoEndpoint, database: Database[Row], edit: str
) -> None:
    """The write compares what was seen by type and by presence; the delete does too."""
    before, change = EDITS[edit]
    spec = target({"v": "json", "w.x": "bigint", "note": "text"})
    mongo.prepare(spec)
    database.docs.insert_one({"_id": 1, **before, "note": "n"})
    written = update(
        mongo, spec, 1, {"note": "ours"},
        meanwhile=lambda: database.docs.update_one({"_id": 1}, change),
    )  # fmt: skip
    assert (written.landed.tolist(), written.refused) == ([False], ())
    with mongo.begin(spec) as tx:
        current = tx.fetch(pa.table({"_id": [1]}))
        database.docs.replace_one({"_id": 1}, {**before, "note": "n"})
        assert not tx.delete(pa.table({"_id": [1]}), current).landed.any()
    assert update(mongo, spec, 1, {"note": "ours"}).landed.all()


def test_an_edit_of_a_field_that_is_not_mapped_does_not_matter(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """The record is key and mapped fields; the rest of a document is the application's."""
    spec = target({"a.b": "bigint"})
    insert(mongo, spec, (1, 1))
    written = update(
        mongo, spec, 1, {"a.b": 2},
        meanwhile=lambda: database.docs.update_one({"_id": 1}, {"$set": {"a.c": 5, "d": [1]}}),
    )  # fmt: skip
    assert written.landed.all()
    assert database.docs.find_one() == {"_id": 1, "a": {"b": 2, "c": 5}, "d": [1]}


def test_a_path_below_a_text_is_refused(mongo: MongoEndpoint, database: Database[Row]) -> None:
    """Where the parent holds something else nothing is overwritten."""
    spec = target({"a.b": "bigint"})
    mongo.prepare(spec)
    database.docs.insert_one({"_id": 1, "a": "text"})
    written = update(mongo, spec, 1, {"a.b": 2})
    assert [(r.row, r.kind) for r in written.refused] == [(0, "value")]
    assert database.docs.find_one() == {"_id": 1, "a": "text"}


def test_a_row_in_which_no_field_moved_is_left_as_it_is(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """An update with nothing to set is no error and writes nothing."""
    spec = target({"v": "bigint"})
    insert(mongo, spec, (1, 1), (2, 2))
    with mongo.begin(spec) as tx:
        current = tx.fetch(pa.table({"_id": [1, 2]}))
        rows = table(spec, (1, 10), (2, 20))
        assert tx.update(rows, {"v": np.array([False, True])}, current).landed.all()
        tx.commit()
    assert {d["_id"]: d["v"] for d in database.docs.find()} == {1: 1, 2: 20}


@pytest.mark.parametrize("store_nulls", [True, False])
def test_null_is_stored_by_the_mappings_policy(
    mongo: MongoEndpoint, database: Database[Row], store_nulls: bool
) -> None:
    """As null or as nothing; the other of the two is a misfit: the mapping did not write it."""
    spec = target({"a.b": "text", "c": "text"}, store_nulls=store_nulls)
    assert insert(mongo, spec, (1, None, "x")).landed.all()
    assert update(mongo, spec, 1, {"c": None}).landed.all()
    nulls = {"_id": 1, "a": {"b": None}, "c": None}
    stored = database.docs.find_one()
    assert stored == (nulls if store_nulls else {"_id": 1})
    with mongo.begin(spec, write=False) as tx:
        assert tx.fetch(pa.table({"_id": [1]})).misfits == ()
        database.docs.replace_one({"_id": 1}, {} if store_nulls else nulls)
        wrong = tx.fetch(pa.table({"_id": [1]})).misfits
    assert {misfit.field for misfit in wrong} == {"a.b", "c"}
