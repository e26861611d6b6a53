"""Coercion never rounds, cuts or shifts a value: it fits exactly, or it is found."""

# ruff: noqa: E501 - one line a fact

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncline.mapping.coerce import coerce
from syncline.mapping.duck import open_duckdb, to_arrow
from syncline.record import TYPE_NAMES, Type, parse_type

FEW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = open_duckdb()
    yield connection
    connection.close()


def coerced(
    duck: duckdb.DuckDBPyConnection, values: list[Any], source: str, target: str
) -> list[tuple[Any, bool]]:
    """Each value as the target type, and whether it was found not to fit."""
    from_, to = parse_type(source), parse_type(target)
    rule = coerce("x", from_, to)
    assert rule is not None
    duck.register("values_", pa.table({"x": pa.array(values, from_.arrow)}))
    bad = f"coalesce(x IS NOT NULL AND ({rule.bad}), false)" if rule.bad else "false"
    table = to_arrow(
        duck,
        f"SELECT CASE WHEN NOT bad THEN v END AS v, bad FROM "
        f"(SELECT {rule.value} AS v, {bad} AS bad FROM values_)",
    )
    found = table.column("v").cast(to.arrow).to_pylist()
    return list(zip(found, table.column("bad").to_pylist(), strict=True))


def one(duck: duckdb.DuckDBPyConnection, value: Any, source: str, target: str) -> Any:
    """The coerced value, or the word `misfit`."""
    ((found, bad),) = coerced(duck, [value], source, target)
    return "misfit" if bad else found


