"""Runs of one mapping, from one SQLite file to another: what a user meets day by day. What must
hold of every database is shown for each.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest

from syncline import checkpoint, decide, ledger
from syncline.endpoints.base import Range
from syncline.errors import InputError, LeaseHeld, MappingErrors, TooManyDeadLetters
from syncline.plan import plan
from syncline.run import opened
from syncline.store.store import Store
from syncline.sync import Cancelled
from tests.integration.project_bench import (
    DELTA,
    FIELDS,
    SQL,
    Make,
    everywhere,
    in_step,
    now,
    person,
)

# --- going on ---

KILLED = """
import os, signal, sys
from pathlib import Path
from syncline.project import Project
from syncline.sync import RunOptions, run

def kill(progress):
    if progress.read >= int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

run(Project.find(explicit=Path(sys.argv[1])), "people", RunOptions(batch_size=10, on_progress=kill))
"""


@everywhere()
def test_f13_a_full_sync_killed_in_the_middle_goes_on_from_its_last_batch(make: Make) -> None:
    """After `kill -9` at six of ten batches the next run reads the other forty records, and the
    copy is exact.
    """
    bench = make(100)
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(bench.folder), "60"], check=False, capture_output=True
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert len(bench.target.rows()) == 60
    rest = bench.run(batch_size=10)
    assert (rest.mode, rest.read, rest.inserted) == ("full", 40, 40)
    assert in_step(bench)


@everywhere()
def test_f50_what_changes_behind_a_killed_full_sync_comes_with_the_next_delta(make: Make) -> None:
    """A record of a batch already in changes before the run goes on: the delta brings it."""
    bench = make(100)
    subprocess.run(
        [sys.executable, "-c", KILLED, str(bench.folder), "60"], check=False, capture_output=True
    )
    bench.source.edit(5, name="Changed meanwhile", updated_at=now())
    bench.run(batch_size=10)
    assert bench.run().updated == 1
    assert in_step(bench)


def test_a_cancelled_run_ends_between_batches_and_is_gone_on_with(make: Make) -> None:
    """Nothing is half done, and the lease is given up."""
    bench = make(100)
    with pytest.raises(Cancelled):
        bench.run(batch_size=10, cancelled=lambda: True)
    assert len(bench.target.rows()) == 10
    assert bench.run().read == 90
    assert in_step(bench)


@everywhere()
def test_f20_a_second_run_is_refused_and_told_who_holds_the_lease(make: Make) -> None:
    """Two runs of one mapping at once: the second writes nothing."""
    bench = make(100)

    def second(_: Any) -> None:
        with pytest.raises(LeaseHeld, match=f"written by .*:{os.getpid()}:"):
            bench.run()

    assert bench.run(on_progress=second).inserted == 100


@everywhere()
def test_f21_a_run_whose_lease_was_taken_writes_nothing_more(make: Make) -> None:
    """A run frozen past its lease finds a newer epoch and stops before its next write."""
    bench = make(100)

    def stolen(_: Any) -> None:
        with opened(bench.project, "people") as run, run.target.begin(run.spec) as tx:
            row = tx.state()
            assert row is not None
            tx.put_state(
                epoch=row.epoch + 1,
                holder="thief",
                lease_seconds=60,
                document=row.document,
                expected_epoch=row.epoch,
            )
            tx.commit()

    with pytest.raises(ledger.LeaseLost, match="taken by thief"):
        bench.run(batch_size=10, on_progress=stolen)
    assert len(bench.target.rows()) == 10


def test_the_lease_of_a_dead_process_of_this_machine_need_not_run_out(make: Make) -> None:
    """After kill -9 the next run starts at once."""
    bench = make(100)
    subprocess.run(
        [sys.executable, "-c", KILLED, str(bench.folder), "60"], check=False, capture_output=True
    )
    assert bench.run().status == "ok"


# --- changed mappings ---


@everywhere()
def test_f54_a_changed_expression_is_written_without_a_storm_of_conflicts(make: Make) -> None:
    """The rebase writes the new expression where the target was not edited, and keeps edits of
    other fields.
    """
    bench = make(50, rest="conflicts: manual\n")
    bench.run()
    bench.target.edit(3, city="Edited")
    bench.write(
        fields=FIELDS.replace("name: name", "name: upper(name)"), rest=DELTA + "conflicts: manual\n"
    )
    rebased = bench.run()
    assert (rebased.mode, rebased.updated, rebased.conflicts) == ("full", 50, 0)
    rows = bench.target.rows()
    assert rows[3]["name"] == "PERSON 3"
    assert rows[3]["city"] == "Edited"


@everywhere(SQL)
def test_f54_a_ledger_that_begins_later_meets_every_record_first(make: Make) -> None:
    """A run that kept none left no baselines: the next is full, so that edits after it are told
    from each other; and once is enough.
    """
    bench = make(10, rest="conflicts: source\n")
    bench.run()
    bench.write(rest=DELTA + "conflicts: merge\n")
    assert plan(bench.project, bench.name).mode == "full"
    assert (bench.run().mode, bench.run().mode) == ("full", "delta")
    bench.source.edit(3, name="From source", updated_at=now())
    bench.target.edit(3, city="From target")
    merged = bench.run()
    assert (merged.mode, merged.updated, merged.conflicts) == ("delta", 1, 0)
    record = bench.target.rows()[3]
    assert (record["name"], record["city"]) == ("From source", "From target")
    bench.write(rest=DELTA + "conflicts: source\n")
    assert bench.run().mode == "delta"


def test_f54_a_field_added_to_the_mapping_is_filled(make: Make) -> None:
    """The new field was NULL on the target: it is written, and nothing contests."""
    bench = make(50, rest="conflicts: manual\n", fields=FIELDS.replace("  city: city\n", ""))
    bench.run()
    bench.target.sql("alter table copy add column city text")
    bench.write(rest=DELTA + "conflicts: manual\n")
    rebased = bench.run()
    assert rebased.conflicts == 0
    assert in_step(bench)


@everywhere()
def test_f52_a_record_that_leaves_where_is_gone(make: Make) -> None:
    """It was read, and does not satisfy `where` any more: its copy is deleted; one never in scope
    never arrives.
    """
    bench = make(20, rest="deletes: {mode: mirror, guard: 50%}\nwhere: \"city = 'Rome'\"\n")
    bench.run()
    assert set(bench.target.rows()) == {key for key in range(20) if key % 3}
    bench.source.edit(1, city="Bonn", updated_at=now())
    assert bench.run().deleted == 1
    assert 1 not in bench.target.rows()


# --- dead letters ---


@everywhere()
def test_f25_one_poison_record_in_a_thousand_becomes_a_dead_letter(make: Make) -> None:
    """999 land; the one is kept whole with its error, and lands by itself once mended at the
    source.
    """
    fields = FIELDS.replace("name: name", 'name: {sql: "CAST(name AS BIGINT)", type: bigint}')
    bench = make(0, fields=fields, rest="conflicts: merge\n")
    bench.source.put(
        *(person(key, name="poison" if key == 500 else str(key)) for key in range(1000))
    )
    first = bench.run()
    assert (first.inserted, first.dead_letters, first.status) == (999, 1, "waiting")
    with Store.open(bench.project.store_url) as store:
        (letter,) = store.dead_letters("people")
    assert (letter.ledger_key, letter.source["name"]) == ("500", "poison")
    assert "poison" in letter.error
    bench.source.edit(500, name="500")
    assert decide.replay(bench.project, "people").inserted == 1
    with Store.open(bench.project.store_url) as store:
        assert not store.dead_letters("people")
    assert len(bench.target.rows()) == 1000


def test_too_many_dead_letters_fail_the_run_loudly(make: Make) -> None:
    """Past the limit it is the mapping that is wrong, not the records."""
    fields = FIELDS.replace("name: name", 'name: {sql: "CAST(name AS BIGINT)", type: bigint}')
    bench = make(50, fields=fields, rest="dead_letters: {limit: 10}\n")
    with pytest.raises(TooManyDeadLetters, match="more than 10"):
        bench.run()


# --- checkpoints and backfills ---


def test_a_rewound_checkpoint_is_read_from_again(make: Make) -> None:
    """Without an instant the mapping begins anew; with one it goes back to what a run of then
    had left.
    """
    bench = make(10)
    first = bench.run()
    assert first.checkpoint is not None
    bench.source.put(person(50, updated_at=now()))
    assert bench.run().inserted == 1
    bench.target.sql("delete from copy where id = 50")
    checkpoint.rewind(bench.project, "people", datetime.fromisoformat(first.checkpoint))
    assert bench.run().inserted == 1
    checkpoint.rewind(bench.project, "people")
    anew = bench.run()
    assert (anew.mode, anew.read, anew.unchanged) == ("full", 11, 11)


def test_a_backfill_reads_its_window_and_leaves_the_checkpoint_alone(make: Make) -> None:
    """`[from, to)` by key: the records of the window are brought in step, no other."""
    bench = make(100)
    bench.run()
    before = checkpoint.show(bench.project, "people")
    bench.target.sql("delete from copy where id between 10 and 30")
    done = bench.run(mode="backfill", window=Range("key", "10", "20"))
    assert (done.read, done.inserted) == (10, 10)
    assert checkpoint.show(bench.project, "people")["position"] == before["position"]


# --- refused before the first write ---


@pytest.mark.parametrize(
    ("fields", "rest", "said"),
    [
        (FIELDS + "  other: nowhere\n", "", "nowhere"),
        (FIELDS.replace("name: name", "name: {from: name, type: varchar2}"), "", "varchar2"),
        (FIELDS, "conflicts: newest\n", "newest"),
        (FIELDS, "deletez: mirror\n", "deletez"),
    ],
)
def test_bad_input_is_told_with_its_place_before_anything_is_written(
    fields: str, rest: str, said: str, make: Make
) -> None:
    """An unknown column, type, strategy or key of the file: exit code 2, nothing made."""
    bench = make(10, fields=fields, rest=rest)
    with pytest.raises(InputError, match=said) as caught:
        bench.run()
    assert caught.value.exit_code == 2
    assert not bench.target.sql("select name from sqlite_master")


def test_a_key_that_is_not_unique_is_refused(make: Make) -> None:
    """Two records with one key can't both be kept: told before the first write."""
    bench = make(10)
    path = bench.folder / "mappings" / "people.yaml"
    path.write_text(path.read_text().replace("key: {id: id}", "key: {id: city}"))
    with pytest.raises(MappingErrors, match="unique"):
        bench.run()


