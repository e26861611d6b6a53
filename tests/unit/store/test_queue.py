"""Conflicts in the control store: queued once, decided once, never lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from syncline.conflict import Kind
from syncline.errors import InputError, RunFailed
from syncline.store import Decision, Entry, Event, State, Store, Waiting

Make = Callable[..., Waiting]
Decide = Callable[..., Decision]


def only(store: Store) -> Entry:
    entries = store.conflicts()
    assert len(entries) == 1
    return entries[0]


def told(store: Store, entry: Entry) -> list[Event]:
    return [event.event for event in store.history(entry.id)]


def test_a_queued_conflict_is_shown_whole(store: Store, waiting: Make) -> None:
    """All that a person needs to decide comes back as the run saw it."""
    given = waiting(7)
    store.queue([given])
    entry = only(store)
    assert entry.state is State.OPEN
    assert entry.conflict == given.conflict
    assert (entry.ledger_key, entry.source_prints, entry.target_prints) == ("7", "s1", "t1")
    assert (entry.run_id, entry.reason, entry.decision) == ("run-1", given.reason, None)
    assert entry == store.conflict(entry.id)
    assert told(store, entry) == [Event.OPENED]


def test_what_goes_together_is_kept_and_a_new_group_refreshes(store: Store, waiting: Make) -> None:
    """A mapping that gets a group later shows it with what waits already."""
    store.queue([waiting()])
    assert only(store).together == ()
    given = waiting()
    group = frozenset({"email", "name"})
    store.queue([replace(given, conflict=replace(given.conflict, together=(group,)))])
    entry = only(store)
    assert entry.together == entry.conflict.together == (group,)
    assert told(store, entry) == [Event.OPENED, Event.REFRESHED]


def test_the_same_conflict_again_changes_nothing(store: Store, waiting: Make) -> None:
    """A batch delivered twice, also by another run, leaves the entry as it was."""
    store.queue([waiting()])
    before = only(store)
    store.queue([waiting(), waiting(run_id="run-2")])
    assert only(store) == before
    assert told(store, before) == [Event.OPENED]


def test_a_later_change_refreshes_the_open_entry(store: Store, waiting: Make) -> None:
    """The entry keeps its id, shows the new images, and its history keeps those from before."""
    store.queue([waiting()])
    first = only(store)
    store.queue([waiting(source="newer@x", prints="2", run_id="run-2")])
    entry = only(store)
    assert entry.id == first.id
    assert entry.source is not None
    assert entry.source["email"] == "newer@x"
    assert (entry.source_prints, entry.run_id) == ("s2", "run-2")
    assert entry.created_at == first.created_at
    assert told(store, entry) == [Event.OPENED, Event.REFRESHED]
    assert store.history(entry.id)[1].source == first.source


def test_of_a_key_given_twice_in_one_call_the_later_counts(store: Store, waiting: Make) -> None:
    """One call never makes two entries of a key."""
    store.queue([waiting(), waiting(source="last@x", prints="3")])
    assert only(store).source_prints == "s3"


def test_keys_and_mappings_are_kept_apart(store: Store, waiting: Make) -> None:
    """The same key in another mapping, and keys that differ in case or NUL, are others."""
    store.queue([waiting(), waiting(mapping="orders")])
    names = ["a", "A", "a ", "a\0", "\ud800", "x" * 10_000]
    store.queue([replace(waiting(), ledger_key=name) for name in names])
    assert len(store.conflicts(mapping="customers")) == 1 + len(names)
    assert store.waiting("customers", names).keys() == set(names)
    assert store.waiting("orders", names) == {}


def test_a_decision_takes_the_entry_out_of_the_open(
    store: Store, waiting: Make, decision: Decide
) -> None:
    """It is decided, carries the decision, and is handed to whoever writes it."""
    store.queue([waiting(1), waiting(2)])
    entry = store.waiting("customers", ["1"])["1"]
    made = decision(entry, "merge", values={"email": "both@x"}, note="asked Bob")
    after = store.decide(entry.id, made)
    assert after.state is State.DECIDED
    assert after.decision == made
    assert store.decided("customers") == [after]
    assert [e.ledger_key for e in store.conflicts(state=State.OPEN)] == ["2"]
    assert told(store, entry) == [Event.OPENED, Event.DECIDED]


def test_a_decision_on_images_that_have_moved_is_refused(
    store: Store, waiting: Make, decision: Decide
) -> None:
    """What the person saw is not what is there: nothing is decided."""
    store.queue([waiting()])
    seen = only(store)
    store.queue([waiting(target="edited@x", prints="2")])
    with pytest.raises(InputError, match="has moved since it was shown"):
        store.decide(seen.id, decision(seen))
    assert only(store).state is State.OPEN


def test_a_conflict_is_decided_once(store: Store, waiting: Make, decision: Decide) -> None:
    """Of two people who decide at once the second is told, and the first decision stands."""
    store.queue([waiting()])
    seen = only(store)
    answers: list[str] = []

    def person(take: str) -> None:
        try:
            store.decide(seen.id, decision(seen, take))
            answers.append(take)
        except InputError:
            answers.append("refused")

    people = [threading.Thread(target=person, args=(take,)) for take in ("source", "target")]
    for one in people:
        one.start()
    for one in people:
        one.join()
    assert "refused" in answers
    assert only(store).decision is not None
    assert only(store).decision == decision(
        seen, next(take for take in answers if take != "refused")
    )


def test_undo_takes_the_decision_back(store: Store, waiting: Make, decision: Decide) -> None:
    """The entry is open again, and its history still knows what was decided."""
    store.queue([waiting()])
    made = decision(only(store))
    store.decide(only(store).id, made)
    entry = store.undo(only(store).id)
    assert (entry.state, entry.decision) == (State.OPEN, None)
    assert store.history(entry.id)[-1].decision == made
    with pytest.raises(InputError, match="no decision to take back"):
        store.undo(entry.id)


def test_a_decided_conflict_seen_again_unmoved_stays_decided(
    store: Store, waiting: Make, decision: Decide
) -> None:
    """A run that could not yet write the decision does not undo it."""
    store.queue([waiting()])
    store.decide(only(store).id, decision(only(store)))
    store.queue([waiting(run_id="run-2")])
    assert only(store).state is State.DECIDED


def test_a_decided_conflict_whose_sides_moved_is_open_again(
    store: Store, waiting: Make, decision: Decide
) -> None:
    """The decision was made on something else: it went stale, and the new images wait."""
    store.queue([waiting()])
    made = decision(only(store))
    store.decide(only(store).id, made)
    store.queue([waiting(source="newer@x", prints="2", run_id="run-2")])
    entry = only(store)
    assert (entry.state, entry.decision, entry.source_prints) == (State.OPEN, None, "s2")
    assert told(store, entry) == [Event.OPENED, Event.DECIDED, Event.STALE, Event.REOPENED]
    assert store.history(entry.id)[2].decision == made


def test_a_stale_conflict_waits_for_a_fresh_look(
    store: Store, waiting: Make, decision: Decide
) -> None:
    """It can't be decided on what it shows; queued again it can, even with the same images."""
    store.queue([waiting()])
    store.decide(only(store).id, decision(only(store)))
    store.mark_stale([only(store).id], "run-2", "the target was edited")
    entry = only(store)
    assert (entry.state, entry.decision) == (State.STALE, None)
    with pytest.raises(InputError, match="is stale"):
        store.decide(entry.id, decision(entry))
    store.queue([waiting(run_id="run-3")])
    assert only(store).state is State.OPEN
    assert told(store, entry)[2:] == [Event.STALE, Event.REOPENED]


