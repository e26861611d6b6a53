"""What of a mapping contradicts itself: checked without looking at a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from syncline.mapping.forms import FromForm, LookupForm
from syncline.mapping.model import Mapping

Finding = tuple[tuple[str | int, ...], str]
"""A path of the mapping, and what is wrong there."""


def inconsistencies(mapping: Mapping) -> Iterator[Finding]:
    """Everything in a mapping that can't be meant so."""
    yield from _target_names(mapping)
    yield from _forms(mapping)
    yield from _conflicts(mapping)
    yield from _rest(mapping)


def _target_names(mapping: Mapping) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for part, names in (("key", mapping.key), ("fields", mapping.fields)):
        for name in names:
            if not name.strip() or ".." in name or name[0] == "." or name[-1] == ".":
                yield (part, name), f"{name!r} is not the name of a target field"
            elif name.casefold() in seen:
                yield (part, name), f"`{name}` is already written by `{seen[name.casefold()]}`"
            seen.setdefault(name.casefold(), f"{part}.{name}")
    for name in (*mapping.key, *mapping.fields):
        parents = [name[:i] for i, letter in enumerate(name) if letter == "."]
        for parent in parents:
            if parent.casefold() in seen:
                part = "key" if name in mapping.key else "fields"
                yield (part, name), f"`{name}` lies inside `{parent}`, which is written as a whole"


def _forms(mapping: Mapping) -> Iterator[Finding]:
    for name, rule in mapping.fields.items():
        path = ("fields", name)
        if isinstance(rule, FromForm):
            if rule.has_else and rule.values is None:
                yield (*path, "else"), "`else` goes with `values`"
            if rule.values is not None and not rule.values and not rule.has_else:
                yield (*path, "values"), "`values` is empty"
        if isinstance(rule, LookupForm):
            yield from _lookup(mapping, rule, path)


def _lookup(mapping: Mapping, rule: LookupForm, path: tuple[str, str]) -> Iterator[Finding]:
    lookup = mapping.lookups.get(rule.lookup)
    if lookup is None:
        near = _near(rule.lookup, mapping.lookups)
        yield (*path, "lookup"), f"there is no lookup `{rule.lookup}` in `lookups`{near}"
    elif len(rule.columns) != len(lookup.columns):
        wanted, given = len(lookup.columns), len(rule.columns)
        message = f"the key of `{rule.lookup}` has {wanted} column(s), and {given} to match it"
        yield (*path, "match"), message


def _conflicts(mapping: Mapping) -> Iterator[Finding]:
    conflicts = mapping.conflicts
    known = mapping.fields
    for name in conflicts.fields:
        if name not in known:
            yield ("conflicts", "fields", name), _no_field(name, mapping)
    grouped: set[str] = set()
    for index, group in enumerate(conflicts.together):
        for name in group:
            path = ("conflicts", "together", index)
            if name not in known:
                yield path, _no_field(name, mapping)
            elif name in grouped:
                yield path, f"`{name}` is already in a group"
            grouped.add(name)
        if len({mapping.strategy_of(name) for name in group}) > 1:
            yield ("conflicts", "together", index), "fields that move as one need one strategy"
    yield from _merges(mapping)
    if conflicts.clock is not None and conflicts.clock not in known:
        yield ("conflicts", "clock"), _no_field(conflicts.clock, mapping)
    if conflicts.clock is None:
        yield from _clock_needed(mapping)


def _merges(mapping: Mapping) -> Iterator[Finding]:
    for name, rule in mapping.fields.items():
        if rule.merge and name in mapping.conflicts.fields:
            yield ("conflicts", "fields", name), f"`{name}` has `merge: {rule.merge}` already"
        if rule.merge in ("union", "add") and not rule.keep:
            yield ("fields", name, "merge"), f"`merge: {rule.merge}` needs `keep: values`"
        if (rule.merge or rule.keep) and mapping.detect != "ledger":
            path = ("fields", name, "merge" if rule.merge else "keep")
            yield path, "the baseline is in the ledger: `detect: ledger`"


def _clock_needed(mapping: Mapping) -> Iterator[Finding]:
    if "latest" in mapping.conflicts.strategies:
        yield ("conflicts",), "the strategy `latest` needs `clock`, a field that says when"
    if mapping.conflicts.near is not None:
        yield ("conflicts", "near"), "`near` needs `clock`, a field that says when"
    if mapping.conflicts.detect == "timestamp":
        yield ("conflicts", "detect"), "`detect: timestamp` needs `clock`, a field that says when"


def _rest(mapping: Mapping) -> Iterator[Finding]:
    column = mapping.deletes.column
    if column is not None and (column in mapping.fields or column in mapping.key):
        yield ("deletes", "column"), f"`{column}` marks what is gone: it can't be mapped as well"
    if mapping.checks.freshness.blocking and mapping.max_lag is None:
        yield ("checks", "freshness"), "there is no `max_lag` for it to be older than"
    if mapping.backfill and mapping.backfill.by == "cursor" and mapping.delta.cursor is None:
        yield (
            ("backfill",),
            "it goes by the delta's cursor: write `delta: {cursor: ..}`, or by: key",
        )
    if mapping.name in mapping.after:
        yield ("after",), "a mapping can't run after itself"
    places = [(place.connection, place.name) for place in (mapping.source, mapping.target)]
    if places[0] == places[1]:
        yield ("target",), "source and target are the same table"


def _no_field(name: str, mapping: Mapping) -> str:
    if name in mapping.key:
        return f"`{name}` is part of the key, which never differs"
    return f"`{name}` is none of the mapping's fields{_near(name, mapping.fields)}"


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), 1)
    return f"; did you mean `{near[0]}`?" if near else ""
