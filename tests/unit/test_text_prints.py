"""Fingerprints of texts: the same as a second implementation of xxh3, polars-hash, gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import polars_hash as plh
import pyarrow as pa
import pytest

from syncline.record import Type, fingerprints

LETTERS = "abcXYZ 0189_@.-ßé語🎈"
PROSE = "The quick brown fox jumps over the lazy dog; 0123456789. " * 30


def by_polars(texts: list[str]) -> list[int]:
    frame = pl.DataFrame({"v": pl.Series(texts, dtype=pl.String)})
    hashed = frame.select(plh.col("v").nchash.xxh3_64().cast(pl.UInt64))["v"].to_numpy()
    return np.asarray(hashed).view(np.int64).tolist()


def ours(texts: Any) -> list[int]:
    return fingerprints(texts, Type("text")).tolist()


def test_texts_of_every_length_have_the_published_hash() -> None:
    """xxh3 has ways of its own up to 3, 8, 16, 128, 240 and 1024 bytes, and for what is longer."""
    texts = [PROSE[start : start + size] for size in range(1_100) for start in range(3)]
    assert ours(pa.array(texts)) == by_polars(texts)


def test_texts_of_many_bytes_a_letter_are_hashed_as_utf_8() -> None:
    """Also where a text of that many letters has twice the bytes or more."""
    words = LETTERS * 3
    texts = [words[start:end] for start in range(20) for end in range(start, start + 40)]
    assert ours(pa.array(texts)) == by_polars(texts)


def test_bytes_are_hashed_as_their_hexadecimal_digits() -> None:
    """As in the first ledger that was written."""
    values = [b"", b"\x00", b"\xff\x0a", PROSE.encode()]
    found = fingerprints(pa.array(values, pa.binary()), Type("bytes")).tolist()
    assert found == by_polars([value.hex() for value in values])


@pytest.mark.parametrize("start", range(5))
def test_a_part_of_a_column_is_hashed_by_itself(start: int) -> None:
    """A slice has its own place in its column's memory; NULL is no empty text."""
    texts = ["first", None, "second one", "", None, "the third of them all", "end"]
    part = texts[start : start + 3]
    wanted = iter(by_polars([text for text in part if text is not None]))
    null = ours(pa.array([None], pa.string()))[0]
    found = ours(pa.array(texts).slice(start, 3))
    assert found == [null if text is None else next(wanted) for text in part]


def test_a_column_of_nothing_has_no_fingerprints() -> None:
    """No rows, and no memory of texts."""
    assert ours(pa.array([], pa.string())) == []
