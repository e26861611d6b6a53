"""Repair puts right just what verify found, and no more than a run might."""

from __future__ import annotations

import json

import pytest

from syncline import ledger
from syncline.compare import VerifyReport
from syncline.errors import GuardStopped, InputError, LeaseHeld
from syncline.run import opened
from syncline.store.store import Store
from tests.integration.project_bench import FIELDS
from tests.integration.verify.support import (
    ALIKE,
    DELTA,
    LEDGER,
    SOURCE_WINS,
    Make,
    look,
    mend,
    told,
)

# --- repair ---


def test_a_repair_settles_just_what_differs(make: Make) -> None:
    """Three records are written, the checkpoint stays, and the run is recorded."""
    bench = make(100, rest=SOURCE_WINS)
    bench.target.remove(7)
    bench.source.remove(8)
    bench.target.edit(9, city="Changed by hand")
    before = look(bench).checkpoint
    seen: list[VerifyReport] = []
    report = mend(bench, agree=seen.append)
    assert (report.found, report.inserted, report.updated, report.deleted) == (3, 1, 1, 1)
    assert (report.status, report.left) == ("equal", {})
    assert bench.target.rows() == bench.source.rows()
    assert [one.differences for one in seen] == [3]
    after = look(bench)
    assert told(after) == ALIKE
    assert after.checkpoint == before
    with Store.open(bench.project.store_url) as store:
        assert [run.mode for run in store.runs("people")][:3] == ["verify", "repair", "verify"]
    assert (mend(bench).found, bench.run().updated) == (0, 0)


def test_a_repair_that_is_not_agreed_to_writes_nothing(make: Make) -> None:
    """Whoever asks may leave it at what was found."""
    bench = make(10, rest=SOURCE_WINS)
    bench.target.remove(7)

    def no(_: VerifyReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mend(bench, agree=no)
    assert 7 not in bench.target.rows()


def test_what_a_repair_queues_is_left(make: Make) -> None:
    """A lost update of a record that the target edited too is a conflict: a person is asked."""
    bench = make(10, rest="conflicts: manual\n")
    bench.source.edit(3, name="Lost")
    bench.target.edit(3, name="Edited")
    assert look(bench).different == 1
    report = mend(bench)
    assert (report.status, report.left, report.queued) == ("left", {"waits": 1}, 1)
    assert bench.target.rows()[3]["name"] == "Edited"
    assert told(look(bench)) == ("equal", 0, 0, 0, {}, 0, {"waits": 1})


def test_a_repair_deletes_no_more_than_the_guard_allows(make: Make) -> None:
    """As a run: it stops before the first delete."""
    bench = make(100, rest="conflicts: merge\ndeletes: {mode: mirror, guard: 5%}\n")
    bench.source.remove(*range(50))
    with pytest.raises(GuardStopped, match="50 of 100"):
        mend(bench)
    assert len(bench.target.rows()) == 100


def test_a_repair_waits_for_no_run(make: Make) -> None:
    """Where a run holds the lease it is refused; verify is not."""
    bench = make(10, rest=SOURCE_WINS)
    bench.target.remove(7)
    with opened(bench.project, "people") as run, ledger.hold(run.target, run.spec):
        assert look(bench).missing == 1
        with pytest.raises(LeaseHeld):
            mend(bench)


def test_a_changed_mapping_is_a_runs_to_write(make: Make) -> None:
    """A repair would leave half of the records by the old mapping."""
    bench = make(10)
    bench.write(fields=FIELDS.replace("name: name", "name: upper(name)"), rest=DELTA + LEDGER)
    assert look(bench).different == 10
    with pytest.raises(InputError, match="mapping changed") as stopped:
        mend(bench)
    assert stopped.value.hint == "syncline run people"


def test_soft_deleted_records_count_as_gone(make: Make) -> None:
    """One that is flagged is no extra; one whose flag was taken off is."""
    rest = "conflicts: merge\ndeletes: {mode: soft, column: deleted_at, guard: 50%}\n"
    bench = make(10, rest=rest)
    bench.source.remove(3)
    assert look(bench).extra == 1
    assert mend(bench).status == "equal"
    assert told(look(bench)) == ALIKE
    assert len(bench.target.rows()) == 10


def test_a_report_is_plain_values(make: Make) -> None:
    """What the command prints as JSON, samples included."""
    from syncline.cli.show import plain

    bench = make(10, rest=SOURCE_WINS)
    bench.target.remove(7)
    text = json.dumps(plain(look(bench).as_dict()))
    assert json.loads(text)["samples"][0]["what"] == "missing"
