"""MySQL's and MariaDB's types; what of a value they would change in silence is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from syncline.endpoints.base import Column
from syncline.endpoints.sql_values import Array, Bound, Field, bind_values, longer, not_finite
from syncline.errors import InputError
from syncline.record import Type, canonical_decimal

_NATIVE: Final = re.compile(r"([a-z0-9_]+)(?:\((.*)\))?(.*)", re.DOTALL)
_PLAIN: Final = {
    "smallint": "smallint", "mediumint": "integer", "int": "integer", "bigint": "bigint",
    "year": "smallint", "float": "real", "double": "double",
    "date": "date", "uuid": "uuid", "json": "json",
    "tinytext": "text", "text": "text", "mediumtext": "text", "longtext": "text",
    "enum": "text", "set": "text",
    "binary": "bytes", "varbinary": "bytes",
    "tinyblob": "bytes", "blob": "bytes", "mediumblob": "bytes", "longblob": "bytes",
}  # fmt: skip
_UNSIGNED: Final = {"smallint": "integer", "mediumint": "integer", "int": "bigint"}
_TIMES: Final = {"time": "time", "datetime": "timestamp", "timestamp": "timestamptz"}
_CREATED: Final = {
    "bool": "TINYINT(1)", "smallint": "SMALLINT", "integer": "INT", "bigint": "BIGINT",
    "real": "FLOAT", "double": "DOUBLE", "date": "DATE", "json": "JSON",
}  # fmt: skip
_SPATIAL: Final = {
    "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
    "geometrycollection", "geomcollection",
}  # fmt: skip
_WIDEST: Final = 38
_DECIMAL_DIGITS: Final = 65
_DECIMAL_SCALE: Final = 30
_SHORT: Final = 255
"""The longest text or bytes kept in the row; longer ones are LONGTEXT and LONGBLOB."""
_YEARS: Final = range(1901, 2156)
_NOT_FINITE: Final = "is NaN or infinite, which MySQL and MariaDB can't hold"


def parts(native: str) -> tuple[str, str, str]:
    """Give a type's name, what stands in its brackets, and what follows them."""
    match = _NATIVE.fullmatch(native)
    return (
        (match[1].lower(), match[2] or "", match[3].lower()) if match else (native.lower(), "", "")
    )


def column_type(native: str, *, is_json: bool) -> tuple[Type, bool]:  # noqa: PLR0911 - a table
    """Give the canonical type of a native one, and whether it has none (it is read as text)."""
    name, inside, rest = parts(native)
    if is_json:
        return Type("json"), False
    unsigned = "unsigned" in rest
    match name:
        case "tinyint":
            return Type("bool" if inside == "1" and not unsigned else "smallint"), False
        case "bigint" if unsigned:
            return Type("decimal", 20, 0), False
        case "bit":
            return _bits(int(inside or 1)), False
        case "decimal":
            return _decimal(inside), False
        case "time" | "datetime" | "timestamp":
            digits = int(inside or 0)
            return Type(_TIMES[name], None if digits == 6 else digits), False  # noqa: PLR2004 - microseconds
        case "char" | "varchar":
            return Type("text", int(inside or 1)), False
        case _ if unsigned and name in _UNSIGNED:
            return Type(_UNSIGNED[name]), False
        case _ if name in _PLAIN:
            return Type(_PLAIN[name]), False
        case _:
            return Type("text"), True


def _bits(count: int) -> Type:
    if count == 1:
        return Type("bool")
    return Type("bigint") if count < 64 else Type("decimal", 20, 0)  # noqa: PLR2004 - bits of a bigint


def _decimal(inside: str) -> Type:
    precision, _, scale = inside.partition(",")
    wide = not precision or int(precision) > _WIDEST
    return Type("decimal") if wide else Type("decimal", int(precision), int(scale or 0))


def rewrites(native: str, *, is_json: bool) -> bool:
    """Whether the type may store another value than it is given.

    Sets in order, rounded or short numbers.
    """
    name, inside, _ = parts(native)
    if name in {"float", "double"}:
        return bool(inside)
    return name in {"set", "inet4", "inet6"} or (name == "json" and is_json)


def read_as(column: Column, quoted: str) -> str:
    """Give the SQL that reads a column without losing anything."""
    name = parts(column.native)[0]
    # A FLOAT is shown with six digits, a sum of doubles with all.
    return f"ST_AsText({quoted})" if name in _SPATIAL else compared_as(column, quoted)


def compared_as(column: Column, quoted: str) -> str:
    """Give the SQL by which a column compares with a parameter."""
    name = parts(column.native)[0]
    return (
        f"({quoted} + 0e0)" if name == "float" else f"({quoted} + 0)" if name == "bit" else quoted
    )


# --- creating -------------------------------------------------------------------------------------


