"""A project of SQLite databases in a folder, for tests that see it through Dagster."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg

from syncline.dagster import build_definitions
from syncline.project import Project

AT_ONCE = dg.RetryPolicy(max_retries=2)
"""A retry policy without delay: three attempts."""

CUSTOMERS = """\
description: Customers of the shop.
source: {connection: shop, table: customers}
target: {connection: app, table: users, create: true}
key: {id: id}
fields:
  name: upper(name) || '!'
  seen: seen
delta: {by: timestamp, cursor: seen}
"""


class DagsterBench:
    """A project in `root` whose source, the table `customers` of `shop`, holds so many records."""

    def __init__(self, root: Path, records: int = 10) -> None:
        self.root = root
        (root / "mappings").mkdir(parents=True)
        (root / "connections.yaml").write_text(
            "connections: {shop: 'sqlite:///shop.db', app: 'sqlite:///app.db', far: '${FAR_URL}'}\n"
        )
        self.sql("shop", "create table customers (id integer primary key, name text, seen text)")
        self.put(range(1, records + 1))
        self.sql("app", "create table witness (id integer)")

    def write(self, name: str, text: str = CUSTOMERS, more: str = "") -> None:
        """Write a mapping; `more` is added to its text."""
        (self.root / "mappings" / f"{name}.yaml").write_text(text + more)

    def put(self, keys: Iterable[int]) -> None:
        """Add customers; each was last seen on a day of its own."""
        rows = [(key, f"name {key}", f"{2000 + key // 365}-01-01 00:00:00") for key in keys]
        with closing(sqlite3.connect(self.root / "shop.db")) as connection, connection:
            connection.executemany("insert into customers values (?, ?, ?)", rows)

    def sql(self, database: str, statement: str, *values: Any) -> list[Any]:
        """Run one statement on `shop` or `app`, commit, and give its rows."""
        with closing(sqlite3.connect(self.root / f"{database}.db")) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def users(self) -> dict[int, str]:
        """What the target holds: names by key."""
        return dict(self.sql("app", "select id, name from users"))

    @property
    def project(self) -> Project:
        """The project, as the CLI would find it."""
        return Project(self.root)

    def definitions(self) -> dg.Definitions:
        """The project's definitions, with retries that do not wait."""
        return build_definitions(self.root, retry_policy=AT_ONCE, executor=dg.in_process_executor)

    def run(
        self,
        instance: dg.DagsterInstance,
        *names: str,
        config: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Materialize these assets (all by default) in this process; `config` is by op."""
        job = self.definitions().resolve_implicit_global_asset_job_def()
        ops = {op: {"config": dict(given)} for op, given in (config or {}).items()}
        return job.execute_in_process(
            {"ops": ops} if ops else None,
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in names] or None,
            raise_on_error=False,
        )

    def check(self, instance: dg.DagsterInstance, name: str) -> dg.AssetCheckEvaluation:
        """Make one check of `customers` alone, as `Execute` on its Checks tab does."""
        key = dg.AssetCheckKey(dg.AssetKey("customers"), name)
        job = dg.define_asset_job("chosen", dg.AssetSelection.checks(key))
        definitions = dg.Definitions.merge(self.definitions(), dg.Definitions(jobs=[job]))
        result = definitions.resolve_job_def("chosen").execute_in_process(instance=instance)
        (found,) = result.get_asset_check_evaluations()
        return found


def attempts(result: dg.ExecuteInProcessResult) -> int:
    """How many times the run's steps were begun."""
    begun = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED}
    return sum(event.event_type in begun for event in result.all_events)


def failure_of(result: dg.ExecuteInProcessResult, step: str) -> Any:
    """The data of a step's failure."""
    return next(
        e for e in result.all_events if e.is_step_failure and e.step_key == step
    ).step_failure_data


def numbers_of(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    """The metadata of a mapping's materialization, as plain values."""
    (found,) = result.asset_materializations_for_node(name)
    return {key: value.value for key, value in found.metadata.items()}
