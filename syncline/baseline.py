"""Baseline: what source and target held when they were last settled, as fingerprints, and how a
ledger row packs it.

A ledger row keeps `s` and `t` as 8 bytes a field in the order of a *layout* (the mapping's field
list at that time). A row of an older layout is translated when it is read, so that a changed
mapping is rebased without rewriting the ledger and without a storm of conflicts: a field whose
expression changed counts as moved on the source, a new field as one that the target held NULL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from syncline import arrow
from syncline.endpoints.base import ROW, Mask
from syncline.record import NULL_FINGERPRINT, Misfit, Type, fingerprints, same_fingerprints

SOURCE_GONE: Final = 1
TARGET_GONE: Final = 2
NOT_HELD: Final = 0
WAITS: Final = 1
DEAD: Final = 2
MOST_KEPT: Final = 32_000
"""So many bytes of a record's values are kept behind its prints: MySQL's BLOB holds 65,535."""
PARKED: Final = 3
_ESCAPED: Final = r'["\\\x00-\x1f]'
"""What JSON writes in another way inside a text."""

Prints = npt.NDArray[np.int64]
Layout = tuple[tuple[str, str, str], ...]
"""The fields of a ledger row, in order: name, digest of the compiled expression, target type."""


def prints_of(table: pa.Table, types: Mapping[str, Type], misfits: Sequence[Misfit] = ()) -> Prints:
    """The fingerprints of a table's fields, (n, f), columns in the order of `types`.

    A misfit gets a fingerprint of its own text, so that it equals itself and nothing else.
    """
    matrix = np.empty((table.num_rows, len(types)), dtype=np.int64)
    for j, (name, type_) in enumerate(types.items()):
        matrix[:, j] = fingerprints(table.column(name), type_)
    places = {name: j for j, name in enumerate(types)}
    for misfit in misfits:
        if misfit.field in places:
            text = pa.array([f"{misfit.reason}\0{misfit.value}"])
            matrix[misfit.row, places[misfit.field]] = fingerprints(text, Type("text"))[0]
    return matrix


@dataclass(slots=True)
class Baselines:
    """The baselines of n keys, aligned with them: see `syncline.endpoints.base.LEDGER_SCHEMA`.

    `s`, `t`, `held`, `known` are (n, f). `source_void` (n, f): the field's expression changed
    since, so its source fingerprint can't be compared and counts as moved.
    """

    present: Mask
    gone: npt.NDArray[np.int16]
    hold: npt.NDArray[np.int16]
    epoch: npt.NDArray[np.int64]
    s: Prints
    t: Prints
    held: Mask
    known: Mask
    source_void: Mask
    kept: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    """By row, the source's values that `s` is the print of, of the fields that say `keep: values`.
    """


def none_of(n: int, fields: int) -> Baselines:
    """No baseline for any of n keys."""
    return Baselines(
        np.zeros(n, np.bool_),
        np.zeros(n, np.int16),
        np.zeros(n, np.int16),
        np.zeros(n, np.int64),
        np.zeros((n, fields), np.int64),
        np.zeros((n, fields), np.int64),
        np.zeros((n, fields), np.bool_),
        np.zeros((n, fields), np.bool_),
        np.zeros((n, fields), np.bool_),
    )


def unpack(rows: pa.Table, n: int, layouts: Sequence[Layout], current: int) -> Baselines:
    """The ledger rows (with `__row`) as baselines of n keys, in the current layout."""
    here = none_of(n, len(layouts[current]))
    if rows.num_rows == 0:
        return here
    rows = rows.combine_chunks()
    at = rows.column(ROW).to_numpy()
    here.present[at] = True
    for name, column in (("gone", here.gone), ("hold", here.hold), ("epoch", here.epoch)):
        column[at] = rows.column(name).to_numpy()
    numbers = rows.column("layout").to_numpy()
    for number in np.unique(numbers):
        chosen = np.flatnonzero(numbers == number)
        _unpack_layout(
            here,
            arrow.take(rows, chosen) if len(chosen) < rows.num_rows else rows,
            at[chosen],
            layouts[int(number)],
            layouts[current],
        )
    return here


def _unpack_layout(
    here: Baselines, rows: pa.Table, at: npt.NDArray[Any], old: Layout, now: Layout
) -> None:
    width = len(old)
    s = _matrix(rows.column("s"), width)
    sizes = arrow.lengths(arrow.one_chunk(rows.column("s")))
    if (sizes > width * 8).any():
        _unpack_kept(here, rows, at, sizes > width * 8, width, old, now)
    t = s.copy()
    differs = rows.column("t").is_valid().to_numpy()
    t[differs] = _matrix(arrow.keep(rows, differs).column("t"), width)
    held = np.zeros((len(at), width), np.bool_)
    some = rows.column("held").is_valid().to_numpy()
    held[some] = _bytes(arrow.keep(rows, some).column("held"), width)
    # A hold on a record that never was settled has no baseline to go with it.
    has = sizes >= width * 8
    places = {name: (j, digest, type_) for j, (name, digest, type_) in enumerate(old)}
    for j, (name, digest, type_) in enumerate(now):
        if name not in places:
            here.t[at, j] = NULL_FINGERPRINT
            here.known[at, j] = has
            here.source_void[at, j] = True
            continue
        i, old_digest, old_type = places[name]
        here.s[at, j], here.t[at, j], here.held[at, j] = s[:, i], t[:, i], held[:, i]
        here.known[at, j] = has & same_fingerprints(old_type, type_)
        here.source_void[at, j] = old_digest != digest


def _unpack_kept(
    here: Baselines,
    rows: pa.Table,
    at: npt.NDArray[Any],
    longer: Mask,
    width: int,
    old: Layout,
    now: Layout,
) -> None:
    """The values behind the prints; not of a field whose expression or type changed since."""
    from syncline.store import values

    same = {name for name, _, _ in set(old) & set(now)}
    texts: list[Any] = arrow.keep(rows, longer).column("s").to_pylist()
    for row, text in zip(at[longer], texts, strict=True):
        found: dict[str, Any] = values.decode(text[width * 8 :].decode("ascii"))
        here.kept[int(row)] = {name: value for name, value in found.items() if name in same}


def _with_kept(s: pa.Array[Any], kept: Sequence[Mapping[str, Any] | None]) -> pa.Array[Any]:
    """Each row's prints with its kept values behind them; not where those are too long."""
    from syncline.store import values

    def whole(prints: bytes, of: Mapping[str, Any] | None) -> bytes:
        text = values.encode(dict(of)).encode("ascii") if of and prints else b""
        return prints + text if len(text) <= MOST_KEPT else prints

    every: list[Any] = s.to_pylist()
    pairs = zip(every, kept, strict=True)
    return pa.array([whole(prints, of) for prints, of in pairs], pa.binary())


