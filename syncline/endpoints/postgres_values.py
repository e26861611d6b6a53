"""PostgreSQL values: what ADBC delivers made canonical or a misfit, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from syncline.endpoints.bisect import RowsRefused
from syncline.endpoints.fit import Unfit, shown
from syncline.endpoints.postgres_types import Native
from syncline.endpoints.sql_values import checked_json
from syncline.record import Misfit, Type, canonical_array

# What pyarrow's calls take and give is told by them at run time only.
pc: Any = pyarrow.compute
_pa: Any = pa

Found: TypeAlias = "tuple[pa.Array[Any], list[Misfit]]"
_Ints = npt.NDArray[np.int64]

# ADBC moves dates and instants from PostgreSQL's epoch (2000) to Arrow's (1970); infinities wrap
# around on the way.
_DAYS: Final = (-719_162, 2_932_896)  # 0001-01-01, 9999-12-31
_INFINITE_DAYS: Final = {-(2**31) + 10_956: "infinity", -(2**31) + 10_957: "-infinity"}
_MICROS: Final = (-62_135_596_800_000_000, 253_402_300_799_999_999)
_EPOCHS_APART: Final = 946_684_800_000_000
_INFINITE_MICROS: Final = {
    -(2**63) + _EPOCHS_APART - 1: "infinity",
    -(2**63) + _EPOCHS_APART: "-infinity",
}
_A_DAY: Final = 86_400_000_000
_NOT_FINITE: Final = pa.array(["NaN", "Infinity", "-Infinity"])
_LONG_NUMBER: Final = 1000


def decode(wire: pa.Array[Any], native: Native, wanted: Type, name: str) -> Found:
    """A column as ADBC delivered it, as values of `wanted`; misfits are NULL in the column."""
    natural = native.canonical()
    if native.reads_as_text(wanted):
        natural = Type("text")
        values, misfits = wire.cast(pa.string()), list[Misfit]()
    elif native.wire == "array":
        values, misfits = _arrays(wire, name)
    elif native.wire == "numeric":
        values, misfits = _decimals(wire, natural, name)
    elif native.base == "json":
        values, misfits = _documents(wire, name)
    else:
        values, misfits = _GUARDS.get(natural.name, _as_is)(wire, natural, name)
    if natural == wanted:
        return values, misfits
    values, more = coerce(values, natural, wanted, name)
    return values, misfits + more


def _as_is(wire: pa.Array[Any], natural: Type, name: str) -> Found:  # noqa: ARG001 - one of the guards
    return wire.cast(natural.arrow), []


def _documents(wire: pa.Array[Any], name: str) -> Found:
    """Of type `json`, which keeps the text as it came; `jsonb` has looked at it already."""
    values = wire.cast(pa.string())
    misfits: list[Misfit] = []
    bad = np.zeros(len(values), np.bool_)
    for row, text in enumerate(values.to_pylist()):
        try:
            _ = text is None or checked_json(text)
        except Unfit as reason:
            misfits.append(Misfit(row, name, str(reason), shown(text)))
            bad[row] = True
    if misfits:
        values = pc.if_else(pa.array(~bad), values, pa.scalar(None, pa.string()))
    return values, misfits


def _dates(wire: pa.Array[Any], natural: Type, name: str) -> Found:
    days = _integers(wire.cast(pa.int32()))
    return _outside(wire.cast(natural.arrow), days, _DAYS, _INFINITE_DAYS, "D", name)


def _instants(wire: pa.Array[Any], natural: Type, name: str) -> Found:
    micros = _integers(wire.cast(pa.int64()))
    return _outside(wire.cast(natural.arrow), micros, _MICROS, _INFINITE_MICROS, "us", name)


def _times(wire: pa.Array[Any], natural: Type, name: str) -> Found:
    bad = _integers(wire.cast(pa.int64())) >= _A_DAY
    return _taken_out(
        wire.cast(natural.arrow),
        bad,
        "the end of the day has no time of its own",
        lambda _: "24:00:00",
        name,
    )


def _outside(
    values: pa.Array[Any],
    numbers: _Ints,
    limits: tuple[int, int],
    infinite: dict[int, str],
    unit: str,
    name: str,
) -> Found:
    bad = (numbers < limits[0]) | (numbers > limits[1])

    def text(row: int) -> str:
        number = int(numbers[row])
        return infinite.get(number) or _wide_text(np.datetime64(number, cast("Any", unit)))

    return _taken_out(values, bad, "outside the years 1 to 9999", text, name)


def _wide_text(moment: np.datetime64) -> str:
    """A moment of any year as PostgreSQL writes it: `0044-03-15 BC`."""
    text = str(moment).replace("T", " ")
    negative = text.startswith("-")
    year, rest = text.lstrip("-").split("-", 1)
    if negative or int(year) == 0:  # there is no year 0: it is 1 BC
        return f"{int(year) + 1:04d}-{rest} BC"
    return text


def _arrays(wire: pa.Array[Any], name: str) -> Found:
    bad = _mask(pc.invert(pc.starts_with(wire, "[")))
    return _taken_out(
        wire,
        bad,
        "an array whose indexes do not begin at 1",
        lambda row: _at(wire, row).removeprefix("bounds "),
        name,
    )


def _decimals(wire: pa.Array[Any], natural: Type, name: str) -> Found:
    if natural.is_unbounded_decimal:
        return _trimmed(wire.cast(pa.string())), []
    texts, misfits = _taken_out(
        wire,
        _mask(pc.is_in(wire, _NOT_FINITE)),
        "not a number that a decimal can hold",
        lambda row: _at(wire, row),
        name,
    )
    values, more = _cast(texts, natural, name)
    return values, misfits + more


def _trimmed(texts: pa.Array[Any]) -> pa.Array[Any]:
    """`canonical_decimal` for PostgreSQL's notation (no exponent, no -0), without a loop."""
    if (pc.max(pc.utf8_length(texts)).as_py() or 0) > _LONG_NUMBER:
        return canonical_array(texts, Type("decimal"))
    short = pc.utf8_rtrim(pc.utf8_rtrim(texts, characters="0"), characters=".")
    return pc.if_else(pc.match_substring(texts, "."), short, texts)


