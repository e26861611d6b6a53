"""MongoDB beyond the contract: documents, BSON types, keys, and writes that see every edit."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import bson
import numpy as np
import pyarrow as pa
import pymongo
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from syncline.endpoints.base import Comparison, Fetched, Range, ReadSpec, TargetSpec, Written
from syncline.endpoints.mongo import MongoEndpoint
from syncline.endpoints.mongo_connection import OPTIONS
from syncline.errors import CheckpointVoid, GuardStopped, InputError, Unreachable
from syncline.record import Type, parse_type

Row = dict[str, Any]


@pytest.fixture
def mongo(mongo_url: str) -> Iterator[MongoEndpoint]:
    """The endpoint, on an empty database."""
    endpoint = MongoEndpoint(mongo_url)
    yield endpoint
    endpoint.close()


@pytest.fixture
def database(mongo_url: str) -> Iterator[Database[Row]]:
    """The same database by the driver itself, for what other clients do."""
    client: pymongo.MongoClient[Row] = pymongo.MongoClient(mongo_url)
    yield client.get_default_database(codec_options=OPTIONS)
    client.close()


def _types(types: Mapping[str, str]) -> dict[str, Type]:
    return {name: parse_type(text) for name, text in types.items()}


def _source(columns: Mapping[str, str], key: str = "_id", **options: Any) -> ReadSpec:
    return ReadSpec("docs", (key,), {key: Type("bigint")} | _types(columns), **options)


def _read(mongo: MongoEndpoint, spec: ReadSpec, **options: Any) -> tuple[list[Row], list[Any]]:
    options.setdefault("mode", "full")
    rows: list[Row] = []
    misfits: list[Any] = []
    with mongo.read(spec, **options) as read:
        for batch in read.batches():
            misfits += [(len(rows) + m.row, m.field, m.reason) for m in batch.misfits]
            rows += batch.records.to_pylist()
    return rows, misfits


def _target(
    fields: Mapping[str, str], key: Mapping[str, str] | None = None, **options: Any
) -> TargetSpec:
    return TargetSpec("m", "docs", _types(key or {"_id": "bigint"}), _types(fields), **options)


def _table(spec: TargetSpec, *rows: tuple[Any, ...]) -> pa.Table:
    types = {**spec.key, **spec.fields}
    return pa.table(
        {
            name: pa.array([row[at] for row in rows], type_.arrow)
            for at, (name, type_) in enumerate(types.items())
        }
    )


def _insert(mongo: MongoEndpoint, spec: TargetSpec, *rows: tuple[Any, ...]) -> Written:
    mongo.prepare(spec)
    with mongo.begin(spec) as tx:
        written = tx.insert(_table(spec, *rows))
        tx.commit()
    return written


def _update(
    mongo: MongoEndpoint,
    spec: TargetSpec,
    key: Any,
    values: Mapping[str, Any],
    *,
    meanwhile: Callable[[], object] = lambda: None,
) -> Written:
    """Set values in one record; `meanwhile` runs between its fetch and its update."""
    names = list(spec.key)
    keys = pa.table({names[0]: pa.array([key], spec.key[names[0]].arrow)})
    with mongo.begin(spec) as tx:
        current = tx.fetch(keys)
        assert current.rows.num_rows == 1
        meanwhile()
        rows = current.rows
        for name, value in values.items():
            column = pa.array([value], spec.fields[name].arrow)
            rows = rows.set_column(rows.column_names.index(name), name, column)
        written = tx.update(rows, {name: np.array([True]) for name in values}, current)
        tx.commit()
    return written


# --- describing --------------------------------------------------------------------------------


def test_a_sample_tells_the_types_of_paths(mongo: MongoEndpoint, database: Database[Row]) -> None:
    """Every BSON type has its canonical one; what is mixed has one only if it is exact."""
    database.docs.insert_many([
        {"_id": 1, "int": 1, "long": Int64(2**40), "double": 0.5, "number": 1, "huge": 2**60,
         "decimal": Decimal128("1.5"), "money": 1, "text": "x",
         "date": datetime(2024, 1, 1, tzinfo=UTC), "flag": True,
         "uuid": uuid.uuid4(), "bytes": b"x", "oid": ObjectId(), "list": [1],
         "mixed": 1, "none": None, "other": Binary(b"x" * 16, 3)},
        {"_id": 2, "int": 2, "number": 0.5, "huge": 0.5, "money": Decimal128("0.1"), "mixed": "x",
         "address": {"city": "Bonn", "geo": {"lat": 1.5}, "a.b": 1, "$c": 2}},
    ])  # fmt: skip
    info = mongo.describe("docs")
    assert info is not None
    assert {name: str(column.type) for name, column in info.columns.items()} == {
        "_id": "bigint", "int": "bigint", "long": "bigint", "double": "double",
        "number": "double", "huge": "decimal", "decimal": "decimal", "money": "decimal",
        "text": "text", "date": "timestamptz(3)", "flag": "bool", "uuid": "uuid",
        "bytes": "bytes", "oid": "text", "list": "json", "mixed": "json", "none": "json",
        "other": "json", "address": "json", "address.city": "text", "address.geo": "json",
        "address.geo.lat": "double",
    }  # fmt: skip
    assert info.columns["oid"].native == "objectId"
    assert info.columns["mixed"].native == "int|string"
    assert info.primary_key == ("_id",)
    assert info.open_columns
    assert info.row_estimate == 2


def test_the_sample_looks_at_both_ends(mongo: MongoEndpoint, database: Database[Row]) -> None:
    """A field that only the newest documents have is found."""
    database.docs.insert_many([{"_id": n} for n in range(999)])
    database.docs.insert_one({"_id": 1000, "late": "x"})
    info = mongo.describe("docs")
    assert info is not None
    assert "late" in info.columns


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (1.7, "bigint"), ("5", "bigint"), (True, "bigint"), (2**40, "integer"), (1, "text"),
        (Decimal128("1.005"), "decimal(14,2)"), (Decimal128("NaN"), "decimal(14,2)"), ("x", "uuid"),
        (Int64(2**53 + 1), "double"), (Decimal128("0.1"), "double"), (0, "bool"), ("x", "bytes"),
        (Binary(b"x" * 16, 3), "bytes"), (DatetimeMS(2**60), "timestamptz(3)"), ([1], "bigint"),
        ({"a": 1}, "text"), ("2024-01-01", "timestamptz(3)"), ("yesterday", "date"),
        (datetime(2024, 1, 1, 1, tzinfo=UTC), "date"),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_does_not_fit_its_declared_type_is_a_misfit(
    mongo: MongoEndpoint, database: Database[Row], value: object, type_: str
) -> None:
    """It is never rounded, never guessed, never a silent NULL; its neighbours are read."""
    database.docs.insert_many([{"_id": 1}, {"_id": 2, "v": value}, {"_id": 3, "v": None}])
    rows, misfits = _read(mongo, _source({"v": type_}))
    assert [row["v"] for row in rows] == [None, None, None]
    assert [(row, field) for row, field, _ in misfits] == [(1, "v")]
    fetched, wrong = mongo.fetch(_source({"v": type_}), pa.table({"_id": [2, 1]}))
    assert fetched["__row"].to_pylist() == [0, 1]
    assert [(misfit.row, misfit.field) for misfit in wrong] == [(0, "v")]


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        (1.0, "bigint", 1), (Decimal128("7"), "bigint", 7), (Int64(2**62), "bigint", 2**62),
        (1, "double", 1.0), (Decimal128("0.5"), "double", 0.5), (1, "decimal(14,2)", Decimal(1)),
        (0.1, "decimal", "0.1"), (Decimal128("1E+3"), "decimal", "1000"),
        (ObjectId("a" * 24), "text", "a" * 24), (uuid.UUID(int=1), "uuid", str(uuid.UUID(int=1))),
        (datetime(2024, 1, 1, tzinfo=UTC), "timestamp", datetime(2024, 1, 1)),  # noqa: DTZ001
        ("2024-01-01T00:00:00.000001+00:00", "timestamptz",
         datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        ("x", "json", '"x"'), (None, "json", None),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_fits_exactly_is_read_as_its_declared_type(
    mongo: MongoEndpoint, database: Database[Row], value: object, type_: str, expected: object
) -> None:
    """Another BSON type with the same value is that value."""
    database.docs.insert_one({"_id": 1, "v": value})
    rows, misfits = _read(mongo, _source({"v": type_}))
    assert (rows, misfits) == ([{"_id": 1, "v": expected}], [])


def test_bytes_that_are_no_utf8_spoil_only_their_record(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A broken string is a misfit, as text and inside of json; the batch is read."""
    data = bytearray(bson.encode({"_id": 2, "v": "abcd", "d": {"v": "abcd"}}))
    broken = bytes(data.replace(b"abcd", b"a\xffcd"))
    database.docs.insert_many([{"_id": 1, "v": "ok"}, RawBSONDocument(broken)])  # type: ignore[list-item]
    rows, misfits = _read(mongo, _source({"v": "text", "d": "json"}))
    if rows[1]["v"] is not None:
        pytest.skip("this server replaces such bytes by itself")
    assert [row["v"] for row in rows] == ["ok", None]
    assert [(row, field) for row, field, _ in misfits] == [(1, "v"), (1, "d")]


