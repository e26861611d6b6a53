"""Applications that write to a source as it happens: late, in long transactions, in two phases,
with savepoints and rollbacks; and the naive poller that loses their rows.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.integration.project_bench import Side, now

NUMBERS = itertools.count()
LONGEST_SECONDS = 2.4
"""How long the longest transaction stays open after it stamped its rows."""


def connect(kind: str, url: str) -> Any:
    """A connection of one application, by its own driver, in autocommit."""
    if kind == "postgres":
        import psycopg

        return psycopg.connect(url, autocommit=True)
    if kind == "sqlite":
        path = url.removeprefix("sqlite:///")
        # Its locks are not handed out in turns: one of a crowd of writers may wait for minutes.
        return sqlite3.connect(path, timeout=600, isolation_level=None, check_same_thread=False)
    import pymysql

    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        database=parts.path.lstrip("/"),
        autocommit=True,
    )


class Hand:
    """One application with its own connection to a SQL source.

    Its rows are stamped by the database's own clock.
    """

    def __init__(self, kind: str, url: str, table: str = "people") -> None:
        self.kind, self.table = kind, table
        self.connection = connect(kind, url)

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement; the rows it gives."""
        cursor = self.connection.cursor()
        try:
            if self.kind == "sqlite":
                cursor.execute(sql.replace("(%s, %s", "(?, ?").replace("= %s", "= ?"), values)
            else:
                cursor.execute(sql, values or None)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    @property
    def stamp(self) -> str:
        """The present, as this database's SQL."""
        return {
            "postgres": "now()",  # when the transaction began
            "mariadb": "NOW(6)",  # when the statement began
            # Read when the statement has the write lock, which an application's own clock is not.
            "sqlite": "strftime('%Y-%m-%d %H:%M:%f+00:00', 'now')",
        }[self.kind]

    def begin(self) -> None:
        self.run("BEGIN IMMEDIATE" if self.kind == "sqlite" else "BEGIN")

    def put(self, *keys: int, at: str | None = None) -> None:
        """Insert records, stamped now (or `at`, an SQL expression)."""
        for key in keys:
            self.run(
                f"INSERT INTO {self.table} (id, name, updated_at)"
                f" VALUES (%s, %s, {at or self.stamp})",
                key,
                f"v{next(NUMBERS)}",
            )

    def edit(self, *keys: int, at: str | None = None) -> None:
        """Change records; `at` is the SQL expression that their clock is set to."""
        for key in keys:
            self.run(
                f"UPDATE {self.table} SET name = %s, updated_at = {at or self.stamp} WHERE id = %s",
                f"v{next(NUMBERS)}",
                key,
            )

    def remove(self, key: int) -> None:
        self.run(f"DELETE FROM {self.table} WHERE id = %s", key)

    def prepare(self) -> Callable[[str], None]:
        """End the first phase of a commit. Gives the second: `COMMIT` or `ROLLBACK`."""
        name = f"t{uuid.uuid4().hex}"
        if self.kind == "postgres":
            self.run(f"PREPARE TRANSACTION '{name}'")
            return lambda how: self.run(f"{how} PREPARED '{name}'") and None
        self.run(f"XA END '{self._xa}'")
        self.run(f"XA PREPARE '{self._xa}'")
        return lambda how: self.run(f"XA {how} '{self._xa}'") and None

    def begin_prepared(self) -> None:
        """Begin a transaction that will be committed in two phases."""
        if self.kind == "postgres":
            self.run("BEGIN")
            return
        self._xa = uuid.uuid4().hex
        self.run(f"XA START '{self._xa}'")

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.connection.close()


class Application:
    """A SQL application at work, at random, on keys of its own. `exact` also lets it write what
    only an exact watermark can find: rows stamped in the past, and edits that leave their clock.
    """

    def __init__(self, hand: Hand, number: int, *, exact: bool, seed: int) -> None:
        self.hand, self.exact, self.number = hand, exact, number
        self.chance = random.Random(seed + number)  # noqa: S311 - what it does is no secret
        self._new = itertools.count((number + 1) * 1_000_000)
        self.keys: list[int] = []
        self.written = 0

    def step(self) -> None:
        """One transaction."""
        choices: list[Callable[[], int]] = [self._late, self._late, self._nested, self._rolled_back]
        choices += [self._quick, self._quick, self._removal]
        # A few do so: an open prepared transaction holds the bounded horizons back for all.
        if self.hand.kind != "sqlite" and self.number % 4 == 0:
            choices += [self._two_phases]
        if self.exact:
            choices += [self._past, self._unmoved]
        self.written += self.chance.choice(choices)()

    def _fresh(self, count: int) -> list[int]:
        keys = list(itertools.islice(self._new, count))
        self.keys += keys
        return keys

    def _known(self, count: int) -> list[int]:
        return self.chance.sample(self.keys, min(count, len(self.keys)))

    def _wait(self) -> None:
        # SQLite has one writer at a time: the others wait for its lock.
        longest = 0.1 if self.hand.kind == "sqlite" else LONGEST_SECONDS
        short = self.chance.random() < 0.7
        time.sleep(longest * (self.chance.random() * 0.1 if short else 1))

    def _late(self) -> int:
        """Stamped now, committed later, with more stamped on the way."""
        self.hand.begin()
        self.hand.put(*self._fresh(2))
        self.hand.edit(*self._known(2))
        self._wait()
        self.hand.put(*self._fresh(1))
        self.hand.run("COMMIT")
        return 5

    def _quick(self) -> int:
        self.hand.put(*self._fresh(1))
        self.hand.edit(*self._known(1))
        self._wait()
        return 2

    def _nested(self) -> int:
        """Savepoints: some kept, some rolled back."""
        self.hand.begin()
        self.hand.put(*self._fresh(1))
        for keep in (True, False, True):
            self.hand.run("SAVEPOINT inner_part")
            self.hand.put(*self._fresh(1))
            self.hand.edit(*self._known(1))
            self._wait()
            if not keep:
                self.hand.run("ROLLBACK TO SAVEPOINT inner_part")
            self.hand.run("RELEASE SAVEPOINT inner_part")
        self.hand.run("COMMIT")
        return 5

    def _rolled_back(self) -> int:
        self.hand.begin()
        self.hand.put(*self._fresh(2))
        self.hand.edit(*self._known(3))
        self._wait()
        self.hand.run("ROLLBACK")
        return 0

    def _two_phases(self) -> int:
        self.hand.begin_prepared()
        self.hand.put(*self._fresh(2))
        self.hand.edit(*self._known(1))
        finish = self.hand.prepare()
        self._wait()
        how = self.chance.choice(["COMMIT", "COMMIT", "ROLLBACK"])
        finish(how)
        return 3 if how == "COMMIT" else 0

    def _removal(self) -> int:
        for key in self._known(1):
            self.hand.remove(key)
        return 1

    def _past(self) -> int:
        """Imported with the clock of another system."""
        self.hand.put(*self._fresh(1), at="now() - interval '2 days'")
        self.hand.edit(*self._known(1), at="now() - interval '2 hours'")
        return 2

    def _unmoved(self) -> int:
        self.hand.edit(*self._known(1), at="updated_at")
        return 1


