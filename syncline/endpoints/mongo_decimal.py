"""Decimal128, column by column: 113 bits of digits behind exponent and sign, as Arrow has 128.

https://github.com/mongodb/specifications/blob/master/source/bson-decimal128/decimal128.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from bson.decimal128 import Decimal128

from syncline import arrow
from syncline.record import Type

Words = npt.NDArray[np.uint64]
"""Rows of two words: the low 64 bits, the high 64 bits."""

_BIAS: Final = 6176
"""What is added to the exponent."""
_DIGITS: Final = 38
_MOST_ZEROS: Final = 6
"""Arrow writes a decimal of more digits after the point as 1E-7 where it is small."""
_EXPONENT: Final = np.uint64(49)
_SIGN: Final = np.uint64(63)
_HIGH: Final = np.uint64((1 << 49) - 1)
_LARGE: Final = np.uint64(0b11 << 61)
"""Set for infinities, for NaN, and for a form that has no digits which fit."""
_ZERO: Final = Decimal128("0").bid


def encoded(array: Any) -> Words:
    """An Arrow column of decimals of up to 34 digits; anything where it is NULL."""
    words = arrow.words(array, 1, np.uint64)[2 * array.offset :][: 2 * len(array)].reshape(-1, 2)
    sign = words[:, 1] >> _SIGN
    size = _negated(words, sign.astype(np.bool_))
    size[:, 1] |= np.uint64((_BIAS - array.type.scale) << 49) | sign << _SIGN
    return size


def decoded(values: Sequence[object], type_: Type) -> pa.Array[Any] | None:
    """Values as a column of the type; None where one of them needs a look of its own."""
    is_text_with_limit = type_.is_unbounded_decimal and type_.precision is not None
    if is_text_with_limit or not set(map(type, values)) <= {Decimal128, type(None)}:
        return None
    data = b"".join(_ZERO if value is None else cast("Decimal128", value).bid for value in values)
    words = np.frombuffer(data, "<u8").astype(np.uint64).reshape(-1, 2)
    high = words[:, 1]
    if (high & _LARGE == _LARGE).any():
        return None
    missing = np.array([value is None for value in values], np.bool_)
    exponents = (high >> _EXPONENT & np.uint64(0x3FFF)).astype(np.int64) - _BIAS
    scales = sorted({-int(each) for each in np.unique(exponents[~missing])})
    if scales and not 0 <= scales[0] <= scales[-1] <= _MOST_ZEROS:
        return None
    numbers = _negated(
        np.column_stack((words[:, 0], high & _HIGH)), (high >> _SIGN).astype(np.bool_)
    )
    found = arrow.nulls(len(values), type_.arrow)
    for scale in scales:
        of_scale = _column(numbers, scale, type_)
        if of_scale is None:
            return None
        found = arrow.chosen(~missing & (exponents == -scale), of_scale, found)
    return found


def _column(numbers: Words, scale: int, type_: Type) -> pa.Array[Any] | None:
    """All of them read as numbers with so many digits after the point."""
    column = arrow.decimals(numbers, _DIGITS, scale)
    if type_.is_unbounded_decimal:
        return arrow.without_zeros(column.cast(pa.string())) if scale else column.cast(pa.string())
    try:
        return column.cast(type_.arrow)
    except pa.ArrowInvalid:  # too many digits, of this scale or of another
        return None


def _negated(words: Words, which: npt.NDArray[np.bool_]) -> Words:
    """The negative, in two's complement, of the numbers that the mask says."""
    low, high = words[:, 0], words[:, 1]
    return np.column_stack(
        (
            np.where(which, ~low + np.uint64(1), low),
            np.where(which, ~high + (low == 0).astype(np.uint64), high),
        )
    )
