"""A command imports what it uses: heavy packages cost every short run half a second."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.conftest import NewDatabase

ROOT = Path(__file__).parents[2]
MAPPING = """\
source: {{connection: here, table: public.customers}}
target: {{connection: there, table: public.users, create: true}}
key: {{id: id}}
fields:
  name: {name}
conflicts: {conflicts}
"""
HOOK = """\
import pandas as pd
import pyarrow as pa

def name(rows):
    # Which way a project's code goes to Arrow and back is its own affair.
    return pd.Series(pa.Array.from_pandas(rows["name"]), dtype=pd.ArrowDtype(pa.string()))
"""


def run(place: Path, urls: dict[str, str]) -> set[str]:
    """Run the mapping in a process of its own; the packages that it imported any part of."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "syncline", "run", "users", "--json"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT), **urls},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert '"read": 3' in done.stdout
    return set(re.findall(r"^import time:.*\| +(\w+)\.\w+", done.stderr, re.MULTILINE))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "mappings").mkdir()
    connections = "connections: {here: '${HERE}', there: '${THERE}'}\n"
    (tmp_path / "connections.yaml").write_text(connections)
    return tmp_path


@pytest.fixture
def urls(new_database: NewDatabase) -> dict[str, str]:
    found = {"HERE": new_database("postgres"), "THERE": new_database("postgres")}
    with psycopg.connect(found["HERE"]) as source:
        source.execute("CREATE TABLE customers (id int PRIMARY KEY, name text)")
        source.execute("INSERT INTO customers VALUES (1, 'a'), (2, NULL), (3, 'c')")
    return found


@pytest.mark.parametrize(
    ("conflicts", "never"),
    [
        (
            "{detect: none}",
            {"pandas", "polars", "dagster", "fastapi", "pymongo", "psycopg", "rich"},
        ),
        (
            "{strategy: merge}",
            {"pandas", "polars", "dagster", "fastapi", "pymongo", "psycopg", "rich"},
        ),
    ],
)
def test_a_run_imports_no_heavy_package_that_it_does_not_use(
    place: Path, urls: dict[str, str], conflicts: str, never: set[str]
) -> None:
    """Neither pyarrow's question for pandas nor ADBC's for polars makes a run import them."""
    (place / "mappings" / "users.yaml").write_text(MAPPING.format(name="name", conflicts=conflicts))
    assert not run(place, urls) & never


def test_a_hook_has_pandas_as_if_it_had_always_been_there(
    place: Path, urls: dict[str, str]
) -> None:
    """A project's own code finds pandas, and pyarrow knows what a Series is."""
    (place / "hooks.py").write_text(HOOK)
    (place / "mappings" / "users.yaml").write_text(
        MAPPING.format(name="{python: hooks.name, takes: [name], type: text}", conflicts="{}")
    )
    assert "pandas" in run(place, urls)
    with psycopg.connect(urls["THERE"]) as target:
        rows = target.execute("SELECT name FROM users ORDER BY id").fetchall()
    assert rows == [("a",), (None,), ("c",)]
