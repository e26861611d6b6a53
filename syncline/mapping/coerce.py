"""Coercion: a value of one canonical type as another, in SQL, with the condition under which it
does not fit.

Widening needs no condition. Where a cast could lose something, the condition finds the values for
which it would: nothing is rounded, cut or shifted unless the mapping says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from syncline.mapping.duck import storage
from syncline.record import Type

_WHOLE_DIGITS: Final = {"smallint": 5, "integer": 10, "bigint": 19}
_WIDTH: Final = {"smallint": 1, "integer": 2, "bigint": 3}
_INTEGER_TEXT: Final = r"[+-]?[0-9]+"
_DECIMAL_TEXT: Final = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)"
_DOUBLE_TEXT: Final = _DECIMAL_TEXT + r"([eE][+-]?[0-9]+)?"
_JSON_NUMBER: Final = r"-?(0|[1-9][0-9]*)([.][0-9]+)?"
_JSON_STRING: Final = r'"(\\.|[^"\\])*"'
_NOT_FINITE: Final = r"(?i)[+-]?(nan|inf|infinity)"
_DATE_TEXT: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK_TEXT: Final = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6}0*)?)?"
_ZONE_TEXT: Final = r" ?(Z|z|[+-][0-9]{2}(:?[0-9]{2})?)?"
_ISO: Final = "%Y-%m-%dT%H:%M:%S.%f"
_FIRST_DAY, _LAST_DAY = "DATE '0001-01-01'", "DATE '9999-12-31'"
_EXACT_DOUBLE_DIGITS, _EXACT_REAL_DIGITS = 15, 6
_MICROSECONDS: Final = 6


@dataclass(frozen=True, slots=True)
class Coerced:
    """`value` is the SQL of the coerced value; `bad` the condition under which it does not fit,
    `reason` why.
    """

    value: str
    bad: str | None = None
    reason: str = ""


def family(type_: Type) -> str:
    """The types that convert alike: `int`, `decimal`, `number` (a decimal without bounds), `float`,
    or the name.
    """
    if type_.is_integer:
        return "int"
    if type_.name == "decimal":
        return "number" if type_.is_unbounded_decimal else "decimal"
    return "float" if type_.name in {"real", "double"} else type_.name


def coerce(x: str, source: Type | None, target: Type) -> Coerced | None:
    """The value `x` (an SQL identifier) of type `source` (None: always NULL) as `target`; None
    where no cast is known.
    """
    if source is None:
        return Coerced(f"CAST(NULL AS {storage(target)})")
    if source == target:
        return Coerced(x)
    rule = _RULES.get((family(source), family(target)))
    if rule is None:
        return None
    return _limited(rule(x, source, target), source, target)


def truncated(x: str, type_: Type, to: str) -> str | None:
    """`x` cut to `ms`, `s` or `day`; None where the type has no such part."""
    unit = {"ms": "milliseconds", "s": "second", "day": "day"}[to]
    if type_.name == "time" and to != "day":
        return f"CAST(date_trunc('{unit}', DATE '1970-01-01' + {x}) AS TIME)"
    if type_.name in {"timestamp", "timestamptz"}:
        return f"CAST(date_trunc('{unit}', {x}) AS {storage(type_)})"
    return None


def out_of_calendar(x: str, type_: Type) -> str | None:
    """The condition under which a computed date or time lies outside the years 1 to 9999, or is
    infinite.
    """
    if type_.name == "date":
        return f"{x} NOT BETWEEN {_FIRST_DAY} AND {_LAST_DAY}"
    if type_.name in {"timestamp", "timestamptz"}:
        zone = "+00" if type_.name == "timestamptz" else ""
        kind = storage(type_)
        return (
            f"{x} NOT BETWEEN {kind} '0001-01-01 00:00:00{zone}' "
            f"AND {kind} '9999-12-31 23:59:59.999999{zone}'"
        )
    return f"{x} = TIME '24:00:00'" if type_.name == "time" else None


def _limited(coerced: Coerced, source: Type, target: Type) -> Coerced:
    """The target's limits of length and of digits, where the source's own do not keep them
    already.
    """
    if target.name == "text" and target.precision is not None:
        if (
            source.name == "text"
            and source.precision is not None
            and source.precision <= target.precision
        ):
            return coerced
        return _and(
            coerced, f"length({coerced.value}) > {target.precision}", f"longer than {target}"
        )
    if target.name in {"time", "timestamp", "timestamptz"} and target.precision is not None:
        known = source.precision if source.name in {"time", "timestamp", "timestamptz"} else None
        if (
            known if known is not None else _MICROSECONDS
        ) > target.precision and source.name != "date":
            step = 10 ** (_MICROSECONDS - target.precision)
            reason = f"finer than {target}: `truncate` would cut it"
            return _and(coerced, f"epoch_us({coerced.value}) % {step} <> 0", reason)
    return coerced


def _and(coerced: Coerced, bad: str, reason: str) -> Coerced:
    if coerced.bad is None:
        return Coerced(coerced.value, bad, reason)
    return Coerced(coerced.value, f"{coerced.bad} OR {bad}", f"{coerced.reason}, or {reason}")


# --- rules: (x, source, target) -> Coerced ---

_Rule = Callable[[str, Type, Type], Coerced]


def _does_not_fit(target: Type) -> str:
    return f"does not fit {target}"


def _same(x: str, _source: Type, _target: Type) -> Coerced:
    return Coerced(x)


def _cast(x: str, _source: Type, target: Type) -> Coerced:
    return Coerced(f"CAST({x} AS {storage(target)})")


def _as_text(x: str, _source: Type, _target: Type) -> Coerced:
    return Coerced(f"CAST({x} AS VARCHAR)")


def _tried(x: str, _source: Type, target: Type) -> Coerced:
    value = f"TRY_CAST({x} AS {storage(target)})"
    return Coerced(value, f"{value} IS NULL", _does_not_fit(target))


def _round_trip(x: str, source: Type, target: Type) -> Coerced:
    value = f"TRY_CAST({x} AS {storage(target)})"
    back = f"TRY_CAST({value} AS {storage(source)})"
    reason = f"does not fit {target} exactly"
    return Coerced(value, f"{value} IS NULL OR {back} IS DISTINCT FROM {x}", reason)


def _int_to_int(x: str, source: Type, target: Type) -> Coerced:
    if _WIDTH[source.name] <= _WIDTH[target.name]:
        return _cast(x, source, target)
    return _tried(x, source, target)


def _int_to_decimal(x: str, source: Type, target: Type) -> Coerced:
    if (target.precision or 0) - (target.scale or 0) >= _WHOLE_DIGITS[source.name]:
        return _cast(x, source, target)
    return _tried(x, source, target)


def _int_to_float(x: str, source: Type, target: Type) -> Coerced:
    exact = source.name == "smallint" or (source.name == "integer" and target.name == "double")
    return (_cast if exact else _round_trip)(x, source, target)


def _int_to_bool(x: str, _source: Type, target: Type) -> Coerced:
    return Coerced(f"{x} <> 0", f"{x} NOT IN (0, 1)", _does_not_fit(target))


def _decimal_to_decimal(x: str, source: Type, target: Type) -> Coerced:
    whole = (target.precision or 0) - (target.scale or 0)
    if (target.scale or 0) < (source.scale or 0):
        return _round_trip(x, source, target)
    fits = whole >= (source.precision or 0) - (source.scale or 0)
    return (_cast if fits else _tried)(x, source, target)


def _decimal_to_float(x: str, source: Type, target: Type) -> Coerced:
    digits = _EXACT_DOUBLE_DIGITS if target.name == "double" else _EXACT_REAL_DIGITS
    if (source.precision or 0) <= digits:
        return _cast(x, source, target)
    return _round_trip_by_text(x, source, target)


def _round_trip_by_text(x: str, source: Type, target: Type) -> Coerced:
    # Between doubles and wide decimals DuckDB multiplies in floating point, which makes up digits.
    value = f"TRY_CAST(CAST({x} AS VARCHAR) AS {storage(target)})"
    back = f"TRY_CAST(CAST({value} AS VARCHAR) AS {storage(source)})"
    bad = f"{value} IS NULL OR {back} IS DISTINCT FROM {x}"
    return Coerced(value, bad, f"does not fit {target} exactly")


def _float_to_float(x: str, source: Type, target: Type) -> Coerced:
    widens = target.name in {source.name, "double"}
    return (_cast if widens else _round_trip)(x, source, target)


def _float_to_number(x: str, _source: Type, target: Type) -> Coerced:
    return Coerced(f"CAST({x} AS VARCHAR)", f"NOT isfinite({x})", _does_not_fit(target))


def _float_to_json(x: str, _source: Type, target: Type) -> Coerced:
    return Coerced(f"CAST(to_json({x}) AS VARCHAR)", f"NOT isfinite({x})", _does_not_fit(target))


def _text_to_int(x: str, _source: Type, target: Type) -> Coerced:
    value = f"TRY_CAST({x} AS {storage(target)})"
    return Coerced(
        value, f"{value} IS NULL OR {_not_like(x, _INTEGER_TEXT)}", _does_not_fit(target)
    )


def _text_to_decimal(x: str, _source: Type, target: Type) -> Coerced:
    value = f"TRY_CAST({x} AS {storage(target)})"
    # TRY_CAST rounds what has more digits after the point.
    finer = f"length(rtrim(split_part(trim({x}), '.', 2), '0')) > {target.scale or 0}"
    bad = f"{value} IS NULL OR {_not_like(x, _DECIMAL_TEXT)} OR {finer}"
    return Coerced(value, bad, f"does not fit {target} exactly")


def _number_to_int(x: str, _source: Type, target: Type) -> Coerced:
    finer = f"rtrim(split_part({x}, '.', 2), '0') <> ''"
    value = f"TRY_CAST(split_part({x}, '.', 1) AS {storage(target)})"
    bad = f"{value} IS NULL OR {_not_like(x, _DECIMAL_TEXT)} OR {finer}"
    return Coerced(value, bad, f"does not fit {target} exactly")


def _number_to_float(x: str, _source: Type, target: Type) -> Coerced:
    most = _EXACT_DOUBLE_DIGITS if target.name == "double" else _EXACT_REAL_DIGITS
    value = f"TRY_CAST({x} AS {storage(target)})"
    digits = f"trim(replace(ltrim({x}, '+-'), '.', ''), '0')"
    exact = f"({_like(x, _DECIMAL_TEXT)} AND length({digits}) <= {most} AND isfinite({value}))"
    bad = f"{value} IS NULL OR NOT ({exact} OR {_like(x, _NOT_FINITE)})"
    return Coerced(value, bad, f"does not fit {target} exactly")


def _text_to_number(x: str, _source: Type, target: Type) -> Coerced:
    return Coerced(f"trim({x})", _not_like(x, _DECIMAL_TEXT), f"is not a {target}")


def _number_to_json(x: str, _source: Type, target: Type) -> Coerced:
    return Coerced(x, f"NOT regexp_full_match({x}, '{_JSON_NUMBER}')", _does_not_fit(target))


def _text_to_float(x: str, _source: Type, target: Type) -> Coerced:
    value = f"TRY_CAST({x} AS {storage(target)})"
    finite = f"({_like(x, _DOUBLE_TEXT)} AND isfinite({value}))"
    bad = f"{value} IS NULL OR NOT ({finite} OR {_like(x, _NOT_FINITE)})"
    return Coerced(value, bad, _does_not_fit(target))


def _text_to_bool(x: str, _source: Type, target: Type) -> Coerced:
    value = f"TRY_CAST(trim({x}) AS BOOLEAN)"
    return Coerced(value, f"{value} IS NULL", f"is not a {target}")


def _text_to_calendar(x: str, _source: Type, target: Type) -> Coerced:
    pattern = {
        "date": _DATE_TEXT,
        "time": _CLOCK_TEXT,
        "timestamp": f"{_DATE_TEXT}([T ]{_CLOCK_TEXT})?",
        "timestamptz": f"{_DATE_TEXT}([T ]{_CLOCK_TEXT}{_ZONE_TEXT})?",
    }[target.name]
    value = f"TRY_CAST({x} AS {storage(target)})"
    outside = out_of_calendar(value, target)
    bad = f"{value} IS NULL OR {_not_like(x, pattern)} OR {outside}"
    return Coerced(value, bad, f"is not a {target}")


def _text_to_uuid(x: str, _source: Type, target: Type) -> Coerced:
    value = f"CAST(TRY_CAST({x} AS UUID) AS VARCHAR)"
    return Coerced(value, f"{value} IS NULL", f"is not a {target}")


def _text_to_json(x: str, _source: Type, target: Type) -> Coerced:
    # json_valid() lets NaN pass, which no database takes for JSON, and keys that come twice.
    word = f"regexp_matches(regexp_replace({x}, '{_JSON_STRING}', '', 'g'), '(?i)nan|inf')"
    tree = f"json_tree(CASE WHEN json_valid({x}) THEN {x} END)"
    twice = f"EXISTS (SELECT 1 FROM {tree} GROUP BY fullkey HAVING count(*) > 1)"  # noqa: S608 - ours
    bad = f"NOT json_valid({x}) OR {word} OR {twice}"
    return Coerced(x, bad, f"is not {target}: to_json() makes a JSON string of it")


def _text_to_bytes(x: str, _source: Type, _target: Type) -> Coerced:
    return Coerced(f"encode({x})")


def _bytes_to_text(x: str, _source: Type, target: Type) -> Coerced:
    value = f"TRY(decode({x}))"
    return Coerced(value, f"{value} IS NULL", f"is not {target}: the bytes are not UTF-8")


def _date_to_text(x: str, _source: Type, _target: Type) -> Coerced:
    return Coerced(f"CAST({x} AS VARCHAR)")


def _instant_to_text(x: str, source: Type, _target: Type) -> Coerced:
    zone = "Z" if source.name == "timestamptz" else ""
    return Coerced(f"strftime({x}, '{_ISO}{zone}')")


def _calendar_to_json(x: str, source: Type, target: Type) -> Coerced:
    text = (_instant_to_text if source.name.startswith("timestamp") else _as_text)(
        x, source, target
    )
    return Coerced(f"CAST(to_json({text.value}) AS VARCHAR)")


def _to_json(x: str, _source: Type, _target: Type) -> Coerced:
    return Coerced(f"CAST(to_json({x}) AS VARCHAR)")


def _like(x: str, pattern: str) -> str:
    return f"regexp_full_match(trim({x}), '{pattern}')"


def _not_like(x: str, pattern: str) -> str:
    return f"NOT {_like(x, pattern)}"


_RULES: Final[dict[tuple[str, str], _Rule]] = {
    **{(name, name): _same for name in ("bool", "bytes", "date", "json", "number", "text", "uuid")},
    **{(name, name): _same for name in ("time", "timestamp", "timestamptz")},
    **{(name, "text"): _as_text for name in ("int", "decimal", "float", "bool", "time")},
    **{(name, "text"): _same for name in ("number", "uuid", "json")},
    **{("text", name): _text_to_calendar for name in ("date", "time", "timestamp", "timestamptz")},
    **{(name, "json"): _to_json for name in ("int", "bool")},
    **{(name, "json"): _calendar_to_json for name in ("date", "time", "timestamp", "timestamptz")},
    **{("bool", name): _cast for name in ("int", "decimal", "float")},
    ("int", "int"): _int_to_int,
    ("int", "decimal"): _int_to_decimal,
    ("int", "number"): _as_text,
    ("int", "float"): _int_to_float,
    ("int", "bool"): _int_to_bool,
    ("bool", "number"): lambda x, _source, _target: Coerced(
        f"CAST(CAST({x} AS INTEGER) AS VARCHAR)"
    ),
    ("decimal", "int"): _round_trip,
    ("decimal", "decimal"): _decimal_to_decimal,
    ("decimal", "number"): _as_text,
    ("decimal", "float"): _decimal_to_float,
    ("decimal", "json"): _as_text,
    ("number", "int"): _number_to_int,
    ("number", "decimal"): _text_to_decimal,
    ("number", "float"): _number_to_float,
    ("number", "json"): _number_to_json,
    ("float", "int"): _round_trip,
    ("float", "decimal"): _round_trip_by_text,
    ("float", "number"): _float_to_number,
    ("float", "float"): _float_to_float,
    ("float", "json"): _float_to_json,
    ("text", "int"): _text_to_int,
    ("text", "decimal"): _text_to_decimal,
    ("text", "number"): _text_to_number,
    ("text", "float"): _text_to_float,
    ("text", "bool"): _text_to_bool,
    ("text", "uuid"): _text_to_uuid,
    ("text", "json"): _text_to_json,
    ("text", "bytes"): _text_to_bytes,
    ("uuid", "json"): _to_json,
    ("bytes", "text"): _bytes_to_text,
    ("date", "text"): _date_to_text,
    ("date", "timestamp"): _cast,
    ("date", "timestamptz"): _cast,
    ("timestamp", "text"): _instant_to_text,
    ("timestamp", "date"): _round_trip,
    # A time without a zone is taken as UTC, both ways; the reference says so.
    ("timestamp", "timestamptz"): _cast,
    ("timestamptz", "timestamp"): _cast,
    ("timestamptz", "text"): _instant_to_text,
    ("timestamptz", "date"): _round_trip,
}
