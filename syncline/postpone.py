"""Heavy packages that others import only to ask whether they are there: imported when used.

The first array that pyarrow makes imports pandas, to ask whether the values are a Series; ADBC's
DBAPI imports polars, to offer it: together 0.35 s and 60 MB of a process that uses neither.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, Literal, cast

Package = Literal["pandas", "polars"]


class _Later:
    """Finds modules as one on `sys.meta_path` does, and says that the postponed are not there."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        if name in self.names:
            raise ModuleNotFoundError(f"{name} is postponed", name=name)


_later: Final = _Later()


def postpone() -> None:
    """Let nobody in this process find pandas and polars before they are `wanted`.

    For a process that is ours alone, as a command's is: pyarrow asks for pandas once, and looks for
    it again in `Table.to_pandas` and `Table.from_pandas`, but not in `Array.from_pandas`.
    """
    _later.names |= {"pandas", "polars"}
    sys.meta_path.insert(0, cast("Any", _later))


def import_without(package: str, asks_for: str) -> None:
    """Import a package while it can't find another that it would import only to offer it."""
    _later.names.add(asks_for)
    try:
        import_module(package)
    finally:
        _later.names.remove(asks_for)


def wanted(package: Package) -> None:
    """Let a package be found from now on; to be called before it is imported. Idempotent."""
    if package in _later.names:
        _later.names.remove(package)
        if package == "pandas" and "pyarrow" in sys.modules:
            import pyarrow as pa

            with suppress(ImportError):  # not installed: who imports it is told so
                cast("Any", pa.table({})).to_pandas()
