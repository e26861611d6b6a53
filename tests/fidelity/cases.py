"""What each database can hold: its column types, and their edge values as its own users write them.

A value is an SQL literal (PostgreSQL: text that is cast to the column's type), or a BSON value.
"""

# ruff: noqa: E501 - one line a column

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson import Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS


@dataclass(frozen=True)
class Case:
    """A column of a source: its name, its native type, what family its values are of, and values.

    `narrow` is the type that a narrower target declares for it.
    """

    name: str
    native: str
    family: str
    values: Sequence[Any]
    narrow: str = ""


_TEXTS: Final = [
    "", " ", "trailing  ", "\ttab\r\nlines\n", "e\u0301 is NFD, \u00e9 is NFC", "\U0001f600 four bytes",
    "\U00020000", "' \" \\ ` %s %(x)s ? :x", "null", "NULL", "\u202eright to left", "\ufeffbom",
    "\u0001\u001f\u007f\u0085\u2028", "\ufffe\uffff", "x" * 5000,
]  # fmt: skip
_JSONS: Final = [
    "{}", "[]", "null", "true", "0", '""', '"text"', '{"b": 1, "a": {"c": [1, null, "x"]}}',
    '{"a": 1, "a": 2}', "123456789012345678901234567890", "0.1234567890123456789012345678901234567",
    "1e400", "1.10", "-0.0", '{"": 1}', '{"a.b": 1, "$c": 2}', r'"\u0041\ud83d\ude00"', r'"\u0000"',
    r'"\ud800"', '{"$date": "2024-01-01T00:00:00Z"}', '{"n": {"$numberDecimal": "1.50"}}',
    "[[[[[[[[[[1]]]]]]]]]]", "[" * 101 + "]" * 101,
]  # fmt: skip
_WHOLE: Final = ["0", "-1", "32767", "-32768", "32768", "2147483647", "-2147483648"]
_LONG: Final = [*_WHOLE, "9223372036854775807", "-9223372036854775808"]
_DAYS: Final = ["0001-01-01", "1582-10-10", "1969-12-31", "2024-02-29", "9999-12-31"]
_FLOATS: Final = ["0", "-0.0", "0.1", "1e-5", "123456.789", "3.4e38", "1e-38", "16777217"]
_DOUBLES: Final = [
    *_FLOATS, "0.30000000000000004", "1.7976931348623157e308", "5e-324", "9007199254740993", "1e100",
]  # fmt: skip
_DECIMALS: Final = ["0", "0.00", "-0.01", "1.10", "999999999999.99", "-999999999999.99"]
_WIDE: Final = [
    "0", "1.5000", "-12345678901234567890.123456789", "9" * 38, "9" * 39,
    "0.0000000000000000000000000000000001", "1E+3",
]  # fmt: skip
_UUIDS: Final = [
    "00000000-0000-0000-0000-000000000000",
    "01234567-89ab-cdef-0123-456789abcdef",
    "6f1e2d3c-4b5a-4978-8695-a4b3c2d1e0ff",
]


def _quoted(*texts: str) -> list[str]:
    return ["'" + text.replace("'", "''") + "'" for text in texts]