def _matrix(column: pa.ChunkedArray[Any], width: int) -> Prints:
    """Rows of `width` fingerprints; an empty value (a hold without a baseline) reads as zeros."""
    flat = arrow.one_chunk(column)
    matrix = np.zeros((len(flat), width), np.int64)
    sizes = arrow.lengths(flat)
    full = sizes >= width * 8
    if width and full.any():
        if (sizes > width * 8).any():
            flat = arrow.heads(flat, width * 8)
        matrix[full] = np.frombuffer(
            _joined(flat if full.all() else arrow.keep(flat, full)), "<i8"
        ).reshape(-1, width)
    return matrix


def _joined(flat: pa.Array[Any]) -> bytes:
    """All values of a binary column, one after the other."""
    if len(flat) == 0:
        return b""
    offsets = arrow.words(flat, 1, np.int32)[flat.offset : flat.offset + len(flat) + 1]
    return arrow.words(flat, 2, np.uint8)[offsets[0] : offsets[-1]].tobytes()


def _bytes(column: pa.ChunkedArray[Any], width: int) -> Mask:
    joined = _joined(arrow.one_chunk(column))
    return np.frombuffer(joined, np.uint8).reshape(-1, width).astype(np.bool_)


def pack(
    keys: pa.Array[Any], here: Baselines, chosen: npt.NDArray[Any], *, layout: int, epoch: int
) -> pa.Table:
    """The ledger rows of the chosen keys (row numbers), ready for `ledger_put`."""
    n, whole = len(chosen), len(chosen) == len(keys)
    s, t, held, all_known = (
        rows if whole else rows[chosen] for rows in (here.s, here.t, here.held, here.known)
    )
    known: Mask = np.atleast_1d(all_known.all(axis=1))
    # A new record has one image for both sides, and most ledgers hold nothing apart.
    differs: Mask = np.zeros(n, np.bool_) if t is s else np.any(s != t, axis=1) & known
    any_held: Mask = np.any(held, axis=1) & known if held.any() else np.zeros(n, np.bool_)
    prints = _packed(s.astype("<i8", copy=False), known, null=False)
    if here.kept:
        prints = _with_kept(prints, [here.kept.get(int(row)) for row in chosen])
    return arrow.table(
        {
            "k": keys if whole else arrow.take(keys, chosen),
            "s": prints,
            "t": _packed(t.astype("<i8", copy=False), differs, null=True),
            "held": _packed(held.view(np.uint8), any_held, null=True),
            "gone": arrow.array(here.gone[chosen]),
            "hold": arrow.array(here.hold[chosen]),
            "layout": arrow.array(np.full(n, layout, np.int32)),
            "epoch": arrow.array(np.full(n, epoch, np.int64)),
        }
    )


