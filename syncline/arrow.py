"""Arrow, as the engine calls it: pyarrow's calls under the types that they really take and give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_compute: Any = pc
_pa: Any = pa
Columnar = TypeVar("Columnar", pa.Table, "pa.Array[Any]")


def table(columns: Mapping[str, Any]) -> pa.Table:
    """A table of these columns: arrays, chunked arrays or numpy arrays."""
    return _pa.table(dict(columns))


def array(values: Any, type_: pa.DataType | None = None) -> pa.Array[Any]:
    """An array of values, or of a numpy array."""
    return _pa.array(values, type_)


def nulls(n: int, type_: pa.DataType) -> pa.Array[Any]:
    """An array of n NULLs."""
    return _pa.nulls(n, type_)


def take(
    of: Columnar, rows: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None = None
) -> Columnar:
    """The rows of these numbers, in their order; all NULL where `missing`."""
    return cast("Any", of).take(_pa.array(rows, mask=missing))


def keep(of: Columnar, mask: npt.NDArray[np.bool_]) -> Columnar:
    """The rows where the mask is True."""
    return cast("Any", of).filter(_pa.array(mask))


def numbers(column: Any, null: float = 0) -> npt.NDArray[Any]:
    """A column as a numpy array, with `null` for NULL."""
    filled = _compute.fill_null(column, null) if column.null_count else column
    return (
        filled.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else filled.to_numpy()
    )


def truths(column: Any, *, null: bool = False) -> npt.NDArray[np.bool_]:
    """A boolean column as a mask, with `null` for NULL."""
    return numbers(column, null).astype(np.bool_)


def one_chunk(column: pa.ChunkedArray[Any] | pa.Array[Any]) -> pa.Array[Any]:
    """The column as one array."""
    return cast("Any", column).combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def later(source: Any, target: Any) -> Any:
    """Where source > target; NULL where either is."""
    return _compute.greater(source, target)


def largest(column: Any) -> Any:
    """The largest value of a column, as a Python value; None where it has none."""
    return _compute.max(column).as_py()


def lengths(column: pa.Array[Any]) -> npt.NDArray[Any]:
    """The length in bytes of each value of a binary column; -1 for NULL."""
    return numbers(_compute.binary_length(column), -1)


def heads(column: pa.Array[Any], size: int) -> pa.Array[Any]:
    """The first bytes of each value of a binary column."""
    return _compute.binary_slice(column, 0, size)


def ascends(of: pa.Table) -> bool:
    """Whether each row is greater than the one before it, column by column; False with a NULL."""
    rises: Any = False
    for column in reversed(cast("list[Any]", of.columns)):
        if column.null_count:
            return False
        row, before = column.slice(1), column.slice(0, max(len(column) - 1, 0))
        equal_so_far = _compute.and_(_compute.equal(row, before), rises)
        rises = _compute.or_(_compute.greater(row, before), equal_so_far)
    return _compute.all(rises, min_count=0).as_py()


def distinct_rows(of: pa.Table) -> int:
    """How many different rows a table has; NULL equals NULL."""
    return cast("Any", of).group_by(of.column_names, use_threads=False).aggregate([]).num_rows


def all_differ(keys: pa.Table) -> bool:
    """Whether no row comes twice; told by neighbours alone where they come in order."""
    return ascends(keys) or distinct_rows(keys) == keys.num_rows


def disjoint(one: pa.Table, other: pa.Table) -> bool:
    """Whether no row is in both of two tables of the same columns; told by ranges where they tell.

    NULL equals NULL.
    """
    pairs = list(zip(one.columns, other.columns, strict=True))
    if any(_ranges_apart(column, others) for column, others in pairs):
        return True
    if len(pairs) == 1:
        ((column, others),) = pairs
        return not _compute.any(
            _compute.is_in(column, others.combine_chunks()), min_count=0
        ).as_py()
    both = _pa.concat_tables([one, other])
    return distinct_rows(both) == distinct_rows(one) + distinct_rows(other)


def _ranges_apart(column: Any, others: Any) -> bool:
    """Whether all values of one column are greater than all of the other; False with a NULL."""
    if column.null_count or others.null_count or not (len(column) and len(others)):
        return False
    ends, bounds = _compute.min_max(column).as_py(), _compute.min_max(others).as_py()
    return bool(ends["min"] > bounds["max"] or ends["max"] < bounds["min"])


def contains(column: Any, pattern: str) -> bool:
    """Whether any text of the column contains a match of the regular expression."""
    return bool(_compute.any(_compute.match_substring_regex(column, pattern)).as_py())


def concatenated(*parts: Any) -> pa.Array[Any]:
    """Texts put together row by row; a part is a column or one text."""
    return _compute.binary_join_element_wise(*parts, "")


def joined(*parts: Any) -> pa.Array[Any]:
    """Bytes put together row by row; a part is a column or the same bytes for all rows."""
    return _compute.binary_join_element_wise(*parts, b"")


def of_bytes(data: npt.NDArray[Any], size: int) -> pa.Array[Any]:
    """The memory of a numpy array as a binary column, `size` bytes a value."""
    if not size:
        return _pa.array([], pa.binary())
    buffers = [None, _pa.py_buffer(data)]
    fixed = _pa.FixedSizeBinaryArray.from_buffers(_pa.binary(size), data.nbytes // size, buffers)
    return fixed.cast(pa.binary())


def decimals(words: npt.NDArray[np.uint64], digits: int, scale: int) -> pa.Array[Any]:
    """Rows of two words, the low one first, as decimals."""
    buffers = [None, _pa.py_buffer(np.ascontiguousarray(words, "<u8"))]
    return _pa.Array.from_buffers(_pa.decimal128(digits, scale), len(words), buffers)


def without_zeros(column: pa.Array[Any]) -> pa.Array[Any]:
    """Texts of decimals with a point, without the zeros at their end."""
    return _compute.utf8_rtrim(_compute.utf8_rtrim(column, "0"), ".")


def chosen(mask: npt.NDArray[np.bool_], yes: Any, no: Any) -> pa.Array[Any]:
    """The one where the mask is True, else the other: columns, or the same value for all rows."""
    return _compute.if_else(_pa.array(mask), yes, no)


def where_null(column: pa.Array[Any], null: Any, values: pa.Array[Any]) -> pa.Array[Any]:
    """The values, with `null` where the column is NULL."""
    if not column.null_count:
        return values
    return _compute.if_else(_compute.is_null(column), _pa.scalar(null, values.type), values)


def characters(column: pa.Array[Any]) -> pa.Array[Any]:
    """How many characters each text has, as text."""
    return _compute.utf8_length(column).cast(pa.string())


def filled(column: pa.Array[Any], null: Any) -> pa.Array[Any]:
    """The column with `null` in the place of NULL."""
    return _compute.fill_null(column, null)


def hexadecimal(column: pa.Array[Any]) -> pa.Array[Any]:
    """Bytes as lower-case hexadecimal digits."""
    return _pa.array([None if v is None else v.hex() for v in column.to_pylist()], pa.string())


def replace(
    column: pa.Array[Any], mask: npt.NDArray[np.bool_], values: Sequence[Any]
) -> pa.Array[Any]:
    """The column with these values, in order, where the mask is True.

    Raises pa.ArrowInvalid where a value is not of the column's type.
    """
    return _compute.replace_with_mask(column, _pa.array(mask), _pa.array(values, column.type))


def type_of(of: pa.Table | pa.Schema, name: str) -> pa.DataType:
    """The type of a column."""
    schema: Any = of.schema if isinstance(of, pa.Table) else of
    return schema.field(name).type


def value(of: Any, type_: pa.DataType) -> Any:
    """A value as that type holds it; a text is read as one.

    Raises pa.ArrowException where it does not fit.
    """
    if isinstance(of, str) and not pa.types.is_string(type_):
        return _compute.cast(_pa.scalar(of), type_).as_py()
    return _pa.scalar(of, type_).as_py()


def words(column: pa.Array[Any], buffer: int, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """A buffer of the column as numbers; the whole of it, the array's offset not counted in."""
    return np.frombuffer(cast("Any", column.buffers()[buffer]), dtype=dtype)


def has_zone(type_: pa.DataType) -> bool:
    """Whether a timestamp type is an instant."""
    return getattr(type_, "tz", None) is not None
