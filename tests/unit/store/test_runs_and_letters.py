"""Runs, chunks of backfills, dead letters and the audit log in the control store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from syncline.errors import InputError
from syncline.store import AuditEntry, Chunk, DeadLetter, Decision, Store, Waiting


def letter(key: str | None = "1", **given: Any) -> DeadLetter:
    made = DeadLetter(
        mapping="customers",
        ledger_key=key,
        source={"id": key, "balance": Decimal("1e400"), "blob": b"\0\xff"},
        error="out of range\0",
        stage="map",
        run_id="run-1",
        field="balance",
    )
    return replace(made, **given)


def test_a_run_is_known_from_its_start(store: Store) -> None:
    """It runs until it is finished; then it has its status and what it did."""
    run_id = store.start_run("customers", "full", trigger="dagster")
    (run,) = store.runs()
    assert (run.run_id, run.mapping, run.mode, run.trigger) == (
        run_id,
        "customers",
        "full",
        "dagster",
    )
    assert (run.status, run.finished_at, run.summary) == ("running", None, {})
    store.finish_run(run_id, "ok", {"read": 3, "seconds": 0.5, "checkpoint": None})
    (run,) = store.runs("customers")
    assert (run.status, run.summary["read"]) == ("ok", 3)
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at
    assert run.started_at.tzinfo is not None


def test_a_failed_run_keeps_its_error(store: Store) -> None:
    """Also one with characters that a database refuses."""
    run_id = store.start_run("customers", "delta")
    store.finish_run(run_id, "failed", {}, error="bad \0 value \ud800")
    (run,) = store.runs()
    assert run.error == "bad \u2400 value \\ud800"


def test_run_ids_sort_by_time_and_never_meet(store: Store) -> None:
    """Newest first by id alone, also when many start at once."""
    ids: list[str] = []

    def start() -> None:
        ids.extend(store.start_run("customers", "delta") for _ in range(20))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 80
    runs = store.runs(limit=100)
    assert [run.run_id for run in runs] == sorted(ids, reverse=True)
    assert len(store.runs(limit=5)) == 5
    assert store.runs("orders") == []


def test_a_run_that_never_began_can_not_end(store: Store) -> None:
    """An unknown run id is refused."""
    with pytest.raises(InputError, match="no run nothing"):
        store.finish_run("nothing", "ok", {})


def test_chunks_that_are_done_are_not_done_again(store: Store) -> None:
    """The same backfill goes on; another one, and another mapping, know nothing of it."""
    wanted = [Chunk("1", "10"), Chunk("10", "20"), Chunk(None, "1")]
    store.chunk_done("customers", "by key 1-20", wanted[0], "run-1")
    store.chunk_done("customers", "by key 1-20", wanted[0], "run-2")
    store.chunk_done("customers", "by key 1-20", wanted[2], "run-2")
    assert store.chunks_left("customers", "by key 1-20", wanted) == [wanted[1]]
    assert store.chunks_left("customers", "by key 1-30", wanted) == wanted
    assert store.chunks_left("orders", "by key 1-20", wanted) == wanted
    store.forget_chunks("customers", "by key 1-20")
    assert store.chunks_left("customers", "by key 1-20", wanted) == wanted


def test_a_dead_letter_is_kept_whole(store: Store) -> None:
    """The record comes back exactly as it was read."""
    store.put_dead_letters([letter()])
    (kept,) = store.dead_letters("customers")
    assert kept.source == letter().source
    assert (kept.field, kept.stage, kept.ledger_key, kept.attempts) == ("balance", "map", "1", 1)
    assert kept.error == "out of range\u2400"
    assert kept == store.dead_letter(kept.id)
    assert store.counts("customers").dead_letters == 1


def test_a_record_is_one_dead_letter_however_often_it_fails(store: Store) -> None:
    """The letter takes the newest error; a run counts once, also when its batch comes twice."""
    store.put_dead_letters([letter(), letter()])
    store.put_dead_letters([letter()])
    store.put_dead_letters([letter(run_id="run-2", error="still", stage="write")])
    (kept,) = store.dead_letters()
    assert (kept.attempts, kept.error, kept.stage, kept.run_id) == (2, "still", "write", "run-2")
    assert kept.created_at is not None
    assert kept.updated_at is not None
    assert kept.updated_at > kept.created_at


def test_without_a_key_the_record_itself_says_which_it_is(store: Store) -> None:
    """Two different records without a key are two letters; the same one is one."""
    store.put_dead_letters([letter(None), letter(None), letter(None, source={"id": None})])
    store.put_dead_letters([letter(None, run_id="run-2")])
    assert sorted(kept.attempts for kept in store.dead_letters()) == [1, 2]


def test_letters_go_when_dropped_or_replayed(store: Store) -> None:
    """By id where a person gives up, by key where the record went through; only of that mapping."""
    store.put_dead_letters([letter(str(n)) for n in range(6)] + [letter("1", mapping="orders")])
    assert store.clear_dead_letters("customers", ["1", "2", "99"]) == 2
    ids = [kept.id for kept in store.dead_letters("customers")]
    assert store.drop_dead_letters([ids[0], 10_000]) == 1
    assert len(store.dead_letters("customers")) == 3
    assert len(store.dead_letters("orders")) == 1
    with pytest.raises(InputError, match="no dead letter"):
        store.dead_letter(ids[0])


@pytest.mark.slow
def test_fifty_thousand_letters_are_kept_at_once(store: Store) -> None:
    """More than one statement can take."""
    store.put_dead_letters([letter(str(n)) for n in range(50_000)])
    assert store.counts("customers").dead_letters == 50_000
    assert store.clear_dead_letters("customers", [str(n) for n in range(50_000)]) == 50_000


def audited(**given: Any) -> AuditEntry:
    made = AuditEntry(
        mapping="customers",
        key={"id": 1},
        run_id="run-1",
        kind="both_changed",
        by="strategy latest",
        winner="target",
        loser={"email": "Old@x", "balance": Decimal("1.10")},
    )
    return replace(made, **given)


def test_the_audit_log_keeps_what_lost(store: Store) -> None:
    """Newest first, values as they were, with the time."""
    store.audit([audited(), audited(key={"id": 2}, by="ann", note="asked Bob")])
    second, first = store.audit_log("customers")
    assert (first.loser, first.by, first.winner) == (audited().loser, "strategy latest", "target")
    assert (second.by, second.note) == ("ann", "asked Bob")
    assert first.at is not None
    assert abs((datetime.now(UTC) - first.at).total_seconds()) < 60
    assert store.audit_log("orders") == []


def test_a_transaction_tried_again_is_audited_once(store: Store) -> None:
    """What a run has said is not said twice; another run says it anew."""
    store.audit([audited()])
    store.audit([audited(), audited()])
    assert len(store.audit_log()) == 1
    store.audit([audited(run_id="run-2")])
    assert len(store.audit_log()) == 2


def test_the_audit_log_is_searched(store: Store) -> None:
    """In keys, values, notes and names, in any case; wildcards are plain characters."""
    store.audit([audited(), audited(key={"id": 77}, note="100% sure")])
    assert len(store.audit_log(text="old@X")) == 2
    assert [entry.key for entry in store.audit_log(text="100%")] == [{"id": 77}]
    assert store.audit_log(text="1%0") == []
    assert len(store.audit_log(text="77")) == 1


def test_nothing_to_store_is_no_call(store: Store) -> None:
    """Empty batches are common and cost nothing."""
    store.queue([])
    store.put_dead_letters([])
    store.audit([])
    store.supersede("customers", [], "run-1")
    assert store.clear_dead_letters("customers", []) == 0
    assert store.waiting("customers", []) == {}


def test_runs_and_audit_are_read_page_by_page(store: Store) -> None:
    """`before` goes on where a page ended; nothing twice, nothing left out."""
    ids = [store.start_run("customers", "delta") for _ in range(5)]
    first = [run.run_id for run in store.runs(limit=3)]
    rest = [run.run_id for run in store.runs(limit=3, before=first[-1])]
    assert first + rest == ids[::-1]
    store.audit([audited(key={"id": number}, run_id=ids[number % 2]) for number in range(5)])
    newest = store.audit_log(limit=2)
    older = store.audit_log(limit=9, before=newest[-1].id)
    assert [entry.key["id"] for entry in [*newest, *older]] == [4, 3, 2, 1, 0]
    assert {entry.key["id"] for entry in store.audit_log(run_id=ids[1])} == {1, 3}


def test_one_run_is_found_by_its_id(store: Store) -> None:
    """Or said not to be there."""
    run_id = store.start_run("customers", "full")
    assert store.run(run_id).mode == "full"
    with pytest.raises(InputError, match="there is no run nope"):
        store.run("nope")


def test_the_pulse_moves_with_what_moved_and_only_then(
    store: Store, waiting: Callable[..., Waiting], decision: Callable[..., Decision]
) -> None:
    """Whoever shows the store asks it each second; events say what became of which conflict."""
    before = store.pulse()
    assert store.pulse() == before
    store.start_run("customers", "delta")
    runs = store.pulse()
    assert (runs.runs != before.runs, runs.conflicts) == (True, before.conflicts)
    store.put_dead_letters([letter()])
    assert store.pulse().dead_letters != runs.dead_letters
    store.audit([audited()])
    assert store.pulse().audit != runs.audit
    store.queue([waiting()])
    entry = store.conflicts()[0]
    store.decide(entry.id, decision(entry))
    moved = store.moved_since(before.conflicts)
    assert [(one.conflict, one.event, one.by) for one in moved] == [
        (entry.id, "opened", ""), (entry.id, "decided", "ann"),
    ]  # fmt: skip
    assert store.moved_since(store.pulse().conflicts) == []
