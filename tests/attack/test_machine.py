"""A state machine over the whole: people edit both sides, transactions commit late, runs are cut,
decisions are made. A dictionary, with a reading of DESIGN section 5 of its own, says what holds.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from syncline import decide
from syncline.endpoints.base import Range
from syncline.store.model import Decision, State
from syncline.store.store import Store
from tests.attack.conftest import Make
from tests.attack.writers import connect
from tests.integration.project_bench import ProjectBench, now, person

KEYS = st.integers(0, 2)
VALUES = st.sampled_from(["a", "b"])
REST = "deletes: {mode: mirror, reconcile: always, guard: 100%}\nconflicts: manual\n"
ALLOW = frozenset({"empty-source", "deletes", "conflicts"})
GONE = None
TRANSACTIONS = {"postgres": "begin", "mariadb": "start transaction"}
"""Sources whose writers do not wait for each other; SQLite has one writer at a time."""
KILLED = """
import os, signal, sys
from pathlib import Path
from syncline.project import Project
from syncline.sync import RunOptions, run

left = iter(range(int(sys.argv[2])))

def kill(_):
    if next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)

run(
    Project.find(explicit=Path(sys.argv[1])),
    "people",
    RunOptions(
        mode=sys.argv[3] or None,
        batch_size=1,
        allow=frozenset({"empty-source", "deletes", "conflicts"}),
        on_progress=kill,
    ),
)
"""
Baseline = tuple[str | None, str | None, bool]
"""What source and target held (None: gone), and whether a decision holds them apart."""


@dataclass
class Model:
    """The two sides as plain dictionaries, what was last settled, and what waits for a person."""

    source: dict[int, str] = field(default_factory=dict[int, str])
    target: dict[int, str] = field(default_factory=dict[int, str])
    baseline: dict[int, Baseline] = field(default_factory=dict[int, Baseline])
    waiting: dict[int, str | None] = field(default_factory=dict[int, str | None])
    """By key, what the source held when the person was asked."""

    def settle(self, *, gone: bool = True) -> None:
        """A sync: every key, or with `gone=False` those that the source has."""
        for key in sorted({*self.source, *self.target, *self.baseline}):
            if gone or key in self.source:
                self.settle_one(key)

    def settle_one(self, key: int) -> None:
        """DESIGN section 5, row by row, for records of one field."""
        here, there = self.source.get(key), self.target.get(key)
        before = self.baseline.get(key)
        asked = self._effect(key, here, there, before)
        if asked:
            self.waiting[key] = here
        else:
            self.waiting.pop(key, None)

    def _effect(
        self, key: int, here: str | None, there: str | None, before: Baseline | None
    ) -> bool:
        """Settle the record; True where a person is to be asked."""
        s, t, held = before or (GONE, GONE, False)
        if here is GONE and there is GONE:
            self.baseline.pop(key, None)
        elif here is GONE:
            if before is None or t is GONE or s is GONE:
                return False  # the target's own, or kept by decision
            if there != t or held:
                return True
            del self.target[key], self.baseline[key]
        elif there is GONE:
            if before is None or s is GONE:
                self._write(key, here)
            else:
                return here != s
        elif here == there:
            self.baseline[key] = (here, there, False)
        elif before is None or s is GONE or t is GONE:
            return True
        elif here != s and there == t and not held:
            self._write(key, here)
        else:
            return here != s
        return False

    def _write(self, key: int, value: str) -> None:
        self.target[key] = value
        self.baseline[key] = (value, value, False)

    def decide(self, key: int, take: Literal["source", "target"]) -> None:
        """A person's word, unless the source moved after they looked."""
        here, there = self.source.get(key), self.target.get(key)
        if here != self.waiting[key]:
            if here is not GONE:
                self.settle_one(key)
            return
        del self.waiting[key]
        if take == "source":
            if here is GONE:
                del self.target[key], self.baseline[key]
            else:
                self._write(key, here)
        else:
            self.baseline[key] = (here, there, here is not GONE and there is not GONE)


