"""Rows on their way into PostgreSQL: straight into the table, or staged and cast."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from syncline.arrow import one_chunk
from syncline.endpoints.base import ROW
from syncline.endpoints.postgres_catalog import PgTable
from syncline.endpoints.postgres_session import Session
from syncline.endpoints.postgres_sql import ident, text_forms
from syncline.endpoints.postgres_types import Native
from syncline.endpoints.postgres_values import encode
from syncline.record import Type

VERSION: Final = "__version"
GROUP: Final = "__group"
CREATE: Final = "CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({columns}) ON COMMIT DELETE ROWS"
EMPTY: Final = "TRUNCATE pg_temp.{name}"


def column_array(rows: pa.Table, name: str) -> pa.Array[Any]:
    """A column in one piece."""
    return one_chunk(rows.column(name))


def goes_straight(table: PgTable, columns: Sequence[str]) -> bool:
    """Whether rows of these columns can be appended by binary COPY, to the value exact."""
    return not table.has_policies and all(table.native(n).writes_plain for n in columns)


def append(session: Session, table: PgTable, rows: pa.Table) -> None:
    """Append rows straight to the table; all of them or none."""
    names = rows.column_names
    arrays = [encode(column_array(rows, name), table.native(name)) for name in names]
    with session.savepoint():
        session.ingest(table.schema, table.name, pa.Table.from_arrays(arrays, names=names))


@dataclass(frozen=True, slots=True)
class Staging:
    """A temporary table that takes rows of some columns on their way into a table.

    Its name is a digest of its columns, so that a session makes it once for each form. It has the
    columns `c0, c1, ..` in the table's types where binary COPY is exact, else as text that
    `expression` casts; besides `__row`, and as asked `__version` and `__group`.
    """

    table: PgTable
    columns: Mapping[str, Type]
    extra: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its name, the same for the same columns."""
        return f"syncline_{hashlib.sha256(self._declared.encode()).hexdigest()[:16]}"

    @property
    def sql(self) -> str:
        """Its name, qualified."""
        return f"pg_temp.{self.name}"

    @property
    def _declared(self) -> str:
        own = [f"c{i} {_staged_type(n)}" for i, n in enumerate(self._natives)]
        more = [f"{ident(name)} {type_}" for name, type_ in self.extra.items()]
        return ", ".join([f"{ident(ROW)} integer", *more, *own])

    @property
    def _natives(self) -> list[Native]:
        return [self.table.native(name) for name in self.columns]

    def expression(self, name: str, alias: str = "s") -> str:
        """The value of a staged column, as the type of the table's."""
        place = list(self.columns).index(name)
        native = self.table.native(name)
        staged = f"{alias}.c{place}"
        return staged if native.writes_plain else native.from_text(staged)

    def fill(
        self, session: Session, rows: pa.Table, part: slice, extra: Mapping[str, pa.Array[Any]]
    ) -> None:
        """Make the table where it is not, and fill it with the rows of `part`, numbered."""
        session.run(CREATE.format(name=self.name, columns=self._declared))
        session.run(EMPTY.format(name=self.name))
        count = part.stop - part.start
        numbers = pa.array(np.arange(part.start, part.stop, dtype=np.int32))
        cut = rows.slice(part.start, count)
        arrays: list[pa.Array[Any]] = [numbers]
        arrays += [array.slice(part.start, count) for array in extra.values()]
        for name, type_ in self.columns.items():
            native = self.table.native(name)
            values = column_array(cut, name)
            arrays.append(
                encode(values, native) if native.writes_plain else text_forms(values, type_)
            )
        names = [ROW, *extra, *(f"c{i}" for i in range(len(self.columns)))]
        session.ingest(None, self.name, pa.Table.from_arrays(arrays, names=names))


def _staged_type(native: Native) -> str:
    return native.declared if native.writes_plain else "text"
