"""Compile the fields of a mapping: each to one SQL expression over the source record, with the type
of its result.

Pure: a compiled field depends on the mapping and on what the catalogue said of the source, on no
database.
"""

from __future__ import annotations

from collections.abc import Mapping as Map
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from syncline.mapping.coerce import truncated
from syncline.mapping.columns import Columns
from syncline.mapping.duck import identifier
from syncline.mapping.expression import ExpressionError, parse_expression
from syncline.mapping.forms import (
    FORMS,
    Form,
    FromForm,
    LookupForm,
    PythonForm,
    SqlForm,
    ValueForm,
)
from syncline.mapping.infer import infer
from syncline.mapping.literals import constant, fitted
from syncline.mapping.lookups import BoundLookup
from syncline.record import Type

FormPath = tuple[str, ...]


class FieldError(ExpressionError):
    """What is wrong with a field; `path` is the key of its form where it stands, if any."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = path


class UnusableLookup(ExpressionError):
    """A field's lookup is itself wrong, and has been reported."""


@dataclass(frozen=True)
class Raw:
    """What a field computes before it is coerced to the target's type.

    `sql` reads the record `s` and the lookups; `type` is what it gives (None: always NULL).
    `column` is set where the field copies a source column as it is, `hook` where a function of the
    project makes it. `unmatched` is the condition under which no key of `values` matches. `meaning`
    says in canonical text what is computed.
    """

    sql: str
    type: Type | None
    uses: frozenset[str]
    meaning: str
    column: str | None = None
    unmatched: str | None = None
    hook: str | None = None
    takes: tuple[str, ...] = ()

    @property
    def computed(self) -> bool:
        """Whether an expression makes the value, so that it may be what no database sends."""
        return self.column is None and self.hook is None


