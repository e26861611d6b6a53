"""Lookups: small tables read whole at the start of a run, in which fields find values by key."""

# ruff: noqa: S608 - names are quoted and texts are literals by `duck`; nothing else is put in

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from syncline.endpoints.base import ReadSpec, Source
from syncline.errors import RunFailed
from syncline.mapping.columns import Columns
from syncline.mapping.duck import identifier, rows, seen_as, storage
from syncline.record import Type, fingerprints


@dataclass(frozen=True)
class BoundLookup:
    """A lookup whose table and key were found. `meaning` says in text which table it is, and by
    what key.
    """

    name: str
    connection: str
    table: str
    key: Mapping[str, Type]
    columns: Columns

    @property
    def meaning(self) -> str:
        """What this lookup is, for digests."""
        return f"{self.connection}.{self.table}({', '.join(self.key)})"

    def alias(self, matched: tuple[str, ...]) -> str:
        """What the joined table is called in SQL: another name for each set of columns that match
        its key.
        """
        mark = hashlib.sha256("\0".join(matched).encode()).hexdigest()[:8]
        return identifier(f"{self.name} by {mark}")

    def value(self, matched: tuple[str, ...], taken: str) -> str:
        """The taken column in SQL; it is NULL where nothing matches."""
        return f"{self.alias(matched)}.{_value(self.columns.aliases[taken])}"

    def join(self, matched: tuple[str, ...], source: Columns) -> str:
        """The join of the lookup's table to the record `s`."""
        alias = self.alias(matched)
        pairs = zip(matched, self.key, strict=True)
        on = " AND ".join(
            f"{source.reference(column)} = {alias}.{_key(self.columns.aliases[key])}"
            for column, key in pairs
        )
        return f"LEFT JOIN {self.relation} AS {alias} ON {on}"

    @property
    def relation(self) -> str:
        """The name of the loaded table in DuckDB."""
        return identifier(f"lookup {self.name}")

    def spec(self, taken: Iterable[str]) -> ReadSpec:
        """What to read of the lookup's table."""
        wanted = {**self.key, **{name: self.columns.types[name] for name in taken}}
        return ReadSpec(self.table, tuple(self.key), wanted)


def load_lookup(
    connection: duckdb.DuckDBPyConnection, lookup: BoundLookup, taken: Iterable[str], source: Source
) -> str:
    """Read the lookup's table into DuckDB; gives a digest of what it holds, whatever the order of
    its records.

    Raises RunFailed where a value does not fit its type or a key is there twice: what can't be
    looked up with certainty would put wrong values into many records.
    """
    taken = sorted(set(taken))
    spec = lookup.spec(taken)
    tables: list[pa.Table] = []
    with source.read(spec, mode="full") as read:
        for batch in read.batches():
            if batch.misfits:
                first = batch.misfits[0]
                raise RunFailed(
                    f"lookup {lookup.name}: {first.field} of {lookup.table} holds "
                    f"{first.value!r}: {first.reason}",
                    hint="give the column its type, or mend the record",
                )
            tables.append(batch.records.select(list(spec.columns)))
    schema = pa.schema([(name, type_.arrow) for name, type_ in spec.columns.items()])
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    _store(connection, lookup, taken, table)
    return _content_digest(table, spec.columns)


def _store(
    connection: duckdb.DuckDBPyConnection, lookup: BoundLookup, taken: list[str], table: pa.Table
) -> None:
    aliases, types = lookup.columns.aliases, lookup.columns.types
    connection.register(
        "__lookup", table.rename_columns([aliases[name] for name in table.column_names])
    )
    parts = [
        f"TRY_CAST({identifier(aliases[name])} AS {seen_as(type_)}) AS {_key(aliases[name])}"
        for name, type_ in lookup.key.items()
    ]
    parts += [
        f"CAST({identifier(aliases[name])} AS {storage(types[name])}) AS {_value(aliases[name])}"
        for name in taken
    ]
    rows(
        connection,
        f"CREATE OR REPLACE TABLE {lookup.relation} AS SELECT {', '.join(parts)} FROM __lookup",
    )
    connection.unregister("__lookup")
    keys = ", ".join(_key(aliases[name]) for name in lookup.key)
    present = " AND ".join(f"{_key(aliases[name])} IS NOT NULL" for name in lookup.key)
    twice = rows(
        connection,
        f"SELECT {keys} FROM {lookup.relation} WHERE {present} "
        "GROUP BY ALL HAVING count(*) > 1 LIMIT 1",
    )
    if twice:
        raise RunFailed(
            f"lookup {lookup.name}: {lookup.table} has the key {twice[0]} more than once"
        )


def _key(alias: str) -> str:
    return identifier(f"k {alias}")


def _value(alias: str) -> str:
    return identifier(f"v {alias}")


def _content_digest(table: pa.Table, columns: Mapping[str, Type]) -> str:
    total = np.zeros(table.num_rows, dtype=np.uint64)
    for name, type_ in columns.items():
        prints = fingerprints(table.column(name), type_).view(np.uint64)
        total = total * np.uint64(0x9E3779B97F4A7C15) + prints
    mixed = total ^ (total >> np.uint64(29))
    mixed = mixed * np.uint64(0xBF58476D1CE4E5B9)
    # A sum is the same in whatever order the records came.
    summed = int(np.add.reduce(mixed, dtype=np.uint64)) if len(mixed) else 0
    return f"{table.num_rows}:{summed:016x}"
