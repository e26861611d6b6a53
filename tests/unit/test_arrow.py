"""Keys of a whole batch at once: they must come out as a loop over the records would have it."""

from __future__ import annotations

import json
from itertools import pairwise

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from syncline import arrow
from syncline.baseline import decode_key, encode_key
from syncline.record import Type

few = st.integers(0, 2)


@given(st.lists(st.tuples(st.text(), st.text())))
def test_a_composite_key_is_stored_as_the_json_list_of_its_texts(
    rows: list[tuple[str, str]],
) -> None:
    """Quotes, backslashes and control characters included; and it is read back as it was."""
    records = pa.table(
        {name: pa.array([r[i] for r in rows], "string") for i, name in enumerate("ab")}
    )
    types = {"a": Type("text"), "b": Type("text")}
    stored = encode_key(records, types)
    assert stored.to_pylist() == [json.dumps(list(row), ensure_ascii=False) for row in rows]
    assert decode_key(stored, types).equals(records)


@given(st.lists(st.tuples(few, few), max_size=5))
def test_neighbours_tell_a_batch_in_key_order(rows: list[tuple[int, int]]) -> None:
    """`ascends` compares keys of several columns column by column, as tuples do."""
    keys = pa.table({name: pa.array([r[i] for r in rows], "int64") for i, name in enumerate("ab")})
    assert arrow.ascends(keys) == all(a < b for a, b in pairwise(rows))
    assert arrow.distinct_rows(keys) == len(set(rows))


def test_a_key_that_is_null_is_in_no_order() -> None:
    """NULL is greater than nothing, so a batch that has one is looked at more closely."""
    assert not arrow.ascends(pa.table({"a": pa.array([None, 1, 2])}))
    assert arrow.distinct_rows(pa.table({"a": pa.array([None, 1, None])})) == 2
