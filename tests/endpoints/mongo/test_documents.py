"""MongoDB beyond the contract: what documents hold, described, read and written."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import bson
import pyarrow as pa
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from syncline.endpoints.base import TargetSpec
from syncline.endpoints.mongo import MongoEndpoint
from syncline.endpoints.mongo_connection import OPTIONS
from tests.endpoints.mongo.support import (
    Row,
    insert,
    read_all,
    source,
    target,
    types_of,
)


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
    rows, misfits = read_all(mongo, source({"v": type_}))
    assert [row["v"] for row in rows] == [None, None, None]
    assert [(row, field) for row, field, _ in misfits] == [(1, "v")]
    fetched, wrong = mongo.fetch(source({"v": type_}), pa.table({"_id": [2, 1]}))
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
    rows, misfits = read_all(mongo, source({"v": type_}))
    assert (rows, misfits) == ([{"_id": 1, "v": expected}], [])


def test_bytes_that_are_no_utf8_spoil_only_their_record(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A broken string is a misfit, as text and inside of json; the batch is read."""
    data = bytearray(bson.encode({"_id": 2, "v": "abcd", "d": {"v": "abcd"}}))
    broken = bytes(data.replace(b"abcd", b"a\xffcd"))
    database.docs.insert_many([{"_id": 1, "v": "ok"}, RawBSONDocument(broken)])  # type: ignore[list-item]
    rows, misfits = read_all(mongo, source({"v": "text", "d": "json"}))
    if rows[1]["v"] is not None:
        pytest.skip("this server replaces such bytes by itself")
    assert [row["v"] for row in rows] == ["ok", None]
    assert [(row, field) for row, field, _ in misfits] == [(1, "v"), (1, "d")]


def test_a_path_through_an_array_is_a_misfit(mongo: MongoEndpoint, database: Database[Row]) -> None:
    """`a.b` has no one value where `a` is an array; where `a` is null or missing it is NULL."""
    database.docs.insert_many(
        [{"_id": 1, "a": {"b": 5}}, {"_id": 2, "a": [{"b": 1}]}, {"_id": 3, "a": None}, {"_id": 4}]
    )
    rows, misfits = read_all(mongo, source({"a.b": "bigint"}))
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
    rows, misfits = read_all(mongo, source({"v": "json"}))
    assert misfits == []
    json.loads(rows[0]["v"])
    spec = TargetSpec("m", "copies", types_of({"_id": "bigint"}), types_of({"v": "json"}))
    assert insert(mongo, spec, (1, rows[0]["v"])).landed.all()
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
    assert insert(mongo, target({"v": type_}), (1, value)).landed.all()
    document = database.docs.find_one()
    assert document is not None
    assert document == {"_id": 1, "v": stored}
    assert isinstance(document["v"], type(stored))


def test_a_document_that_mongodb_would_not_store_is_refused_alone(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Too many digits, too deep, too large, a NUL in a name, finer than a ms: each by itself."""
    spec = target({"d": "decimal", "j": "json", "t": "text", "at": "timestamptz(3)"})
    deep = "[" * 101 + "]" * 101
    fine = datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    written = insert(
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
