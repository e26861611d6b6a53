"""A function of the project over one batch: a pandas DataFrame of Arrow types in, a Series of its
length out.
"""

# ruff: noqa: S608 - names are quoted and texts are literals by `duck`; nothing else is put in

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

import duckdb
import numpy as np
import pyarrow as pa

from syncline import arrow
from syncline.errors import RunFailed
from syncline.mapping.coerce import coerce
from syncline.mapping.duck import to_arrow
from syncline.mapping.infer import infer
from syncline.mapping.select import ROW_NUMBER, Column
from syncline.record import Misfit, Type

_RESULT: Final = "__hook"
_MOST_FAILURES: Final = 100
"""How many records of one batch a function may fail on before it is taken to be broken."""


def run_hook(
    connection: duckdb.DuckDBPyConnection,
    column: Column,
    function: Callable[..., Any],
    records: pa.Table,
) -> tuple[pa.ChunkedArray[Any], list[Misfit]]:
    """The function's result as the target's type, and the records it failed on or whose value does
    not fit.

    Raises RunFailed where the function gives something else than a Series of that length, or fails
    on too many records.
    """
    call = _Call(cast("str", column.raw.hook), function, column.name)
    taken = records.select(list(column.raw.takes))
    array = call.over(taken, 0) if taken.num_rows else arrow.nulls(0, pa.null())
    values, misfits = _coerced(connection, column, array)
    return values, [*call.failures, *misfits]


@dataclass
class _Call:
    """Calls a function; a batch it raises on is halved until the records it raises on are found."""

    name: str
    function: Callable[..., Any]
    target: str
    failures: list[Misfit] = field(default_factory=list[Misfit])

    def over(self, records: pa.Table, start: int) -> pa.Array[Any]:
        import pandas as pd

        try:
            frame = cast("Any", records).to_pandas(types_mapper=pd.ArrowDtype)
            series: Any = self.function(frame)
        except Exception as error:  # noqa: BLE001 - it is the user's code
            return self.halved(records, start, error)
        kind: type[Any] = pd.Series
        if not isinstance(series, kind):
            raise RunFailed(
                f"{self.name} gave a {type(series).__name__}: it has to give a pandas Series"
            )
        if len(series) != records.num_rows:
            raise RunFailed(
                f"{self.name} got {records.num_rows} records and gave {len(series)} values"
            )
        try:
            return _array(series)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise RunFailed(f"{self.name} gave values of no one type: {error}") from None

    def halved(self, records: pa.Table, start: int, error: Exception) -> pa.Array[Any]:
        count = records.num_rows
        if count == 1:
            reason = f"{self.name} raised {type(error).__name__}: {error}"
            self.failures.append(
                Misfit(start, self.target, reason, str(records.to_pylist()[0])[:200])
            )
            if len(self.failures) > _MOST_FAILURES:
                raise RunFailed(f"{self.name} fails on record after record: {reason}") from error
            return arrow.nulls(1, pa.null())
        middle = count // 2
        first = self.over(records.slice(0, middle), start)
        second = self.over(records.slice(middle), start + middle)
        return _joined(first, second)


def _array(series: Any) -> pa.Array[Any]:
    array: Any = arrow.one_chunk(cast("Any", pa.Array).from_pandas(series))
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _joined(first: pa.Array[Any], second: pa.Array[Any]) -> pa.Array[Any]:
    tables = [arrow.table({"v": part}) for part in (first, second)]
    return arrow.one_chunk(pa.concat_tables(tables, promote_options="permissive").column("v"))


def _coerced(
    connection: duckdb.DuckDBPyConnection, column: Column, array: pa.Array[Any]
) -> tuple[pa.ChunkedArray[Any], list[Misfit]]:
    """The result as the declared type, then as the target's."""
    misfits: list[Misfit] = []
    source: Type | None = None
    if not pa.types.is_null(array.type):
        connection.register(_RESULT, arrow.table({"v": array}))
        typed = infer(connection, "v", _RESULT)
        source = typed.type
        array = _column(connection, f"SELECT {typed.sql} AS v FROM {_RESULT}")
    for target in dict.fromkeys((column.declared or column.type, column.type)):
        array, source = _step(connection, column, array, source, target, misfits), target
    if column.default is not None:
        numbers = np.arange(len(array))
        connection.register(_RESULT, arrow.table({"v": array, ROW_NUMBER: numbers}))
        sql = f"SELECT coalesce(v, {column.default}) AS v FROM {_RESULT} ORDER BY {ROW_NUMBER}"
        array = _column(connection, sql)
    return pa.chunked_array([array.cast(column.type.arrow)]), misfits


def _step(
    connection: duckdb.DuckDBPyConnection,
    column: Column,
    array: pa.Array[Any],
    source: Type | None,
    target: Type,
    misfits: list[Misfit],
) -> pa.Array[Any]:
    if source is None:
        return arrow.nulls(len(array), target.arrow)
    if source == target:
        return array
    coerced = coerce("v", source, target)
    if coerced is None:
        raise RunFailed(f"{column.raw.hook} gave {source}, which has no cast to {target}")
    numbers = np.arange(len(array))
    connection.register(_RESULT, arrow.table({"v": array, ROW_NUMBER: numbers}))
    bad = f"coalesce(v IS NOT NULL AND ({coerced.bad}), false)" if coerced.bad else "false"
    sql = f"SELECT {coerced.value} AS v, {bad} AS bad FROM {_RESULT} ORDER BY {ROW_NUMBER}"
    result = to_arrow(connection, sql)
    misfits.extend(_misfits(column, array, result.column("bad"), coerced.reason))
    return arrow.one_chunk(result.column("v"))


def _misfits(
    column: Column, array: pa.Array[Any], bad: pa.ChunkedArray[Any], reason: str
) -> Iterator[Misfit]:
    for row, is_bad in enumerate(bad.to_pylist()):
        if is_bad:
            yield Misfit(row, column.name, reason, str(array[row].as_py()))


def _column(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Array[Any]:
    return arrow.one_chunk(to_arrow(connection, sql).column(0))