POSTGRES: Final = [
    Case("flag", "boolean", "number", ["true", "false"], "text"),
    Case("small", "smallint", "number", _WHOLE[:4], "bool"),
    Case("whole", "integer", "number", _WHOLE, "smallint"),
    Case("long_", "bigint", "number", _LONG, "double"),
    Case("oid_", "oid", "number", ["0", "4294967295"], "integer"),
    Case("real_", "real", "real", [*_FLOATS, "NaN", "Infinity", "-Infinity"], "decimal(12,3)"),
    Case("double_", "double precision", "double",
         [*_DOUBLES, "NaN", "Infinity", "-Infinity"], "real"),
    Case("dec_", "numeric(14,2)", "number", [*_DECIMALS, "NaN"], "decimal(6,1)"),
    Case("wide", "numeric", "number",
         [*_WIDE, "NaN", "Infinity", "1" * 120, "0." + "1" * 60], "decimal(38,10)"),
    Case("tens", "numeric(5,-2)", "number", ["12300", "9999900"], "integer"),
    Case("money_", "money", "number", ["0", "-1234.50", "92233720368547758.07"], "decimal(6,2)"),
    Case("text_", "text", "text", _TEXTS, "text(12)"),
    Case("char_", "char(5)", "text", ["", "ab", "abcde"], "text(3)"),
    Case("varchar_", "varchar(8)", "text", ["", "12345678", "a  "], "text(5)"),
    Case("bytes_", "bytea", "bytes", ["", r"\x00", r"\x00ff10", r"\xc3a9"], "text"),
    Case("date_", "date", "date",
         [*_DAYS, "10000-01-01", "0044-03-15 BC", "infinity", "-infinity"], "timestamp"),
    Case("time_", "time", "time",
         ["00:00", "23:59:59.999999", "12:30:00.5", "24:00:00"], "time(0)"),
    Case("timetz_", "timetz", "text", ["12:00:00+02", "23:59:59.999999-12:30", "24:00:00+00"]),
    Case("stamp", "timestamp", "stamp",
         ["0001-01-01", "1969-12-31 23:59:59.999999", "2024-01-01 12:30:00.123",
          "9999-12-31 23:59:59.999999", "10000-01-01", "0044-03-15 01:02:03 BC", "infinity"],
         "date"),
    Case("instant", "timestamptz", "instant",
         ["0001-01-01 00:00+00", "1969-12-31 23:59:59.999999+00", "2024-03-31 02:30+02",
          "2024-01-01 12:30:00.123+05:30", "9999-12-31 23:59:59.999999+00", "-infinity",
          "10000-01-01 00:00+00", "0044-03-15 01:02:03+00 BC"],
         "timestamptz(3)"),
    Case("interval_", "interval", "text", ["1 year 2 mons -3 days 04:05:06.789", "-1 s", "0"]),
    Case("uuid_", "uuid", "uuid", _UUIDS, "text(36)"),
    Case("json_", "json", "json", [*_JSONS, '{"b":1,"a":2}', ' { "a" : 1 } '], "text"),
    Case("jsonb_", "jsonb", "json",
         [v for v in _JSONS if v not in {r'"\u0000"', r'"\ud800"'}], "text"),
    Case("array_", "integer[]", "json", ["{}", "{1,NULL,-3}", "{{1,2},{3,4}}"], "text"),
    Case("bounds", "integer[]", "bounds", ["[0:1]={1,2}"]),
    Case("texts", "text[]", "json", ['{"a,b","",NULL,"NULL"}']),
    Case("enum_", "mood", "text", ["sad", "so so"], "text(3)"),
    Case("bit_", "bit(3)", "text", ["101"]),
    Case("varbit_", "bit varying", "text", ["", "10101"]),
    Case("inet_", "inet", "text", ["192.168.0.1", "10.0.0.0/8", "::1"]),
    Case("cidr_", "cidr", "text", ["10.0.0.0/8"]),
    Case("range_", "int4range", "text", ["[1,5)", "empty"]),
    Case("point_", "point", "text", ["(1.5,-2)"]),
]  # fmt: skip

