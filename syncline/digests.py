"""Digests: two sets of records held against each other by checksums, so that only the keys of
groups that differ travel.

A side whose database computes no checksums is read here instead, once. What came is kept in DuckDB
on disk: memory does not grow with the tables.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import duckdb
import numpy as np
import pyarrow as pa

from syncline import arrow
from syncline.endpoints.digest import Digest
from syncline.spelling import groups_of, prints

FEWEST_GROUPS: Final = 256
MOST_GROUPS: Final = 65_536
"""Some 2 MB of sums travel from each side; a group of 10 million keys then has 150."""
FIRST_GROUPS: Final = 2_048
KEYS_A_GROUP: Final = 16
MANY: Final = 100_000
"""Keys of both sides that would travel: past it, more groups are asked for first."""
_NONE: Final = (0, 0)
PAGE: Final = 10_000
_MODULUS: Final = 1 << 64


DIFFERING: Final = """
select coalesce(s.k, t.k) as k
from (from source anti join target using (k, h)) as s
full join (from target anti join source using (k, h)) as t on s.k = t.k
"""


@dataclass(frozen=True, slots=True)
class Here:
    """Records that are read here: `batches` gives tables of `k` and, where fields count too, of
    the records' texts (`text`).
    """

    batches: Callable[[], Iterator[pa.Table]]


Side = Digest | Here


@dataclass(frozen=True, slots=True)
class Held:
    """Two sides held against each other: how many records each has, and how many keys travelled to
    tell where they differ.
    """

    source: int
    target: int
    travelled: int
    _db: duckdb.DuckDBPyConnection

    def missing_at_source(self) -> Iterator[pa.Array[Any]]:
        """The keys that only the target has."""
        return self._keys("select k from target anti join source using (k)")

    def differing(self, *, extra: bool) -> Iterator[pa.Array[Any]]:
        """The keys of records that are not alike; those that only the target has if `extra`."""
        which = "coalesce(s.k, t.k)" if extra else "s.k"
        return self._keys(f"{DIFFERING} where {which} is not null")

    def without_key(self) -> int:
        """How many of the source's records have no key."""
        return _number(self._db, "select count(*) from source where k is null")

    def differing_at_source(self) -> int:
        """How many of the source's records are not alike, or have no key."""
        return _number(self._db, "select count(*) from source anti join target using (k, h)")

    def _keys(self, query: str) -> Iterator[pa.Array[Any]]:
        reading = self._db.cursor()
        try:
            for page in cast("Any", reading.sql(query)).to_arrow_reader(PAGE):
                if page.num_rows:
                    yield page.column("k")
        finally:
            reading.close()


@contextmanager
def held(source: Side, target: Side, *, whole: bool, estimate: int | None) -> Generator[Held]:
    """Hold two sides against each other; `estimate` is about how many records they have."""
    with (
        tempfile.TemporaryDirectory(prefix="syncline-") as folder,
        duckdb.connect(str(Path(folder) / "keys.duckdb")) as db,
    ):
        db.execute("set memory_limit = '512MB'")
        kind = "bigint" if whole else "varchar"
        for name in ("source", "target"):
            db.execute(f"create table {name} (k {kind}, h bigint)")
        if isinstance(source, Here) and isinstance(target, Here):
            counts = _pour(db, "source", source), _pour(db, "target", target)
            yield Held(*counts, sum(counts), db)
            return
        yield _bisected(db, source, target, groups_for(estimate))


def groups_for(estimate: int | None) -> int:
    """How many groups so many records are put into: a power of two."""
    wanted = (estimate if estimate is not None else 1 << 16) // KEYS_A_GROUP
    return min(MOST_GROUPS, max(FEWEST_GROUPS, 1 << wanted.bit_length()))


