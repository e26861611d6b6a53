"""Describe: a mapping as the Markdown that Dagster shows on its asset's page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, assert_never

from syncline.mapping.forms import FromForm, LookupForm, PythonForm, Rule, SqlForm, ValueForm
from syncline.mapping.model import Mapping


def describe(mapping: Mapping, *, missing: str = "") -> str:
    """The mapping's purpose, its two sides and rules, and a table of its fields.

    `missing` is what the environment lacks for it to run, told first.
    """
    parts = [f"**It can't run yet:** {missing}"] if missing else []
    if mapping.description:
        parts.append(mapping.description)
    places = (mapping.source, mapping.target)
    parts.append(" to ".join(code(f"{place.connection}: {place.name}") for place in places))
    parts.append("\n".join(f"- {rule}" for rule in _rules(mapping)))
    parts.append("\n".join(_table(mapping)))
    return "\n\n".join(parts)


def code(text: str) -> str:
    """Text as inline code of a Markdown table's cell, on one line, whatever is in it."""
    flat = " ".join(text.split()).replace("|", r"\|")
    fence = "`"
    while fence in flat:
        fence += "`"
    pad = " " if "`" in flat else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def _rules(mapping: Mapping) -> Iterator[str]:
    if mapping.where:
        yield f"where {code(mapping.where)}"
    conflicts = mapping.conflicts
    own = ", ".join(f"{code(name)} by {code(s)}" for name, s in conflicts.fields.items())
    yield f"conflicts: {code(conflicts.strategy)}{f'; {own}' if own else ''}"
    column = f" in {code(mapping.deletes.column)}" if mapping.deletes.column else ""
    yield f"deletes: {code(mapping.deletes.mode)}{column}"
    if mapping.delta.by:
        cursor = f" on {code(mapping.delta.cursor)}" if mapping.delta.cursor else ""
        yield f"delta: by {code(mapping.delta.by)}{cursor}"
    if mapping.schedule:
        yield f"schedule: {code(mapping.schedule)} (UTC)"


def _table(mapping: Mapping) -> Iterator[str]:
    yield "| field | holds | type |"
    yield "| --- | --- | --- |"
    for name, column in mapping.key.items():
        yield f"| {code(name)} (key) | {code(column)} | |"
    for name, rule in mapping.fields.items():
        yield f"| {code(name)} | {_holds(rule)} | {code(str(rule.type)) if rule.type else ''} |"


def _holds(rule: Rule) -> str:
    text = _origin(rule)
    if rule.default is not None:
        text += f", where NULL {code(_constant(rule.default, masked=rule.mask))}"
    if rule.truncate:
        text += f", cut to {rule.truncate}"
    return text


def _origin(rule: Rule) -> str:
    match rule:
        case SqlForm():
            return code(rule.sql)
        case FromForm():
            return code(rule.from_) + _values(rule)
        case ValueForm():
            return f"always {code(_constant(rule.value, masked=rule.mask))}"
        case LookupForm():
            return f"{code(f'{rule.lookup}.{rule.take}')} by {code(', '.join(rule.columns))}"
        case PythonForm():
            return code(f"{rule.python}({', '.join(rule.takes or ())})")
        case _ as never:
            assert_never(never)


def _values(rule: FromForm) -> str:
    if rule.values is None:
        return ""
    if rule.mask:
        return ": by a table of values"
    pairs = [f"{code(key)} is {code(_constant(value))}" for key, value in rule.values.items()]
    if rule.has_else:
        pairs.append(f"else {code(_constant(rule.else_))}")
    return f": {', '.join(pairs)}"


def _constant(value: Any, *, masked: bool = False) -> str:
    # A masked field's values are hidden from people in the review app, so here too.
    return "***" if masked else json.dumps(value, ensure_ascii=False)
