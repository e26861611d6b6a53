"""Values: equal by value whatever the database, and fingerprints that never change between
versions.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.errors import InputError
from syncline.record import (
    NULL_FINGERPRINT,
    Type,
    canonical_decimal,
    canonical_json,
    fingerprints,
    parse_type,
)

GOLDEN: list[tuple[str, Any, int]] = [
    ("text", "a", -1817709641818812897),
    ("text", "é", -606849052844159821),
    ("bytes", b"a", 9196549130576634096),
    ("bigint", 1, -7995527694508729151),
    ("decimal(14,2)", Decimal("1.10"), 5456262584813215386),
]


@pytest.mark.parametrize(("name", "value", "fingerprint"), GOLDEN)
def test_fingerprints_are_stable_between_versions(name: str, value: Any, fingerprint: int) -> None:
    """A ledger written years ago must still compare: these numbers never change."""
    type_ = parse_type(name)
    assert fingerprints(pa.array([value], type_.arrow), type_)[0] == fingerprint


@pytest.mark.parametrize(
    "name",
    ["text", "bytes", "bigint", "double", "decimal(14,2)", "date", "timestamptz", "bool", "json"],
)
def test_null_has_one_fingerprint_in_every_type(name: str) -> None:
    """NULL equals NULL, and no zero, empty text or false."""
    type_ = parse_type(name)
    zeros: dict[str, Any] = {
        "text": "",
        "bytes": b"",
        "json": "0",
        "date": dt.date(1970, 1, 1),
        "decimal(14,2)": Decimal(0),
        "timestamptz": dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
        "bool": False,
    }
    zero = zeros.get(name, 0)
    null, other = fingerprints(pa.array([None, zero], type_.arrow), type_)
    assert null == NULL_FINGERPRINT != other


def test_integers_compare_by_value_whatever_their_width() -> None:
    """A smallint of one database equals the bigint of another."""
    assert fingerprints(pa.array([7], pa.int16()), Type("smallint")) == fingerprints(
        pa.array([7], pa.int64()), Type("bigint")
    )


def test_slices_have_the_fingerprints_of_their_rows() -> None:
    """Arrow slices share buffers; a fingerprint must read its own part of them."""
    columns: list[tuple[Type, list[Any]]] = [
        (Type("decimal", 20, 2), [Decimal(i) for i in range(9)]),
        (Type("text"), list("abcdefghi")),
        (Type("double"), [float(i) for i in range(9)]),
        (Type("bool"), [True, False] * 4 + [None]),
    ]
    for type_, values in columns:
        whole = pa.array(values, type_.arrow)
        assert list(fingerprints(whole.slice(3, 4), type_)) == list(fingerprints(whole, type_)[3:7])


@given(
    st.lists(
        st.decimals(
            allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=6
        )
    )
)
def test_distinct_decimals_have_distinct_fingerprints(values: list[Decimal]) -> None:
    """Two decimals have the same fingerprint only if they are equal."""
    type_ = Type("decimal", 38, 6)
    prints = fingerprints(pa.array(values, type_.arrow), type_)
    assert len(set(prints.tolist())) == len(set(values))


def test_documents_are_equal_whatever_the_order_of_their_keys() -> None:
    """Keys are sorted and numbers compared by value; text and nesting are kept."""
    assert canonical_json('{"b": 1.00, "a": [1e3, {"z": null}]}') == canonical_json(
        '{"a":[1000,{"z":null}],"b":1}'
    )
    assert canonical_json('{"a": "1"}') != canonical_json('{"a": 1}')
    assert (
        canonical_json("12345678901234567890.123456789012345678901")
        == "12345678901234567890.123456789012345678901"
    )


def test_negative_zero_is_zero() -> None:
    """-0.0 equals 0.0 in SQL, so it does here."""
    assert (
        fingerprints(pa.array([-0.0]), Type("double"))[0]
        == fingerprints(pa.array([0.0]), Type("double"))[0]
    )
    assert canonical_decimal(Decimal("-0.00")) == "0"


def test_a_huge_exponent_does_not_become_a_megabyte() -> None:
    """Plain notation is given up past a thousand digits."""
    assert len(canonical_decimal(Decimal("1E+100000"))) < 20


@pytest.mark.parametrize(
    "text", ["text", "decimal(14,2)", "timestamptz(3)", "text(20)", "json", "decimal"]
)
def test_types_are_written_as_they_are_read(text: str) -> None:
    """The printed form of a type is one that mappings accept."""
    assert str(parse_type(text)) == text


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    """The reader sees what can be written instead."""
    with pytest.raises(InputError, match="unknown type 'varchar2'") as caught:
        parse_type("varchar2")
    assert "decimal" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        r'{"a": "\ud800"}',
        r'{"\udfff": 1}',
        "[" * 5000 + "]" * 5000,
        "9" * 5000,
        '{"a": ' * 3000 + "1" + "}" * 3000,
    ],
)
def test_any_document_has_a_fingerprint(text: str) -> None:
    """A lone surrogate, a number of 5,000 digits, a depth that Python does not read: none of them
    ends a run.
    """
    assert canonical_json(text)
    (found,) = fingerprints(pa.array([text]), Type("json"))
    (again,) = fingerprints(pa.array([text]), Type("json"))
    assert found == again
