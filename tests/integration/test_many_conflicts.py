"""Ten thousand conflicts: found, previewed, decided and written, each exactly once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from syncline import decide
from syncline.review import bulk
from syncline.review.queue import Choice
from syncline.review.whatif import by_rules, would_settle
from syncline.rule import Rule
from syncline.store import Filter, State, Store
from tests.integration.project_bench import Make, now

MANY = 10_000


@pytest.mark.slow
def test_ten_thousand_conflicts_are_decided_at_once_and_written_exactly_once(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """One bulk decision over all; what an edit made untrue is refused, all others land once."""
    bench = make(MANY, rest="conflicts: {strategy: manual, guard: 100%}\n")
    bench.run()
    bench.source.sql("update people set name = 'S ' || id, updated_at = :at", at=str(now()))
    bench.target.sql(f"update {bench.target.table} set name = 'T ' || id")
    assert bench.run().queued == MANY
    times: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = work()
        times[name] = round(time.perf_counter() - began, 2)
        return found

    make_it = bulk.maker(Choice("source", note="all of them"), user="ann")
    with Store.open(bench.project.store_url) as store:
        rule = Rule("name", "source is not empty", "source")
        told = timed(
            "rule", lambda: would_settle(store, "people", [rule], nothing_masked, user="ann")
        )
        assert (told.would, told.of) == (MANY, MANY)
        assert by_rules([rule], user="ann")
        seen = timed("preview", lambda: bulk.preview(store, Filter(), make_it, nothing_masked))
        done = timed("decide", lambda: bulk.decide(store, seen.selection, make_it))
        assert (done.count, done.refused) == (MANY, {})
        bench.target.edit(7, name="Edited meanwhile")
        landed = timed("write", lambda: decide.apply_decisions(bench.project, "people"))
        assert landed == MANY - 1
        assert decide.apply_decisions(bench.project, "people") == 0
        states = store.conflict_tally(Filter(state=None)).by_state
        assert states == {"applied": MANY - 1, "open": 1}
        (left,) = store.conflicts(state=State.OPEN)
        assert (left.target or {})["name"] == "Edited meanwhile"
        assert len(store.audit_log("people", limit=MANY * 2)) == MANY - 1
    names = Counter(row["name"][:2] for row in bench.target.rows().values())
    assert names == {"S ": MANY - 1, "Ed": 1}
    assert bench.run().updated == 0
    with capsys.disabled():
        print(times)  # noqa: T201 - what was measured, for whoever runs it


def nothing_masked(_: str) -> frozenset[str]:
    return frozenset()
