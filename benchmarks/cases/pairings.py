"""The other pairings: each beside the script that a user would write for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from benchmarks import customers
from benchmarks.case import Case, Contender, Measured
from benchmarks.cases.synced import always, sync
from benchmarks.sides import Source, Target, check
from benchmarks.sides.mariadb import MariaDBSource, MariaDBTarget
from benchmarks.sides.mongo import MongoSource, MongoTarget
from benchmarks.sides.postgres import PostgresSource, PostgresTarget
from benchmarks.sides.sqlite import SqliteTarget
from benchmarks.stage import Stage
from syncline.testing.servers import Kind

Run = Callable[[Stage, int], Measured]
FULL_ROWS: Final = 200_000
DELTA_ROWS: Final = 100_000
LEDGERED: Final = {"plain": "conflicts: {detect: none}", "ledgered": "conflicts: {strategy: merge}"}


@dataclass
class Pairing:
    """A source and a target, and the script of `by_hand/` that copies from one into the other."""

    name: str
    between: str
    script: str
    source: Source
    target: Target
    needs: Kind | None = None
    _since: str = field(default="", init=False)

    def cases(self) -> tuple[Case, Case]:
        """All of it, and a tenth of it changed."""
        needs: tuple[Kind, ...] = (self.needs,) if self.needs else ()
        full = Case(
            name=self.name,
            what=f"{self.between}, full load, six transforms",
            contenders=(
                self._by_hand(full=True),
                self._syncline(
                    "without ledger",
                    "plain",
                    full=True,
                    limit=1.0 if self.needs == "mongo" else None,
                ),
                self._syncline("with ledger", "ledgered", full=True),
            ),
            setup=self._filled,
            rows=FULL_ROWS,
            needs=needs,
        )
        delta = Case(
            name=f"{self.name}-delta",
            what=f"{self.between}, delta, a tenth of the rows changed on the source",
            contenders=(
                self._by_hand(full=False),
                self._syncline("without ledger", "plain", full=False),
                self._syncline("with ledger", "ledgered", full=False),
            ),
            setup=self._synced,
            change=self._change,
            rows=DELTA_ROWS,
            needs=needs,
        )
        return full, delta

    def _by_hand(self, *, full: bool) -> Contender:
        def run(stage: Stage, _round: int) -> Measured:
            return Measured(stage.script(self.script, *(() if full else (self._since,))))

        return self._contender(f"by hand: {self.script}.py", "by_hand", run, full=full)

    def _syncline(
        self, how: str, mapping: str, *, full: bool, limit: float | None = None
    ) -> Contender:
        run = (
            sync(mapping, mode=always("full"), inserted=lambda rows, _: rows)
            if full
            else sync(mapping, mode=always("delta"), updated=lambda rows, _: rows // 10)
        )
        return self._contender(f"syncline {how}", mapping, run, full=full, limit=limit)

    def _contender(
        self, name: str, table: str, run: Run, *, full: bool, limit: float | None = None
    ) -> Contender:
        def prepare(stage: Stage) -> None:
            if full:
                self.target.empty(stage, table)

        return Contender(
            name,
            run,
            prepare,
            lambda stage: check(stage, self.source, self.target, table),
            limit=limit,
        )

    def _filled(self, stage: Stage) -> None:
        self.source.fill(stage)
        for name, conflicts in LEDGERED.items():
            text = customers.MAPPING.format(
                source=self.source.connection,
                source_table=self.source.place,
                source_key=self.source.key,
                target=self.target.connection,
                target_table=self.target.place.format(table=name),
                key=self.target.key,
                clock=self.target.clock,
                rest=f"{self.source.delta}\n{conflicts}",
            )
            stage.write_mapping(name, text)

    def _synced(self, stage: Stage) -> None:
        self._filled(stage)
        self.target.empty(stage, "by_hand", *LEDGERED)
        stage.script(self.script)
        for name in LEDGERED:
            stage.syncline("run", name)

    def _change(self, stage: Stage, round_: int) -> None:
        time.sleep(self.source.settles_in)
        self._since = self.source.change(stage, round_)


ALL: Final = (
    Pairing(
        "postgres-mongo",
        "PostgreSQL to MongoDB",
        "postgres_to_mongo",
        PostgresSource(),
        MongoTarget(),
        "mongo",
    ),
    Pairing(
        "mongo-postgres",
        "MongoDB to PostgreSQL",
        "mongo_to_postgres",
        MongoSource(),
        PostgresTarget(),
        "mongo",
    ),
    Pairing(
        "postgres-sqlite",
        "PostgreSQL to SQLite",
        "postgres_to_sqlite",
        PostgresSource(),
        SqliteTarget(),
    ),
    Pairing(
        "mariadb-postgres",
        "MariaDB to PostgreSQL",
        "mariadb_to_postgres",
        MariaDBSource(),
        PostgresTarget(),
        "mariadb",
    ),
    Pairing(
        "postgres-mariadb",
        "PostgreSQL to MariaDB",
        "postgres_to_mariadb",
        PostgresSource(),
        MariaDBTarget(),
        "mariadb",
    ),
)
PAIRINGS: Final = tuple(case for pairing in ALL for case in pairing.cases())
