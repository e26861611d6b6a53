"""The mapper: one SELECT over each batch, and the misfits it found, with value and reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Final, Self, cast

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syncline import arrow
from syncline.endpoints.base import Mask, SourceBatch
from syncline.errors import RunFailed
from syncline.mapping.bound import BoundMapping, Program
from syncline.mapping.duck import open_duckdb, rows, to_arrow
from syncline.mapping.hook import run_hook
from syncline.mapping.lookups import load_lookup
from syncline.mapping.raw import Raw
from syncline.mapping.select import RECORDS, ROW_NUMBER, Column, Flag, Select
from syncline.record import Misfit

_compute: Any = pc
_SHOWN: Final = 200
_EXPLAINED: Final = 20
"""How many failed expressions of a batch are run again, one by one, for their own message."""


@dataclass(frozen=True)
class Mapped:
    """One mapped batch; all parts are aligned with the records as they were read.

    `keys` and `fields` have the target's types. `in_scope` says which records satisfy `where`; one
    whose condition could not be told is in scope, and a misfit, so that it is never taken for gone.
    A record with a misfit is a dead letter; the value that does not fit is NULL here. A NULL in the
    key is a misfit.
    """

    source: pa.Table
    keys: pa.Table
    fields: pa.Table
    in_scope: Mask
    misfits: tuple[Misfit, ...]


class Mapper:
    """Maps batches, one at a time. Owns a DuckDB connection and the loaded lookups."""

    def __init__(self, bound: BoundMapping) -> None:
        self.program: Program = bound.program
        self._key = len(bound.key)
        selected = [c for c in self.program.columns if not c.is_copy and c.raw.hook is None]
        self._select = Select(
            selected,
            self.program.where,
            self.program.source,
            self.program.uses.joins,
            self.program.uses.matched,
        )
        self._index = {column.name: index for index, column in enumerate(selected)}
        self._fast_sql = self._select.sql()
        self.lookup_digests: dict[str, str] = {}
        """A digest of what each lookup held when it was read; a difference means that records map
        otherwise.
        """
        try:
            self._load_lookups()
        except BaseException:
            self.close()
            raise

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """Opened at its first use: 10 ms, and a delta of nothing maps nothing."""
        return open_duckdb()

    def _load_lookups(self) -> None:
        for name, lookup in self.program.lookups.items():
            assert self.program.open_source is not None, (
                "bind lets no lookup through without a project"
            )
            source = self.program.open_source(lookup.connection)
            try:
                digest = load_lookup(
                    self._connection, lookup, self.program.uses.taken[name], source
                )
            finally:
                source.close()
            self.lookup_digests[name] = digest

    def map(self, batch: SourceBatch) -> Mapped:
        """Map one batch. Raises RunFailed where DuckDB or a function of the project fails as a
        whole.
        """
        records = batch.records
        result, flags = self._run(records)
        found = _Found(records.num_rows)
        self._source_misfits(batch, found)
        columns = [self._column(column, records, result, found) for column in self.program.columns]
        self._flagged(records, result, flags, found)
        in_scope = self._in_scope(result, found, batch)
        columns = [
            found.without(column, array)
            for column, array in zip(self.program.columns, columns, strict=True)
        ]
        keys, fields = columns[: self._key], columns[self._key :]
        self._null_keys(keys, found)
        return Mapped(
            source=records,
            keys=self._table(self.program.columns[: self._key], keys),
            fields=self._table(self.program.columns[self._key :], fields),
            in_scope=in_scope,
            misfits=found.within(in_scope, {c.name for c in self.program.columns[: self._key]}),
        )

    def close(self) -> None:
        """Give the memory back. Idempotent."""
        if "_connection" in self.__dict__:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- the SELECT ---

    def _run(self, records: pa.Table) -> tuple[pa.Table, tuple[Flag, ...]]:
        """The result of the SELECT in the order of the records, and its flags."""
        if not self._select.columns and self._select.where is None:
            return pa.table({}), ()
        self._register(records)
        try:
            result, flags = to_arrow(self._connection, self._fast_sql), self._select.flags
        except duckdb.OutOfMemoryException as error:
            raise RunFailed(
                f"no memory to map a batch: {error}", hint="make `batch_size` smaller"
            ) from None
        except duckdb.Error:
            result, flags = self._run_guarded()
        return _in_order(result, records.num_rows), flags

    def _run_guarded(self) -> tuple[pa.Table, tuple[Flag, ...]]:
        try:
            result = to_arrow(self._connection, self._select.guarded_sql())
        except duckdb.Error as error:
            raise RunFailed(f"a batch can't be mapped: {str(error).splitlines()[0]}") from None
        where = [Flag("zw", "where", "the condition failed", -1)] if self._select.where else []
        return result, (*self._select.flags, *self._select.errors, *where)

    def _register(self, records: pa.Table) -> None:
        inputs = self._select.inputs
        numbers = np.arange(records.num_rows, dtype=np.int32)
        aliases = self.program.source.aliases
        columns = {aliases[name]: records.column(name) for name in inputs}
        self._connection.register(RECORDS, arrow.table({**columns, ROW_NUMBER: numbers}))

    # --- columns ---

    def _column(
        self, column: Column, records: pa.Table, result: pa.Table, found: _Found
    ) -> pa.ChunkedArray[Any]:
        if column.raw.hook is not None:
            array, misfits = run_hook(
                self._connection, column, self.program.hooks[column.raw.hook], records
            )
            found.add(misfits)
        elif column.is_copy:
            array = records.column(cast("str", column.raw.column))
        else:
            array = result.column(f"f{self._index[column.name]}")
        return array if array.type == column.type.arrow else array.cast(column.type.arrow)

    @staticmethod
    def _table(columns: Iterable[Column], arrays: list[pa.ChunkedArray[Any]]) -> pa.Table:
        fields = [pa.field(column.name, column.type.arrow) for column in columns]
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    # --- misfits ---

    def _source_misfits(self, batch: SourceBatch, found: _Found) -> None:
        used = {name for column in self.program.columns for name in column.raw.uses}
        used |= self.program.where.uses if self.program.where else frozenset()
        found.add(misfit for misfit in batch.misfits if misfit.field in used)

    def _flagged(
        self, records: pa.Table, result: pa.Table, flags: tuple[Flag, ...], found: _Found
    ) -> None:
        for flag in flags:
            mask = arrow.truths(result.column(flag.alias))
            if mask.any():
                found.add(self._explained(flag, np.flatnonzero(mask), records))

    def _explained(self, flag: Flag, at: Any, records: pa.Table) -> Iterator[Misfit]:
        some = arrow.take(records, at)
        self._register(some)
        if flag.alias[0] == "z":
            yield from self._failures(flag, at, some)
        elif flag.index < 0:
            values = some.column(flag.field).to_pylist()
            yield from (
                Misfit(int(r), flag.field, flag.reason, _shown(v))
                for r, v in zip(at, values, strict=True)
            )
        else:
            found = sorted(rows(self._connection, self._select.values_sql(flag.index)))
            yield from (
                Misfit(int(r), flag.field, flag.reason, _shown(v))
                for r, (_, v) in zip(at, found, strict=True)
            )

    def _failures(self, flag: Flag, at: Any, some: pa.Table) -> Iterator[Misfit]:
        raw = (
            self._select.columns[flag.index].raw
            if flag.index >= 0
            else cast("Raw", self._select.where)
        )
        used = sorted(raw.uses)
        for index, (row, values) in enumerate(zip(at, some.select(used).to_pylist(), strict=True)):
            reason = self._failure(raw, some.slice(index, 1)) if index < _EXPLAINED else ""
            text = ", ".join(f"{name}={value}" for name, value in values.items())
            yield Misfit(int(row), flag.field, reason or flag.reason, _shown(text))

    def _failure(self, raw: Raw, record: pa.Table) -> str:
        self._register(record)
        try:
            rows(self._connection, self._select.error_sql(raw))
        except duckdb.Error as error:
            text = str(error).strip().splitlines()[0]
            return text[:1].lower() + text[1:]
        return ""

    def _null_keys(self, keys: list[pa.ChunkedArray[Any]], found: _Found) -> None:
        for column, array in zip(self.program.columns[: self._key], keys, strict=True):
            if array.null_count:
                at = np.flatnonzero(arrow.truths(_compute.is_null(array)))
                found.add(
                    Misfit(int(row), column.name, "the key is null", "")
                    for row in at
                    if not found.has(int(row))
                )

    def _in_scope(self, result: pa.Table, found: _Found, batch: SourceBatch) -> Mask:
        where = self.program.where
        if where is None:
            return np.ones(batch.records.num_rows, dtype=np.bool_)
        mask = arrow.truths(result.column("w"))
        for row, names in found.names.items():
            if "where" in names or names & where.uses:
                mask[row] = True
        return mask


class _Found:
    """The misfits of one batch, by row."""

    def __init__(self, rows_: int) -> None:
        self.rows = rows_
        self.misfits: list[Misfit] = []
        self.names: dict[int, set[str]] = {}

    def add(self, misfits: Iterable[Misfit]) -> None:
        for misfit in misfits:
            self.misfits.append(misfit)
            self.names.setdefault(misfit.row, set()).add(misfit.field)

    def has(self, row: int) -> bool:
        return row in self.names

    def without(self, column: Column, array: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
        """The column with NULL where it, or what it is made of, does not fit: no rounded or cut
        value leaves here.
        """
        concerned = {column.name, *column.raw.uses}
        at = [row for row, names in self.names.items() if names & concerned]
        if not at:
            return array
        mask = np.zeros(len(array), dtype=np.bool_)
        mask[at] = True
        return _compute.if_else(arrow.array(mask), pa.scalar(None, array.type), array)

    def within(self, in_scope: Mask, always: set[str]) -> tuple[Misfit, ...]:
        """Those of records in scope, and of keys whatever the scope; by row."""
        kept = (m for m in self.misfits if in_scope[m.row] or m.field in always)
        return tuple(sorted(kept, key=lambda misfit: misfit.row))


def _in_order(result: pa.Table, expected: int) -> pa.Table:
    numbers = result.column(ROW_NUMBER).to_numpy()
    if len(numbers) != expected:
        raise RunFailed(
            f"mapping {expected} records gave {len(numbers)}: a key of a lookup is not unique"
        )
    if expected > 1 and not (numbers[1:] > numbers[:-1]).all():
        return arrow.take(result, np.argsort(numbers, kind="stable"))
    return result


def _shown(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}.."
