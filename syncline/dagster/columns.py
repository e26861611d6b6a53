"""Columns: a mapping's fields as Dagster's column schema, and which source columns each is from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import dagster as dg

from syncline.catalogue import Side, Tables
from syncline.dagster.order import Table, Upstream, lookup_of, source_of
from syncline.mapping.expression import ExpressionError, parse_expression
from syncline.mapping.forms import FromForm, LookupForm, PythonForm, Rule, SqlForm
from syncline.mapping.model import Mapping

UNSEEN = "not seen yet"
"""The type of a column that the mapping does not declare, before a run has looked at the table."""


def schema_of(mapping: Mapping, seen: Tables | None) -> dg.TableSchema:
    """The target's key and fields, with the types of its table as the last run saw it."""
    kept = seen.target.columns if seen else {}
    required = set(seen.target.required) if seen else set[str]()
    key = [
        dg.TableColumn(
            name,
            kept.get(name, UNSEEN),
            description=f"key, from {column}",
            constraints=dg.TableColumnConstraints(nullable=False, unique=len(mapping.key) == 1),
        )
        for name, column in mapping.key.items()
    ]
    fields = [
        dg.TableColumn(
            name,
            kept.get(name) or (str(rule.type) if rule.type else UNSEEN),
            constraints=dg.TableColumnConstraints(nullable=name not in required),
        )
        for name, rule in mapping.fields.items()
    ]
    return dg.TableSchema([*key, *fields])


def source_schema(columns: Iterable[str], seen: Side | None) -> dg.TableSchema:
    """The columns of a table that mappings read."""
    kept, required = (seen.columns, set(seen.required)) if seen else ({}, set[str]())
    names = dict.fromkeys([*kept, *columns])
    return dg.TableSchema(
        [
            dg.TableColumn(
                name,
                kept.get(name, UNSEEN),
                constraints=dg.TableColumnConstraints(nullable=name not in required),
            )
            for name in names
        ]
    )


def lineage_of(mapping: Mapping, upstream: Upstream) -> dg.TableColumnLineage:
    """The source columns that each column of the target is made of.

    A function of the project that does not say what it takes, takes any: no column is named.
    """
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(upstream.assets[table], column) for table, column in origins]
            for name, origins in origins_of(mapping).items()
        }
    )


def origins_of(mapping: Mapping) -> dict[str, list[tuple[Table, str]]]:
    """By target column, the columns that it is made of, each with its table."""
    source = source_of(mapping)
    found = {name: [(source, column)] for name, column in mapping.key.items()}
    for name, rule in mapping.fields.items():
        found[name] = [(source, column) for column in _columns(rule)]
        if isinstance(rule, LookupForm):
            found[name].append((lookup_of(mapping, rule.lookup), rule.take))
    return found


def _columns(rule: Rule) -> Iterator[str]:
    match rule:
        case SqlForm():
            try:
                names = parse_expression(rule.sql).names
            except ExpressionError:
                return
            yield from dict.fromkeys(".".join(name) for name in names)
        case FromForm():
            yield rule.from_
        case LookupForm():
            yield from rule.columns
        case PythonForm():
            yield from rule.takes or ()
        case _:
            return
