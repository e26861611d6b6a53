"""Rulebook: the rules of a mapping as text, `rules/NAME.yaml` of the project.

A list, one rule an item. Adding puts lines at its end and removing takes the lines of one item
away, so that whatever people wrote around them stays.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from syncline.conflict import Kind
from syncline.errors import InputError, MappingErrors, Problem
from syncline.mapping.document import Document, parse_document, read_document
from syncline.rule import Rule, check_when

FOLDER: Final = "rules"
_KEYS: Final = frozenset({"field", "when", "take", "value", "kind", "note"})
_HEAD: Final = (
    "# What people decided once and for all: asked where a strategy would ask a person.\n"
)


def rules_path(root: Path, mapping: str) -> Path:
    """Where the rules of a mapping are; the file may be missing."""
    return root / FOLDER / f"{mapping}.yaml"


def load_rules(path: Path) -> tuple[Rule, ...]:
    """The rules of a file, in order; none where there is no file.

    Raises MappingErrors with all that is wrong with it.
    """
    return _rules(read_document(path)) if path.is_file() else ()


def _rules(document: Document) -> tuple[Rule, ...]:
    if document.data is None:
        return ()
    data: Any = document.data
    if not isinstance(data, list):
        raise MappingErrors([document.problem((), "rules are a list, one `- field:` a rule")])
    problems: list[Problem] = []
    found: list[Rule] = []
    for index, item in enumerate(cast("list[Any]", data)):
        wrong = list(_problems(document, index, item))
        problems += wrong
        if not wrong:
            found.append(_rule(item))
    if problems:
        raise MappingErrors(problems)
    return tuple(found)


def _rule(item: Mapping[str, Any]) -> Rule:
    return Rule(
        field=item.get("field"),
        when=item.get("when", "always"),
        take=item.get("take"),
        value=item.get("value"),
        kind=Kind(item["kind"]) if "kind" in item else None,
        note=item.get("note", ""),
    )


def _problems(document: Document, index: int, item: Any) -> list[Problem]:
    if not isinstance(item, dict):
        return [document.problem((index,), "a rule is a mapping: {field: .., when: .., take: ..}")]
    given = cast("dict[str, Any]", item)
    found: list[tuple[tuple[str | int, ...], str]] = [
        ((index, name), f"unknown key `{name}`") for name in given if name not in _KEYS
    ]
    if ("take" in given) == ("value" in given):
        found.append(((index,), "write either `take: source|target` or `value: ..`"))
    if given.get("take", "source") not in ("source", "target"):
        found.append(((index, "take"), f"{given['take']!r} is no side: source or target"))
    texts = ("field", "when", "note")
    found += [
        ((index, name), "has to be text")
        for name in texts
        if not isinstance(given.get(name, ""), str)
    ]
    if given.get("kind", Kind.BOTH_CHANGED) not in list(Kind):
        found.append(((index, "kind"), f"{given['kind']!r} is no kind: {', '.join(Kind)}"))
    if "field" not in given and "take" not in given:
        found.append(((index,), "a rule for the whole record takes a side"))
    try:
        check_when(str(given.get("when", "always")))
    except ValueError as error:
        found.append(((index, "when"), str(error)))
    return [document.problem(path, message) for path, message in found]


def written(rule: Rule) -> str:
    """The rule as an item of the file."""
    parts: dict[str, Any] = {} if rule.field is None else {"field": rule.field}
    if rule.kind is not None:
        parts["kind"] = rule.kind.value
    parts["when"] = rule.when
    parts |= {"value": rule.value} if rule.take is None else {"take": rule.take}
    if rule.note:
        parts["note"] = rule.note
    lines = [f"{name}: {_scalar(value)}" for name, value in parts.items()]
    return "- " + "\n  ".join(lines) + "\n"


def _scalar(value: Any) -> str:
    plain = isinstance(value, str) and value.replace("_", "").replace(" ", "").isalnum()
    if plain and not value[:1].isdigit() and value.lower() not in _WORDS and value == value.strip():
        return cast("str", value)
    try:
        return json.dumps(value, ensure_ascii=False)  # a JSON text is a YAML one
    except TypeError:
        return json.dumps(str(value), ensure_ascii=False)


_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off"})


def add_rule(path: Path, rule: Rule) -> None:
    """Put a rule at the end of the file, which is made where it is missing.

    Raises InputError where it stands there already, MappingErrors where the file is wrong.
    """
    if rule in load_rules(path):
        message = f"{path} has this rule already: {rule.text}"
        raise InputError(message)
    before = path.read_text("utf-8") if path.is_file() else _HEAD
    if before and not before.endswith("\n"):
        before += "\n"
    _replace(path, before + written(rule), rules=[*load_rules(path), rule])


def remove_rule(path: Path, number: int) -> Rule:
    """Take the rule of this number (from 1) out of the file; comments around it stay.

    Raises InputError where there is no such rule.
    """
    rules = load_rules(path)
    if not 1 <= number <= len(rules):
        message = f"{path} has no rule {number}: it has {len(rules)}"
        raise InputError(message, hint="syncline conflicts rules list")
    document = read_document(path)
    lines = path.read_text("utf-8").splitlines(keepends=True)
    start = document.lines[(number - 1,)] - 1
    end = start + 1
    while end < len(lines) and lines[end].startswith((" ", "\t")):
        end += 1
    left = [rule for index, rule in enumerate(rules, 1) if index != number]
    _replace(path, "".join(lines[:start] + lines[end:]), rules=left)
    return rules[number - 1]


def _replace(path: Path, text: str, *, rules: Sequence[Rule]) -> None:
    """Write the text whole, or not at all; what it says is looked at before that."""
    try:
        as_read = list(_rules(parse_document(text, path.name)))
    except MappingErrors:
        as_read = None
    if as_read != list(rules):
        message = f"{path} is written in a way that can't be edited here"
        raise InputError(message, hint="edit it by hand: one `- field:` at the line's start a rule")
    path.parent.mkdir(exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".rules-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(name).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
    Path(name).replace(path)
