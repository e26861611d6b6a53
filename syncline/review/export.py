"""Export: conflicts as CSV, for a spreadsheet.

A cell that a spreadsheet would read as a formula is prefixed with an apostrophe (OWASP, "CSV
Injection"); masked values are hidden.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from syncline.conflict import MISSING
from syncline.review.mask import Masks
from syncline.review.view import fields, shown_entry
from syncline.store.model import Entry

COLUMNS: Final = (
    "id", "state", "mapping", "key", "kind", "field", "contested", "moved", "source", "baseline",
    "target", "reason", "opened", "updated", "decided by", "note",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def csv_lines(entries: Iterable[Entry], masks: Masks) -> Iterator[str]:
    """The lines of the file: a head, then one line for each field of a conflict that is not alike
    on both sides (one line of a record of which nothing tells a field apart).

    RFC 4180: CRLF, quotes doubled; encode it as UTF-8.
    """
    yield _line(COLUMNS)
    for entry in entries:
        yield from _lines(entry, masks)


def _lines(entry: Entry, masks: Masks) -> Iterator[str]:
    masked = masks(entry.mapping)
    told = shown_entry(entry, masked)
    head = [entry.id, entry.state.value, entry.mapping, _text(entry.key), entry.kind.value]
    made = told.decision
    tail = [
        told.reason, entry.created_at, entry.updated_at, made.user if made else "",
        made.note if made else "",
    ]  # fmt: skip
    views = [view for view in fields(entry, masked) if not view.alike]
    for view in views:
        contested = "yes" if view.contested else "no"
        values = (view.source, view.baseline, view.target)
        yield _line([*head, view.name, contested, view.moved, *values, *tail])
    if not views:
        yield _line([*head, "", "", "", told.source, MISSING, told.target, *tail])


def _line(values: Iterable[Any]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([cell(value) for value in values])
    return out.getvalue()


def cell(value: Any) -> str:
    """A value as a cell: a number as it is, a text that could be a formula with an apostrophe."""
    text = _text(value)
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return f"'{text}" if text.startswith(_FORMULA) and not number else text


def _text(value: Any) -> str:
    if value is None or value is MISSING:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value.hex() if isinstance(value, bytes) else str(value)
