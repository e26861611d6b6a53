"""What the contract's tests work with: one endpoint, fresh tables on it, and records in them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from syncline.endpoints.base import (
    Endpoint,
    Fetched,
    Mask,
    Mode,
    Range,
    ReadSpec,
    TargetSpec,
    Transaction,
    Written,
)
from syncline.record import Misfit, Type, fingerprints, parse_type

BIGINT, TEXT = Type("bigint"), Type("text")
_NUMBERS = itertools.count(1)


@dataclass
class Bench:
    """One endpoint under test. `id` is the name of a key column that suits its kind."""

    endpoint: Endpoint
    kind: str
    tables: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return "_id" if self.endpoint.product == "mongodb" else "id"

    def name(self, stem: str = "t") -> str:
        """A name that no other test uses."""
        return f"{stem}_{next(_NUMBERS)}"

    def table(self, fields: Mapping[str, str], key: Mapping[str, str] | None = None) -> Table:
        """Create a table; types as mappings write them. The key is one bigint unless given."""
        keys = {n: parse_type(t) for n, t in (key or {self.id: "bigint"}).items()}
        types = {n: parse_type(t) for n, t in fields.items()}
        made = Table(self, self.name(), keys, types)
        self.endpoint.create_table(made.name, keys, types)
        self.tables.append(made.name)
        return made


@dataclass
class Table:
    """A table that was created for one test, with its key and fields as declared."""

    bench: Bench
    name: str
    key: Mapping[str, Type]
    fields: Mapping[str, Type]

    @property
    def endpoint(self) -> Endpoint:
        return self.bench.endpoint

    @property
    def types(self) -> dict[str, Type]:
        """Every column, as the endpoint stores it."""
        return {n: self.endpoint.fits(t) for n, t in {**self.key, **self.fields}.items()}

    def spec(self, **options: Any) -> TargetSpec:
        """A target spec over all columns."""
        types = self.types
        options.setdefault("mapping", self.name)
        return TargetSpec(
            table=self.name,
            key={name: types[name] for name in self.key},
            fields={name: types[name] for name in self.fields},
            **options,
        )

    def source(self, **options: Any) -> ReadSpec:
        """A read spec over all columns."""
        options.setdefault("columns", self.types)
        return ReadSpec(table=self.name, key=tuple(self.key), **options)

    def arrow(self, rows: Sequence[Sequence[Any]]) -> pa.Table:
        """Rows of Python values, in the order of key and fields, as the endpoint's types."""
        columns = zip(*rows, strict=True) if rows else [[] for _ in self.types]
        return pa.table(
            {
                name: pa.array(list(values), type_.arrow)
                for (name, type_), values in zip(self.types.items(), columns, strict=True)
            }
        )

    def keys(self, *keys: Any) -> pa.Table:
        """Keys as an Arrow table: single values, or tuples for a composite key."""
        rows = [key if isinstance(key, tuple) else (key,) for key in keys]
        types = {name: self.types[name] for name in self.key}
        columns = list(zip(*rows, strict=True)) or [()] * len(types)
        return pa.table(
            {
                name: pa.array(list(values), type_.arrow)
                for (name, type_), values in zip(types.items(), columns, strict=True)
            }
        )

    def insert(self, *rows: Sequence[Any]) -> Written:
        """Insert rows and commit."""
        return self.do(lambda tx: tx.insert(self.arrow(rows)))

    def set(self, key: Any, **values: Any) -> None:
        """Change fields of one record and commit, as another client would."""

        def change(tx: Transaction) -> Written:
            current = tx.fetch(self.keys(key))
            return tx.update(*self.change(current, **values), current)

        written = self.do(change)
        assert written.landed.all(), written

    def delete(self, key: Any) -> None:
        """Delete one record and commit."""
        keys = self.keys(key)
        written = self.do(lambda tx: tx.delete(keys, tx.fetch(keys)))
        assert written.landed.all(), written

    def change(self, current: Fetched, **values: Any) -> tuple[pa.Table, dict[str, Mask]]:
        """The arguments of an update that sets these values in every fetched record."""
        rows = current.rows.select(list(self.types))
        count = rows.num_rows
        changed = {name: np.full(count, name in values) for name in self.fields}
        for name, value in values.items():
            column = pa.array([value] * count, self.types[name].arrow)
            rows = rows.set_column(rows.column_names.index(name), name, column)
        return rows, changed

    def do(self, work: Callable[[Transaction], Written]) -> Written:
        """Run work in a transaction of its own, and commit."""
        spec = self.spec()
        self.endpoint.prepare(spec)
        with self.endpoint.begin(spec) as tx:
            result = work(tx)
            tx.commit()
        return result

    def now(self) -> dict[Any, dict[str, Any]]:
        """Every record as a full read shows it, by key (a tuple for a composite one)."""
        records = self.read().records
        return {self.key_of(row): row for row in records}

    def key_of(self, row: Mapping[str, Any]) -> Any:
        """The key of a record: its value, or a tuple of them."""
        values = tuple(row[name] for name in self.key)
        return values[0] if len(values) == 1 else values

    def read(
        self,
        mode: Mode = "full",
        *,
        since: str | None = None,
        after: str | None = None,
        until: str | None = None,
        window: Range | None = None,
        **options: Any,
    ) -> Reading:
        """Read to the end."""
        spec = self.source(**options)
        with self.endpoint.read(
            spec, mode=mode, since=since, after=after, until=until, window=window
        ) as read:
            result = Reading(read.horizon, spec)
            for batch in read.batches():
                result.sizes.append(batch.records.num_rows)
                result.positions.append(batch.position)
                result.records += batch.records.to_pylist()
                result.arrow.append(batch.records)
                result.misfits += batch.misfits
        return result


@dataclass
class Reading:
    """All that a read gave."""

    horizon: str
    spec: ReadSpec
    records: list[dict[str, Any]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    positions: list[str] = field(default_factory=list)
    arrow: list[pa.Table] = field(default_factory=list)
    misfits: list[Misfit] = field(default_factory=list)

    def keys(self) -> list[Any]:
        """The keys, in the order of the read."""
        names = self.spec.key
        rows = [tuple(row[name] for name in names) for row in self.records]
        return [row[0] for row in rows] if len(names) == 1 else rows


def prints(values: pa.Array[Any] | pa.ChunkedArray[Any], type_: Type) -> list[int]:
    """Fingerprints, by which values are equal or not."""
    return fingerprints(values, type_).tolist()


def instant(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def in_thread(work: Callable[[], None]) -> threading.Thread:
    """Begin work in another thread."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def people(bench: Bench) -> Table:
    """A table of two."""
    table = bench.table({"name": "text", "age": "bigint"})
    assert table.insert((1, "one", 1), (2, "two", 2)).landed.all()
    return table