def test_an_applied_conflict_is_over_and_a_new_one_is_another(
    store: Store, waiting: Make, decision: Decide
) -> None:
    """The old entry stays as it was decided; the same record's next conflict has its own id."""
    store.queue([waiting()])
    first = store.decide(only(store).id, decision(only(store)))
    store.mark_applied([first], "run-2")
    store.mark_applied([first], "run-2")
    assert store.waiting("customers", ["1"]) == {}
    store.queue([waiting(prints="9")])
    newest, oldest = store.conflicts()
    assert newest.id != oldest.id
    assert (newest.state, oldest.state) == (State.OPEN, State.APPLIED)
    assert oldest.decision == first.decision
    assert told(store, oldest) == [Event.OPENED, Event.DECIDED, Event.APPLIED]


def test_only_a_decided_conflict_can_be_applied(store: Store, waiting: Make) -> None:
    """A decision taken back in the meantime is not marked as written."""
    store.queue([waiting()])
    store.mark_applied([only(store)], "run-2")
    assert only(store).state is State.OPEN


def test_a_decision_taken_back_while_it_was_written_is_applied(
    store: Store, waiting: Make, decision: Decide
) -> None:
    """It is on the target; one that was made anew meanwhile is another, and waits."""
    store.queue([waiting(1), waiting(2)])
    both = store.conflicts()
    read = [store.decide(entry.id, decision(entry)) for entry in both]
    store.undo_all([entry.id for entry in both])
    again = store.decide(both[1].id, decision(both[1]))
    store.mark_applied(read[:1], "run-2")
    assert store.conflict(both[0].id).decision == read[0].decision
    assert store.conflict(both[0].id).state is State.APPLIED
    assert "too late" in store.history(both[0].id)[-1].note
    assert store.conflict(again.id).state is State.DECIDED


def test_sides_that_agree_by_themselves_leave_the_queue(store: Store, waiting: Make) -> None:
    """There is nothing left to decide; said twice it is so once."""
    store.queue([waiting(1), waiting(2)])
    one = store.waiting("customers", ["1"])["1"]
    for _ in range(2):
        store.supersede("customers", ["1", "99"], "run-2", "target took the value")
    assert store.waiting("customers", ["1", "2"]).keys() == {"2"}
    assert [entry.ledger_key for entry in store.conflicts(state=State.SUPERSEDED)] == ["1"]
    assert told(store, one) == [Event.OPENED, Event.SUPERSEDED]


