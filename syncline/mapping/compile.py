"""Bind a mapping to both live databases: everything that is wrong together, or a mapping that can
run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Protocol

import duckdb

from syncline.endpoints.base import (
    Endpoint,
    ReadSpec,
    Source,
    TableInfo,
    Target,
)
from syncline.errors import InputError, MappingErrors, Problem, reaching
from syncline.mapping.bound import (
    BoundField,
    BoundMapping,
    Program,
    digest_of,
    read_spec,
    target_spec,
    uses_of,
)
from syncline.mapping.checks import check_delta, check_source_key, check_target, covers
from syncline.mapping.columns import Columns, shortened
from syncline.mapping.document import by_line
from syncline.mapping.duck import open_duckdb
from syncline.mapping.expression import ExpressionError
from syncline.mapping.forms import Form, LookupForm, PythonForm
from syncline.mapping.literals import fitted
from syncline.mapping.lookups import BoundLookup
from syncline.mapping.model import Mapping
from syncline.mapping.raw import Compiler, FieldError, Raw, UnusableLookup
from syncline.mapping.select import Column
from syncline.record import Type

__all__ = ["BoundField", "BoundMapping", "bind"]


class Functions(Protocol):
    """The Python functions of a project."""

    def function(self, dotted: str) -> Callable[..., Any]:
        """The function of that name. Raises InputError where there is none."""
        ...

    def digest(self, dotted: str) -> str:
        """Changes whenever the function does."""
        ...


class Surroundings(Protocol):
    """What binding needs of a project: its other connections, and its functions."""

    @property
    def hooks(self) -> Functions:
        """The project's Python functions."""
        ...

    def open(self, name: str) -> Endpoint:
        """Open the database of that connection; the caller closes it."""
        ...


def bind(
    mapping: Mapping, *, source: Source, target: Target, project: Surroundings | None
) -> BoundMapping:
    """Hold a mapping against its databases, which are only looked at.

    `project` may be None for a mapping without lookups and functions. Raises MappingErrors with all
    that is wrong, each at its line; Unreachable and CredentialsRefused as the databases do.
    """
    connection = open_duckdb()
    try:
        return _Binding(mapping, source, target, project, connection).bound()
    finally:
        connection.close()


