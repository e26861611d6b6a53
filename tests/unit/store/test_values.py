"""Values in the control store come back as they went in."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.conflict import MISSING, Kind
from syncline.store.values import decode, encode

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec=None))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.times()
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC))
    | st.uuids()
    | st.timedeltas()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("$"), inner),
    max_leaves=8,
)


def alike(one: Any, other: Any) -> bool:
    """Equal, and of equal types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


@given(VALUES)
def test_every_value_comes_back_equal_and_of_its_own_type(value: Any) -> None:
    """Whatever a record holds is read back as it was written."""
    assert alike(decode(encode(value)), value)


@given(VALUES)
def test_text_is_ascii_without_control_characters(value: Any) -> None:
    """No database refuses or changes it: NUL, emoji and lone surrogates are escapes."""
    assert all(" " <= character <= "~" for character in encode(value))


@pytest.mark.parametrize("value", [math.inf, -math.inf, -0.0])
def test_floats_that_json_does_not_know(value: float) -> None:
    """Infinities and the negative zero survive."""
    read = decode(encode(value))
    assert read == value
    assert math.copysign(1, read) == math.copysign(1, value)


def test_nan_stays_nan() -> None:
    """NaN is not equal to itself, and is still NaN."""
    assert math.isnan(decode(encode(math.nan)))
    assert decode(encode(Decimal("NaN"))).is_nan()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"n": 1, "s": "x", "b": None}, '{"n":1,"s":"x","b":null}'),
        (Decimal("1.10"), '{"$":"decimal","v":"1.10"}'),
        (datetime(2026, 1, 2, tzinfo=UTC), '{"$":"datetime","v":"2026-01-02T00:00:00+00:00"}'),
        (date(2026, 1, 2), '{"$":"date","v":"2026-01-02"}'),
        (time(1, 2, 3, 4), '{"$":"time","v":"01:02:03.000004"}'),
        (timedelta(seconds=1), '{"$":"interval","v":1000000}'),
        (b"\0\xff", '{"$":"bytes","v":"AP8="}'),
        (UUID(int=1), '{"$":"uuid","v":"00000000-0000-0000-0000-000000000001"}'),
        ({"$": 1}, '{"$":"document","v":[["$",1]]}'),
        (math.inf, '{"$":"double","v":"inf"}'),
    ],
)
def test_the_text_of_each_type_is_pinned(value: Any, text: str) -> None:
    """A store written by one version is read by the next."""
    assert encode(value) == text
    assert alike(decode(text), value)


def test_missing_is_not_null() -> None:
    """A baseline whose value is not known comes back as the sentinel itself."""
    assert decode(encode({"email": MISSING}))["email"] is MISSING


def test_an_instant_keeps_its_offset() -> None:
    """An instant of another zone keeps the offset it was written with."""
    zone = timezone(timedelta(hours=5, minutes=30))
    value = datetime(2026, 1, 2, tzinfo=zone)
    assert decode(encode(value)).utcoffset() == timedelta(hours=5, minutes=30)


def test_an_enum_of_text_is_its_text() -> None:
    """A StrEnum is kept as plain text."""
    assert alike(decode(encode(Kind.REFUSED)), "refused")


@pytest.mark.parametrize("value", [object(), {1: "x"}, {"x": {None: 1}}, 1j])
def test_what_could_not_be_read_back_is_refused(value: Any) -> None:
    """Nothing is stored by its repr."""
    with pytest.raises(TypeError):
        encode(value)
