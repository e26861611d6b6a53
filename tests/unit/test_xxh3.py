"""xxh3 by numpy: the same hashes as polars-hash gives, text by text."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import polars as pl
import polars_hash as plh
import pyarrow as pa

from syncline.xxh3 import LONGEST, hashes

LETTERS = "abcXYZ 0189_@.-ßé語🎈"
WITHOUT_POLARS = """
import sys
import pyarrow as pa
from syncline.record import Type, fingerprints
few = pa.array(["a", None, "abcdefgh", "x" * 20, "y" * 128])
first = fingerprints(few, Type("text")).tolist()
assert "polars" not in sys.modules
long = fingerprints(pa.array(["z" * 129]), Type("text"))
assert "polars" in sys.modules
assert fingerprints(few, Type("text")).tolist() == first
"""
MANY = """
import sys
import pyarrow as pa
from syncline.record import Type, fingerprints
fingerprints(pa.array(["a"] * 50_000), Type("text"))
assert "polars" in sys.modules
"""


def by_polars(texts: pa.Array[Any]) -> list[int]:
    frame = pl.DataFrame({"v": pl.Series(texts.to_pylist(), dtype=pl.String)})
    return frame.select(plh.col("v").nchash.xxh3_64().alias("h")).to_dict(as_series=False)["h"]


def ours(texts: pa.Array[Any]) -> list[int]:
    found = hashes(texts)
    assert found is not None
    return [int(one) for one in found]


def test_every_length_has_the_hash_that_polars_hash_gives() -> None:
    """From the empty text to the longest, several of each."""
    words = "The quick brown fox jumps over the lazy dog; 0123456789. " * 3
    texts = pa.array(
        [words[start : start + size] for size in range(LONGEST + 1) for start in range(5)]
    )
    assert ours(texts) == by_polars(texts)


def test_texts_of_many_bytes_a_letter_are_hashed_as_their_bytes() -> None:
    """UTF-8, as polars-hash takes them."""
    words = LETTERS * 3
    texts = pa.array([words[start:end] for start in range(20) for end in range(start, start + 40)])
    assert ours(texts) == by_polars(texts)


def test_a_part_of_a_column_is_hashed_by_itself() -> None:
    """A slice has its own place in its column's memory; NULL has none."""
    texts = pa.array(["first", None, "second one", "", None, "the third of them all", "end"])
    for start in range(len(texts)):
        part = texts.slice(start, 3)
        found = zip(ours(part), by_polars(part), strict=True)
        assert all(hashed == wanted for hashed, wanted in found if wanted is not None)


def test_columns_of_nothing_have_hashes_too() -> None:
    """No rows; only empty texts, which have no memory; only NULL."""
    assert ours(pa.array([], pa.string())) == []
    assert ours(pa.array(["", ""])) == by_polars(pa.array(["", ""]))
    assert len(ours(pa.array([None, None], pa.string()))) == 2


def test_a_text_too_long_is_left_to_polars_hash() -> None:
    """One among short ones is enough."""
    assert hashes(pa.array(["short", "x" * (LONGEST + 1)])) is None


def test_few_short_texts_do_not_import_polars() -> None:
    """A small delta goes without; where polars comes in later, the fingerprints stay the same."""
    subprocess.run([sys.executable, "-c", WITHOUT_POLARS], check=True)


def test_many_texts_are_worth_the_import_of_polars() -> None:
    """A full sync's columns."""
    subprocess.run([sys.executable, "-c", MANY], check=True)
