"""xxh3-64 of short texts, a whole column at once, with numpy alone.

The algorithm is Yann Collet's, with seed 0 and the secret that he published (XXH3_64bits of xxHash
0.8, doc/xxhash_spec.md). polars-hash does the same for texts of any length, and faster; but polars
takes 0.15 s and 25 MB to import, which is more than all of a small delta's texts take here.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from syncline import arrow

LONGEST: Final = 128
"""The longest text, in bytes, that can be hashed here."""
_A_BATCH_OF_MANY: Final = 40_000
"""More texts than this in one column are a full sync's: there will be many."""
_AS_DEAR_AS_POLARS: Final = 1_000_000
"""To hash so many texts here takes as long as to import polars."""
_spent = 0

_Words = npt.NDArray[np.uint64]
_SECRET: Final = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
)
_LOW: Final = np.uint64(0xFFFFFFFF)
_PRIME_1: Final = np.uint64(0x9E3779B185EBCA87)
_PRIME_2: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_PRIME_3: Final = np.uint64(0x165667B19E3779F9)
_MIX_1: Final = np.uint64(0x165667919E3779F9)
_MIX_2: Final = np.uint64(0x9FB21C651E98DF25)
_NINE: Final = 9
_FOUR: Final = 4
_SEVENTEEN: Final = 17


def hashes_of_few(texts: pa.Array[Any]) -> _Words | None:
    """The xxh3-64 of each text, anything for NULL, while that is cheaper than to import polars.

    None where polars-hash is to be asked: polars is there already, or the texts are many, or long,
    or no texts but bytes.
    """
    global _spent  # noqa: PLW0603 - how often this process has done without polars
    few = len(texts) <= _A_BATCH_OF_MANY and _spent + len(texts) <= _AS_DEAR_AS_POLARS
    if not few or "polars" in sys.modules or not pa.types.is_string(texts.type):
        return None
    _spent += len(texts)
    return hashes(texts)


def hashes(texts: pa.Array[Any]) -> _Words | None:
    """The xxh3-64 of each text, anything for NULL; None where one is longer than `LONGEST`."""
    if len(texts) == 0:
        return np.zeros(0, np.uint64)
    offsets = arrow.words(texts, 1, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    starts = offsets[:-1].astype(np.int64)
    sizes = np.diff(offsets).astype(np.int64)
    if sizes.max() > LONGEST:
        return None
    found = np.empty(len(sizes), np.uint64)
    found[sizes == 0] = _avalanche_64(np.array([_key(56) ^ _key(64)], np.uint64))
    if texts.buffers()[2] is not None:
        data = _Bytes(arrow.words(texts, 2, np.uint8))
        for shortest, longest, way in _WAYS:
            rows = np.flatnonzero((sizes >= shortest) & (sizes <= longest))
            if len(rows):
                found[rows] = way(data, starts[rows], sizes[rows])
    return found


class _Bytes:
    """The texts' bytes, and the little-endian words that begin at each of them."""

    def __init__(self, data: npt.NDArray[np.uint8]) -> None:
        self._data = data

    def bytes_at(self, places: npt.NDArray[np.int64]) -> _Words:
        return self._data[places].astype(np.uint64)

    def half_words_at(self, places: npt.NDArray[np.int64]) -> _Words:
        return self._at(places, np.dtype("<u4")).astype(np.uint64)

    def words_at(self, places: npt.NDArray[np.int64]) -> _Words:
        return self._at(places, np.dtype("<u8"))

    def _at(self, places: npt.NDArray[np.int64], kind: np.dtype[Any]) -> npt.NDArray[Any]:
        shape = (len(self._data) - kind.itemsize + 1,)
        return np.ndarray(shape, kind, self._data, strides=(1,))[places]


def _key(place: int, size: int = 8) -> np.uint64:
    return np.uint64(int.from_bytes(_SECRET[place : place + size], "little"))


def _of_1_to_3(data: _Bytes, at: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> _Words:
    first, middle = data.bytes_at(at), data.bytes_at(at + sizes // 2)
    last = data.bytes_at(at + sizes - 1)
    length = sizes.astype(np.uint64)
    word = first << np.uint64(16) | middle << np.uint64(24) | last | length << np.uint64(8)
    return _avalanche_64(word ^ _key(0, 4) ^ _key(4, 4))


def _of_4_to_8(data: _Bytes, at: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> _Words:
    first, last = data.half_words_at(at), data.half_words_at(at + sizes - 4)
    h = (last + (first << np.uint64(32))) ^ (_key(8) ^ _key(16))
    h ^= _rotated(h, 49) ^ _rotated(h, 24)
    h *= _MIX_2
    h ^= (h >> np.uint64(35)) + sizes.astype(np.uint64)
    h *= _MIX_2
    return h ^ h >> np.uint64(28)


def _of_9_to_16(data: _Bytes, at: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> _Words:
    low = data.words_at(at) ^ (_key(24) ^ _key(32))
    high = data.words_at(at + sizes - 8) ^ (_key(40) ^ _key(48))
    return _avalanche(sizes.astype(np.uint64) + low.byteswap() + high + _folded(low, high))


def _of_17_to_128(data: _Bytes, at: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> _Words:
    total = sizes.astype(np.uint64) * _PRIME_1
    for step in range(LONGEST // 32):
        # Sixteen bytes from either end, the next pair only of what is longer than the pairs before.
        rows = np.flatnonzero(sizes > 32 * step)
        begins, ends = at[rows] + 16 * step, at[rows] + sizes[rows] - 16 * (step + 1)
        total[rows] += _mixed(data, begins, 32 * step) + _mixed(data, ends, 32 * step + 16)
    return _avalanche(total)


_WAYS: Final = (
    (1, _FOUR - 1, _of_1_to_3),
    (_FOUR, _NINE - 1, _of_4_to_8),
    (_NINE, _SEVENTEEN - 1, _of_9_to_16),
    (_SEVENTEEN, LONGEST, _of_17_to_128),
)


def _mixed(data: _Bytes, places: npt.NDArray[np.int64], key: int) -> _Words:
    return _folded(data.words_at(places) ^ _key(key), data.words_at(places + 8) ^ _key(key + 8))


def _folded(one: _Words, other: _Words) -> _Words:
    """Both halves of the 128-bit product, one on the other."""
    half = np.uint64(32)
    low, high, low_2, high_2 = one & _LOW, one >> half, other & _LOW, other >> half
    across = high * low_2
    middle = (low * low_2 >> half) + (across & _LOW) + low * high_2
    return (across >> half) + (middle >> half) + high * high_2 ^ one * other


def _rotated(h: _Words, bits: int) -> _Words:
    return h << np.uint64(bits) | h >> np.uint64(64 - bits)


def _avalanche(h: _Words) -> _Words:
    h ^= h >> np.uint64(37)
    h *= _MIX_1
    return h ^ h >> np.uint64(32)


def _avalanche_64(h: _Words) -> _Words:
    h ^= h >> np.uint64(33)
    h *= _PRIME_2
    h ^= h >> np.uint64(29)
    h *= _PRIME_3
    return h ^ h >> np.uint64(32)
