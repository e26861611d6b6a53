"""Keys: each once, whether they fit into memory or not."""

from __future__ import annotations

import gc
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline import keys as keys_module
from syncline.keys import Keys

KEPT = st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8), max_size=8)


@settings(max_examples=15)
@given(KEPT, st.integers(0, 20))
def test_each_key_is_given_once(several: list[list[int]], most: int) -> None:
    """Whatever came twice, before or after there were too many for memory."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(keys_module, "MOST", most)
        patched.setattr(keys_module, "PAGE", 3)
        keys = Keys(pa.int64())
        for each in several:
            keys.add(pa.array(each, pa.int64()))
        assert keys.on_disk == (sum(map(len, several)) > most)
        told = [key for page in keys.pages() for key in page.to_pylist()]
    assert len(told) == len(set(told))
    assert set(told) == {key for each in several for key in each}


def test_texts_are_kept_as_they_are_and_the_file_goes_with_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accents, case, spaces, and no text at all are keys of their own; nothing is left behind."""
    monkeypatch.setattr(keys_module, "MOST", 2)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    texts = ["a", "A", "á", "a ", "", "\U0001f600", "a\u0301"]
    keys = Keys(pa.string())
    keys.add(pa.array(texts))
    assert keys.on_disk
    assert [*tmp_path.iterdir()]
    told = [key for page in keys.pages() for key in page.to_pylist()]
    assert (len(told), set(told)) == (len(texts), set(texts))
    del keys
    gc.collect()
    assert not [*tmp_path.iterdir()]


def test_of_many_keys_few_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times what is kept leaves no more of Arrow's memory taken than what is kept."""
    monkeypatch.setattr(keys_module, "MOST", 20_000)
    before = pa.total_allocated_bytes()
    keys = Keys(pa.string())
    for start in range(0, 200_000, 5_000):
        keys.add(pa.array([f"{number:024x}" for number in range(start, start + 5_000)]))
        assert pa.total_allocated_bytes() - before < 60_000 * 40
    assert sum(len(page) for page in keys.pages()) == 200_000