MARIADB: Final = [
    Case("flag", "tinyint(1)", "number", ["0", "1", "2", "-1"], "text"),
    Case("tiny", "tinyint", "number", ["-128", "127"], "bool"),
    Case("utiny", "tinyint unsigned", "number", ["255"], "smallint"),
    Case("small", "smallint", "number", _WHOLE[:4], "bool"),
    Case("medium", "mediumint unsigned", "number", ["16777215"], "smallint"),
    Case("whole", "int", "number", _WHOLE, "smallint"),
    Case("uwhole", "int unsigned", "number", ["4294967295"], "integer"),
    Case("long_", "bigint", "number", _LONG, "double"),
    Case("ulong", "bigint unsigned", "number",
         ["0", "9223372036854775808", "18446744073709551615"], "bigint"),
    Case("year_", "year", "number", ["0", "1901", "2155"], "text"),
    Case("bit1", "bit(1)", "number", ["b'0'", "b'1'"]),
    Case("bit9", "bit(9)", "number", ["b'0'", "b'101010101'"]),
    Case("bit64", "bit(64)", "number", ["b'0'", "b'" + "1" * 64 + "'"]),
    Case("real_", "float", "real", _FLOATS, "decimal(12,3)"),
    Case("double_", "double", "double", _DOUBLES, "real"),
    Case("dec_", "decimal(14,2)", "number", _DECIMALS, "decimal(6,1)"),
    Case("wide", "decimal(65,10)", "number",
         ["0", "9" * 38, "9" * 55 + ".9999999999", "-0.0000000001"], "decimal(38,10)"),
    Case("text_", "longtext", "text", _quoted(*(t.replace("\\", "\\\\") for t in _TEXTS), "a\\0b"),
         "text(12)"),
    Case("char_", "char(5)", "text", _quoted("", "ab", "abcde"), "text(3)"),
    Case("varchar_", "varchar(8)", "text", _quoted("", "12345678", "a  "), "text(5)"),
    Case("latin", "varchar(8) character set latin1", "text", _quoted("é€")),
    Case("bytes_", "longblob", "bytes", ["''", "x'00'", "x'00ff10'", "x'c3a9'"], "text"),
    Case("binary_", "binary(3)", "bytes", ["x'00ff10'", "x'61'"]),
    Case("date_", "date", "date",
         _quoted(*_DAYS, "0000-00-00", "2024-00-00", "0000-01-01"), "timestamp"),
    Case("time_", "time(6)", "time",
         _quoted("00:00:00", "23:59:59.999999", "24:00:00", "-00:00:01", "838:59:59"), "time(0)"),
    Case("stamp", "datetime(6)", "stamp",
         _quoted("0001-01-01 00:00:00", "1969-12-31 23:59:59.999999", "2024-01-01 12:30:00.123",
                 "9999-12-31 23:59:59.999999", "0000-00-00 00:00:00", "2024-01-00 00:00:00"),
         "date"),
    Case("instant", "timestamp(6) null", "instant",
         _quoted("1970-01-01 00:00:01", "2024-03-31 02:30:00.000001", "2038-01-19 03:14:07",
                 "0000-00-00 00:00:00"), "timestamptz(3)"),
    Case("uuid_", "uuid", "uuid", _quoted(*_UUIDS), "text(36)"),
    Case("json_", "json", "json",
         _quoted(*(v.replace("\\", "\\\\") for v in [*_JSONS[:-1], "[" * 30 + "]" * 30]
                  if v != r'"\ud800"')), "text"),
    Case("enum_", "enum('sad','so so','')", "text", _quoted("sad", "so so", ""), "text(3)"),
    Case("set_", "set('a','b','c d')", "text", _quoted("", "a,c d", "b,a")),
    Case("inet_", "inet6", "text", _quoted("::1", "::ffff:192.168.0.1")),
    Case("point_", "point", "point", ["point(1.5, -2)"]),
]  # fmt: skip

SQLITE: Final = [
    Case("flag", "boolean", "number", ["0", "1", "2", "'x'"], "text"),
    Case("whole", "integer", "number", [*_LONG, "1.0", "1.5", "1e19", "'text'", "x'00'"],
         "smallint"),
    Case("double_", "double", "double", [*_DOUBLES, "9e999", "-9e999", "'text'", "12"], "real"),
    Case("numeric_", "numeric", "number", ["1", "1.5", "'1.10'", "12345678901234567890"]),
    Case("dec_", "decimal(14,2)", "number",
         ["0", "1.1", "'1.10'", "999999999999.99", "1.005", "1e15", "'x'", "9e999"], "decimal(6,1)"),
    Case("wide", "decimaltext", "number", [*_quoted(*_WIDE), "'NaN'"], "decimal(38,10)"),
    Case("text_", "text", "text", [*_quoted(*_TEXTS), "'a' || char(0) || 'b'", "12", "x'00'",
                                   "cast(x'ff41' as text)"], "text(12)"),
    Case("varchar_", "varchar(3)", "text", _quoted("", "longer than three"), "text(5)"),
    Case("bytes_", "blob", "bytes", ["x''", "x'00'", "x'00ff10'", "x'c3a9'", "'text'", "1"],
         "text"),
    Case("date_", "date", "date", [*_quoted(*_DAYS, "2024-02-30", "today"), "19000", "1.5"],
         "timestamp"),
    Case("time_", "time", "time",
         _quoted("00:00", "23:59:59.999999", "24:00:00", "12:00:00+02:00", "12:00:00.1234567"),
         "time(0)"),
    Case("stamp", "timestamp", "stamp",
         [*_quoted("0001-01-01", "2024-01-01 12:30", "2024-01-01T12:30:00.123456",
                   "2024-01-01 12:30:00.1234567", "2024-01-01 12:30:00+02:00",
                   "9999-12-31 23:59:59.999999", "noon"), "1700000000"], "date"),
    Case("instant", "timestamptz", "instant",
         _quoted("2024-01-01 12:30:00Z", "2024-01-01T12:30:00.123456+05:30", "2024-01-01 12:30:00",
                 "0001-01-01 00:00:00+14:00", "9999-12-31 23:59:59-12:00"), "timestamptz(3)"),
    Case("uuid_", "uuid", "uuid", _quoted(*_UUIDS, _UUIDS[1].upper(), "no uuid"), "text(36)"),
    Case("json_", "json", "json", [*_quoted(*_JSONS, "{", "NaN")], "text"),
    Case("bare", "", "text", ["'text'", "12", "1.5", "x'61'"]),
]  # fmt: skip

