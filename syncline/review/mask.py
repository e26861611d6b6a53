"""Masks: the values that a mapping hides from people (`mask: true`), and the one way to hide them.

The control store keeps the true values, since a decision has to be written; whatever shows them
(CLI, review app, export, log) asks here first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from syncline.conflict import MISSING
from syncline.errors import SynclineError
from syncline.mapping.forms import Form, FromForm, LookupForm, PythonForm, SqlForm
from syncline.rule import HIDDEN

if TYPE_CHECKING:
    from syncline.mapping.model import Mapping as MappingFile
    from syncline.project import Project
    from syncline.store import DeadLetter

_WORD: Final = re.compile(r"\w+")

Masked = Container[str]
Masks = Callable[[str], Masked]
"""The masked fields of a mapping, by its name."""


class Columns:
    """The source columns that masked fields are computed from: those whose names their rules have.

    By words, so rather one column too many than one too few.
    """

    def __init__(self, mapping: MappingFile) -> None:
        rules = [mapping.fields[name] for name in mapping.masked]
        self._all = any(isinstance(rule, PythonForm) and rule.takes is None for rule in rules)
        texts = [text for rule in rules for text in _source_texts(rule)]
        self._words = {word.casefold() for text in texts for word in _WORD.findall(text)}

    def __contains__(self, name: object) -> bool:
        words = {word.casefold() for word in _WORD.findall(str(name))}
        return self._all or (bool(words) and words <= self._words)


def _source_texts(rule: Form) -> list[str]:
    """What of a rule names source columns."""
    match rule:
        case SqlForm():
            return [rule.sql]
        case FromForm():
            return [rule.from_]
        case LookupForm():
            return list(rule.columns)
        case PythonForm():
            return rule.takes or []
        case _:
            return []


class Everything:
    """Contains every name: where a mapping can't be read, nobody knows what it masks."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)


def shown(value: Any, masked: bool) -> Any:
    """The value as a person may see it.

    NULL and MISSING are shown as they are: whether there is a value is no secret.
    """
    return value if not masked or value is None or value is MISSING else HIDDEN


def shown_record(record: Mapping[str, Any] | None, masked: Masked) -> dict[str, Any] | None:
    """A record as a person may see it."""
    if record is None:
        return None
    return {name: shown(value, name in masked) for name, value in record.items()}


def shown_text(text: str, records: Iterable[Mapping[str, Any] | None], masked: Masked) -> str:
    """A message with every masked value of these records hidden: databases quote what they refuse.

    Values of one or two characters are left, since they are in every text.
    """
    found = {
        str(value)
        for record in records
        for name, value in (record or {}).items()
        if name in masked and value is not None
    }
    for word in sorted(found, key=len, reverse=True):
        if len(word) > 2:  # noqa: PLR2004 - said above
            text = text.replace(word, HIDDEN)
    return text


def column_masks_of(project: Project) -> Masks:
    """As `masks_of`, of the source's columns: for a record as it was read (a dead letter)."""

    @cache
    def of(mapping: str) -> Masked:
        try:
            return Columns(project.mapping(mapping))
        except SynclineError:
            return Everything()

    return of


def masks_of(project: Project) -> Masks:
    """The masked fields of the project's mappings; all fields of one that can't be read."""

    @cache
    def of(mapping: str) -> Masked:
        try:
            return project.mapping(mapping).masked
        except SynclineError:
            return Everything()

    return of


def shown_letter(letter: DeadLetter, masked: Masked) -> DeadLetter:
    """A dead letter as a person may see it; `masked` are source columns (`column_masks_of`)."""
    return replace(
        letter,
        source=shown_record(letter.source, masked) or {},
        error=shown_text(letter.error, (letter.source,), masked),
    )
