"""The one SELECT that maps a batch: source columns in, target fields out, and a flag for each value
that does not fit.
"""

# ruff: noqa: S608 - names are quoted and texts are literals by `duck`; nothing else is put in

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from syncline.mapping.coerce import Coerced, coerce, family, out_of_calendar
from syncline.mapping.columns import Columns, view_misfit
from syncline.mapping.duck import identifier, seen_as
from syncline.mapping.raw import Raw
from syncline.record import Type

RECORDS: Final = "__records"
"""The registered Arrow table that the SELECT reads."""
ROW_NUMBER: Final = "__row"


@dataclass(frozen=True)
class Column:
    """One target field: what computes it, and the types on its way. `default` is SQL of the
    target's type.
    """

    name: str
    raw: Raw
    declared: Type | None
    type: Type
    default: str | None = None
    key: bool = False

    @property
    def by_way_of(self) -> Type | None:
        """The declared type, where it is neither the target's nor the result's own."""
        return None if self.declared in (None, self.type, self.raw.type) else self.declared

    @property
    def is_copy(self) -> bool:
        """Whether the target takes the source's column as it was read, so that no SQL is needed."""
        if self.raw.column is None or self.default is not None or self.by_way_of is not None:
            return False
        coerced = coerce("x", self.raw.type, self.type)
        return coerced is not None and coerced.value == "x" and coerced.bad is None

    @property
    def castable(self) -> bool:
        """Whether there are casts from the result to the target's type."""
        if self.raw.hook is not None:
            return True
        first = self.by_way_of or self.type
        return (
            coerce("x", self.raw.type, first) is not None
            and coerce("x", first, self.type) is not None
        )


@dataclass(frozen=True)
class Flag:
    """A boolean column of the result: where it is true, the value of `field` is a misfit for this
    reason.
    """

    alias: str
    field: str
    reason: str
    index: int
    """Which column of the SELECT it belongs to; -1 for a source column seen by expressions."""