def test_a_decision_that_landed_is_applied_not_superseded(
    store: Store, waiting: Make, decision: Decide
) -> None:
    """The commit that writes a decision makes the sides agree: that is not by themselves."""
    store.queue([waiting()])
    entry = store.decide(only(store).id, decision(only(store)))
    store.supersede("customers", ["1"], "run-2", "the two sides agree")
    store.mark_applied([entry], "run-2")
    assert only(store).state is State.APPLIED


def test_the_list_is_filtered(store: Store, waiting: Make) -> None:
    """By mapping, kind, state and contested field; a field is found by its exact name."""
    store.queue([
        waiting(1, contested={"email"}),
        waiting(2, contested={"email_2", "Email"}),
        waiting(3, contested={'a "quoted"', "a\nb", "50%"}),
        waiting(4, target=None, kind=Kind.DELETE_UPDATE, contested=()),
        waiting(5, mapping="orders"),
    ])  # fmt: skip

    def keys(**given: Any) -> list[str]:
        return sorted(entry.ledger_key for entry in store.conflicts(**given))

    assert keys(mapping="orders") == ["5"]
    assert keys(kind=Kind.DELETE_UPDATE) == ["4"]
    assert keys(field="email", mapping="customers") == ["1"]
    assert keys(field="Email") == ["2"]
    assert keys(field='a "quoted"') == ["3"]
    assert keys(field="a\nb") == ["3"]
    assert keys(field="50%") == ["3"]
    assert keys(field="quoted") == []
    assert keys(state=State.DECIDED) == []
    assert [entry.ledger_key for entry in store.conflicts(limit=2, offset=1)] == ["4", "3"]


def test_what_is_not_there_is_named(store: Store) -> None:
    """An unknown id is the user's mistake, with the command that lists the known ones."""
    with pytest.raises(InputError, match="no conflict 12") as caught:
        store.conflict(12)
    assert caught.value.hint == "syncline conflicts list"


def test_counts_say_what_waits(store: Store, waiting: Make, decision: Decide) -> None:
    """Open and stale for a person, decided for a run; other mappings are not counted."""
    store.queue([waiting(n) for n in range(4)] + [waiting(mapping="orders")])
    for key in ("0", "1"):
        entry = store.waiting("customers", [key])[key]
        store.decide(entry.id, decision(entry))
    store.mark_stale([store.waiting("customers", ["0"])["0"].id], "run-2")
    store.supersede("customers", ["3"], "run-2")
    counts = store.counts("customers")
    assert (counts.open_conflicts, counts.decided, counts.dead_letters) == (2, 1, 0)
    assert store.counts("nothing").open_conflicts == 0


def test_a_call_that_fails_stores_nothing(store: Store, waiting: Make) -> None:
    """A value that can't be kept is loud, and the others of its call are not half there."""
    with pytest.raises((RunFailed, TypeError)):
        store.queue([waiting(1), waiting(2, source=object())])
    assert store.conflicts() == []


def test_two_writers_of_the_same_keys_make_one_entry_each(store_url: str, waiting: Make) -> None:
    """A run and a redelivery of its batch at the same time leave one live entry a key."""
    stores = [Store.open(store_url) for _ in range(3)]
    failures: list[BaseException] = []

    def write(store: Store, run: int) -> None:
        try:
            store.queue([waiting(n, prints=str(run), run_id=f"run-{run}") for n in range(300)])
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=write, args=(s, n)) for n, s in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(stores[0].conflicts(limit=10_000)) == 300
    for store in stores:
        store.close()


def test_many_conflicts_are_queued_in_few_statements(store: Store, waiting: Make) -> None:
    """First contact with a large table does not wait for it; a second look writes nothing."""
    many = [waiting(n) for n in range(5_000)]
    with statements(store) as first:
        store.queue(many)
    with statements(store) as second:
        store.queue(many)
    assert store.counts("customers").open_conflicts == 5_000
    assert len(first) < len(many) / 100
    assert not [one for one in second if not one.startswith(("SELECT", "BEGIN"))]


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """What is sent to the store's database; one that takes many rows is one."""
    sent: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement.lstrip())

    engine = store._engine  # the work is what is measured
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_a_conflict_seen_again_for_another_reason_is_the_same(
    store: Store, waiting: Callable[..., Waiting]
) -> None:
    """Its version stands, so a decision on what was shown is not refused."""
    store.queue([waiting()])
    before = store.conflicts()[0]
    store.queue([replace(waiting(), reason="the key waits for a person")])
    assert store.conflicts()[0] == before
    assert [event.event for event in store.history(before.id)] == [Event.OPENED]
