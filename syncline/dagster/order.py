"""Order: which assets a mapping comes after, told without asking a database.

From `after:`, from tables that mappings share (one's target is another's source or lookup), and
from foreign keys between targets, as far as earlier runs saw them. What would make a circle is left
out: two mappings may well feed each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field

import dagster as dg

from syncline.catalogue import Tables
from syncline.mapping.model import Mapping

Table = tuple[str, str]
"""A connection and a table or collection; PostgreSQL's `public.` is left out."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """What comes before a mapping.

    `mappings` are the assets of mappings, those of `after:` first; `tables` are tables that no
    mapping of the project writes, and `assets` the asset of every table that it reads.
    """

    mappings: tuple[dg.AssetKey, ...] = ()
    tables: tuple[Table, ...] = ()
    assets: MappingOf[Table, dg.AssetKey] = field(default_factory=dict[Table, dg.AssetKey])

    @property
    def keys(self) -> list[dg.AssetKey]:
        """Every asset, each once."""
        return list(dict.fromkeys((*self.mappings, *map(key_of_table, self.tables))))


def table_of(connection: str, name: str) -> Table:
    """The table of that name; `public.users` and `users` are the same."""
    return connection, name.removeprefix("public.")


def key_of_table(table: Table) -> dg.AssetKey:
    """The asset of a table that syncline only reads: `connection/schema/table`."""
    connection, name = table
    parts = [re.sub(r"[^A-Za-z0-9_-]", "_", part) or "_" for part in name.split(".")]
    return dg.AssetKey([connection, *parts])


def source_of(mapping: Mapping) -> Table:
    """The mapping's source."""
    return table_of(mapping.source.connection, mapping.source.name)


def lookup_of(mapping: Mapping, name: str) -> Table:
    """The table of one of the mapping's lookups."""
    lookup = mapping.lookups[name]
    return table_of(lookup.connection, lookup.table)


def reads(mapping: Mapping) -> list[Table]:
    """The tables that a mapping reads: its source first, then its lookups."""
    lookups = [lookup_of(mapping, name) for name in mapping.lookups]
    return list(dict.fromkeys([source_of(mapping), *lookups]))


def upstreams(
    mappings: MappingOf[str, Mapping],
    keys: MappingOf[str, dg.AssetKey],
    seen: MappingOf[str, Tables],
) -> dict[str, Upstream]:
    """What each mapping comes after.

    `keys` are the assets of all mapping files, also of those that do not load; `seen` is what
    `syncline.catalogue.known` gave. `after:` has no circles here.
    """
    writers = _writers(mappings)
    edges = {name: {n for n in one.after if n in mappings} for name, one in mappings.items()}
    made: dict[str, Upstream] = {}
    for name, mapping in mappings.items():
        found: list[str] = []
        refers = seen[name].refers if name in seen else []
        for other in dict.fromkeys(_related(name, mapping, writers, refers)):
            if other not in edges[name] and not _reaches(edges, other, name):
                edges[name].add(other)
                found.append(other)
        near = [*mapping.after, *found]
        made[name] = Upstream(
            mappings=tuple(keys[n] for n in near),
            tables=tuple(table for table in reads(mapping) if table not in writers),
            assets={table: _asset(table, writers, near, keys) for table in reads(mapping)},
        )
    return made


def _writers(mappings: MappingOf[str, Mapping]) -> dict[Table, list[str]]:
    found: dict[Table, list[str]] = {}
    for name, mapping in mappings.items():
        target = table_of(mapping.target.connection, mapping.target.name)
        found.setdefault(target, []).append(name)
    return found


def _asset(
    table: Table,
    writers: MappingOf[Table, list[str]],
    near: list[str],
    keys: MappingOf[str, dg.AssetKey],
) -> dg.AssetKey:
    by = next((name for name in writers.get(table, ()) if name in near), None)
    return key_of_table(table) if by is None else keys[by]


def _related(
    name: str,
    mapping: Mapping,
    writers: MappingOf[Table, list[str]],
    refers: list[str],
) -> Iterator[str]:
    tables = [*reads(mapping), *(table_of(mapping.target.connection, one) for one in refers)]
    for table in tables:
        yield from (other for other in writers.get(table, ()) if other != name)


def _reaches(edges: MappingOf[str, set[str]], start: str, goal: str) -> bool:
    """Whether `start` comes after `goal`, however far."""
    left, passed = [start], set[str]()
    while left:
        at = left.pop()
        if at == goal:
            return True
        if at not in passed:
            passed.add(at)
            left.extend(edges.get(at, ()))
    return False
