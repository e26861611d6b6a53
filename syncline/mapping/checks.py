"""What a mapping asks of its two tables beyond its columns: unique keys, no column left empty, a
delta that works.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from syncline.endpoints.base import Source, TableInfo
from syncline.errors import Problem
from syncline.mapping.columns import Columns
from syncline.mapping.expression import ExpressionError
from syncline.mapping.model import Mapping
from syncline.mapping.select import Column

_CURSORS: Final = frozenset(
    {"timestamp", "timestamptz", "date", "smallint", "integer", "bigint", "text"}
)
_NO_CLOCK: Final = frozenset({"bool", "bytes", "json"})
_INSTANTS: Final = frozenset({"date", "timestamp", "timestamptz"})
_NUMBERS: Final = frozenset({"smallint", "integer", "bigint", "decimal", "real", "double"})
_MERGED: Final = {"add": _NUMBERS, "union": frozenset({"json"})}
"""The types that a field's `merge:` can merge."""


def covers(info: TableInfo, key: Iterable[str]) -> bool:
    """Whether the catalogue guarantees that no two records have this key."""
    names = set(key)
    return any(set(unique) <= names for unique in (info.primary_key, *info.unique) if unique)


def check_source_key(
    mapping: Mapping, source: Source, info: TableInfo, key: Sequence[Column]
) -> Iterator[Problem]:
    """The source key is unique and never NULL: by the catalogue, else by a look at the records."""
    names = [column.raw.column for column in key if column.raw.column is not None]
    yield from _no_keys(mapping, info, names)
    if len(names) < len(mapping.key) or covers(info, names):
        return
    if any(name not in info.columns for name in names):  # a path that no sample showed
        yield mapping.problem(("key",), f"no sampled record of {info.name} has {', '.join(names)}")
        return
    found = source.duplicate_keys(info.name, names)
    if found:
        shown = ", ".join("(" + ", ".join(map(repr, values)) + ")" for values in found)
        message = f"{', '.join(names)} is not a key of {info.name}: NULL or more than once: {shown}"
        yield mapping.problem(("key",), message)


def _no_keys(mapping: Mapping, info: TableInfo, names: Iterable[str]) -> Iterator[Problem]:
    for name in names:
        column = info.columns.get(name)
        if column is not None and column.no_key:
            message = f"`{name}` of {info.name} is {column.native}: no key can be of that type"
            yield mapping.problem(("key",), message)


def check_target(
    mapping: Mapping, info: TableInfo | None, columns: Sequence[Column]
) -> Iterator[Problem]:
    """The target can take what the mapping writes: its key is unique, and no column that must be
    set is left out.
    """
    clock = mapping.conflicts.clock
    for column in columns:
        if column.name == clock and column.type.name in _NO_CLOCK:
            message = f"`{clock}` is {column.type}: a clock is a time, or a number that grows"
            yield mapping.problem(("conflicts", "clock"), message)
        if column.name == clock and mapping.conflicts.near and column.type.name not in _INSTANTS:
            message = f"`{clock}` is {column.type}: only times can be near"
            yield mapping.problem(("conflicts", "near"), message)
        manner = mapping.merges.get(column.name, "max")
        if column.type.name not in _MERGED.get(manner, {column.type.name}):
            message = f"`{column.name}` is {column.type}: `merge: {manner}` can't merge that"
            yield mapping.problem(("fields", column.name, "merge"), message)
    if info is None:
        return
    if info.is_view and not info.rewrites:
        yield mapping.problem(("target",), f"{info.name} is a view, which can't be written")
    if info.open_columns:
        return
    yield from _no_keys(mapping, info, mapping.key)
    if not covers(info, mapping.key):
        names = ", ".join(mapping.key)
        message = f"{info.name} has no primary key or unique NOT NULL columns within {names}"
        yield mapping.problem(("key",), message)
    yield from _left_out(mapping, info)


def _left_out(mapping: Mapping, info: TableInfo) -> Iterator[Problem]:
    mapped = {*mapping.key, *mapping.fields}
    for column in info.columns.values():
        if column.generated and column.name in mapped:
            part = "key" if column.name in mapping.key else "fields"
            message = f"`{column.name}` is computed by {info.name}, so it can't be written"
            yield mapping.problem((part, column.name), message)
        required = not (column.nullable or column.has_default or column.generated)
        if required and column.name not in mapped:
            message = (
                f"`{column.name}` of {info.name} is NOT NULL without a default, and not mapped"
            )
            yield mapping.problem(("fields",), message)


def check_delta(
    mapping: Mapping, source: Source, info: TableInfo, columns: Columns
) -> Iterator[Problem]:
    """The delta that the mapping asks for is one that the source can do."""
    delta = mapping.delta
    cursor: str | None = None
    if delta.cursor is not None:
        try:
            cursor = columns.resolve(delta.cursor)
        except ExpressionError as error:
            yield mapping.problem(("delta", "cursor"), str(error))
            return
        type_ = columns.types[cursor]
        if type_.name not in _CURSORS:
            message = f"`{cursor}` is {type_}: a cursor is a time, or a number that grows"
            yield mapping.problem(("delta", "cursor"), message)
    if delta.by == "xmin" and source.best_delta(info, None) != "xmin":
        what = "a view" if info.is_view else source.product
        yield mapping.problem(("delta", "by"), f"{what} has no xmin: `by: timestamp` with a cursor")
    if delta.by == "stream" and source.best_delta(info, None) != "stream":
        message = (
            f"{info.name} has no change stream: a collection of a MongoDB replica set or cluster"
            " has one, for a role that may read it"
        )
        yield mapping.problem(("delta", "by"), message)
    if delta.by == "timestamp" and source.best_delta(info, cursor) == "none":
        message = f"{info.name} can't tell by `{cursor}` what changed"
        yield mapping.problem(("delta", "by"), message)