class _Binding:
    """One binding under way: collects problems, and builds what it can."""

    def __init__(
        self,
        mapping: Mapping,
        source: Source,
        target: Target,
        project: Surroundings | None,
        connection: duckdb.DuckDBPyConnection,
    ) -> None:
        self.mapping, self.source, self.target, self.project = mapping, source, target, project
        self.connection = connection
        self.problems: list[Problem] = []

    def problem(self, path: tuple[str | int, ...], message: str) -> None:
        self.problems.append(self.mapping.problem(path, message))

    def bound(self) -> BoundMapping:
        mapping = self.mapping
        source, target = mapping.source, mapping.target
        with reaching(source.connection):
            source_info = self.source.describe(source.name)
        with reaching(target.connection):
            target_info = self.target.describe(target.name)
        if source_info is None:
            message = _no_table(source.connection, source.name, self.source)
            self.problem(("source",), message)
        if target_info is None and not target.may_create:
            message = f"{target.connection} has no {target.name}; `create: true` makes it"
            self.problem(("target",), message)
        if source_info is None:
            raise MappingErrors(sorted(set(self.problems), key=by_line))
        columns = self.source_columns(source_info)
        lookups = self.lookups()
        compiler = Compiler(columns, lookups, self.connection)
        key = self.key_columns(compiler, target_info)
        fields = self.field_columns(compiler, target_info)
        where = self.where(compiler)
        hooks = self.functions()
        self.problems += check_source_key(mapping, self.source, source_info, key)
        self.problems += check_target(mapping, target_info, [*key, *fields])
        self.problems += check_delta(mapping, self.source, source_info, columns)
        soft = self.soft_delete(target_info)
        if self.problems:
            raise MappingErrors(sorted(set(self.problems), key=by_line))
        program = Program(
            columns=(*key, *fields),
            where=where,
            source=columns,
            lookups=lookups,
            uses=uses_of(mapping, columns, lookups),
            hooks=hooks,
            open_source=self.project.open if self.project else None,
        )
        return self.build(source_info, target_info, program, soft)

    def source_columns(self, info: TableInfo) -> Columns:
        declared = self.mapping.source.types
        if not info.open_columns:
            for name in declared:
                if name not in info.columns:
                    self.problem(("source", "types", name), f"{info.name} has no column `{name}`")
        return Columns(info, declared)

    # --- lookups and functions ---

    def lookups(self) -> dict[str, BoundLookup]:
        used = {
            rule.lookup for rule in self.mapping.fields.values() if isinstance(rule, LookupForm)
        }
        found: dict[str, BoundLookup] = {}
        for name in self.mapping.lookups:
            if name not in used:
                self.problem(("lookups", name), "no field uses this lookup")
                continue
            if bound := self.lookup(name):
                found[name] = bound
        return found

    def lookup(self, name: str) -> BoundLookup | None:
        lookup, path = self.mapping.lookups[name], ("lookups", name)
        if self.project is None:
            self.problem(path, "a lookup needs a project, whose connections it names")
            return None
        endpoint = self.project.open(lookup.connection)
        try:
            with reaching(lookup.connection):
                info = endpoint.describe(lookup.table)
            if info is None:
                message = _no_table(lookup.connection, lookup.table, endpoint)
                self.problem((*path, "table"), message)
                return None
            columns = Columns(info, {})
            key = [columns.resolve(column) for column in lookup.columns]
            if not covers(info, key) and (twice := endpoint.duplicate_keys(lookup.table, key)):
                message = f"not unique in {lookup.table}: {', '.join(map(str, twice))}"
                self.problem((*path, "key"), message)
                return None
        except ExpressionError as error:
            self.problem((*path, "key"), str(error))
            return None
        finally:
            endpoint.close()
        types = {column: columns.types[column] for column in key}
        return BoundLookup(name, lookup.connection, lookup.table, types, columns)

    def functions(self) -> dict[str, Callable[..., Any]]:
        found: dict[str, Callable[..., Any]] = {}
        for name, rule in self.mapping.fields.items():
            if not isinstance(rule, PythonForm):
                continue
            if self.project is None:
                self.problem(
                    ("fields", name, "python"), "a function needs a project, which holds it"
                )
                continue
            try:
                found[rule.python] = self.project.hooks.function(rule.python)
            except InputError as error:
                self.problem(("fields", name, "python"), str(error))
        return found

    # --- columns ---

    def key_columns(self, compiler: Compiler, info: TableInfo | None) -> list[Column]:
        found: list[Column] = []
        for name, source_column in self.mapping.key.items():
            try:
                raw = compiler.copy(source_column)
                column = self.column(name, raw, None, None, info, ("key", name))
                found.append(replace(column, key=True))
            except (ExpressionError, InputError) as error:
                self.problem(("key", name), str(error))
        return found

    def field_columns(self, compiler: Compiler, info: TableInfo | None) -> list[Column]:
        found: list[Column] = []
        for name, rule in self.mapping.fields.items():
            path = ("fields", name)
            existing = info.columns.get(name) if info and not info.open_columns else None
            try:
                raw = compiler.field(rule, existing.type if existing else None)
                column = self.column(name, raw, rule.type, rule.default, info, path)
                found.append(column)
            except UnusableLookup:
                continue
            except FieldError as error:
                self.problem((*path, *error.path), str(error))
            except (ExpressionError, InputError) as error:
                self.problem(path, str(error))
        return found

    def column(
        self,
        name: str,
        raw: Raw,
        declared: Type | None,
        default: Any,
        info: TableInfo | None,
        path: tuple[str, ...],
    ) -> Column:
        type_ = self.target_type(name, declared or raw.type, info)
        column = Column(name, raw, declared, type_)
        if not column.castable:
            way = f" by way of {declared}" if declared not in (None, type_) else ""
            raise ExpressionError(
                f"{raw.type} has no cast to {type_}{way}: write one in an expression"
            )
        if default is None:
            return column
        try:
            sql = fitted(self.connection, default, declared, type_)
        except ExpressionError as error:
            raise FieldError(str(error), *path[2:], "default") from None
        return Column(name, raw, declared, type_, sql)

    def target_type(self, name: str, wanted: Type | None, info: TableInfo | None) -> Type:
        """The type of an existing column, else what the target makes of the type the field has."""
        if info is not None and not info.open_columns:
            column = info.columns.get(name)
            if column is None:
                raise ExpressionError(_no_column(name, info))
            return column.type
        if wanted is None:
            raise ExpressionError("its type can't be told: give it in `type`")
        type_ = self.target.fits(wanted)
        if info is None and self.mapping.target.table is not None:
            self.target.native_type(type_, key=name in self.mapping.key)
        return type_

    def where(self, compiler: Compiler) -> Raw | None:
        if self.mapping.where is None:
            return None
        try:
            raw = compiler.expression(self.mapping.where)
            if raw.type != Type("bool"):
                raise ExpressionError(f"a condition is true or false; this is {raw.type or 'NULL'}")
        except ExpressionError as error:
            self.problem(("where",), str(error))
            return None
        return raw

    def soft_delete(self, info: TableInfo | None) -> tuple[str, Type] | None:
        name = self.mapping.deletes.column
        if name is None:
            return None
        if info is None or (info.open_columns and name not in info.columns):
            return name, self.target.fits(Type("timestamptz"))
        column = info.columns.get(name)
        if column is None:
            self.problem(("deletes", "column"), _no_column(name, info))
            return None
        if column.type.name not in {"timestamp", "timestamptz", "date", "bool", "text"}:
            message = f"`{name}` is {column.type}: a mark of what is gone is a time or a boolean"
            self.problem(("deletes", "column"), message)
        return name, column.type

    # --- the result ---

    def build(
        self,
        source_info: TableInfo,
        target_info: TableInfo | None,
        program: Program,
        soft: tuple[str, Type] | None,
    ) -> BoundMapping:
        """The bound mapping, of a program in which nothing is wrong."""
        mapping = self.mapping
        key, fields = program.columns[: len(mapping.key)], program.columns[len(mapping.key) :]
        bound_fields = tuple(
            BoundField(column.name, column.type, self.field_digest(column)) for column in fields
        )
        key_digest = digest_of(
            *(f"{column.name}={column.raw.meaning}:{column.type}" for column in key)
        )
        parts = (f"{field.name}={field.digest}" for field in bound_fields)
        condition = program.where.meaning if program.where else ""
        read = read_spec(mapping, source_info, program)
        return BoundMapping(
            mapping=mapping,
            read=read if read.by != "none" else self.best(read, source_info),
            target=target_spec(mapping, target_info, program),
            key={column.name: column.raw.column or "" for column in key},
            fields=bound_fields,
            digest=digest_of(key_digest, *parts, condition),
            key_digest=key_digest,
            source_info=source_info,
            target_info=target_info,
            program=program,
            soft_delete=soft,
        )

    def best(self, read: ReadSpec, info: TableInfo) -> ReadSpec:
        """The read with the best delta that the source can do, where the mapping names none."""
        if self.mapping.delta.by is not None:
            return read
        return replace(read, by=self.source.best_delta(info, read.cursor))

    def field_digest(self, column: Column) -> str:
        rule: Form = self.mapping.fields[column.name]
        hook = ""
        if column.raw.hook is not None and self.project is not None:
            hook = self.project.hooks.digest(column.raw.hook)
        by_way = str(column.by_way_of or "")
        return digest_of(column.raw.meaning, by_way, str(column.type), repr(rule.default), hook)


def _no_table(connection: str, name: str, source: Source) -> str:
    names = list(source.tables())
    by_name = {told: told for told in names} | {told.rpartition(".")[2]: told for told in names}
    near = get_close_matches(name, list(by_name), 1)
    advice = f"did you mean `{by_name[near[0]]}`?" if near else f"it has {shortened(names)}"
    return f"{connection} has no {name}; {advice if names else 'it is empty: is its URL right?'}"


def _no_column(name: str, info: TableInfo) -> str:
    near = get_close_matches(name, list(info.columns), 1)
    advice = f"did you mean `{near[0]}`?" if near else f"it has {shortened(info.columns)}"
    return f"{info.name} has no column `{name}`; {advice}"
