"""Keys of records, each once: few are kept in memory, many in DuckDB on disk, so that memory does
not grow with their number.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa

from syncline import arrow

if TYPE_CHECKING:
    import duckdb

PAGE: Final = 10_000
"""Keys given in one go."""
MOST: Final = 500_000
"""Keys kept in memory: past it, all go to disk."""


class Keys:
    """A set of ledger keys of one type. What is added while `pages` is gone through may be left
    out of it. The file goes with the object.
    """

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._few: list[pa.Array[Any]] = []
        self._count = 0
        self._db: duckdb.DuckDBPyConnection | None = None

    @property
    def on_disk(self) -> bool:
        """Whether there were too many for memory."""
        return self._db is not None

    def add(self, keys: pa.Array[Any]) -> None:
        """Keys that may be there already."""
        self._few.append(keys.cast(self._kind))
        self._count += len(keys)
        if self._count > MOST:
            self._put_down()

    def pages(self) -> Iterator[pa.Array[Any]]:
        """All of them, each once: in the order they came, or on disk in any."""
        if self._db is None:
            alone = self._together().unique()
            for start in range(0, len(alone), PAGE):
                yield alone.slice(start, PAGE)
            return
        self._put_down()
        reading = self._db.cursor()
        try:
            for page in cast("Any", reading.sql("select distinct k from keys")).to_arrow_reader(
                PAGE
            ):
                if page.num_rows:
                    yield page.column(0).cast(self._kind)
        finally:
            reading.close()

    def _together(self) -> pa.Array[Any]:
        return pa.concat_arrays([pa.array([], self._kind), *self._few])

    def _put_down(self) -> None:
        db = self._db or self._opened()
        db.register("incoming", arrow.table({"k": self._together()}))
        db.execute("insert into keys select k from incoming")
        db.unregister("incoming")
        self._few, self._count = [], 0

    def _opened(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        folder = tempfile.mkdtemp(prefix="syncline-")
        self._db = duckdb.connect(str(Path(folder) / "keys.duckdb"))
        weakref.finalize(self, _forget, self._db, folder)
        self._db.execute("set memory_limit = '96MB'")
        kind = "bigint" if pa.types.is_integer(self._kind) else "varchar"
        self._db.execute(f"create table keys (k {kind})")
        return self._db


def _forget(db: duckdb.DuckDBPyConnection, folder: str) -> None:
    db.close()
    shutil.rmtree(folder, ignore_errors=True)