class Machine(RuleBasedStateMachine):
    """Drives a project and the model alike."""

    def __init__(self, bench: ProjectBench, kills: int) -> None:
        super().__init__()
        self.bench, self.model, self.kills = bench, Model(), kills
        self.open: Any = None
        self.late: dict[int, str | None] = {}
        if bench.source.kind == "mongo":  # of a collection that is empty no field is known
            bench.source.put(person(99, name="a"))
            self.model.source[99] = "a"
        bench.run(allow=ALLOW)
        self.model.settle()

    # --- the source's people ---

    @rule(key=KEYS, value=VALUES)
    def put_on_source(self, key: int, value: str) -> None:
        if key in self.late:
            return
        if key in self.model.source:
            self.bench.source.edit(key, name=value, updated_at=now())
        else:
            self.bench.source.put(person(key, name=value, updated_at=now()))
        self.model.source[key] = value

    @rule(key=KEYS)
    def remove_from_source(self, key: int) -> None:
        if key in self.model.source and key not in self.late:
            self.bench.source.remove(key)
            del self.model.source[key]

    @precondition(lambda self: self.bench.source.kind in TRANSACTIONS and self.open is None)
    @rule(writes=st.dictionaries(KEYS, st.none() | VALUES, min_size=1, max_size=2))
    def begin(self, writes: dict[int, str | None]) -> None:
        """A transaction inserts, updates and deletes (None) now, and commits at some later time,
        or never.
        """
        self.open = connect(self.bench.source.kind, self.bench.source.url)
        self._write_late(TRANSACTIONS[self.bench.source.kind])
        for key, value in sorted(writes.items()):
            if value is None and key not in self.model.source:
                continue  # MariaDB would lock the gap, and keep out those who insert there
            if value is None:
                self._write_late("delete from people where id = %s", key)
            elif key in self.model.source:
                self._write_late(
                    "update people set name = %s, updated_at = %s where id = %s", value, now(), key
                )
            else:
                self._write_late(
                    "insert into people (id, name, updated_at) values (%s, %s, %s)",
                    key, value, now(),
                )  # fmt: skip
            self.late[key] = value

    def _write_late(self, statement: str, *values: Any) -> None:
        with self.open.cursor() as cursor:
            cursor.execute(statement, values)

    @precondition(lambda self: self.open is not None)
    @rule(commits=st.booleans())
    def end(self, commits: bool) -> None:
        self._write_late("commit" if commits else "rollback")
        self.open.close()
        for key, value in self.late.items() if commits else ():
            if value is None:
                self.model.source.pop(key, None)
            else:
                self.model.source[key] = value
        self.open, self.late = None, {}

    # --- the target's people; what waits they leave to the reviewer ---

    @rule(key=KEYS, value=VALUES)
    def put_on_target(self, key: int, value: str) -> None:
        if key in self.model.waiting:
            return
        if key in self.model.target:
            self.bench.target.edit(key, name=value)
        else:
            self._insert_on_target(key, value)
        self.model.target[key] = value

    def _insert_on_target(self, key: int, value: str) -> None:
        if self.bench.target.kind == "mongo":
            self.bench.target.put(person(key, name=value))
        else:
            self.bench.target.sql(
                "insert into people_copy (id, name) values (:id, :name)", id=key, name=value
            )

    @rule(key=KEYS)
    def remove_from_target(self, key: int) -> None:
        if key in self.model.target and key not in self.model.waiting:
            self.bench.target.remove(key)
            del self.model.target[key]

    # --- syncline ---

    @rule(mode=st.sampled_from([None, None, "full"]), size=st.sampled_from([1, 2, 100]))
    def sync(self, mode: Any, size: int) -> None:
        self.bench.run(mode=mode, batch_size=size, allow=ALLOW)
        self.model.settle()

    @rule(mode=st.sampled_from([None, "full"]), batches=st.integers(1, 3))
    def cut(self, mode: Any, batches: int) -> None:
        """A run ends without a word after some batches; the next one completes it."""
        left = iter(range(batches))

        def stop(_: object) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            self.bench.run(mode=mode, batch_size=1, allow=ALLOW, on_progress=stop)
        self.bench.run(allow=ALLOW)
        self.model.settle()

    @precondition(lambda self: self.kills > 0)
    @rule(mode=st.sampled_from(["", "full"]), batches=st.integers(0, 2))
    def kill(self, mode: str, batches: int) -> None:
        """A run in a process of its own dies by `kill -9` after some batches, if it has so many;
        the next one completes it.
        """
        self.kills -= 1
        folder = str(self.bench.folder)
        died = subprocess.run(
            [sys.executable, "-c", KILLED, folder, str(batches), mode],
            capture_output=True,
            check=False,
        )
        assert died.returncode in {0, -signal.SIGKILL}, died.stderr.decode()
        self.bench.run(allow=ALLOW)
        self.model.settle()

    @rule()
    def backfill(self) -> None:
        self.bench.run(mode="backfill", window=Range("key", "0", "100"), allow=ALLOW)
        self.model.settle(gone=False)

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data(), take=st.sampled_from(["source", "target"]))
    def resolve(self, data: st.DataObject, take: Any) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.waiting)))
        if key in self.late:
            return
        with Store.open(self.bench.project.store_url) as store:
            entries = store.conflicts(mapping="people", state=State.OPEN)
            (entry,) = [each for each in entries if each.ledger_key == str(key)]
            decision = Decision(
                take, "ann", datetime.now(UTC), entry.source_prints, entry.target_prints
            )
            store.decide(entry.id, decision)
        decide.apply_decisions(self.bench.project, "people")
        self.model.decide(key, take)

    # --- what has to hold, always ---

    @invariant()
    def the_target_is_what_the_model_says(self) -> None:
        rows = self.bench.target.rows()
        assert {key: row["name"] for key, row in rows.items()} == self.model.target

    @invariant()
    def what_waits_is_what_the_model_says(self) -> None:
        with Store.open(self.bench.project.store_url) as store:
            entries = store.conflicts(mapping="people", state=State.OPEN)
        assert {int(entry.ledger_key) for entry in entries} == set(self.model.waiting)

    def teardown(self) -> None:
        if self.open is not None:
            self.open.close()


def drive(make: Callable[[], ProjectBench], examples: int, kills: int, steps: int = 30) -> None:
    """Run the machine, each time on a new project; at most `kills` of its runs are killed."""
    run_state_machine_as_test(  # pyright: ignore[reportUnknownMemberType]
        lambda: Machine(make(), kills),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            database=None,
        ),
    )


def test_the_machine_on_sqlite(make: Make) -> None:
    """Both sides are what the dictionary says, whatever was done in whatever order."""
    drive(lambda: make("sqlite", rest=REST, fields="  name: name\n"), examples=5, kills=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("watermark", "target"),
    [
        ("sqlite", "sqlite"), ("xmin", "postgres"), ("mariadb", "mariadb"), ("xmin", "mongo"),
        ("mongo", "postgres"), ("stream", "replica-set"),
    ],
)  # fmt: skip
def test_the_machine_on_every_database(watermark: str, target: str, make: Make) -> None:
    """The same on servers, with transactions that commit late where the source has them."""
    drive(lambda: make(watermark, target, rest=REST, fields="  name: name\n"), examples=8, kills=3)