class Documents:
    """A MongoDB application: its own clock stamps, and the write shows some time later.

    `exact` also lets it write what only a change stream can find: stamps of the past, edits that
    leave their clock, deletes, and documents that come back.
    """

    def __init__(self, side: Side, number: int, *, exact: bool, seed: int) -> None:
        self.side, self.exact = side, exact
        self.chance = random.Random(seed + number)  # noqa: S311 - what it does is no secret
        self._new = itertools.count((number + 1) * 1_000_000)
        self.keys: list[int] = []
        self.written = 0

    def step(self) -> None:
        """One write: on a standalone server each stands alone."""
        at = now()
        time.sleep(self.chance.random() ** 2 * LONGEST_SECONDS)
        if now() - at > timedelta(seconds=2 * LONGEST_SECONDS):
            at = now()  # the machine held it up: so late is more than a cursor's margin allows
        fields: dict[str, Any] = {"name": f"v{next(NUMBERS)}", "updated_at": at}
        if not self.keys or self.chance.random() < 0.5:
            self.keys.append(next(self._new))
            self.side.documents.insert_one({"_id": self.keys[-1], **fields})
        else:
            key = self.chance.choice(self.keys)
            self.side.documents.update_one({"_id": key}, {"$set": fields})
        if self.exact:
            self.written += self._unseen()
        self.written += 1

    def _unseen(self) -> int:
        """What no cursor tells of."""
        documents, key = self.side.documents, self.chance.choice(self.keys)
        name = f"v{next(NUMBERS)}"
        past = now() - timedelta(hours=self.chance.randint(1, 48))
        choice = self.chance.choice(["edit", "import", "restore", "delete", "back"])
        if choice == "edit":
            documents.update_one({"_id": key}, {"$set": {"name": name}})
        elif choice == "import":
            self.keys.append(next(self._new))
            documents.insert_one({"_id": self.keys[-1], "name": name, "updated_at": past})
        elif choice == "restore":
            documents.replace_one({"_id": key}, {"name": name, "updated_at": past}, upsert=True)
        else:
            documents.delete_one({"_id": key})
            if choice == "back":
                documents.insert_one({"_id": key, "name": name, "updated_at": past})
        return 1


class Crowd:
    """Applications at work, each in a thread of its own, until told to stop."""

    def __init__(self, make: Callable[[int], Application | Documents], count: int) -> None:
        self._make, self._stop = make, threading.Event()
        self._members = [make(number) for number in range(count)]
        self.faults: list[Exception] = []
        self._threads = [
            threading.Thread(target=self._work, args=(member,), daemon=True)
            for member in self._members
        ]

    @property
    def written(self) -> int:
        """How many rows were written by transactions that committed."""
        return sum(member.written for member in self._members)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Every transaction that is open ends first, one way or the other."""
        self._stop.set()
        for thread in self._threads:
            thread.join(100)
        assert not any(thread.is_alive() for thread in self._threads)
        for member in self._members:
            if isinstance(member, Application):
                member.hand.close()
        if self.faults:
            raise self.faults[0]

    def _work(self, member: Application | Documents) -> None:
        while not self._stop.is_set():
            try:
                member.step()
            except Exception as error:  # noqa: BLE001 - told by `stop`, in the test's thread
                self.faults.append(error)
                return


class NaivePoller:
    """What most tools do: `WHERE updated_at > :largest_seen`, into a dictionary."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.names: dict[int, str] = {}
        self._largest: Any = None

    def poll(self) -> None:
        for key, name, at in self._changed():
            self.names[key] = name
            self._largest = at if self._largest is None else max(self._largest, at)

    def _changed(self) -> list[Any]:
        if self.side.kind == "mongo":
            wanted = {"updated_at": {"$gt": self._largest}} if self._largest else {}
            found = self.side.documents.find(wanted)
            return [(each["_id"], each["name"], each["updated_at"]) for each in found]
        statement = f"select id, name, updated_at from {self.side.table}"
        if self._largest is None:
            return list(self.side.sql(statement))
        return list(
            self.side.sql(f"{statement} where updated_at > :largest", largest=self._largest)
        )

    def lost(self, truth: Mapping[int, Mapping[str, Any]]) -> int:
        """How many records it has not, or as they were before."""
        return sum(self.names.get(key) != row["name"] for key, row in truth.items())