def _packed(matrix: npt.NDArray[Any], wanted: Mask, *, null: bool) -> pa.Array[Any]:
    """One binary value a row: the row's bytes where wanted, else null (or empty)."""
    if null and not wanted.any():
        return arrow.nulls(len(matrix), pa.binary())
    size = matrix.dtype.itemsize * matrix.shape[1]
    offsets = np.zeros(len(matrix) + 1, np.int32)
    np.cumsum(wanted * np.int32(size), out=offsets[1:])
    data = (matrix if wanted.all() else matrix[wanted]).tobytes()
    validity = arrow.array(wanted).buffers()[1] if null else None
    buffers = [validity, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(matrix), buffers)


# --- ledger keys ---


def encode_key(records: pa.Table, key: Mapping[str, Type]) -> pa.Array[Any]:
    """The ledger's form of source keys: the number itself, the text itself, or a JSON list of
    texts.
    """
    parts = [records.column(name).combine_chunks() for name in key]
    types = list(key.values())
    if len(parts) == 1:
        return parts[0].cast(pa.int64()) if types[0].is_integer else _text(parts[0], types[0])
    return _json_lists([_text(part, type_) for part, type_ in zip(parts, types, strict=True)])


def _json_lists(texts: Sequence[pa.Array[Any]]) -> pa.Array[Any]:
    """Row by row the texts as a JSON list, as `json.dumps(.., ensure_ascii=False)` writes it."""
    if any(text.null_count or arrow.contains(text, _ESCAPED) for text in texts):
        rows = zip(*(text.to_pylist() for text in texts), strict=True)
        return pa.array([json.dumps(row, ensure_ascii=False) for row in rows], pa.string())
    between = ['["', *['", "'] * (len(texts) - 1)]
    parts = [part for pair in zip(between, texts, strict=True) for part in pair]
    return arrow.concatenated(*parts, '"]')


def decode_key(keys: pa.Array[Any], key: Mapping[str, Type]) -> pa.Table:
    """The source keys of ledger keys: the inverse of `encode_key`."""
    if len(key) == 1:
        ((name, type_),) = key.items()
        return pa.table(
            {
                name: keys.cast(type_.arrow)
                if type_.is_integer
                else _value(keys.cast(pa.string()), type_)
            }
        )
    rows = [json.loads(str(text)) for text in keys.to_pylist()]
    return pa.table(
        {
            name: _value(pa.array([row[i] for row in rows], pa.string()), type_)
            for i, (name, type_) in enumerate(key.items())
        }
    )


def _text(values: pa.Array[Any], type_: Type) -> pa.Array[Any]:
    if type_.name == "bytes":
        return pa.array([None if v is None else v.hex() for v in values.to_pylist()], pa.string())
    return values.cast(pa.string())


def _value(values: pa.Array[Any], type_: Type) -> pa.Array[Any]:
    if type_.name == "bytes":
        return pa.array(
            [None if v is None else bytes.fromhex(v) for v in values.to_pylist()], pa.binary()
        )
    return values.cast(type_.arrow)