def native_type(  # noqa: PLR0911 - a table
    type_: Type, *, key: bool, collation: str, has_uuid: bool
) -> str:
    """Give how a column of a canonical type is declared. Raises InputError where it can't be.

    An instant is a DATETIME in UTC: a TIMESTAMP ends in 2038.
    """
    name, digits = type_.name, type_.precision
    text = f" CHARACTER SET utf8mb4 COLLATE {collation}"
    if key and name == "json":
        raise InputError("a json value can't be a key")
    if name in _CREATED:
        return _CREATED[name]
    if name == "decimal":
        return _native_decimal(type_)
    if name in {"timestamp", "timestamptz"}:
        return f"DATETIME({6 if digits is None else min(digits, 6)})"
    if name == "time":
        return f"TIME({6 if digits is None else min(digits, 6)})"
    if name == "uuid":
        return "UUID" if has_uuid else "CHAR(36) CHARACTER SET ascii COLLATE ascii_bin"
    if name == "bytes":
        return f"VARBINARY({_SHORT})" if key else "LONGBLOB"
    if key or (digits is not None and 0 < digits <= _SHORT):
        return f"VARCHAR({min(digits or _SHORT, _SHORT)}){text}"
    return f"LONGTEXT{text}"


def _native_decimal(type_: Type) -> str:
    if type_.precision is None:
        return f"DECIMAL({_DECIMAL_DIGITS},{_DECIMAL_SCALE})"
    scale = type_.scale or 0
    if type_.precision > _DECIMAL_DIGITS or scale > _DECIMAL_SCALE:
        raise InputError(
            f"no column can hold {type_}: 65 digits, 30 of them after the point, are the most",
            hint="declare the field as text, or with fewer digits",
        )
    return f"DECIMAL({type_.precision},{scale})"


# --- writing --------------------------------------------------------------------------------------


def bound(wanted: Field, array: Array) -> Bound:
    """Give an Arrow column as parameters; refuse what would be rounded, cut, padded or reread."""
    result = bind_values(wanted, array)
    name = wanted.type.name
    if name in {"real", "double"}:
        result.refuse(not_finite(array), _NOT_FINITE)
    elif name == "decimal":
        _bind_decimals(wanted, result)
    elif name == "text":
        _check_text(wanted, array, result)
    kind, inside, _ = parts(wanted.column.native)
    if kind == "binary":
        _check(
            result,
            lambda v: len(v) != int(inside or 1),
            f"is not {inside or 1} bytes long: it would be padded",
        )
    if kind == "year":
        _check(result, lambda v: v != 0 and v not in _YEARS, "is no year from 1901 to 2155")
    if kind in _TIMES and not result.refused:
        _check_fraction(kind, inside, wanted, result)
    for row, reason in result.refused.items():
        if reason == _NOT_FINITE:  # no statement can say it: a key of it is nobody's
            result.values[row] = None
    return result


def _check(result: Bound, wrong: Callable[[Any], bool], reason: str) -> None:
    for row, value in enumerate(result.values):
        if value is not None and wrong(value):
            result.refused.setdefault(row, reason)


def _check_fraction(kind: str, inside: str, wanted: Field, result: Bound) -> None:
    # The column rounds in silence, also in strict mode. The type of the field may be the finer one.
    digits = int(inside or 0)
    if wanted.type.precision is not None and wanted.type.precision <= digits:
        return
    zeros = "0" * (6 - digits)
    _check(result, lambda v: not v.endswith(zeros), f"is finer than {kind}({digits})")


def _bind_decimals(wanted: Field, result: Bound) -> None:
    if wanted.type.is_unbounded_decimal:
        result.values = [None if v is None else Decimal(v) for v in result.values]
        _check(result, lambda v: not v.is_finite(), _NOT_FINITE)
    kind, inside, _ = parts(wanted.column.native)
    if kind != "decimal":
        return
    precision, _, scale = inside.partition(",")
    digits, after = int(precision or 10), int(scale or 0)
    declared = wanted.type
    if declared.precision is not None and (declared.scale or 0) <= after:
        return  # too many digits before the point are an error of the database, not a rounding
    _check(
        result,
        lambda v: not _holds(v, digits, after),
        f"does not fit decimal({digits},{after})",
    )


def _holds(value: Decimal, digits: int, after: int) -> bool:
    if not value.is_finite():
        return False
    text = canonical_decimal(value)
    fraction = len(text.partition(".")[2])
    return (
        "E" not in text and fraction <= after and (not value or value.adjusted() < digits - after)
    )


def _check_text(wanted: Field, array: Array, result: Bound) -> None:
    kind, inside, _ = parts(wanted.column.native)
    if kind in {"char", "varchar"}:
        # Blanks past the end are cut without a word, also in strict mode.
        result.refuse(longer(array, int(inside or 1)), f"is longer than {inside or 1} characters")
    if kind == "char":
        _check(result, lambda v: v.endswith(" "), "ends with a blank, which a CHAR column drops")
    if kind == "enum":
        # A number as text would be taken for an index, another case for the member.
        members = set(members_of(inside))
        _check(result, lambda v: v not in members, "is none of the values of the enum")
    if kind == "set":
        members = set(members_of(inside))
        _check(
            result,
            lambda v: not set(v.split(",") if v else ()) <= members,
            "is not made of the values of the set",
        )


def members_of(inside: str) -> Sequence[str]:
    """Give the members of an ENUM or SET, from what its brackets hold."""
    return [text.replace("''", "'") for text in re.findall(r"'((?:[^']|'')*)'", inside)]