def _bisected(db: duckdb.DuckDBPyConnection, source: Side, target: Side, wanted: int) -> Held:
    """Few groups first, which mostly are all alike; as many as are `wanted` where too many keys are
    in those that differ.
    """
    groups = min(wanted, FIRST_GROUPS)
    sides: dict[str, Digest] = {
        name: _Local(db, name, side) if isinstance(side, Here) else side
        for name, side in (("source", source), ("target", target))
    }
    sums = {name: _sums(side.sums(groups)) for name, side in sides.items()}
    which = _differing(sums)
    if groups < wanted and sum(one.get(g, _NONE)[0] for g in which for one in sums.values()) > MANY:
        groups = wanted
        sums = {name: _sums(side.sums(groups)) for name, side in sides.items()}
        which = _differing(sums)
    travelled = sum(side.rows for side in sides.values() if isinstance(side, _Local))
    for name, side in sides.items():
        chosen = sorted(which & set(sums[name]))
        for rows in side.members(groups, chosen) if chosen else ():
            _append(db, name, rows)
            travelled += 0 if isinstance(side, _Local) else rows.num_rows
    counts = [sum(n for n, _ in sums[name].values()) for name in ("source", "target")]
    return Held(counts[0], counts[1], travelled, db)


def _differing(sums: Mapping[str, Mapping[int, tuple[int, int]]]) -> set[int]:
    theirs, ours = sums["source"], sums["target"]
    return {g for g in {*theirs, *ours} if theirs.get(g) != ours.get(g)}


def _sums(rows: pa.Table) -> dict[int, tuple[int, int]]:
    """By group: how many records, and the sum of their prints."""
    columns = (rows.column(name).to_pylist() for name in ("g", "n", "h"))
    return {g: (n, int(h) % _MODULUS) for g, n, h in zip(*columns, strict=True)}


class _Local:
    """A side that is read here, as a `Digest`."""

    def __init__(self, db: duckdb.DuckDBPyConnection, name: str, here: Here) -> None:
        self._db, self._table = db, f"{name}_here"
        db.execute(f"create table {self._table} (k {_kind(db, name)}, h bigint, g bigint)")
        self.rows = 0
        for rows in here.batches():
            self.rows += rows.num_rows
            _append(db, self._table, _printed(rows))

    def sums(self, groups: int) -> pa.Table:
        """See `Digest.sums`."""
        query = f"select g, count(*) as n, sum(h)::varchar as h from {self._in(groups)} group by g"  # noqa: S608
        return self._db.sql(query).to_arrow_table()

    def members(self, groups: int, which: Sequence[int] | None) -> Iterator[pa.Table]:
        """See `Digest.members`."""
        wanted = pa.table({"g": pa.array([] if which is None else which, pa.int64())})
        self._db.register("wanted", wanted)
        some = "" if which is None else " semi join wanted using (g)"
        rows = self._db.sql(f"select k, h from {self._in(groups)}{some}").to_arrow_table()  # noqa: S608
        self._db.unregister("wanted")
        yield rows

    def _in(self, groups: int) -> str:
        # A group of fewer is the first bits of one of most.
        less = MOST_GROUPS.bit_length() - groups.bit_length()
        return f"(select k, h, g >> {less} as g from {self._table})"  # noqa: S608 (a number)


def _printed(rows: pa.Table) -> pa.Table:
    keys = arrow.one_chunk(rows.column("k"))
    texts = keys.cast(pa.string())
    text = arrow.one_chunk(rows.column("text")) if "text" in rows.column_names else texts
    return arrow.table({"k": keys, "h": prints(text), "g": groups_of(keys, texts, MOST_GROUPS)})


def _pour(db: duckdb.DuckDBPyConnection, name: str, here: Here) -> int:
    """All of a side, its keys alone."""
    count = 0
    for rows in here.batches():
        keys = arrow.one_chunk(rows.column("k"))
        _append(db, name, arrow.table({"k": keys, "h": np.zeros(len(keys), np.int64)}))
        count += len(keys)
    return count


def _append(db: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    db.register("incoming", rows)
    db.execute(f"insert into {table} select * from incoming")  # noqa: S608 (our own names)
    db.unregister("incoming")


def _kind(db: duckdb.DuckDBPyConnection, table: str) -> str:
    ((kind,),) = db.execute(
        "select data_type from duckdb_columns() where table_name = ? and column_name = 'k'", [table]
    ).fetchall()
    return str(kind)


def _number(db: duckdb.DuckDBPyConnection, query: str) -> int:
    ((number,),) = db.execute(query).fetchall()
    return int(number)
