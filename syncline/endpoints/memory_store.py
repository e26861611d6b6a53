"""What the in-memory endpoint holds: cells, each numbered by the change that wrote it."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from syncline.endpoints.base import Column
from syncline.endpoints.fit import Unfit, fit
from syncline.errors import InputError, Transient
from syncline.record import Type

Row = Mapping[str, Any]
"""A record as Python values (see `fit.fit`), every column of its table present."""
Key = tuple[Any, ...]
Space = tuple[str, ...]
"""Where a cell lives: `("rows", table)`, `("ledger", mapping)` or `("state",)`."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A stored value, and the change that wrote it: larger is later, no two cells share one."""

    value: Any
    change: int


@dataclass(frozen=True, slots=True)
class Table:
    """A declared table. Without a key its rows are told apart by an inner number."""

    name: str
    columns: Mapping[str, Type]
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    not_null: frozenset[str] = frozenset()
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def described(self) -> Mapping[str, Column]:
        """The columns as a catalogue tells them."""
        return {
            name: Column(name, type_, name not in self.not_null, native=str(type_))
            for name, type_ in self.columns.items()
        }

    @property
    def space(self) -> Space:
        """Where its rows live."""
        return ("rows", self.name)

    def fitted(self, row: Row) -> dict[str, Any]:
        """Give the row with every column, each of its type. Raises Unfit, naming the column."""
        unknown = row.keys() - self.columns.keys()
        if unknown:
            raise InputError(f"table {self.name} has no column {', '.join(sorted(unknown))}")
        result: dict[str, Any] = {}
        for name, type_ in self.columns.items():
            try:
                result[name] = fit(row.get(name), type_)
            except Unfit as reason:
                raise Unfit(f"{name} {reason}") from reason
        return result

    def violation(self, row: Row) -> str | None:
        """Say which NOT NULL column is NULL in a fitted row."""
        empty = [name for name in self.columns if name in self.not_null and row[name] is None]
        return f"column {empty[0]} may not be null" if empty else None


class Store:
    """All cells of one in-memory database. Every method is safe from any thread."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.identity = uuid.uuid4().hex
        self.tables: dict[str, Table] = {}
        self.change = 0
        self._spaces: dict[Space, dict[Key, Cell]] = {}
        self._numbers = itertools.count(1)

    def number(self) -> int:
        """Give a number that was not given before."""
        return next(self._numbers)

    def snapshot(self, space: Space) -> dict[Key, Cell]:
        """Give a copy of the cells of a space, which later writes leave alone."""
        with self.lock:
            return dict(self._spaces.get(space, {}))

    def get(self, space: Space, key: Key) -> Cell | None:
        """Give one cell as committed now."""
        with self.lock:
            return self._spaces.get(space, {}).get(key)

    def has(self, space: Space) -> bool:
        """Whether the space has any cell."""
        with self.lock:
            return bool(self._spaces.get(space))

    def drop(self, space: Space) -> None:
        """Remove a space with all its cells."""
        with self.lock:
            self._spaces.pop(space, None)

    def commit(
        self,
        writes: Mapping[tuple[Space, Key], Any],
        seen: Mapping[tuple[Space, Key], int] | None = None,
    ) -> None:
        """Write cells (None removes one), all or none.

        `seen` holds the change each cell had when it was looked at, 0 for none; raises Transient
        where another commit has come between.
        """
        with self.lock:
            for (space, key), change in (seen or {}).items():
                cell = self._spaces.get(space, {}).get(key)
                if (cell.change if cell else 0) != change:
                    raise Transient(f"another transaction wrote {key!r} of {'.'.join(space)}")
            for (space, key), value in writes.items():
                self._write(space, key, value)

    def _write(self, space: Space, key: Key, value: object) -> None:
        self.change += 1
        cells = self._spaces.setdefault(space, {})
        if value is None:
            cells.pop(key, None)
        else:
            cells[key] = Cell(value, self.change)
