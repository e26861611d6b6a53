"""Samples: a few records as a table of Dagster's metadata; masked fields are hidden."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from syncline.mapping.model import Mapping as MappingFile
from syncline.review.mask import shown

if TYPE_CHECKING:
    from syncline.batch import Batch
    from syncline.difference import Sample

ROWS: Final = 5
_LONGEST: Final = 80
_EXACT: Final = 2**53
"""Past this a number is no longer exact in a browser."""

Cell = str | int | float | bool | None


class FirstRecords:
    """Keeps the first records of a run, as they were mapped: `look` is given every batch."""

    def __init__(self, mapping: MappingFile) -> None:
        self._masked = mapping.masked
        self.records: list[dict[str, Cell]] = []

    def look(self, batch: Batch) -> None:
        """Take what is still missing from this batch."""
        from syncline.batch import record
        from syncline.classify import Presence

        for row in (batch.presence == Presence.HERE).nonzero()[0][: ROWS - len(self.records)]:
            whole = {**record(batch.keys, int(row)), **record(batch.values, int(row))}
            seen = {name: shown(value, name in self._masked) for name, value in whole.items()}
            self.records.append({name: cell(value) for name, value in seen.items()})

    def table(self) -> dg.MetadataValue | None:
        """The records as a table; None where no record was read."""
        return table_of(self.records) if self.records else None


def cell(value: Any) -> Cell:
    """A value as JSON and a browser keep it; whatever else is shown as text, cut where long."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < _EXACT:
        return value
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def table_of(records: list[dict[str, Cell]]) -> dg.MetadataValue:
    """Records as a table; every column that any of them has."""
    names = list(dict.fromkeys(name for record in records for name in record))
    rows = [dg.TableRecord({name: record.get(name) for name in names}) for record in records]
    columns = [
        dg.TableColumn(name, _kind(record.get(name) for record in records)) for name in names
    ]
    return dg.MetadataValue.table(rows, dg.TableSchema(columns))


def _kind(values: Iterable[Cell]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "boolean"
    return "integer" if kinds == {int} else "string"


def differences(mapping: MappingFile, samples: Iterable[Sample]) -> dg.MetadataValue:
    """Records that the two sides do not have alike: one row a field, source beside target."""
    rows = ((one.key, one.what, one.fields) for one in samples)
    return _by_field(mapping, rows, ("source", "target"))


def effects(mapping: MappingFile, samples: Iterable[Mapping[str, Any]]) -> dg.MetadataValue:
    """What a dry run would do to records: one row a field, as it is beside as it would be."""
    rows = ((one["key"], one["effect"], one["fields"]) for one in samples)
    return _by_field(mapping, rows, ("now", "would be"))


def _by_field(
    mapping: MappingFile,
    samples: Iterable[tuple[Mapping[str, Any], str, Mapping[str, list[Any]]]],
    sides: tuple[str, str],
) -> dg.MetadataValue:
    masked = mapping.masked
    return table_of(
        [
            {"record": cell(", ".join(map(str, key.values()))), "what": what, "field": name}
            | {
                # As text, since one column holds the values of many fields.
                side: None if value is None else str(cell(shown(value, name in masked)))
                for side, value in zip(sides, values, strict=True)
            }
            for key, what, fields in samples
            for name, values in fields.items()
        ]
    )
