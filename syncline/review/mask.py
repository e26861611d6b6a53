"""Masks: the values that a mapping hides from people (`mask: true`), and the one way to hide them.

The control store keeps the true values, since a decision has to be written; whatever shows them
(CLI, review app, export, log) asks here first.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from syncline.conflict import MISSING
from syncline.errors import SynclineError

if TYPE_CHECKING:
    from syncline.project import Project

HIDDEN: Final = "•••"
"""What is shown in place of a masked value."""

Masked = Container[str]
Masks = Callable[[str], Masked]
"""The masked fields of a mapping, by its name."""


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


def masks_of(project: Project) -> Masks:
    """The masked fields of the project's mappings; all fields of one that can't be read."""

    @cache
    def of(mapping: str) -> Masked:
        try:
            return project.mapping(mapping).masked
        except SynclineError:
            return Everything()

    return of