@dataclass(frozen=True)
class Compiler:
    """Compiles fields over these columns and lookups; `connection` is a locked-down DuckDB that
    tells types.
    """

    columns: Columns
    lookups: Map[str, BoundLookup]
    connection: duckdb.DuckDBPyConnection

    def field(self, rule: Form, target: Type | None) -> Raw:
        """A field; `target` is the type of the target's column where it has one. Raises
        FieldError.
        """
        raw = self._form(rule, target)
        if rule.truncate is None:
            return raw
        sql = truncated(raw.sql, raw.type, rule.truncate) if raw.type else raw.sql
        if raw.hook is not None or sql is None:
            what = "a function of the project" if raw.hook else raw.type
            raise FieldError(f"{what} can't be cut to `{rule.truncate}`", "truncate")
        meaning = f"truncate({raw.meaning}, {rule.truncate})"
        precision = {"ms": 3, "s": 0, "day": 0}[rule.truncate]
        type_ = Type(raw.type.name, precision) if raw.type else None
        return Raw(sql, type_, raw.uses, meaning, None, raw.unmatched)

    def _form(self, rule: Form, target: Type | None) -> Raw:
        match rule:
            case SqlForm():
                return self._within(("sql",), lambda: self.expression(rule.sql))
            case FromForm():
                raw = self._within(("from",), lambda: self.copy(rule.from_))
                if rule.values is None:
                    return raw
                return self._within(("values",), lambda: self._valued(rule, raw, target))
            case ValueForm():
                return self._within(("value",), lambda: self._constant(rule.value))
            case LookupForm():
                return self._within(("match",), lambda: self._looked_up(rule))
            case PythonForm():
                return self._within(("takes",), lambda: self._hook(rule))
            case _:
                raise AssertionError(f"one of {', '.join(FORMS)} has no compiler")

    @staticmethod
    def _within(path: FormPath, compile_: Any) -> Raw:
        try:
            return compile_()
        except (FieldError, UnusableLookup):
            raise
        except ExpressionError as error:
            raise FieldError(str(error), *path) from None

    def expression(self, text: str) -> Raw:
        """An SQL expression. Raises ExpressionError."""
        parsed = parse_expression(text)
        if parsed.bare is not None:
            return self.copy(parsed.bare)
        found: dict[tuple[str, ...], str] = {}
        wrong: list[str] = []
        for name in parsed.names:
            try:
                found[name] = self.columns.resolve(name)
            except ExpressionError as error:
                wrong.append(str(error))
        if wrong:
            raise ExpressionError("; ".join(wrong))
        sql = parsed.render({name: self.columns.aliases[column] for name, column in found.items()})
        typed = infer(self.connection, sql, self.columns.nothing(found.values()))
        return Raw(typed.sql, typed.type, frozenset(found.values()), parsed.render(found))

    def copy(self, name: tuple[str, ...] | str) -> Raw:
        """A source column as it is. Raises ExpressionError."""
        column = self.columns.resolve(name)
        type_ = self.columns.types[column]
        meaning = f"s.{identifier(column)}"
        return Raw(self.columns.raw(column), type_, frozenset({column}), meaning, column)

    def _constant(self, value: Any) -> Raw:
        sql, type_ = constant(value)
        return Raw(sql, type_, frozenset(), f"constant {value!r}")

    def _valued(self, rule: FromForm, raw: Raw, target: Type | None) -> Raw:
        """`CASE` over the column; the keys take its type, the results the field's."""
        column, source, values = raw.column, raw.type, rule.values or {}
        assert column is not None and source is not None  # noqa: PT018 - a copied column has both
        kind = rule.type or target or _common_type([*values.values(), rule.else_])
        seen = Type("decimal", 38, 10) if source.is_unbounded_decimal else source
        x = self.columns.reference(column)
        keys: dict[str, str] = {}
        for key in values:
            try:
                keys[key] = fitted(self.connection, key, seen)
            except ExpressionError as error:
                raise FieldError(
                    f"the key {error} (`{column}` is {source})", "values", key
                ) from None
        if len(set(keys.values())) < len(keys):
            raise ExpressionError("two keys are the same value")
        cases = "".join(
            f" WHEN {x} = {keys[key]} THEN {self._result(value, kind, 'values', key)}"
            for key, value in values.items()
        )
        default = f" ELSE {self._result(rule.else_, kind, 'else')}" if rule.has_else else ""
        sql = f"CASE{cases or ' WHEN false THEN CAST(NULL AS VARCHAR)'}{default} END"
        known = ", ".join(keys.values())
        unmatched = None if rule.has_else else f"{x} IS NOT NULL AND {x} NOT IN ({known})"
        other = f" else {rule.else_!r}" if rule.has_else else ""
        meaning = f"values({raw.meaning}, {sorted(values.items())!r}{other})"
        return Raw(sql, kind, frozenset({column}), meaning, None, unmatched)

    def _result(self, value: Any, kind: Type | None, *path: str) -> str:
        try:
            return fitted(self.connection, value, kind)
        except ExpressionError as error:
            raise FieldError(str(error), *path) from None

    def _looked_up(self, rule: LookupForm) -> Raw:
        lookup = self.lookups.get(rule.lookup)
        if lookup is None:
            raise UnusableLookup(rule.lookup)
        matched = tuple(self.columns.resolve(name) for name in rule.columns)
        for column, (key, type_) in zip(matched, lookup.key.items(), strict=True):
            if not comparable(self.columns.types[column], type_):
                source = self.columns.types[column]
                raise ExpressionError(
                    f"`{column}` is {source}, but `{key}` of the lookup is {type_}"
                )
        try:
            taken = lookup.columns.resolve(rule.take)
        except ExpressionError as error:
            raise FieldError(str(error), "take") from None
        meaning = f"lookup({lookup.meaning}, {matched}, {taken})"
        sql = lookup.value(matched, taken)
        return Raw(sql, lookup.columns.types[taken], frozenset(matched), meaning)

    def _hook(self, rule: PythonForm) -> Raw:
        takes = rule.takes if rule.takes is not None else list(self.columns.types)
        found = tuple(self.columns.resolve(name) for name in takes)
        return Raw(
            "",
            None,
            frozenset(found),
            f"python({rule.python}, {found})",
            None,
            None,
            rule.python,
            found,
        )


_NUMBERS: Final = frozenset({"smallint", "integer", "bigint", "decimal", "real", "double"})


def comparable(source: Type, other: Type) -> bool:
    """Whether values of the two types can equal each other."""
    if source.name in _NUMBERS:
        return other.name in _NUMBERS
    texts = {"text", "uuid"}
    return source.name == other.name != "json" or {source.name, other.name} <= texts


def _common_type(values: list[Any]) -> Type | None:
    types = {constant(value)[1] for value in values if value is not None}
    if len(types) > 1:
        names = ", ".join(sorted(str(type_) for type_ in types))
        raise ExpressionError(f"the results are of several types ({names}): give one in `type`")
    return types.pop() if types else None
