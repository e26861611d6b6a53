"""kill -9 in the middle of a real full sync: 336,776 flights between two PostgreSQL databases."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from syncline.demo.load import load
from tests.conftest import NewDatabase

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

FLIGHTS = 336_776
MAPPING = """\
source: {connection: ops, table: public.flights}
target: {connection: copy, table: public.flights, create: true}
key: {id: id}
fields:
  flight: concat(carrier, ' ', flight)
  tail_number: tailnum
  route: concat_ws('-', origin, dest)
  dep_delay: dep_delay
  arr_delay: arr_delay
  distance: distance
batch_size: 5000
conflicts: merge
"""
EXACT = (
    "SELECT id, concat(carrier, ' ', flight), tailnum, concat_ws('-', origin, dest), dep_delay, "
    "arr_delay, distance FROM flights"
)
COPIED = "SELECT id, flight, tail_number, route, dep_delay, arr_delay, distance FROM flights"


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


def copied(url: str) -> int:
    """How many flights the copy has; 0 while there is no table."""
    if rows(url, "SELECT to_regclass('public.flights')") == [(None,)]:
        return 0
    return int(rows(url, "SELECT count(*) FROM flights")[0][0])


def syncline(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "syncline", "--project", str(folder), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_f13_a_full_sync_of_all_flights_killed_twice_ends_with_an_exact_copy(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """What was committed before each kill is not read again, and nothing is lost or doubled."""
    source, target = new_database("postgres"), new_database("postgres")
    load(source)
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "flights.yaml").write_text(MAPPING)
    (tmp_path / "connections.yaml").write_text("connections: {ops: '${OPS}', copy: '${COPY}'}\n")
    (tmp_path / ".env").write_text(f"OPS={source}\nCOPY={target}\n")
    there = 0
    for _ in range(2):
        process = syncline(tmp_path, "run", "flights")
        wanted, deadline = there + 40_000, time.monotonic() + 300
        while copied(target) < wanted:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        there = copied(target)
        assert wanted <= there < FLIGHTS
    finished = syncline(tmp_path, "run", "flights", "--json")
    output, errors = finished.communicate(timeout=300)
    assert finished.returncode == 0, errors
    summary = json.loads(output)
    assert (summary["read"], summary["inserted"]) == (FLIGHTS - there, FLIGHTS - there)
    assert sorted(rows(target, COPIED)) == sorted(rows(source, EXACT))
    assert rows(target, "SELECT count(*) FROM syncline_ledger_flights") == [(FLIGHTS,)]
    again = syncline(tmp_path, "run", "flights", "--json")
    nothing = json.loads(again.communicate(timeout=300)[0])
    assert (nothing["mode"], nothing["read"], nothing["inserted"], nothing["updated"]) == (
        "delta",
        0,
        0,
        0,
    )