@dataclass(frozen=True)
class Select:
    """The SELECT of a mapping. Deterministic text; `columns` are those that need SQL, in order."""

    columns: Sequence[Column]
    where: Raw | None
    source: Columns
    joins: Sequence[str]
    matched: frozenset[str]
    """Source columns that lookups match by."""

    @cached_property
    def seen(self) -> tuple[str, ...]:
        """The source columns that expressions see."""
        used = {name for column in self.columns if column.raw.computed for name in column.raw.uses}
        used |= self.where.uses if self.where and self.where.computed else frozenset()
        return tuple(sorted(used | self.matched))

    @cached_property
    def copied(self) -> tuple[str, ...]:
        """The source columns that are taken as they were read, to be coerced."""
        names = {column.raw.column for column in self.columns}
        names.add(self.where.column if self.where else None)
        return tuple(sorted(name for name in names if name is not None))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The source columns that the SELECT reads."""
        return tuple(sorted({*self.seen, *self.copied}))

    @cached_property
    def views(self) -> tuple[str, ...]:
        """The source columns that expressions see as another type."""
        return tuple(name for name in self.seen if self.source.is_view(name))

    @cached_property
    def flags(self) -> tuple[Flag, ...]:
        """Every flag of the result that `sql` has; `guarded_sql` adds those of `errors`."""
        found: list[Flag] = []
        for index, column in enumerate(self.columns):
            if column.raw.unmatched is not None:
                found.append(
                    Flag(f"u{index}", column.name, "is none of the keys of `values`", index)
                )
            first = self._first(index)
            if first.bad is not None and column.by_way_of is not None:
                found.append(Flag(f"e{index}", column.name, first.reason, index))
            last = self._last(index)
            if last.bad is not None:
                found.append(Flag(f"b{index}", column.name, last.reason, index))
        for index, name in enumerate(self.views):
            what = "decimal(38,10)" if self.source.types[name].name == "decimal" else "JSON"
            found.append(
                Flag(f"v{index}", name, f"does not fit {what}, as which expressions see it", -1)
            )
        return tuple(found)

    @cached_property
    def errors(self) -> tuple[Flag, ...]:
        """The flags of values whose expression raised an error."""
        return tuple(
            Flag(f"z{index}", column.name, "its expression failed", index)
            for index, column in enumerate(self.columns)
            if column.raw.computed
        )

    def sql(self) -> str:
        """The SELECT; it raises where an expression does."""
        return self._outer(self._raw_level(guarded=False), guarded=False)

    def guarded_sql(self) -> str:
        """The same, slower, with a flag for every value whose expression raises; it raises
        nothing.
        """
        return self._outer(self._raw_level(guarded=True), guarded=True)

    def values_sql(self, index: int) -> str:
        """The values of one column before coercion, as text, by row; for a person to read."""
        inner = self._raw_level(guarded=True)
        return f"SELECT {ROW_NUMBER}, CAST(x{index} AS VARCHAR) FROM ({inner})"

    def error_sql(self, raw: Raw) -> str:
        """The expression alone, which raises its own error."""
        return f"SELECT {raw.sql} FROM {self._records()}"

    # --- levels, from the inside ---

    def _records(self) -> str:
        parts = [ROW_NUMBER]
        for name in self.inputs:
            alias = identifier(self.source.aliases[name])
            if self.source.is_view(name) and name in self.seen:
                parts.append(f"TRY_CAST({alias} AS {seen_as(self.source.types[name])}) AS {alias}")
            if name in self.copied or not self.source.is_view(name):
                parts.append(f"{alias} AS {identifier(self.source.raw_alias(name))}")
        for index, name in enumerate(self.views):
            alias = identifier(self.source.aliases[name])
            parts.append(
                f"coalesce({view_misfit(alias, self.source.types[name])}, false) AS v{index}"
            )
        return f"(SELECT {', '.join(parts)} FROM {RECORDS}) s {' '.join(self.joins)}"

    def _raw_level(self, *, guarded: bool) -> str:
        parts, outer = [f"s.{ROW_NUMBER}"], [ROW_NUMBER]
        for index, column in enumerate(self.columns):
            if guarded and column.raw.computed:
                # NULL tells an error here: a list of NULL is a list.
                parts.append(f"TRY(list_value({column.raw.sql})) AS y{index}")
                outer += [f"y{index}[1] AS x{index}", f"y{index} IS NULL AS z{index}"]
            else:
                parts.append(f"{column.raw.sql} AS x{index}")
                outer.append(f"x{index}")
            if column.raw.unmatched is not None:
                parts.append(f"{column.raw.unmatched} AS u{index}")
                outer.append(f"u{index}")
        parts += [f"s.v{index}" for index in range(len(self.views))]
        outer += [f"v{index}" for index in range(len(self.views))]
        if self.where is not None:
            parts.append(
                f"{f'TRY(list_value({self.where.sql}))' if guarded else self.where.sql} AS w"
            )
            outer += ["coalesce(w[1], false) AS w", "w IS NULL AS zw"] if guarded else ["w"]
        inner = f"SELECT {', '.join(parts)} FROM {self._records()}"
        return f"SELECT {', '.join(outer)} FROM ({inner})" if guarded else inner

    def _outer(self, inner: str, *, guarded: bool) -> str:
        flags = [flag.alias for flag in self.flags if flag.alias[0] in "uv"]
        flags += [flag.alias for flag in self.errors] if guarded else []
        kept = [*flags, *(["w", *(["zw"] if guarded else [])] if self.where is not None else [])]
        if any(column.by_way_of for column in self.columns):
            inner = f"SELECT {', '.join([ROW_NUMBER, *self._declared(), *kept])} FROM ({inner})"
        parts = [ROW_NUMBER]
        for index, column in enumerate(self.columns):
            last = self._last(index)
            value = (
                last.value
                if column.default is None
                else f"coalesce({last.value}, {column.default})"
            )
            parts.append(f"{value} AS f{index}")
            if last.bad is not None:
                parts.append(f"{_where_present(self._x(index), last.bad)} AS b{index}")
        parts += [flag.alias for flag in self.flags if flag.alias[0] == "e"]
        return f"SELECT {', '.join([*parts, *kept])} FROM ({inner})"

    def _declared(self) -> list[str]:
        parts: list[str] = []
        for index, column in enumerate(self.columns):
            if column.by_way_of is None:
                parts.append(f"x{index}")
                continue
            first = self._first(index)
            parts.append(f"{first.value} AS d{index}")
            if first.bad is not None:
                parts.append(f"{_where_present(f'x{index}', first.bad)} AS e{index}")
        return parts

    def _x(self, index: int) -> str:
        return f"d{index}" if self.columns[index].by_way_of is not None else f"x{index}"

    def _first(self, index: int) -> Coerced:
        """The first coercion: to the declared type where that is another, else straight to the
        target's.
        """
        column = self.columns[index]
        coerced = _checked(f"x{index}", column.raw, column.by_way_of or column.type)
        return _only_spelling(f"x{index}", column, coerced) if column.key else coerced

    def _last(self, index: int) -> Coerced:
        column = self.columns[index]
        if column.by_way_of is None:
            return self._first(index)
        return _known(coerce(f"d{index}", column.by_way_of, column.type))


def _checked(x: str, raw: Raw, target: Type) -> Coerced:
    coerced = _known(coerce(x, raw.type, target))
    outside = out_of_calendar(x, raw.type) if raw.computed and raw.type is not None else None
    if outside is None:
        return coerced
    if coerced.bad is None:
        return Coerced(coerced.value, outside, "lies outside the years 1 to 9999")
    reason = f"{coerced.reason}, or lies outside the years 1 to 9999"
    return Coerced(coerced.value, f"{coerced.bad} OR {outside}", reason)


def _only_spelling(x: str, column: Column, coerced: Coerced) -> Coerced:
    """The same, but a text that is not how the number of a key is written is a misfit.

    Else `1` and `01` were two source records of one target record, and each would write it in turn.
    """
    numbers = {"int", "decimal", "number", "float"}
    if column.raw.type is None or column.raw.type.name != "text":
        return coerced
    if family(column.type) not in numbers:
        return coerced
    bad = f"CAST({coerced.value} AS VARCHAR) IS DISTINCT FROM {x}"
    reason = "is not how that number is written, so another key could be the same record"
    if coerced.bad is None:
        return Coerced(coerced.value, bad, reason)
    return Coerced(coerced.value, f"{coerced.bad} OR {bad}", f"{coerced.reason}, or {reason}")


def _known(coerced: Coerced | None) -> Coerced:
    assert coerced is not None, "bind lets no field through that has no cast"
    return coerced


def _where_present(x: str, bad: str) -> str:
    return f"coalesce({x} IS NOT NULL AND ({bad}), false)"