def test_a_path_through_an_array_is_a_misfit(mongo: MongoEndpoint, database: Database[Row]) -> None:
    """`a.b` has no one value where `a` is an array; where `a` is null or missing it is NULL."""
    database.docs.insert_many(
        [{"_id": 1, "a": {"b": 5}}, {"_id": 2, "a": [{"b": 1}]}, {"_id": 3, "a": None}, {"_id": 4}]
    )
    rows, misfits = _read(mongo, _source({"a.b": "bigint"}))
    assert [row["a.b"] for row in rows] == [5, None, None, None]
    assert [(row, field) for row, field, _ in misfits] == [(1, "a.b")]


def test_documents_survive_json_and_back(mongo: MongoEndpoint, database: Database[Row]) -> None:
    """Read as json text and written from it, a document is the same BSON, types and all."""
    document: Row = {
        "int": 1, "long": Int64(2**60), "whole double": 1.0, "double": 0.1, "nan": float("nan"),
        "decimal": Decimal128("1.00"), "big decimal": Decimal128("12345678901234567890123.45"),
        "date": datetime(2024, 1, 1, 1, 2, 3, 4000, tzinfo=UTC),
        "old": datetime(1, 1, 1, tzinfo=UTC),
        "far": DatetimeMS(2**60), "oid": ObjectId("a" * 24), "bytes": b"\x00\xff",
        "binary": Binary(b"x" * 16, 3), "uuid": uuid.UUID(int=7), "list": [1, None, [True, {}]],
        "regex": Regex("a.*", "i"), "timestamp": Timestamp(1, 2), "text": 'ü"\\\x00\n😀', "": 1,
        "inner": {"b": 1, "a": {"$date": "no date"}, "x.y": 1},
    }  # fmt: skip
    database.docs.insert_one({"_id": 1, "v": document})
    rows, misfits = _read(mongo, _source({"v": "json"}))
    assert misfits == []
    json.loads(rows[0]["v"])
    spec = TargetSpec("m", "copies", _types({"_id": "bigint"}), _types({"v": "json"}))
    assert _insert(mongo, spec, (1, rows[0]["v"])).landed.all()
    original, copy = database.docs.find_one(), database.copies.find_one()
    assert original is not None
    assert copy is not None
    assert bson.encode(copy["v"], codec_options=OPTIONS) == bson.encode(
        original["v"], codec_options=OPTIONS
    )