def test_soft_deletes_into_a_table_that_the_run_creates(make: Make) -> None:
    """The mark's column is made with the table; gone records are marked, and come back unmarked."""
    bench = make(20, rest="deletes: {mode: soft, column: deleted_at, guard: 50%}\n")
    bench.run()
    bench.source.remove(3)
    assert bench.run().deleted == 1
    assert bench.target.sql("select id from copy where deleted_at is not null") == [(3,)]
    bench.source.put(person(3, updated_at=now()))
    assert bench.run().inserted == 1
    assert in_step(bench)
    assert bench.target.sql("select id from copy where deleted_at is not null") == []


@everywhere()
def test_f25_a_dead_letter_of_a_mapping_without_a_ledger_goes_when_its_record_lands(
    make: Make,
) -> None:
    """Mended at the source, it comes with the next delta and leaves the list by itself."""
    fields = FIELDS.replace("name: name", 'name: {sql: "CAST(name AS BIGINT)", type: bigint}')
    bench = make(0, fields=fields)
    bench.source.put(*(person(key, name="poison" if key == 5 else str(key)) for key in range(10)))
    assert bench.run().dead_letters == 1
    bench.source.edit(5, name="500", updated_at=now())
    summary = bench.run()
    assert (summary.inserted, summary.status) == (1, "ok")


def test_deletes_without_a_ledger_need_the_word_exclusive(make: Make) -> None:
    """Else the target's own records could not be told from ours."""
    bench = make(10, rest="deletes: mirror\nconflicts: {detect: none}\n")
    with pytest.raises(MappingErrors, match="exclusive: true"):
        bench.run()
    bench.write(
        rest=DELTA
        + "deletes: {mode: mirror, guard: 50%}\nexclusive: true\nconflicts: {detect: none}\n"
    )
    bench.run()
    bench.source.remove(2)
    bench.target.put(person(99))
    assert bench.run().deleted == 2
    assert in_step(bench)


def test_a_backfill_does_not_move_a_full_sync_that_is_unfinished(make: Make) -> None:
    """Killed after six batches, then a backfill of the end: the full sync keeps its own place."""
    bench = make(100)
    command = [sys.executable, "-c", KILLED, str(bench.folder), "60"]
    subprocess.run(command, check=False, capture_output=True)
    assert bench.run(mode="backfill", window=Range("key", "90", "100")).inserted == 10
    assert bench.run().read == 40
    assert in_step(bench)
