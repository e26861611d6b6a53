"""Values of SQL databases to Arrow and back, a column at a time.

What does not fit is named, never changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syncline.endpoints.base import Column, Mask
from syncline.endpoints.fit import Unfit, fit, shown, to_arrow
from syncline.record import Misfit, Type

Array: TypeAlias = Any
"""An Arrow array. Arrow's generic array types say less here than they cost to spell."""

_DAYS: Final = (-719_162, 2_932_896)
"""0001-01-01 and 9999-12-31 in days since 1970: what every database and Python can hold."""
_MICROSECONDS: Final = (_DAYS[0] * 86_400_000_000, (_DAYS[1] + 1) * 86_400_000_000 - 1)
_UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_WHOLE: Final = {"smallint", "integer", "bigint"}


@dataclass(frozen=True, slots=True)
class Field:
    """A column, and the type that a spec reads or writes it as."""

    column: Column
    type: Type

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name


@dataclass(slots=True)
class Bound:
    """A column as statement parameters, and why some rows of it can't be written."""

    values: list[Any]
    refused: dict[int, str] = field(default_factory=dict[int, str])

    def refuse(self, mask: Mask, reason: str) -> None:
        """Note the rows of a mask as refused; the first reason of a row stands."""
        for row in np.flatnonzero(mask).tolist():
            self.refused.setdefault(row, reason)


# --- reading --------------------------------------------------------------------------------------


def read_values(
    wanted: Field, values: Sequence[Any], prepare: Callable[[Any, Type], Any]
) -> tuple[Array, list[Misfit]]:
    """Give what a query answered for one column as an Arrow array of the field's type.

    The quick way takes columns whose every value is in the type's usual form; else each value goes
    through `prepare` (the database's form to one that `fit` knows; may raise Unfit) and `fit`.
    """
    quick = _QUICK.get(wanted.type.name)
    if quick is not None:
        try:
            return quick(values, wanted.type), []
        except (Unfit, pa.ArrowException, OverflowError, UnicodeError, TypeError):
            pass
    fitted: list[Any] = []
    misfits: list[Misfit] = []
    for row, value in enumerate(values):
        try:
            fitted.append(None if value is None else fit(prepare(value, wanted.type), wanted.type))
        except Unfit as reason:
            fitted.append(None)
            told = shown(value).encode(errors="backslashreplace").decode()
            misfits.append(Misfit(row, wanted.name, str(reason), told))
    return to_arrow(fitted, wanted.type), misfits


def checked_json(text: str) -> str:
    """Give JSON text back unchanged, or raise Unfit. NaN and lone surrogates are no JSON.

    Nor is an object that has a key twice: databases differ in which of the two they keep.
    """
    try:
        document = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode()
    except Unfit:
        raise
    except (ValueError, RecursionError) as error:
        raise Unfit("is no json") from error
    return text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise Unfit("is json with a key twice")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _only(values: Sequence[Any], *kinds: type) -> None:
    if not set(map(type, values)) <= {*kinds, type(None)}:
        raise Unfit("mixed classes")


def _quick_bool(values: Sequence[Any], _type: Type) -> Array:
    _only(values, int)
    if not set(values) <= {0, 1, None}:
        raise Unfit("no bool")
    return pa.array(values, pa.int8()).cast(pa.bool_())


def _quick_plain(*kinds: type) -> Callable[[Sequence[Any], Type], Array]:
    def read(values: Sequence[Any], type_: Type) -> Array:
        _only(values, *kinds)
        return pa.array(values, type_.arrow)

    return read


def _quick_real(values: Sequence[Any], _type: Type) -> Array:
    _only(values, float)
    wide: Array = pa.array(values, pa.float64())
    narrow = wide.cast(pa.float32(), safe=False)
    if not narrow.cast(pa.float64()).equals(wide):
        raise Unfit("finer than real")
    return narrow


def _quick_text(values: Sequence[Any], type_: Type) -> Array:
    _only(values, str)
    array: Array = pa.array(values, pa.string())
    if type_.precision is not None:
        longest = cast("int | None", _call("max", _call("utf8_length", array)).as_py())
        if (longest or 0) > type_.precision:
            raise Unfit("too long")
    return array


def _quick_decimal(values: Sequence[Any], type_: Type) -> Array:
    _only(values, str)
    if type_.is_unbounded_decimal:
        raise Unfit("unbounded")
    return pa.array(values, pa.string()).cast(type_.arrow)


def _quick_date(values: Sequence[Any], _type: Type) -> Array:
    array: Array = pa.array(values, pa.string()).cast(pa.date32())
    if beyond(array).any():
        raise Unfit("out of range")
    return array


def _quick_time(values: Sequence[Any], type_: Type) -> Array:
    text: Array = pa.array(values, pa.string())
    dated = _call("binary_join_element_wise", pa.scalar("1970-01-01"), text, " ")
    array = dated.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.time64("us"))
    if finer(array, type_).any():
        raise Unfit("finer")
    return array