@pytest.mark.parametrize(
    ("type_", "value", "stored"),
    [
        ("decimal", "12" * 17, Decimal128("12" * 17)),
        ("timestamptz(3)", datetime(2024, 1, 1, 0, 0, 0, 1000, tzinfo=UTC),
         datetime(2024, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)),
        ("timestamptz", datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01T00:00:00.000000+00:00"),
        ("uuid", str(uuid.UUID(int=9)), uuid.UUID(int=9)), ("bytes", b"\x00", b"\x00"),
        ("json", '{"b": [1, 2.5], "a": {"$oid": "bbbbbbbbbbbbbbbbbbbbbbbb"}}',
         {"b": [1, 2.5], "a": ObjectId("b" * 24)}),
        ("bool", True, True), ("bigint", 2**62, 2**62), ("double", 1.0, 1.0),
    ],
    ids=str,
)  # fmt: skip
def test_canonical_types_are_stored_as_their_bson_type(
    mongo: MongoEndpoint, database: Database[Row], type_: str, value: object, stored: object
) -> None:
    """What a field holds is of the BSON type that DESIGN section 7 names."""
    assert _insert(mongo, _target({"v": type_}), (1, value)).landed.all()
    document = database.docs.find_one()
    assert document is not None
    assert document == {"_id": 1, "v": stored}
    assert isinstance(document["v"], type(stored))


def test_a_document_that_mongodb_would_not_store_is_refused_alone(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Too many digits, too deep, too large, a NUL in a name, finer than a ms: each by itself."""
    spec = _target({"d": "decimal", "j": "json", "t": "text", "at": "timestamptz(3)"})
    deep = "[" * 101 + "]" * 101
    fine = datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    written = _insert(
        mongo, spec,
        (1, "1" * 35, None, None, None), (2, None, deep, None, None),
        (3, None, None, "x" * (17 << 20), None), (4, None, '{"a\\u0000b": 1}', None, None),
        (5, None, None, None, fine), (6, "1", "[]", "x", None), (None, "1", "[]", "x", None),
        (8, None, '{"n": 1e9999}', None, None),
    )  # fmt: skip
    assert written.landed.tolist() == [False] * 5 + [True, False, False]
    assert [(r.row, r.kind) for r in written.refused] == [
        (row, "value") for row in (0, 1, 2, 3, 4, 6, 7)
    ]
    assert [document["_id"] for document in database.docs.find()] == [6]


# --- keys --------------------------------------------------------------------------------------


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
        spec = ReadSpec("docs", ("_id",), _types({"n": "bigint"}), batch_rows=batch_rows)
        with mongo.read(spec, mode="full") as read:
            batches = list(read.batches())
        numbers = [n for batch in batches for n in batch.records["n"].to_pylist()]
        assert sorted(numbers) == list(range(len(ids)))
        count = 0
        for batch in batches:
            count += batch.records.num_rows
            rest, _ = _read(mongo, spec, after=batch.position)
            assert [row["n"] for row in rest] == numbers[count:]


def test_pages_end_early_where_documents_are_large(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """`batch_bytes` bounds what is held at once, and nothing is skipped."""
    database.docs.insert_many([{"_id": n, "v": "x" * 1000} for n in range(12_000)])
    spec = _source({"v": "text"}, batch_bytes=1 << 20)
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
    spec = _target({"v": "text", "owner": "text"}, {"_id": "text"})
    assert _update(mongo, spec, str(first), {"v": "y"}).landed.all()
    owner = str(ObjectId())
    written = _insert(mongo, spec, (str(second), "z", owner), (str(first), "taken", owner))
    assert written.landed.tolist() == [True, False]
    documents = {d["_id"]: d for d in database.docs.find()}
    assert documents[first]["v"] == "y"
    assert documents[second] == {"_id": second, "v": "z", "owner": ObjectId(owner)}
    rows, _ = mongo.fetch(
        ReadSpec("docs", ("_id",), _types({"_id": "text", "v": "text"})),
        pa.table({"_id": [str(second), "no id"]}),
    )
    assert rows.to_pylist() == [{"_id": str(second), "v": "z", "__row": 0}]


def test_texts_that_look_like_object_ids_stay_texts_elsewhere(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Only where the collection holds ObjectIds is a hex text written as one."""
    assert _insert(mongo, _target({}, {"_id": "text"}), ("a" * 24,)).landed.all()
    assert database.docs.find_one() == {"_id": "a" * 24}


def test_a_composite_id_is_a_document_of_fixed_order(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """`_id.x, _id.y` is written, found, updated, read and deleted as one subdocument."""
    spec = _target({"v": "text"}, {"_id.region": "text", "_id.n": "bigint"})
    written = _insert(mongo, spec, ("a", 1, "x"), ("a", 2, "y"), ("b", 1, "z"), ("a", 1, "again"))
    assert written.landed.tolist() == [True, True, True, False]
    assert list(database.docs.find_one({"v": "x"})["_id"].items()) == [("region", "a"), ("n", 1)]  # type: ignore[index]
    keys = _table(_target({}, {"_id.region": "text", "_id.n": "bigint"}), ("b", 1), ("a", 2))
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
    rows, _ = _read(mongo, source)
    assert [(row["_id.region"], row["_id.n"], row["v"]) for row in rows] == [
        ("a", 1, "x"), ("b", 1, "Z"),
    ]  # fmt: skip
    assert sum(part.num_rows for part in mongo.keys(source)) == 2


def test_a_key_of_other_fields_gets_its_unique_index(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """The server's index, not a look beforehand, keeps the key unique; `_id` is left alone."""
    spec = _target({"v": "text"}, {"user_id": "bigint"})
    assert _insert(mongo, spec, (1, "a"), (2, "b")).landed.all()
    written = _insert(mongo, spec, (2, "taken"), (3, "c"))
    assert (written.landed.tolist(), written.refused) == ([False, True], ())
    indexes = database.docs.index_information().values()
    assert [("user_id", 1)] in [index["key"] for index in indexes if index.get("unique")]
    assert all(isinstance(document["_id"], ObjectId) for document in database.docs.find())
    assert _update(mongo, spec, 2, {"v": "B"}).landed.all()


def test_a_target_whose_key_is_not_unique_is_an_input_error(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Before the first write, with the field named."""
    database.docs.insert_many([{"user_id": 1}, {"user_id": 1}])
    with pytest.raises(InputError, match="user_id"):
        mongo.prepare(_target({"v": "text"}, {"user_id": "bigint"}))


def test_another_unique_index_refuses_as_a_constraint(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A taken e-mail parks the record; the others of its batch land."""
    database.docs.create_index([("email", 1)], unique=True)
    spec = _target({"email": "text"})
    written = _insert(mongo, spec, (1, "a"), (2, "a"), (3, "c"))
    assert written.landed.tolist() == [True, False, True]
    assert [(r.row, r.kind) for r in written.refused] == [(1, "constraint")]
    changed = _update(mongo, spec, 3, {"email": "a"})
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
        mongo.prepare(_target(fields, key))


# --- conditional writes ------------------------------------------------------------------------

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
    spec = _target({"v": "json", "w.x": "bigint", "note": "text"})
    mongo.prepare(spec)
    database.docs.insert_one({"_id": 1, **before, "note": "n"})
    written = _update(
        mongo, spec, 1, {"note": "ours"},
        meanwhile=lambda: database.docs.update_one({"_id": 1}, change),
    )  # fmt: skip
    assert (written.landed.tolist(), written.refused) == ([False], ())
    with mongo.begin(spec) as tx:
        current = tx.fetch(pa.table({"_id": [1]}))
        database.docs.replace_one({"_id": 1}, {**before, "note": "n"})
        assert not tx.delete(pa.table({"_id": [1]}), current).landed.any()
    assert _update(mongo, spec, 1, {"note": "ours"}).landed.all()


def test_an_edit_of_a_field_that_is_not_mapped_does_not_matter(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """The record is key and mapped fields; the rest of a document is the application's."""
    spec = _target({"a.b": "bigint"})
    _insert(mongo, spec, (1, 1))
    written = _update(
        mongo, spec, 1, {"a.b": 2},
        meanwhile=lambda: database.docs.update_one({"_id": 1}, {"$set": {"a.c": 5, "d": [1]}}),
    )  # fmt: skip
    assert written.landed.all()
    assert database.docs.find_one() == {"_id": 1, "a": {"b": 2, "c": 5}, "d": [1]}


def test_a_path_below_a_text_is_refused(mongo: MongoEndpoint, database: Database[Row]) -> None:
    """Where the parent holds something else nothing is overwritten."""
    spec = _target({"a.b": "bigint"})
    mongo.prepare(spec)
    database.docs.insert_one({"_id": 1, "a": "text"})
    written = _update(mongo, spec, 1, {"a.b": 2})
    assert [(r.row, r.kind) for r in written.refused] == [(0, "value")]
    assert database.docs.find_one() == {"_id": 1, "a": "text"}


def test_a_row_in_which_no_field_moved_is_left_as_it_is(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """An update with nothing to set is no error and writes nothing."""
    spec = _target({"v": "bigint"})
    _insert(mongo, spec, (1, 1), (2, 2))
    with mongo.begin(spec) as tx:
        current = tx.fetch(pa.table({"_id": [1, 2]}))
        rows = _table(spec, (1, 10), (2, 20))
        assert tx.update(rows, {"v": np.array([False, True])}, current).landed.all()
        tx.commit()
    assert {d["_id"]: d["v"] for d in database.docs.find()} == {1: 1, 2: 20}


@pytest.mark.parametrize("store_nulls", [True, False])
def test_null_is_stored_by_the_mappings_policy(
    mongo: MongoEndpoint, database: Database[Row], store_nulls: bool
) -> None:
    """As null or as nothing; the other of the two is a misfit: the mapping did not write it."""
    spec = _target({"a.b": "text", "c": "text"}, store_nulls=store_nulls)
    assert _insert(mongo, spec, (1, None, "x")).landed.all()
    assert _update(mongo, spec, 1, {"c": None}).landed.all()
    nulls = {"_id": 1, "a": {"b": None}, "c": None}
    stored = database.docs.find_one()
    assert stored == (nulls if store_nulls else {"_id": 1})
    with mongo.begin(spec, write=False) as tx:
        assert tx.fetch(pa.table({"_id": [1]})).misfits == ()
        database.docs.replace_one({"_id": 1}, {} if store_nulls else nulls)
        wrong = tx.fetch(pa.table({"_id": [1]})).misfits
    assert {misfit.field for misfit in wrong} == {"a.b", "c"}


# --- deltas ------------------------------------------------------------------------------------


def test_a_delta_by_date_reads_the_margin_again_and_all_without_a_date(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Null, missing and mistyped cursors are read every time; old dates are not."""
    now = datetime.now(UTC).replace(microsecond=0)
    database.docs.insert_many([
        {"_id": 1, "at": now - timedelta(days=1)}, {"_id": 2, "at": None}, {"_id": 3},
        {"_id": 4, "at": "2024-01-01"}, {"_id": 5, "at": [now]}, {"_id": 6, "at": now},
    ])  # fmt: skip
    spec = _source({"at": "timestamptz(3)"}, by="timestamp", cursor="at", batch_rows=2)
    with mongo.read(spec, mode="full") as read:
        horizon = read.horizon
        assert read.guarantee.level == "bounded"
        assert sum(batch.records.num_rows for batch in read.batches()) == 6
    rows, misfits = _read(mongo, spec, mode="delta", since=horizon)
    assert sorted(row["_id"] for row in rows) == [2, 3, 4, 5, 6]
    assert {field for _, field, _ in misfits} == {"at"}
    assert len(misfits) == 2


def test_a_delta_by_number_goes_from_the_largest_seen(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A version counter is a cursor too; its horizon is inclusive and never goes back."""
    database.docs.insert_many([{"_id": n, "version": n} for n in range(5)])
    spec = _source({"version": "bigint"}, by="timestamp", cursor="version")
    with mongo.read(spec, mode="full") as read:
        first = read.horizon
    database.docs.insert_one({"_id": 9, "version": 9})
    rows, _ = _read(mongo, spec, mode="delta", since=first)
    assert [row["_id"] for row in rows] == [4, 9]
    with mongo.read(spec, mode="delta", since=first) as read:
        second = read.horizon
    database.docs.delete_one({"_id": 9})
    with mongo.read(spec, mode="delta", since=second) as read:
        assert read.horizon == second


def test_a_clock_that_went_back_stops_the_delta(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A checkpoint from the future means another or a restored server."""
    database.docs.insert_one({"_id": 1, "at": datetime.now(UTC)})
    spec = _source({"at": "timestamptz(3)"}, by="timestamp", cursor="at")
    with mongo.read(spec, mode="full") as read:
        facts = json.loads(read.horizon)
    future = bson.json_util.dumps(
        datetime.now(UTC) + timedelta(hours=1), json_options=bson.json_util.CANONICAL_JSON_OPTIONS
    )
    with pytest.raises(GuardStopped) as stopped:
        _read(mongo, spec, mode="delta", since=json.dumps({**facts, "at": future}))
    assert stopped.value.reason == "other-database"


def test_a_checkpoint_of_another_cursor_or_collection_is_void(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A delta goes on only by what it was begun with."""
    database.docs.insert_one({"_id": 1, "a": 1, "b": 1})
    by_a, by_b = (_source({n: "bigint"}, by="timestamp", cursor=n) for n in "ab")
    with mongo.read(by_a, mode="full") as read:
        horizon = read.horizon
    with pytest.raises(CheckpointVoid):
        _read(mongo, by_b, mode="delta", since=horizon)
    facts = {**json.loads(horizon), "identity": {"uuid": "another"}}
    with pytest.raises(CheckpointVoid):
        _read(mongo, by_a, mode="delta", since=json.dumps(facts))


def test_a_backfill_compares_as_the_column_is_stored(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Bounds of ObjectIds, dates and numbers are of the column's BSON type."""
    ids = [ObjectId.from_datetime(datetime(2024, 1, day, tzinfo=UTC)) for day in range(1, 6)]
    database.docs.insert_many([
        {"_id": each, "at": datetime(2024, 1, n + 1, tzinfo=UTC), "n": n}
        for n, each in enumerate(ids)
    ])  # fmt: skip
    columns = _types({"_id": "text", "n": "bigint", "at": "date"})
    spec = ReadSpec("docs", ("_id",), columns, cursor="at")
    rows, _ = _read(mongo, spec, mode="backfill", window=Range("key", str(ids[1]), str(ids[3])))
    assert [row["n"] for row in rows] == [1, 2]
    window = Range("cursor", "2024-01-02", "2024-01-04")
    rows, _ = _read(mongo, spec, mode="backfill", window=window)
    assert [row["n"] for row in rows] == [1, 2]


def test_a_filter_leaves_what_is_no_number_to_the_engine(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A text where a number is declared must reach the dead letters, not vanish."""
    database.docs.insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": 9}, {"_id": 3, "n": "9"}])
    spec = _source({"n": "bigint"}, filters=(Comparison("n", ">", 5),))
    rows, misfits = _read(mongo, spec)
    assert [row["_id"] for row in rows] == [2, 3]
    assert [(row, field) for row, field, _ in misfits] == [(1, "n")]


# --- connecting --------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_unreachable() -> None:
    """Within the connect timeout, as an error that may pass, without the password."""
    endpoint = MongoEndpoint("mongodb://user:canary@127.0.0.1:1/x", connect_timeout=0.2)
    with pytest.raises(Unreachable) as failure:
        endpoint.tables()
    assert "canary" not in str(failure.value)
    assert "canary" not in repr(endpoint)
    endpoint.close()


@pytest.mark.parametrize(
    "url",
    ["mongodb://h/", "mongodb://u:canary@h:x/db", "mongodb://u:can:ary@h/db", "canary://h/db"],
)
def test_a_url_that_is_wrong_is_an_input_error_without_its_password(url: str) -> None:
    """The driver's words may repeat the URL; ours do not."""
    with pytest.raises(InputError) as failure:
        MongoEndpoint(url)
    assert "canary" not in f"{failure.value!r} {failure.value.__cause__!r}"


def test_tls_is_asked_for_except_on_this_machine() -> None:
    """Verified by default; off and unverified only where it is said."""

    def options(url: str, **more: Any) -> tuple[bool, bool]:
        endpoint = MongoEndpoint(url, **more)
        told = endpoint._connection.client.options.pool_options._ssl_context
        endpoint.close()
        return told is not None, told is not None and told.verify_mode != 0

    assert options("mongodb://db.example.com/x") == (True, True)
    assert options("mongodb://127.0.0.1/x") == (False, False)
    assert options("mongodb://db.example.com/x?tls=false") == (False, False)
    assert options("mongodb://db.example.com/x", tls="require") == (True, False)
    assert options("mongodb://db.example.com/x", tls="off") == (False, False)
