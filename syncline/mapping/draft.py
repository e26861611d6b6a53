"""Draft a mapping from what both databases show: names, types, key, cursor. A person reads it and
takes over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from syncline.endpoints.base import Column, Source, TableInfo, Target
from syncline.errors import InputError, reaching
from syncline.mapping.checks import covers
from syncline.mapping.coerce import coerce
from syncline.mapping.columns import shortened
from syncline.mapping.expression import ExpressionError, parse_expression
from syncline.mapping.load import parse_mapping
from syncline.record import Type

_PLAIN: Final = re.compile(r"^[A-Za-z_][\w.]*$", re.ASCII)
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_KEY_NAMES: Final = re.compile(r"(^|_)(id|key|code|uuid|no|nr|number)$", re.IGNORECASE)
_CURSOR_NAMES: Final = (
    "updatedat", "modifiedat", "lastmodified", "lastmodifiedat", "updatedon", "modifiedon",
    "updated", "modified", "lastupdate", "lastupdated", "changedat", "updatetime", "mtime",
)  # fmt: skip
_MOST_KEYS_TRIED: Final = 5


@dataclass(frozen=True)
class Side:
    """One end of a draft: the name of its connection, and its table."""

    connection: str
    table: str
    info: TableInfo | None
    documents: bool

    @property
    def place(self) -> str:
        """The inside of `source:` or `target:`."""
        kind = "collection" if self.documents else "table"
        return f"connection: {scalar(self.connection)}, {kind}: {scalar(self.table)}"


@dataclass
class _Lines:
    """Lines of the draft's fields: those that stand, and those that are only shown."""

    fields: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    shown: list[str] = field(default_factory=list[str])

    def add(self, name: str, rule: str, remark: str = "") -> None:
        self.fields.append((f"{scalar(name)}: {rule}", remark))

    def written(self) -> Iterator[str]:
        width = min(max((len(line) for line, remark in self.fields if remark), default=0), 60)
        for line, remark in self.fields:
            yield f"  {line:<{width}}  # {remark}" if remark else f"  {line}"
        yield from (f"  # {line}" for line in self.shown)


def draft(
    source: Source,
    source_table: str,
    target: Target,
    target_table: str | None = None,
    *,
    source_connection: str,
    target_connection: str,
) -> str:
    """The text of a mapping file from one table to another (by default one of the same name).

    A target that is missing is drafted with `create: true`. Raises InputError where the source is
    missing, or has nothing that could be a key.
    """
    with reaching(source_connection):
        info = source.describe(source_table)
    if info is None:
        raise InputError(f"{source_connection} has no {source_table}", hint=_tables(source))
    name = target_table or source_table.rpartition(".")[2]
    with reaching(target_connection):
        found = target.describe(name)
    from_side = Side(source_connection, source_table, info, info.open_columns)
    documents = found.open_columns if found else target.product == "mongodb"
    to_side = Side(target_connection, name, found, documents)
    key = _key(source, info, found)
    text = "\n".join(_text(source, target, from_side, to_side, key)) + "\n"
    parse_mapping(text, "draft")
    return text


def scalar(text: str) -> str:
    """A text as YAML holds it, quoted where it must be."""
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def _tables(source: Source) -> str:
    names = list(source.tables())
    return f"it has {shortened(names)}" if names else "it is empty"


def _text(
    source: Source, target: Target, from_side: Side, to_side: Side, key: dict[str, str]
) -> Iterator[str]:
    info = from_side.info
    assert info is not None
    lines = _fields(target, info, to_side, key)
    create = ", create: true" if to_side.info is None and not to_side.documents else ""
    origin = f"{from_side.connection}.{from_side.table}"
    yield f"# Drafted from {origin}: read it, then run `syncline check`."
    yield f"source: {{{from_side.place}}}"
    yield f"target: {{{to_side.place}{create}}}"
    pairs = ", ".join(f"{scalar(name)}: {scalar(column)}" for name, column in key.items())
    yield f"key: {{{pairs}}}  # target field: source column"
    if lines.fields:
        yield "fields:  # target field: an expression over the source's columns, or a long form"
    yield from lines.written()
    yield from _delta(source, info)
    yield "deletes: ignore  # or mirror, or {mode: soft, column: deleted_at}"
    yield "conflicts: source  # or target, latest, merge, manual: when both sides changed"


def _delta(source: Source, info: TableInfo) -> Iterator[str]:
    cursor = _cursor(info)
    by = source.best_delta(info, cursor)
    if by == "xmin":
        yield "delta: {by: xmin}  # exact; the default here"
    elif by == "stream":
        yield "delta: {by: stream}  # exact; the default here"
    elif by == "timestamp" and cursor:
        yield f"delta: {{by: timestamp, cursor: {scalar(cursor)}}}  # each change must move it"
    else:
        yield "# delta: {by: timestamp, cursor: updated_at}  # none tells time: each run is full"


def _cursor(info: TableInfo) -> str | None:
    times = {
        _letters(name): name
        for name, column in info.columns.items()
        if column.type.name in {"timestamp", "timestamptz"}
    }
    return next((times[name] for name in _CURSOR_NAMES if name in times), None)


def _letters(name: str) -> str:
    """A name without case, underscores and dots, by which differently spelled names meet."""
    return re.sub(r"[\W_]", "", name.casefold())


# --- the key ---


