"""Spelling: the text of a record, the print of that text, and the group of its key.

Databases spell records themselves (`endpoints.digest_sql`); this is the same for Arrow, and says
what all of them do:

- A *value* is written in one form for all databases: whole numbers and decimals in plain notation
  without trailing zeros, true and false as 1 and 0, dates and times in ISO 8601 with six digits of
  a second, instants in UTC, bytes as lower-case hexadecimal digits. A value that its type can't
  hold is written behind the mark of its side, so that it equals nothing.
- A *key* is written as the ledger has it (`baseline.encode_key`).
- A *record* is the key and each field, where what may hold any character is told by its length
  (`3:a,b`), `~` is NULL, and a comma ends each: so no two records have one text.
- A *print* is the first 64 bits of the text's MD5. Prints of a group are summed modulo 2^64, and
  counted: that two groups which differ have both alike by chance is less likely than 2^-64. It is
  no defence against somebody who makes records collide on purpose.
- A key's *group* is, of whole numbers, that of its block of 16 (neighbours are deleted together) by
  Fibonacci hashing (Knuth, TAOCP 3, 6.4); else the first bits of its print. So both sides agree on
  it whatever their collations are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from syncline import arrow
from syncline.record import Misfit, Type, canonical_array

WHOLE: Final = {"smallint", "integer", "bigint"}
_NUMBERS: Final = {*WHOLE, "decimal"}
_SPELLED: Final = {
    *_NUMBERS, "bool", "text", "uuid", "bytes", "date", "time", "timestamp", "timestamptz",
}  # fmt: skip
KEYS: Final = {*WHOLE, "text", "uuid", "date"}
"""The types of keys that every database writes as the ledger does."""
_BLOCK: Final = 4
_LOW_31: Final = 0x7FFFFFFF
_FIBONACCI: Final = 2_654_435_769
_LOW_32: Final = 0xFFFFFFFF

Numbers = npt.NDArray[np.int64]


def is_shared(source: Type, target: Type) -> bool:
    """Whether equal values of these two types, and only those, are spelled alike."""
    one, other = source.name, target.name
    if one not in _SPELLED or other not in _SPELLED:
        return False
    if one == other or (one in _NUMBERS and other in _NUMBERS):
        return True
    if {one, other} <= {"timestamp", "timestamptz"} or {one, other} == {"uuid", "text"}:
        return True
    return one in WHOLE and other == "text"


def record_texts(
    keys: pa.Array[Any],
    records: pa.Table,
    fields: Mapping[str, Type],
    misfits: Iterable[Misfit],
    odd: str,
) -> pa.Array[Any]:
    """The texts of records whose keys have these texts; of a record with a misfit it is one that
    the other side has not.
    """
    parts: list[Any] = [arrow.characters(keys), ":", keys]
    for name, type_ in fields.items():
        text = value_texts(arrow.one_chunk(records.column(name)), type_)
        if type_.name == "text":
            text = arrow.concatenated(arrow.characters(text), ":", text)
        parts += [arrow.filled(text, "~"), ","]
    texts = arrow.concatenated(*parts)
    rows = {misfit.row for misfit in misfits}
    if not rows:
        return texts
    return pa.array(
        [f"{odd}{text}" if i in rows else text for i, text in enumerate(texts.to_pylist())],
        pa.string(),
    )


def value_texts(values: pa.Array[Any], type_: Type) -> pa.Array[Any]:
    """The texts of values of one of the types that are spelled."""
    match type_.name:
        case "bool":
            return values.cast(pa.int8()).cast(pa.string())
        case "decimal":
            texts = values if type_.is_unbounded_decimal else values.cast(pa.string())
            return canonical_array(texts, Type("decimal"))
        case "bytes":
            return arrow.hexadecimal(values)
        case "timestamp" | "timestamptz":
            return values.cast(pa.int64()).cast(pa.timestamp("us")).cast(pa.string())
        case _:
            return values.cast(pa.string())


def prints(texts: pa.Array[Any]) -> Numbers:
    """The prints of texts; 0 for NULL."""
    return np.array(
        [0 if text is None else _print(text) for text in texts.to_pylist()], np.int64
    ).reshape(-1)


def _print(text: str) -> int:
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def groups_of(keys: pa.Array[Any], texts: pa.Array[Any], groups: int) -> Numbers:
    """The groups of keys, which are whole numbers or texts."""
    bits = groups.bit_length() - 1
    if not pa.types.is_integer(keys.type):
        return (prints(texts) >> np.int64(64 - bits)) & np.int64(groups - 1)
    block = (arrow.numbers(keys).astype(np.int64) >> _BLOCK) & _LOW_31
    return ((block * _FIBONACCI) & _LOW_32) >> (32 - bits)
