"""Baselines: packed into ledger rows and back, whatever they hold; old layouts are translated."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncline.baseline import Baselines, decode_key, encode_key, none_of, pack, unpack
from syncline.endpoints.base import ROW
from syncline.record import (
    NULL_FINGERPRINT,
    Type,
    fingerprints,
    parse_type,
    same_fingerprints,
)

LAYOUT = (("name", "d1", "text"), ("age", "d2", "bigint"), ("city", "d3", "text"))
INT64 = st.integers(-(2**63), 2**63 - 1)
RECORD = st.tuples(
    st.lists(INT64, min_size=3, max_size=3),
    st.lists(INT64, min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.integers(0, 3),
    st.integers(0, 2),
)
"""s, t, held, gone and hold of a record of three fields."""


def stored(rows: pa.Table) -> pa.Table:
    """The rows as a ledger gives them back for the keys 0..n."""
    return rows.append_column(ROW, pa.array(np.arange(rows.num_rows, dtype=np.int32)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(RECORD, max_size=6))
def test_what_is_packed_is_unpacked_the_same(
    records: list[tuple[list[int], list[int], list[bool], int, int]],
) -> None:
    """Fingerprints, holds and flags survive the ledger's binary form."""
    n = len(records)
    b = none_of(n, 3)
    b.present[:] = b.known[:] = True
    for row, (s, t, held, gone, hold) in enumerate(records):
        b.s[row], b.t[row], b.held[row], b.gone[row], b.hold[row] = s, t, held, gone, hold
    rows = pack(pa.array(range(n), pa.int64()), b, np.arange(n), layout=0, epoch=7)
    back = unpack(stored(rows), n, [LAYOUT], 0)
    for name in ("present", "s", "t", "held", "gone", "hold", "known"):
        np.testing.assert_array_equal(getattr(back, name), getattr(b, name), name)
    assert (back.epoch == 7).all()


def test_a_hold_without_a_baseline_knows_no_field() -> None:
    """A dead letter of a record never seen before is held, and says nothing about its fields."""
    b = none_of(1, 3)
    b.present[:], b.gone[:], b.hold[:] = True, 3, 2
    back = unpack(stored(pack(pa.array(["k"]), b, np.arange(1), layout=0, epoch=1)), 1, [LAYOUT], 0)
    assert back.present[0]
    assert back.hold[0] == 2
    assert not back.known.any()


def test_an_older_layout_is_translated() -> None:
    """A changed expression voids the source's side only; a new field was NULL on the target; a
    dropped one is gone.
    """
    old = none_of(1, 3)
    old.present[:] = old.known[:] = True
    old.s[0], old.t[0] = [1, 2, 3], [1, 5, 3]
    rows = stored(pack(pa.array([9], pa.int64()), old, np.arange(1), layout=0, epoch=1))
    now = (("age", "changed", "bigint"), ("email", "d4", "text"), ("name", "d1", "text"))
    back: Baselines = unpack(rows, 1, [LAYOUT, now], 1)
    assert list(back.t[0]) == [5, NULL_FINGERPRINT, 1]
    assert list(back.source_void[0]) == [True, True, False]
    assert back.known.all()


def test_a_field_whose_target_type_changed_is_not_known() -> None:
    """Fingerprints of another type can't be compared."""
    old = none_of(1, 3)
    old.present[:] = old.known[:] = True
    rows = stored(pack(pa.array([9], pa.int64()), old, np.arange(1), layout=0, epoch=1))
    now = (("age", "d2", "text"),)
    assert not unpack(rows, 1, [LAYOUT, now], 1).known.any()


KEYS = {
    "bigint": [1, -5, 2**63 - 1],
    "text": ["a", "ä|\"'", ""],
    "uuid": ["0b0e7c1e-0000-4000-8000-000000000001"],
    "decimal(14,2)": [Decimal("1.10"), Decimal("-99.99")],
    "date": [dt.date(2024, 2, 29)],
    "timestamptz": [dt.datetime(2024, 1, 1, 1, 2, 3, 456789, dt.UTC)],
    "timestamp": [dt.datetime(1969, 12, 31, 23, 59, 59, 1)],  # noqa: DTZ001 - it has no zone
    "bytes": [b"\x00\xff"],
    "bool": [True, False],
}


def test_ledger_keys_give_back_the_source_key() -> None:
    """Encoding a key and decoding it is the identity, alone and as part of a composite key."""
    from syncline.record import parse_type

    for name, values in KEYS.items():
        type_ = parse_type(name)
        alone = pa.table({"k": pa.array(values, type_.arrow)})
        assert decode_key(encode_key(alone, {"k": type_}), {"k": type_}).equals(alone), name
        both = {"k": type_, "n": Type("integer")}
        pair = alone.append_column("n", pa.array(range(len(values)), pa.int32()))
        assert decode_key(encode_key(pair, both), both).equals(pair), name


def test_a_wider_column_keeps_its_baseline() -> None:
    """Fingerprints of whole numbers and of texts do not depend on the width of their column."""
    for one, other in (("integer", "bigint"), ("text", "text(50)"), ("text(20)", "text(50)")):
        assert same_fingerprints(one, other)
        array = pa.array([1, 2] if "int" in one else ["a", "b"])
        prints = [fingerprints(array, parse_type(name)).tolist() for name in (one, other)]
        assert prints[0] == prints[1]
    assert not same_fingerprints("decimal(14,2)", "decimal(14,4)")
    assert not same_fingerprints("text", "bigint")