UTC_INSTANT = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
INSTANT = UTC_INSTANT.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (2**31, "bigint", "integer", "misfit"),
        (-(2**31), "bigint", "integer", -(2**31)),
        (2**53 + 1, "bigint", "double", "misfit"),
        (2**24 + 1, "integer", "real", "misfit"),
        (1, "integer", "bool", True),
        (2, "integer", "bool", "misfit"),
        (100, "integer", "decimal(4,2)", "misfit"),
        (99, "integer", "decimal(4,2)", Decimal("99.00")),
        (7, "bigint", "text", "7"),
        (123, "integer", "text(2)", "misfit"),
        (True, "bool", "integer", 1),
        (True, "bool", "text", "true"),
        (True, "bool", "decimal", "1"),
        (Decimal("1.70"), "decimal(5,2)", "bigint", "misfit"),
        (Decimal("2.00"), "decimal(5,2)", "bigint", 2),
        (Decimal("1.005"), "decimal(10,3)", "decimal(10,2)", "misfit"),
        (Decimal("1.500"), "decimal(10,3)", "decimal(10,2)", Decimal("1.50")),
        (Decimal("12345.6"), "decimal(10,1)", "decimal(5,1)", "misfit"),
        (Decimal("0.1"), "decimal(5,1)", "double", 0.1),
        (Decimal("123456789012345.50"), "decimal(20,2)", "double", 123456789012345.5),
        (Decimal("12345678901234567.89"), "decimal(20,2)", "double", "misfit"),
        ("1.7", "decimal", "bigint", "misfit"),
        ("2.00", "decimal", "bigint", 2),
        ("1.234", "decimal", "decimal(14,2)", "misfit"),
        ("1.230", "decimal", "decimal(14,2)", Decimal("1.23")),
        ("NaN", "decimal", "decimal(14,2)", "misfit"),
        ("0.1", "decimal", "double", 0.1),
        ("12345678901234567890", "decimal", "double", "misfit"),
        ("1E+2000", "decimal", "double", "misfit"),
        (1.7, "double", "bigint", "misfit"),
        (2.0, "double", "bigint", 2),
        (math.nan, "double", "bigint", "misfit"),
        (math.inf, "double", "integer", "misfit"),
        (9.3e18, "double", "bigint", "misfit"),
        (0.1, "double", "decimal(14,2)", Decimal("0.10")),
        (123456789012.34, "double", "decimal(38,10)", Decimal("123456789012.3400000000")),
        (1.005, "double", "decimal(14,2)", "misfit"),
        (math.nan, "double", "decimal(14,2)", "misfit"),
        (0.1, "double", "real", "misfit"),
        (0.5, "double", "real", 0.5),
        (math.nan, "double", "decimal", "misfit"),
        ("12", "text", "integer", 12),
        ("1.7", "text", "integer", "misfit"),
        ("1e3", "text", "integer", "misfit"),
        ("0x1F", "text", "integer", "misfit"),
        ("99999999999", "text", "integer", "misfit"),
        ("1.50", "text", "decimal(5,2)", Decimal("1.50")),
        ("1.505", "text", "decimal(5,2)", "misfit"),
        ("1_000", "text", "decimal(5,0)", "misfit"),
        ("1e400", "text", "double", "misfit"),
        ("-inf", "text", "double", -math.inf),
        ("true", "text", "bool", True),
        ("perhaps", "text", "bool", "misfit"),
        ("2024-02-29", "text", "date", date(2024, 2, 29)),
        ("2023-02-29", "text", "date", "misfit"),
        ("2024-2-9", "text", "date", "misfit"),
        ("2024-02-29 10:00", "text", "date", "misfit"),
        ("epoch", "text", "date", "misfit"),
        ("infinity", "text", "timestamp", "misfit"),
        ("2024-05-06T07:08:09.123456", "text", "timestamp", INSTANT),
        ("2024-05-06 07:08:09.1234567", "text", "timestamp", "misfit"),
        ("2024-05-06 07:08:09+02", "text", "timestamp", "misfit"),
        ("2024-05-06T09:08:09.123456+02:00", "text", "timestamptz", UTC_INSTANT),
        ("2024-05-06T07:08:09.123456Z", "text", "timestamptz", UTC_INSTANT),
        ("24:00:00", "text", "time", "misfit"),
        ("07:08:09.5", "text", "time", time(7, 8, 9, 500000)),
        ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "text", "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("nope", "text", "uuid", "misfit"),
        ('{"a": 1}', "text", "json", '{"a": 1}'),
        ("hello", "text", "json", "misfit"),
        ("NaN", "text", "json", "misfit"),
        ('{"a": [1, -Infinity]}', "text", "json", "misfit"),
        ('{"NaN": "an \\" inf"}', "text", "json", '{"NaN": "an \\" inf"}'),
        ('{"a": 1, "a": 2}', "text", "json", "misfit"),
        ('[{"b": {"a": 1, "a": 2}}]', "text", "json", "misfit"),
        ('{"a.b": 1, "a": {"b": [1, 1]}}', "text", "json", '{"a.b": 1, "a": {"b": [1, 1]}}'),
        ("é", "text", "bytes", "é".encode()),
        (b"\xff", "bytes", "text", "misfit"),
        ("é".encode(), "bytes", "text", "é"),
        ("éé", "text", "text(2)", "éé"),
        ("éée", "text", "text(2)", "misfit"),
        (date(2024, 5, 6), "date", "timestamp", datetime(2024, 5, 6)),  # noqa: DTZ001
        (date(2024, 5, 6), "date", "text", "2024-05-06"),
        (INSTANT, "timestamp", "date", "misfit"),
        (datetime(2024, 5, 6), "timestamp", "date", date(2024, 5, 6)),  # noqa: DTZ001
        (INSTANT, "timestamp", "timestamptz", UTC_INSTANT),
        (UTC_INSTANT, "timestamptz", "timestamp", INSTANT),
        (UTC_INSTANT, "timestamptz", "timestamptz(3)", "misfit"),
        (UTC_INSTANT.replace(microsecond=123000), "timestamptz", "timestamptz(3)", UTC_INSTANT.replace(microsecond=123000)),
        (datetime(1969, 12, 31, 23, 59, 59, 1500), "timestamp", "timestamp(3)", "misfit"),  # noqa: DTZ001
        (UTC_INSTANT, "timestamptz", "text", "2024-05-06T07:08:09.123456Z"),
        (INSTANT, "timestamp", "text", "2024-05-06T07:08:09.123456"),
        (time(1, 2, 3, 4), "time", "time(0)", "misfit"),
        (1.5, "double", "json", "1.5"),
        (math.nan, "double", "json", "misfit"),
        (UTC_INSTANT, "timestamptz", "json", '"2024-05-06T07:08:09.123456Z"'),
        (None, "text", "integer", None),
    ],
)  # fmt: skip
def test_a_value_fits_exactly_or_is_a_misfit(
    duck: duckdb.DuckDBPyConnection, value: Any, source: str, target: str, expected: Any
) -> None:
    """One line a fact."""
    assert one(duck, value, source, target) == expected