def _key(source: Source, info: TableInfo, target: TableInfo | None) -> dict[str, str]:
    columns = info.primary_key or next(iter(sorted(info.unique, key=len)), ())
    columns = columns or _unique_by_look(source, info)
    if target is None:
        return {_target_name(name, info): name for name in columns}
    names = target.primary_key or next(iter(sorted(target.unique, key=len)), ())
    if target.open_columns:
        return (
            dict(zip(names, columns, strict=True))
            if len(names) == len(columns)
            else {c: c for c in columns}
        )
    by_letters = {_letters(name): name for name in info.columns}
    matched = {name: by_letters[_letters(name)] for name in names if _letters(name) in by_letters}
    if names and len(matched) == len(names) and covers(info, matched.values()):
        return matched
    if names and len(names) == len(columns):
        return dict(zip(names, columns, strict=True))
    raise InputError(
        f"the key of {info.name} ({', '.join(columns)}) does not match the one of {target.name} "
        f"({', '.join(names) or 'it has none'})",
        hint="write the mapping by hand: docs/reference/mapping.md",
    )


def _unique_by_look(source: Source, info: TableInfo) -> tuple[str, ...]:
    """The first column that is named like a key and proves unique."""
    candidates = [name for name in info.columns if _KEY_NAMES.search(name)] or list(info.columns)
    for name in candidates[:_MOST_KEYS_TRIED]:
        if not source.duplicate_keys(info.name, (name,)):
            return (name,)
    raise InputError(
        f"{info.name} has no primary key, and none of "
        f"{', '.join(candidates[:_MOST_KEYS_TRIED])} is unique",
        hint="write the mapping by hand, with a key of several columns",
    )


# --- the fields ---


def _fields(target: Target, info: TableInfo, to_side: Side, key: Mapping[str, str]) -> _Lines:
    lines = _Lines()
    leaves = {name: column for name, column in info.columns.items() if not _has_parts(name, info)}
    others = {name: column for name, column in leaves.items() if name not in key.values()}
    if to_side.info is None or to_side.info.open_columns:
        _created(lines, target, others, info, key, documents=to_side.documents)
        return lines
    used = _matched(lines, to_side.info, info, key)
    for name, column in others.items():
        if name not in used:
            lines.shown.append(f"not mapped: {name} ({_native(column)})")
    return lines


def _has_parts(name: str, info: TableInfo) -> bool:
    return any(other.startswith(f"{name}.") for other in info.columns)


def _target_name(name: str, info: TableInfo) -> str:
    """A path as the name of a column; `a.b` and `a_b` of one table stay two."""
    flat = name.replace(".", "_")
    return name if flat != name and flat in info.columns else flat


def _created(
    lines: _Lines,
    target: Target,
    columns: Mapping[str, Column],
    info: TableInfo,
    key: Mapping[str, str],
    *,
    documents: bool,
) -> None:
    """A field for each column of the source, in a target that takes any."""
    taken = {name.casefold() for name in key}
    for name, column in columns.items():
        field_name = name if documents else _target_name(name, info)
        if field_name.casefold() in taken or any(n.startswith(f"{field_name}.") for n in taken):
            lines.shown.append(f"not mapped: {name}, a name that is taken")
            continue
        taken.add(field_name.casefold())
        try:
            stored = target.fits(column.type)
            if not documents:
                target.native_type(stored)
        except InputError as error:
            lines.shown.append(f"{scalar(field_name)}: {_rule(name)}  # {error}")
            continue
        remark = (
            _native(column) if stored == column.type else f"{_native(column)}, kept as {stored}"
        )
        lines.add(field_name, _rule(name), remark)


def _matched(lines: _Lines, target: TableInfo, info: TableInfo, key: Mapping[str, str]) -> set[str]:
    """A field for each column of the target that a column of the source matches by name."""
    by_letters = {_letters(name): name for name in reversed(list(info.columns))}
    used: set[str] = set()
    for name, column in target.columns.items():
        if name in key:
            continue
        match = name if name in info.columns else by_letters.get(_letters(name))
        if column.generated:
            lines.shown.append(f"{scalar(name)}: computed by the target")
        elif match is None:
            required = " It is NOT NULL without a default." if _is_required(column) else ""
            lines.shown.append(f"{scalar(name)}: no source column is named like it.{required}")
        else:
            used.add(match)
            _match(lines, name, column, match, info.columns[match])
    return used


def _is_required(column: Column) -> bool:
    return not (column.nullable or column.has_default)


def _match(lines: _Lines, name: str, column: Column, match: str, source: Column) -> None:
    coerced = coerce("x", source.type, column.type)
    if coerced is None:
        lines.shown.append(
            f"{scalar(name)}: {match} is {source.type}, which has no cast to {column.type}"
        )
        return
    remark = ""
    if coerced.bad is not None:
        remark = f"{source.type} to {column.type}: what does not fit is a dead letter"
    lines.add(name, _rule(match, source.type, column.type), remark)


def _rule(name: str, source: Type | None = None, target: Type | None = None) -> str:
    """The column as a field: by its bare name where that is an expression of it alone."""
    try:
        bare = parse_expression(name).bare == tuple(name.split("."))
    except ExpressionError:
        bare = False
    if bare and source == target:
        return scalar(name)
    cast = f", type: {scalar(str(target))}" if target is not None and source != target else ""
    return f"{{from: {scalar(name)}{cast}}}"


def _native(column: Column) -> str:
    text = column.native or str(column.type)
    return f"{text}, read as its text" if column.opaque else text
