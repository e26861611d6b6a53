"""Whoever writes decisions dies by `kill -9`: each lands once, and is known to have landed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from syncline.store import Filter, State, Store
from tests.attack.conftest import Make
from tests.browser.review_bench import ReviewBench
from tests.integration.project_bench import ProjectBench, now

REPOSITORY = Path(__file__).parents[2]
COUNT = 30
KILLS = """
import os, signal, sys

if "conflicts" in sys.orig_argv and os.environ.get("KILL_AT"):
    from syncline import decide
    from syncline.lease import Lease
    from syncline.store import audit, decisions
    from syncline.store.store import Store

    decide.BATCH = 10  # so that many decisions are several transactions
    place, when, number = os.environ["KILL_AT"].split()
    owners = {
        "deciding": (decisions, "_decided"), "decided": (Store, "decide_all"),
        "lease": (decide, "write_decided"), "written_before": (decide, "_tell_written"),
        "write": (decide, "_write"), "commit": (Lease, "commit"),
        "audit": (audit, "put"), "applied": (decisions, "applied"),
        "told": (Store, "mark_applied"),
    }
    owner, name = owners[place]
    original, count = getattr(owner, name), 0

    def counted(*args, **more):
        global count
        count += 1
        mine = count == int(number)
        if mine and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        found = original(*args, **more)
        if mine and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(owner, name, counted)
"""
"""The named points between deciding and applying; `commit` is the target's, `audit` and `applied`
are within the control store's one transaction that says so."""


def killed(root: Path, at: str, *arguments: str, folder: Path) -> None:
    """Run `syncline conflicts resolve` in a process of its own, which is killed at a point."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(KILLS)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)]), "KILL_AT": at,
    }  # fmt: skip
    command = ["-m", "syncline", "--project", str(root), "conflicts", "resolve", *arguments]
    died = subprocess.run(
        [sys.executable, *command, "--take", "source", "--note", "all at once", "--yes"],
        check=False, capture_output=True, env=environment, cwd=root,
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()


def told(url: str) -> tuple[Counter[State], Counter[tuple[str, ...]], int]:
    """Where the conflicts stand, what happened to each, and how often a person is in the audit."""
    with Store.open(url) as store:
        entries = list(store.each_conflict(Filter(state=None)))
        states = Counter(entry.state for entry in entries)
        stories = Counter(
            tuple(event.event.value for event in store.history(entry.id)) for entry in entries
        )
        audited = [one for one in store.audit_log(limit=10_000) if one.note == "all at once"]
    return states, stories, len(audited)


def counted_bench(root: Path) -> ReviewBench:
    """Thirty conflicts, and a table of the target in which every write leaves a trace."""
    bench = ReviewBench(root, COUNT)
    bench.collide(*range(1, COUNT + 1))
    bench.target("CREATE TABLE written (user_id INTEGER)")
    bench.target(
        "CREATE TRIGGER traced AFTER UPDATE OF email ON users WHEN old.email <> new.email BEGIN "
        "INSERT INTO written VALUES (new.user_id); END"
    )
    return bench


def is_exact(bench: ReviewBench) -> None:
    """Every decision is in the target, written once, and told once."""
    found = bench.target("SELECT user_id, email FROM users ORDER BY user_id")
    assert found == [(key, f"source{key}@x.example") for key in range(1, COUNT + 1)]
    written = bench.target("SELECT count(*), count(DISTINCT user_id) FROM written")
    assert written == [(COUNT, COUNT)]
    states, stories, audited = told(bench.project.store_url)
    assert states == {State.APPLIED: COUNT}
    assert stories == {("opened", "decided", "applied"): COUNT}
    assert audited == COUNT


QUICK = ["commit after 2"]
POINTS = [
    "decided after 1", "lease before 1", "written_before before 2", "write before 1",
    "write before 2",
    "commit before 1", "commit after 1", "commit before 2", "audit after 2",
    "applied after 2", "told after 1", "told after 2", "told after 3",
]  # fmt: skip


@pytest.mark.parametrize(
    "point", [*QUICK, *(pytest.param(one, marks=pytest.mark.slow) for one in POINTS)]
)
def test_f13_a_bulk_decision_killed_at_any_point_lands_exactly_once(
    tmp_path: Path, point: str
) -> None:
    """Between deciding and applying, and amid the second of three transactions: the next run writes
    what is left and nothing else, and another one changes nothing.
    """
    bench = counted_bench(tmp_path / "project")
    killed(bench.root, point, "--all", folder=tmp_path / "kill")
    assert told(bench.project.store_url)[0].keys() <= {State.DECIDED, State.APPLIED}
    bench.run()
    is_exact(bench)
    bench.run()
    is_exact(bench)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_f13_a_bulk_decision_killed_while_it_is_made_is_not_made_at_all(
    tmp_path: Path, when: str
) -> None:
    """All of it is one transaction of the control store: nothing is decided, and nobody misled."""
    bench = counted_bench(tmp_path / "project")
    killed(bench.root, f"deciding {when} 1", "--all", folder=tmp_path / "kill")
    bench.run()
    states, stories, audited = told(bench.project.store_url)
    assert (states, audited) == ({State.OPEN: COUNT}, 0)
    assert stories == {("opened",): COUNT}
    assert bench.target("SELECT count(*) FROM written") == [(0,)]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["postgres", "mariadb", "mongo"])
@pytest.mark.parametrize("point", ["commit before 2", "commit after 2", "audit after 2"])
def test_f13_on_every_target_what_landed_before_a_kill_is_known(
    make: Make, tmp_path: Path, target: str, point: str
) -> None:
    """Also where one side moved before the next run: the decision stands, the move is judged
    after it.
    """
    bench = make("sqlite", target, count=COUNT, rest="conflicts: manual\n")
    collide_all(bench)
    killed(bench.folder, point, "--all", folder=tmp_path / "kill")
    with Store.open(bench.project.store_url) as store:
        applied = {int(e.ledger_key) for e in store.conflicts(state=State.APPLIED, limit=COUNT)}
    bench.source.edit(29, name="Moved since", updated_at=now())
    bench.run(allow=frozenset({"conflicts"}))
    states, stories, audited = told(bench.project.store_url)
    assert applied
    assert 29 not in applied
    rows = bench.target.rows()
    assert [rows[key]["name"] for key in range(29)] == [f"Source {key}" for key in range(29)]
    assert rows[29]["name"] == "Target 29"
    # The one that moved before it was written is asked again; the others are done.
    assert states == {State.APPLIED: 29, State.OPEN: 1}
    assert stories[("opened", "decided", "applied")] == 29
    assert audited == 29


def collide_all(bench: ProjectBench) -> None:
    """Both sides change every name."""
    bench.run()
    for key in range(COUNT):
        bench.target.edit(key, name=f"Target {key}")
        bench.source.edit(key, name=f"Source {key}", updated_at=now())
    bench.run(allow=frozenset({"conflicts"}))
