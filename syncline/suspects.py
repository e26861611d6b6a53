"""Suspects: the keys of records that may differ, and what was found of them, in DuckDB on disk, so
that memory does not grow with their number.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from syncline import arrow
from syncline.batch import Rows
from syncline.difference import DIFFERENCES, Standing, Stands

CHUNK: Final = 5_000
"""Keys looked at in one go."""

_SCHEMA: Final = """
create table suspects (k {kind});
create table found (k {kind}, what tinyint, moved boolean, fields integer[]);
create table pending (k {kind});
create view differing as
    select * from found where not (moved and k in (select k from pending));
"""
"""`suspects` are to be looked at (again). `found` is what the last look saw of those that differ.
`pending` has what the next run reads anyway: of those, what has moved is late, not different.
"""

_FIELDS: Final = """
select field, count(*) from (
    select unnest(fields) as field from differing where what = ?
) group by field order by field
"""


class Suspects:
    """The keys of one comparison; made by `suspects`."""

    def __init__(self, db: duckdb.DuckDBPyConnection, kind: str) -> None:
        self._db = db
        self._kind = kind
        db.execute("set memory_limit = '256MB'")
        db.execute(_SCHEMA.format(kind=kind))

    def add(self, keys: pa.Array[Any]) -> None:
        """These are to be looked at."""
        self._append("suspects", arrow.table({"k": keys}))

    def add_pending(self, keys: pa.Array[Any]) -> None:
        """These are read by the next run."""
        self._append("pending", arrow.table({"k": keys}))

    def all_pending(self) -> None:
        """The next run reads every record."""
        self._db.execute("insert into pending select distinct k from found")

    def add_found(self, keys: pa.Array[Any], stands: Stands, rows: Rows) -> None:
        """These rows differ; what was seen of them."""
        fields = stands.fields[rows]
        columns: dict[str, Any] = {
            "k": arrow.take(keys, rows),
            "what": stands.what[rows],
            "moved": stands.moved[rows],
            "fields": arrow.array(
                [np.flatnonzero(row).tolist() for row in fields], pa.list_(pa.int32())
            ),
        }
        self._append("found", arrow.table(columns))

    def forget_found(self) -> None:
        """Before another look: what was found to differ is suspect again, and nothing else."""
        self._db.execute("delete from suspects")
        self._db.execute("insert into suspects select k from differing")
        self._db.execute("delete from found")
        self._db.execute("delete from pending")

    def __len__(self) -> int:
        return self._number("select count(distinct k) from suspects")

    def may_be_late(self) -> bool:
        """Whether anything found has moved on the source."""
        return self._number("select count(*) from found where moved") > 0

    def late(self) -> int:
        """How many differ only because the next run has yet to bring them."""
        return self._number("select (select count(*) from found) - count(*) from differing")

    def count(self, standing: Standing) -> int:
        """How many differ in this way."""
        return self._number(f"select count(*) from differing where what = {int(standing)}")  # noqa: S608 (a number)

    def fields(self) -> dict[int, int]:
        """How many records differ in each field, by the field's number."""
        return dict(self._db.execute(_FIELDS, [int(Standing.DIFFERENT)]).fetchall())

    def chunks(self) -> Iterator[pa.Array[Any]]:
        """The suspects, each once, in the order of their keys."""
        yield from self._pages("suspects")

    def differing(self, standings: Sequence[Standing] = DIFFERENCES) -> Iterator[pa.Array[Any]]:
        """The keys that differ in one of these ways."""
        numbers = ", ".join(str(int(standing)) for standing in standings)
        yield from self._pages("differing", f"what in ({numbers})")

    def _pages(self, table: str, which: str = "true") -> Iterator[pa.Array[Any]]:
        # By keyset, not by one open result: the tables grow while they are gone through.
        after: Any = None
        while True:
            past = "true" if after is None else "k > $after"
            rows = self._db.sql(
                f"select distinct k from {table} where {which} and {past} order by k limit {CHUNK}",  # noqa: S608 (our own words)
                params={} if after is None else {"after": after},
            ).to_arrow_table()
            if rows.num_rows == 0:
                return
            keys = arrow.one_chunk(rows.column("k"))
            after = keys[-1].as_py()
            yield keys

    def _append(self, table: str, rows: pa.Table) -> None:
        self._db.register("incoming", rows)
        self._db.execute(f"insert into {table} select * from incoming")  # noqa: S608 (our own names)
        self._db.unregister("incoming")

    def _number(self, query: str) -> int:
        ((number,),) = self._db.execute(query).fetchall()
        return int(number)


@contextmanager
def suspects(*, whole_numbers: bool) -> Generator[Suspects]:
    """An empty set of keys in a file of its own, which goes with the block."""
    with (
        tempfile.TemporaryDirectory(prefix="syncline-") as folder,
        duckdb.connect(str(Path(folder) / "suspects.duckdb")) as db,
    ):
        yield Suspects(db, "bigint" if whole_numbers else "varchar")
