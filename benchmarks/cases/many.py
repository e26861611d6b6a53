"""A hundred small mappings in one run, and then a hundred empty deltas in one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.case import Case, Contender, Measured
from benchmarks.cases.synced import MEMORY
from benchmarks.measure import Failed
from benchmarks.stage import Stage

TABLES: Final = [f"small_{number:03}" for number in range(100)]
CREATE: Final = "id bigint PRIMARY KEY, name text, amount numeric(14,2), updated_at timestamptz"
FILL: Final = """
INSERT INTO {table}
SELECT i, 'name ' || i, i * 1.17, timestamptz '2025-01-01 00:00Z' + i * interval '1 second'
FROM generate_series(1, {rows}) AS i
"""
MAPPING: Final = """
source: {{connection: source, table: public.{table}}}
target: {{connection: target, table: public.{table}}}
key: {{id: id}}
fields: {{name: name, amount: amount, updated_at: updated_at}}
conflicts: {{strategy: merge}}
"""


def _filled(stage: Stage) -> None:
    rows = stage.rows // len(TABLES)
    for table in TABLES:
        create = f"CREATE TABLE {table} ({CREATE})"
        stage.run("source", create, FILL.format(table=table, rows=rows))
        stage.write_mapping(table, MAPPING.format(table=table))


def _emptied(stage: Stage) -> None:
    stage.run("target", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    tables = [*TABLES, *(f"by_hand_{table}" for table in TABLES)]
    stage.run("target", *(f"CREATE TABLE {table} ({CREATE})" for table in tables))


def _synced(stage: Stage) -> None:
    _filled(stage)
    _emptied(stage)
    stage.script("many_tables", "all", *TABLES)
    stage.syncline("run", "--all")


def _by_hand(what: str, prepare: Callable[[Stage], None]) -> Contender:
    return Contender(
        "by hand: many_tables.py",
        lambda stage, _round: Measured(stage.script("many_tables", what, *TABLES)),
        prepare,
        lambda stage: _check(stage, "by_hand_"),
    )


def _syncline(mode: str, prepare: Callable[[Stage], None]) -> Contender:
    def run(stage: Stage, _round: int) -> Measured:
        sample, said = stage.syncline("run", "--all")
        rows = stage.rows // len(TABLES) if mode == "full" else 0
        if [(one["mode"], one["inserted"]) for one in said] != [(mode, rows)] * len(TABLES):
            raise Failed(f"syncline says {said}; each should be {mode} and insert {rows}")
        return Measured(sample, sum(one["seconds"] for one in said))

    return Contender("syncline run --all", run, prepare, _check, memory=MEMORY)


def _check(stage: Stage, prefix: str = "") -> None:
    for table in TABLES:
        stage.compare(f"SELECT * FROM {table}", f"SELECT * FROM {prefix}{table}", table)


def _kept(stage: Stage) -> None:
    del stage


MANY: Final = (
    Case(
        name="many",
        what="a hundred small tables in one run, each with its ledger",
        contenders=(_by_hand("all", _emptied), _syncline("full", _emptied)),
        setup=_filled,
        rows=100_000,
    ),
    Case(
        name="many-nothing",
        what="a hundred deltas of nothing in one process",
        contenders=(_by_hand("changed", _kept), _syncline("delta", _kept)),
        setup=_synced,
        rows=100_000,
    ),
)
