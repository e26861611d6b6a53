"""The stage: a PostgreSQL server of our own with a source and a target, and a project on them."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

import psycopg

from benchmarks import customers
from benchmarks.customers import Target
from benchmarks.measure import Failed, Sample, measured
from benchmarks.peers import Peer
from syncline.testing.servers import with_database
from syncline.testing.servers.databases import create
from syncline.testing.servers.postgres_wheel import launch
from syncline.testing.servers.process import Child, free_port, wait_ready

Side = Literal["source", "target"]
_HERE: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Stage:
    """Two databases on one server, and what runs on them. `rows` is the size of the source."""

    rows: int
    url: str
    version: str
    psql: Path
    pid: int
    project: Path

    def run(self, side: Side, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        with psycopg.connect(with_database(self.url, side), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def value(self, side: Side, query: str) -> str:
        """The first value of a query's first row, as text."""
        with psycopg.connect(with_database(self.url, side)) as connection:
            row = connection.execute(query.encode()).fetchone()
            return "" if row is None else str(row[0])

    def settle(self) -> None:
        """Let no run pay for what another left: dead rows, and pages not yet written."""
        for side in ("source", "target"):
            self.run(side, "VACUUM ANALYZE", "CHECKPOINT")

    def pipe(self, query: str, *statements: str) -> Sample:
        """Measure `psql COPY (query) | psql`; one of the statements copies from stdin."""
        given = [part for statement in statements for part in ("-c", statement)]
        return measured(
            [*self._psql("source"), "-c", f"COPY ({query}) TO STDOUT (FORMAT binary)"],
            [*self._psql("target"), "--single-transaction", *given],
            environment=self._environment,
            cwd=_HERE,
            server=self.pid,
        )

    def query(self, query: str) -> Sample:
        """Measure `psql` with one query of the source."""
        return measured(
            [*self._psql("source"), "-c", query],
            environment=self._environment,
            cwd=_HERE,
            server=self.pid,
        )

    def sync(self, mapping: Target, *options: str) -> tuple[Sample, dict[str, Any]]:
        """Measure `syncline run MAPPING` in a process of its own; and what it says it did."""
        sample = measured(
            [sys.executable, "-m", "syncline", "run", mapping, "--json", *options],
            environment=self._environment,
            cwd=_HERE,
            server=self.pid,
        )
        return sample, json.loads(sample.output)

    def copy_by(self, peer: Peer, *, full: bool, since: str = "") -> Sample:
        """Measure a peer that copies the customers, or those changed `since`, into its table."""
        urls = {
            side: f"{with_database(self.url, side)}?sslmode=disable"
            for side in ("source", "target")
        }
        return measured(
            peer.command(full=full, given={**urls, "since": since}),
            environment={
                **self._environment,
                "SLING_DISABLE_TELEMETRY": "true",
                "RUNTIME__DLTHUB_TELEMETRY": "false",
            },
            cwd=self.project,
            server=self.pid,
        )

    def forget(self, peer: Peer) -> None:
        """Take away all that a peer has made and remembers."""
        self.run(
            "target",
            f"DROP TABLE IF EXISTS {peer.table}",
            "DROP TABLE IF EXISTS _dlt_loads, _dlt_pipeline_state, _dlt_version",
        )
        rmtree(self.project / "dlt", ignore_errors=True)

    def create_target(self, table: Target) -> None:
        """Make a target table, in place of the one that is there, that no run knows of."""
        self.run(
            "target",
            f"DROP TABLE IF EXISTS {table}, syncline_ledger_{table}",
            customers.CREATE_TARGET.format(table=table),
        )
        if self.value("target", "SELECT to_regclass('syncline_state')") != "None":
            self.run("target", f"DELETE FROM syncline_state WHERE mapping = '{table}'")

    def check(self, table: str) -> None:
        """See that a target table is exactly what the source says. Raises Failed."""
        rows = customers.FIELDS_OF.format(table=table)
        expected = self.value("source", customers.CHECKSUM.format(rows=customers.FIELDS))
        found = self.value("target", customers.CHECKSUM.format(rows=rows))
        if found != expected:
            raise Failed(f"{table} is wrong: {found}, where the source has {expected}")
        if table == "ledgered":
            ledger = self.value("target", "SELECT count(*) FROM syncline_ledger_ledgered")
            if int(ledger) != self.rows:
                raise Failed(f"the ledger has {ledger} rows, not {self.rows}")

    def _psql(self, side: Side) -> list[str]:
        return [str(self.psql), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", side]

    @property
    def _environment(self) -> Mapping[str, str]:
        parts = urlsplit(self.url)
        # What makes Python write no bytecode would make every process compile all it imports.
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return {
            **kept,
            "PGHOST": parts.hostname or "",
            "PGPORT": str(parts.port),
            "PGUSER": unquote(parts.username or ""),
            "PGPASSWORD": unquote(parts.password or ""),
            "SOURCE_URL": with_database(self.url, "source"),
            "TARGET_URL": with_database(self.url, "target"),
            "SYNCLINE_PROJECT": str(self.project),
            "SYNCLINE_STORE_URL": f"sqlite:///{self.project / 'store.db'}",
        }


@contextmanager
def staged(rows: int) -> Generator[Stage]:
    """A stage with `rows` customers in its source; all of it is gone at the end."""
    with TemporaryDirectory(prefix="syncline-bench-") as kept:
        root = Path(kept)
        # Unlike a test's server, this one flushes to disk at COMMIT as a user's does.
        start = launch(root, "postgres", free_port(), secrets.token_hex(12), durable=True)
        server = Child.start(start, root)
        try:
            _, version = wait_ready(start.url, start.home, server)
            for side in ("source", "target"):
                create(start.url, side)
            psql = Path(start.argv[0]).with_name("psql")
            stage = Stage(rows, start.url, version, psql, server.pid, _project(root / "project"))
            # Its workers would wake in the middle of a measurement; `settle` does their work.
            stage.run(
                "source",
                "ALTER SYSTEM SET autovacuum = off",
                "SELECT pg_reload_conf()",
                customers.CREATE_SOURCE,
                customers.FILL_SOURCE.format(rows=rows),
                f"CREATE VIEW mapped AS {customers.FIELDS}",
            )
            yield stage
        finally:
            server.stop()


def _project(root: Path) -> Path:
    (root / "mappings").mkdir(parents=True)
    connections = "connections: {source: '${SOURCE_URL}', target: '${TARGET_URL}'}\n"
    (root / "connections.yaml").write_text(connections)
    for table, conflicts in customers.CONFLICTS.items():
        text = customers.MAPPING.format(table=table, conflicts=conflicts)
        (root / "mappings" / f"{table}.yaml").write_text(text)
    return root