MONGO: Final = [
    Case("flag", "bool", "number", [True, False], "text"),
    Case("whole", "int", "number", [0, -1, 2**31 - 1, -(2**31)], "smallint"),
    Case("long_", "long", "number", [Int64(0), Int64(2**63 - 1), Int64(-(2**63))], "double"),
    Case("double_", "double", "double",
         [*map(float, _DOUBLES), float("nan"), float("inf"), float("-inf")], "real"),
    Case("dec_", "decimal", "number",
         [*map(Decimal128, ["0", "0.00", "-0", "1.10", "9" * 34, "1E+6144", "1E-6176",
                            "NaN", "Infinity", "-Infinity"])], "decimal(38,10)"),
    Case("mixed", "int|double", "number", [1, 2.5, Int64(2**53), 1e300]),
    Case("text_", "string", "text", [*_TEXTS, "a\0b", "a" * 24], "text(12)"),
    Case("bytes_", "binData", "bytes", [b"", b"\0", b"\0\xff\x10", b"\xc3\xa9"], "text"),
    Case("date_", "date", "instant",
         [dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(1969, 12, 31, 23, 59, 59, 999000, dt.UTC),
          dt.datetime(2024, 1, 1, 12, 30, tzinfo=dt.UTC),
          dt.datetime(9999, 12, 31, 23, 59, 59, 999000, dt.UTC)], "date"),
    Case("far", "date past 9999", "json",
         [DatetimeMS(253402300800000), DatetimeMS(-62135596800001)]),
    Case("uuid_", "uuid", "uuid", [uuid.UUID(v) for v in _UUIDS], "text(36)"),
    Case("oid", "objectId", "text", [ObjectId("0123456789abcdef01234567")], "text(24)"),
    Case("doc", "object", "json",
         [{}, {"b": 1, "a": [1, None, "x", {}]}, {"": 1}, {"n": Int64(2**60), "d": Decimal128("1.10")},
          {"at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}, {"o": ObjectId("0123456789abcdef01234567")},
          {"u": uuid.UUID(_UUIDS[1]), "b": b"\0\1"}, {"f": 0.1, "w": 2.0, "m": -0.0},
          {"x": float("nan"), "y": float("-inf")}, {"t": "a\0b"}], "text"),
    Case("array_", "array", "json", [[], [1, "a", None, [2]], [{"a": 1}, Decimal128("NaN")]], "text"),
    Case("regex", "regex", "json", [Regex("^a.*b$", "im")]),
    Case("code", "javascript", "json", [Code("return 1")]),
    Case("stamp", "timestamp", "json", [Timestamp(1700000000, 7)]),
    Case("ends", "minKey|maxKey", "json", [MinKey(), MaxKey()]),
]  # fmt: skip

CASES: Final = {"postgres": POSTGRES, "mariadb": MARIADB, "sqlite": SQLITE, "mongo": MONGO}