@FEW
@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["smallint", "integer", "bigint"]))
def test_whole_numbers_fit_by_range(
    duck: duckdb.DuckDBPyConnection, value: int, target: str
) -> None:
    """An integer fits a narrower one if and only if it is within its range."""
    bits = {"smallint": 16, "integer": 32, "bigint": 64}[target]
    fits = -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)
    assert one(duck, value, "bigint", target) == (value if fits else "misfit")


@FEW
@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=6, min_value=-(10**11), max_value=10**11
    )
)
def test_decimals_fit_by_value(duck: duckdb.DuckDBPyConnection, value: Decimal) -> None:
    """A decimal fits fewer digits if and only if no digit but a zero is lost, from either kind of
    decimal.
    """
    kept = value.quantize(Decimal("0.01"))
    fits = kept == value and abs(value) < 10**8
    expected = kept if fits else "misfit"
    assert one(duck, value, "decimal(20,6)", "decimal(10,2)") == expected
    assert one(duck, format(value, "f"), "decimal", "decimal(10,2)") == expected
    assert one(duck, format(value, "f"), "text", "decimal(10,2)") == expected


@FEW
@given(st.floats(allow_nan=True, allow_infinity=True))
def test_doubles_survive_whatever_takes_them(duck: duckdb.DuckDBPyConnection, value: float) -> None:
    """A double as an integer, a float, a decimal or a text either equals itself again or is a
    misfit.
    """
    for target in ("bigint", "real", "decimal(38,10)", "text", "decimal"):
        found = one(duck, value, "double", target)
        if found != "misfit":
            back = float(found)
            assert back == value or (math.isnan(back) and math.isnan(value)), target


@FEW
@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_as_doubles_are_exact(duck: duckdb.DuckDBPyConnection, value: int) -> None:
    """An integer that a double can't hold is a misfit, never its neighbour."""
    found = one(duck, value, "bigint", "double")
    assert (found == "misfit") == (int(float(value)) != value)


@FEW
@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001
def test_times_go_through_text_and_back(duck: duckdb.DuckDBPyConnection, value: datetime) -> None:
    """A time written as text is read as the same instant, microseconds included."""
    text = one(duck, value, "timestamp", "text")
    assert one(duck, text, "text", "timestamp") == value
    instant = value.replace(tzinfo=UTC)
    text = one(duck, instant, "timestamptz", "text")
    assert one(duck, text, "text", "timestamptz") == instant


@FEW
@given(st.text(), st.sampled_from([name for name in TYPE_NAMES if name != "text"]))
def test_any_text_is_read_or_found_but_never_raises(
    duck: duckdb.DuckDBPyConnection, value: str, target: str
) -> None:
    """Text from a database may be anything at all: reading it as a type must not end a batch."""
    coerced(duck, [value], "text", target)


@pytest.mark.parametrize("source", TYPE_NAMES)
@pytest.mark.parametrize("target", TYPE_NAMES)
def test_no_cast_ever_raises(duck: duckdb.DuckDBPyConnection, source: str, target: str) -> None:
    """Every pair of types has a cast that runs, or none: nothing in between is found at run
    time.
    """
    from_, to = Type(source), Type(target)
    if coerce("x", from_, to) is not None:
        assert coerced(duck, [None], source, target) == [(None, False)]


@pytest.mark.parametrize(
    ("source", "target"),
    [("json", "bigint"), ("bool", "date"), ("time", "date"), ("bytes", "integer")],
)
def test_families_that_have_nothing_in_common_have_no_cast(source: str, target: str) -> None:
    """Binding refuses such a field; an expression may say what is meant."""
    assert coerce("x", Type(source), Type(target)) is None
