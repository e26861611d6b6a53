"""Catalogue: what a mapping's tables looked like in its last run, kept in `.syncline/catalogue/`.

For where no database may be asked, as when Dagster loads its definitions. It is a cache: that it is
missing or old costs an edge of a graph or the type of a column, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

    from syncline.endpoints.base import TableInfo
    from syncline.mapping.bound import BoundMapping
    from syncline.project import Project

FOLDER: Final = "catalogue"


class Side(BaseModel):
    """One table: its columns' types as its database spells them, and those that are never NULL."""

    model_config = ConfigDict(frozen=True)

    table: str
    columns: dict[str, str]
    required: list[str]


class Tables(BaseModel):
    """A mapping's two tables, and the tables that the target's foreign keys point at."""

    model_config = ConfigDict(frozen=True)

    source: Side
    target: Side
    refers: list[str] = []


def remember(project: Project, bound: BoundMapping) -> None:
    """Keep what both tables look like; where that can't be kept, nothing happens."""
    target = bound.target_info
    if target is None:
        return
    written = {
        name: str(type_) for name, type_ in {**bound.target.key, **bound.target.fields}.items()
    }
    tables = Tables(
        source=_side(bound.source_info, {n: str(t) for n, t in bound.read.columns.items()}),
        target=_side(target, written),
        refers=sorted({key.table for key in target.foreign_keys} - {target.name}),
    )
    with suppress(OSError):
        path = project.state_dir / FOLDER / f"{bound.mapping.name}.json"
        if _read(path) != tables:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            part = path.with_suffix(f".{token_hex(4)}")
            part.write_text(tables.model_dump_json(), encoding="utf-8")
            part.replace(path)  # whoever reads it sees the one or the other


def forget(project: Project, names: Iterable[str]) -> None:
    """Remove what is kept of these mappings."""
    folder = project.root / ".syncline" / FOLDER
    for name in names:
        (folder / f"{name}.json").unlink(missing_ok=True)
    with suppress(OSError):  # it is not there, or holds what is kept of others
        folder.rmdir()


def known(project: Project) -> dict[str, Tables]:
    """By mapping, its tables, as far as runs of this project have seen them."""
    folder = project.root / ".syncline" / FOLDER
    found = {path.stem: _read(path) for path in folder.glob("*.json")} if folder.is_dir() else {}
    return {name: tables for name, tables in found.items() if tables is not None}


def known_of(project: Project, name: str) -> Tables | None:
    """The tables of one mapping, if a run of this project has seen them."""
    return _read(project.root / ".syncline" / FOLDER / f"{name}.json")


def _side(info: TableInfo, used: Mapping[str, str]) -> Side:
    """The columns that the mapping uses, whose types a document has from the mapping alone."""
    native = {name: column.native for name, column in info.columns.items()}
    required = [name for name in used if name in native and not info.columns[name].nullable]
    return Side(
        table=info.name,
        columns={name: native.get(name) or type_ for name, type_ in used.items()},
        required=required,
    )


def _read(path: Path) -> Tables | None:
    try:
        return Tables.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
