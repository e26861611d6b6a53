"""The stage of a case: empty databases, a project on them, and what is measured there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

import psycopg

from benchmarks.measure import Failed, Sample, measured
from benchmarks.peers import Peer
from benchmarks.relay import Relay
from benchmarks.servers import Servers
from syncline.testing.servers import Kind, with_database

Side = Literal["source", "target"]
_HERE: Final = Path(__file__).resolve().parent
_TLS_OFF: Final = "?sslmode=disable"
CHECKSUM: Final = """
SELECT count(*) || ' rows, sum ' || coalesce(sum(hashtextextended(r::text, 0)::numeric), 0)
FROM ({rows}) AS r
"""
"""One text for equal sets of rows, whatever their order."""


@dataclass(frozen=True)
class Stage:
    """Databases `source` and `target`, and a project whose connections they are.

    `rows` is the size of the source. The connections are `source` and `target` for PostgreSQL,
    `mariadb` and `mongo`, each to a database `bench`, and `sqlite`, a file. What is measured goes
    through the `relays`, where there are some.
    """

    rows: int
    servers: Servers
    project: Path
    relays: Mapping[Kind, Relay] = field(default_factory=dict[Kind, Relay])

    @property
    def sqlite(self) -> Path:
        """The file of the SQLite database."""
        return self.project / "bench.db"

    def url(self, name: str) -> str:
        """The URL of a connection. Raises Unavailable where its server can't be had."""
        if name in {"source", "target"}:
            return with_database(self.servers.postgres.url, name)
        kind = _KINDS[name]
        if kind is None:
            return f"sqlite:///{self.sqlite}"
        return with_database(self.servers.get(kind).url, "bench")

    def _measured_url(self, name: str) -> str:
        kind = _KINDS[name]
        relay = self.relays.get(kind) if kind else None
        return relay.before(self.url(name)) if relay else self.url(name)

    def run(self, side: Side, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        with psycopg.connect(self.url(side), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def value(self, side: Side, query: str) -> str:
        """The first value of a query's first row, as text."""
        with psycopg.connect(self.url(side)) as connection:
            row = connection.execute(query.encode()).fetchone()
            return "" if row is None else str(row[0])

    def compare(self, source: str, target: str, what: str) -> None:
        """See that two queries, one of each side, give the same rows. Raises Failed."""
        expected = self.value("source", CHECKSUM.format(rows=source))
        found = self.value("target", CHECKSUM.format(rows=target))
        if found != expected:
            raise Failed(f"{what} is wrong: {found}, where the source has {expected}")

    def write_mapping(self, name: str, text: str) -> None:
        """Put a mapping into the project."""
        (self.project / "mappings" / f"{name}.yaml").write_text(text)

    def forget(self, *mappings: str) -> None:
        """Take away what syncline keeps of these mappings in the PostgreSQL target."""
        if self.value("target", "SELECT to_regclass('syncline_state')") != "None":
            for mapping in mappings:
                self.run(
                    "target",
                    f"DROP TABLE IF EXISTS syncline_ledger_{mapping}",
                    f"DELETE FROM syncline_state WHERE mapping = '{mapping}'",
                )

    def pipe(self, query: str, *statements: str) -> Sample:
        """Measure `psql COPY (query) | psql`; one of the statements copies from stdin."""
        given = [part for statement in statements for part in ("-c", statement)]
        return self._measured(
            [*self.psql("source"), "-c", f"COPY ({query}) TO STDOUT (FORMAT binary)"],
            [*self.psql("target"), "--single-transaction", *given],
        )

    def query(self, query: str) -> Sample:
        """Measure `psql` with one query of the source."""
        return self._measured([*self.psql("source"), "-c", query])

    def queries(self, source: str, target: str) -> Sample:
        """Measure a query of each side, one after the other."""
        script = 'psql="$1"; $psql -d source -c "$2"; $psql -d target -c "$3"'
        quiet = f"{self.servers.psql} -X -q -A -t -v ON_ERROR_STOP=1"
        return self._measured(["sh", "-ec", script, "sh", quiet, source, target])

    def syncline(
        self, *arguments: str, allowed: Sequence[int] = (0,)
    ) -> tuple[Sample, list[dict[str, Any]]]:
        """Measure `syncline ARGUMENTS --json` in a process of its own; and what it says it did."""
        command = [sys.executable, "-m", "syncline", *arguments, "--json"]
        sample = self._measured(command, allowed=allowed)
        return sample, [json.loads(line) for line in sample.output.splitlines()]

    def script(self, name: str, *arguments: str) -> Sample:
        """Measure a script of `by_hand/` in a process of its own."""
        return self._measured([sys.executable, str(_HERE / "by_hand" / f"{name}.py"), *arguments])

    def peer(self, peer: Peer, *, full: bool, given: Mapping[str, str]) -> Sample:
        """Measure a peer that copies what is `given`."""
        return measured(
            peer.command(full=full, given=given),
            environment={
                **self.environment,
                "SLING_DISABLE_TELEMETRY": "true",
                "RUNTIME__DLTHUB_TELEMETRY": "false",
            },
            cwd=self.project,
            servers=self.servers.pids,
        )

    def psql(self, side: Side) -> list[str]:
        """The command of a quiet psql that stops at an error."""
        return [str(self.servers.psql), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", side]

    def _measured(self, *commands: Sequence[str], allowed: Sequence[int] = (0,)) -> Sample:
        return measured(
            *commands,
            environment=self.environment,
            cwd=_HERE.parent,
            servers=self.servers.pids,
            allowed=allowed,
        )

    @property
    def environment(self) -> dict[str, str]:
        """What every measured process is given."""
        parts = urlsplit(self._measured_url("source"))
        # What makes Python write no bytecode would make every process compile all it imports.
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return {
            **kept,
            "PGHOST": parts.hostname or "",
            "PGPORT": str(parts.port),
            "PGUSER": unquote(parts.username or ""),
            "PGPASSWORD": unquote(parts.password or ""),
            **{f"{name.upper()}_URL": self._measured_url(name) for name in self._connections()},
            "SYNCLINE_PROJECT": str(self.project),
            "SYNCLINE_STORE_URL": f"sqlite:///{self.project / 'store.db'}",
        }

    def _connections(self) -> list[str]:
        return [name for name, kind in _KINDS.items() if not kind or self.servers.runs(kind)]

    def empty(self) -> None:
        """Make the databases anew, and the project, without a mapping."""
        for side in ("source", "target"):
            self.servers.postgres.fresh_database(side)
        for kind in ("mariadb", "mongo"):
            if self.servers.runs(kind):
                self.servers.get(kind).fresh_database("bench")
        (self.project / "mappings").mkdir(parents=True)
        lines = [f"  {name}: {{url: '${{{name.upper()}_URL}}', tls: off}}" for name in _KINDS]
        (self.project / "connections.yaml").write_text("\n".join(["connections:", *lines, ""]))


_KINDS: Final[Mapping[str, Kind | None]] = {
    "source": "postgres",
    "target": "postgres",
    "sqlite": None,  # a file
    "mariadb": "mariadb",
    "mongo": "mongo",
}