_GUARDS: Final[dict[str, Callable[[pa.Array[Any], Type, str], Found]]] = {
    "date": _dates,
    "timestamp": _instants,
    "timestamptz": _instants,
    "time": _times,
}


# --- another type than the column's own -----------------------------------------------------------


def coerce(values: pa.Array[Any], natural: Type, wanted: Type, name: str) -> Found:
    """Values of one canonical type as another; a misfit where the value would not be the same."""
    if wanted.is_unbounded_decimal:
        return canonical_array(values.cast(pa.string()), wanted), []
    cast_values, misfits = _cast(values, wanted, name)
    bad = _too_fine(cast_values, natural, wanted)
    if bad is None:
        return cast_values, misfits
    kept, more = _taken_out(
        cast_values,
        bad,
        f"does not fit {wanted}",
        lambda row: _at(values.cast(pa.string()), row),
        name,
    )
    return kept, misfits + more


def _too_fine(values: pa.Array[Any], natural: Type, wanted: Type) -> npt.NDArray[np.bool_] | None:
    """Where a value has more characters or fractional digits than `wanted`, if that says."""
    if wanted.precision is None or wanted.name == "decimal":
        return None
    if wanted.name == "text":
        return _mask(pc.greater(pc.utf8_length(values), wanted.precision))
    if (natural.precision if natural.precision is not None else 6) <= wanted.precision:
        return None
    unit: int = 10 ** (6 - wanted.precision)
    return _integers(values.cast(pa.int64())) % unit != 0


def _cast(values: pa.Array[Any], wanted: Type, name: str) -> Found:
    try:
        return values.cast(wanted.arrow), []
    except pa.ArrowInvalid:
        return _cast_singly(values, wanted, name)


def _cast_singly(values: pa.Array[Any], wanted: Type, name: str) -> Found:
    """Each value cast alone, by halves: only the neighbourhood of a misfit pays."""
    parts: list[pa.Array[Any]] = []
    misfits: list[Misfit] = []
    waiting = [(0, len(values))]
    while waiting:
        start, stop = waiting.pop()
        part = values.slice(start, stop - start)
        try:
            parts.append(part.cast(wanted.arrow))
        except pa.ArrowInvalid:
            if stop - start > 1:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
                continue
            parts.append(_pa.nulls(1, wanted.arrow))
            misfits.append(Misfit(start, name, f"does not fit {wanted}", str(part[0].as_py())))
    return pa.concat_arrays(parts), misfits


# --- towards the database -------------------------------------------------------------------------


def encode(values: pa.Array[Any], native: Native) -> pa.Array[Any]:
    """A column as ADBC must be given it for binary COPY into a column that `writes_plain`.

    Raises RowsRefused where a value can't be one of the column's type.
    """
    try:
        if native.base == "uuid":
            return _uuid_bytes(values)
        if native.base == "jsonb":  # its binary form is version 1 and the text
            return pc.binary_join_element_wise(
                pa.scalar(b"\x01"), values.cast(pa.binary()), pa.scalar(b"")
            )
        return values.cast(native.canonical().arrow)
    except (pa.ArrowException, ValueError) as error:
        raise RowsRefused("value", f"no {native.declared}: {error}") from None


def _uuid_bytes(values: pa.Array[Any]) -> pa.Array[Any]:
    digits = pc.fill_null(pc.replace_substring(values.cast(pa.string()), "-", ""), "0" * 32)
    if not pc.all(pc.equal(pc.utf8_length(digits), 32)).as_py() and len(values):
        raise ValueError("32 hexadecimal digits make a uuid")
    raw = bytes.fromhex("".join(digits.to_pylist()))
    if len(raw) != len(values) * 16:  # fromhex skips spaces
        raise ValueError("32 hexadecimal digits make a uuid")
    made = pa.Array.from_buffers(pa.binary(16), len(values), [None, pa.py_buffer(raw)])
    return (
        pc.if_else(values.is_null(), pa.scalar(None, made.type), made)
        if values.null_count
        else made
    )


# --- masks ----------------------------------------------------------------------------------------


def _integers(values: pa.Array[Any]) -> _Ints:
    return pc.fill_null(values, 0).to_numpy(zero_copy_only=False)


def _mask(values: Any) -> npt.NDArray[np.bool_]:
    return pc.fill_null(values, False).to_numpy(zero_copy_only=False)


def _at(values: pa.Array[Any], row: int) -> str:
    return str(values[row].as_py())


def _taken_out(
    values: pa.Array[Any],
    bad: npt.NDArray[np.bool_],
    reason: str,
    text: Callable[[int], str],
    name: str,
) -> Found:
    if not bad.any():
        return values, []
    misfits = [Misfit(int(row), name, reason, text(int(row))) for row in np.flatnonzero(bad)]
    return pc.if_else(pa.array(~bad), values, pa.scalar(None, values.type)), misfits