def _quick_instant(values: Sequence[Any], type_: Type) -> Array:
    text: Array = pa.array(values, pa.string())
    if type_.name == "timestamptz":
        text = _call("replace_substring_regex", text, pattern=r"(Z|\+00:00)$", replacement="")
    array = text.cast(pa.timestamp("us"))
    if beyond(array).any() or finer(array, type_).any():
        raise Unfit("out of range")
    # Neither SQLite's CURRENT_TIMESTAMP nor a MySQL session in +00:00 writes its zone: it is UTC.
    return array.cast(pa.int64()).cast(type_.arrow)


def _quick_uuid(values: Sequence[Any], _type: Type) -> Array:
    array: Array = pa.array(values, pa.string())
    if _call("all", _call("match_substring_regex", array, pattern=_UUID)).as_py() is False:
        raise Unfit("other form")
    return array


def _quick_json(values: Sequence[Any], _type: Type) -> Array:
    _only(values, str)
    return pa.array([None if v is None else checked_json(v) for v in values], pa.string())


_QUICK: Final[dict[str, Callable[[Sequence[Any], Type], Array]]] = {
    "bool": _quick_bool,
    **dict.fromkeys(_WHOLE, _quick_plain(int)),
    "real": _quick_real,
    "double": _quick_plain(float),
    "text": _quick_text,
    "bytes": _quick_plain(bytes),
    "decimal": _quick_decimal,
    "date": _quick_date,
    "time": _quick_time,
    "timestamp": _quick_instant,
    "timestamptz": _quick_instant,
    "uuid": _quick_uuid,
    "json": _quick_json,
}


# --- writing --------------------------------------------------------------------------------------


def column_of(rows: pa.Table, wanted: Field) -> Array:
    """Give a table's column as one array of exactly the field's Arrow type."""
    array: Array = cast("Any", rows.column(wanted.name)).combine_chunks()
    return array if array.type == wanted.type.arrow else array.cast(wanted.type.arrow)


def bind_values(wanted: Field, array: Array) -> Bound:
    """Give the column as plain parameters (numbers, bytes, text; instants as ISO text in UTC).

    Refused: NULL where the column is NOT NULL, what years 1 to 9999 do not hold, and instants with
    more digits than the type says.
    """
    name, absent = wanted.type.name, mask_of(array.is_null())
    if name in {"date", "timestamp", "timestamptz"}:
        too_far = beyond(array)
        array = _call("if_else", pa.array(too_far), pa.scalar(None, array.type), array)
        bound = Bound(as_text(array))
        bound.refuse(too_far, "lies outside the years 1 to 9999")
    elif name == "time":
        bound = Bound(array.cast(pa.string()).to_pylist())
    else:
        bound = Bound(array.to_pylist())
    if name in {"time", "timestamp", "timestamptz"}:
        bound.refuse(finer(array, wanted.type), f"is finer than {wanted.type}")
    if not wanted.column.nullable:
        bound.refuse(absent, f"column {wanted.name} is NOT NULL")
    return bound


def as_text(array: Array) -> list[str | None]:
    """Give dates and instants as ISO text with a space and, for instants, six digits; no zone."""
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64()).cast(pa.timestamp("us"))
    return cast("list[str | None]", array.cast(pa.string()).to_pylist())


def plain_decimals(array: Array) -> list[str | None]:
    """Give decimals as text in plain notation, with all the digits of the column's scale."""
    if pa.types.is_string(array.type):
        return cast("list[str | None]", array.to_pylist())
    text = array.cast(pa.string())
    # Arrow writes 0.00000001 as 1E-8.
    if _call("any", _call("match_substring", text, pattern="E")).as_py():
        return [None if v is None else format(v, "f") for v in array.to_pylist()]
    return cast("list[str | None]", text.to_pylist())


def not_finite(array: Array) -> Mask:
    """Say where a column of doubles holds NaN or an infinity."""
    return mask_of(_call("invert", _call("is_finite", array)))


def beyond(array: Array) -> Mask:
    """Say where dates or instants lie outside the years 1 to 9999."""
    days = pa.types.is_date32(array.type)
    low, high = _DAYS if days else _MICROSECONDS
    numbers = array.cast(pa.int32()).cast(pa.int64()) if days else array.cast(pa.int64())
    return mask_of(_call("or", _call("less", numbers, low), _call("greater", numbers, high)))


def finer(array: Array, type_: Type) -> Mask:
    """Say where times or instants have more fractional digits than the type."""
    if type_.precision is None or type_.precision >= 6:  # noqa: PLR2004 - microseconds
        return np.zeros(len(array), np.bool_)
    unit = 10 ** (6 - type_.precision)
    numbers = _call("fill_null", array.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    return cast("Mask", numbers % unit != 0)


def longer(array: Array, most: int) -> Mask:
    """Say where texts have more characters than `most`."""
    return mask_of(_call("greater", _call("utf8_length", array), most))


def mask_of(array: Array) -> Mask:
    """Give a boolean array as a mask; NULL is False."""
    filled = _call("fill_null", array, fill_value=False)
    return cast("Mask", filled.to_numpy(zero_copy_only=False))


def _call(function: str, *args: Any, **options: Any) -> Any:
    # By name: the stubs of pyarrow.compute know neither scalars nor masks of every type.
    return getattr(pc, function + ("_" if function in {"or", "and"} else ""))(*args, **options)
