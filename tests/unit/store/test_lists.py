"""Finding conflicts: by filter, in pages, counted, and deciding many of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncline.conflict import Kind
from syncline.errors import DecisionRefused, InputError
from syncline.review.bulk import decide, maker, preview, seen_in, selection_of
from syncline.review.queue import Choice
from syncline.store import Decision, Event, Filter, Sort, State, Store, Waiting

Make = Callable[..., Waiting]
Decide = Callable[..., Decision]


@pytest.fixture
def filled(store: Store, waiting: Make) -> Store:
    """Six conflicts: five of customers, of which one is decided, and one of orders."""
    store.queue([waiting(key, source=f"new{key}@X.org") for key in (1, 2, 3)])
    store.queue([waiting(4, kind=Kind.FIRST_CONTACT, contested={"email", "name"})])
    store.queue([waiting(5, source=None, kind=Kind.UPDATE_DELETE, contested=set())])
    store.queue([waiting(6, mapping="orders", source="Zoë Ωmega")])
    entry = store.conflict(2)
    prints = (entry.source_prints, entry.target_prints)
    store.decide(2, Decision("source", "ann", datetime.now(UTC), *prints))
    return store


def ids(store: Store, where: Filter, **given: Any) -> list[int]:
    return [line.id for line in store.conflict_page(where, **given).lines]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (Filter(), [6, 5, 4, 3, 2, 1]),
        (Filter(mapping="orders"), [6]),
        (Filter(state=(State.DECIDED,)), [2]),
        (Filter(state=None, kind=Kind.FIRST_CONTACT), [4]),
        (Filter(field="name"), [4]),
        (Filter(text="NEW2@x"), [2]),
        (Filter(text="zoë ωMEGA"), [6]),
        (Filter(text="zoë new2"), []),
        (Filter(text="100%_"), []),
        (Filter(ids=(3, 5)), [5, 3]),
        (Filter(until=datetime.now(UTC) - timedelta(days=1)), []),
        (Filter(since=datetime.now(UTC) - timedelta(days=1), mapping="orders"), [6]),
    ],
)  # fmt: skip
def test_a_filter_finds_what_all_its_parts_hold_for(
    filled: Store, where: Filter, found: list[int]
) -> None:
    """By mapping, state, field, kind, age, number, and words of any case and script."""
    assert ids(filled, where) == found
    assert filled.conflict_page(where, limit=1).total == len(found)
    assert [entry.id for entry in filled.each_conflict(where)] == sorted(found)
    assert filled.conflict_tally(where).total == len(found)


@pytest.mark.parametrize(
    ("sort", "found"),
    [
        ("newest", [6, 5, 4, 3, 2, 1]), ("oldest", [1, 2, 3, 4, 5, 6]),
        ("updated", [2, 6, 5, 4, 3, 1]), ("mapping", [5, 4, 3, 2, 1, 6]),
        ("kind", [6, 3, 2, 1, 4, 5]), ("key", [1, 2, 3, 4, 5, 6]),
    ],
)  # fmt: skip
def test_a_list_is_sorted_and_paged(filled: Store, sort: Sort, found: list[int]) -> None:
    """Page by page it is the whole list, once."""
    first = filled.conflict_page(Filter(), sort=sort, limit=4)
    last = filled.conflict_page(Filter(), sort=sort, limit=4, offset=4)
    assert [line.id for line in (*first.lines, *last.lines)] == found
    assert (first.more, last.more, last.total) == (True, False, 6)


def test_a_tally_counts_by_every_part_of_a_filter(filled: Store) -> None:
    """A conflict over two fields counts for both."""
    found = filled.conflict_tally(Filter())
    assert found.by_state == {"open": 5, "decided": 1}
    assert found.by_mapping == {"customers": 5, "orders": 1}
    assert found.by_kind == {"both_changed": 4, "first_contact": 1, "update_delete": 1}
    assert found.by_field == {"email": 5, "name": 1}


def test_a_line_says_who_decided(filled: Store) -> None:
    """And has no records, which a list has no use for."""
    (line,) = filled.conflict_page(Filter(state=(State.DECIDED,))).lines
    assert (line.decided_by, line.contested, line.key) == ("ann", {"email"}, {"id": 2})


def test_masked_values_are_not_found_by_text(store: Store, waiting: Make) -> None:
    """A search would tell them, one guess after the other."""
    from dataclasses import replace

    store.queue([replace(waiting(1, source="secret@x"), masked=frozenset({"email"}))])
    assert ids(store, Filter(text="secret")) == []
    assert ids(store, Filter(text="ann")) == [1]


# --- optimistic decisions ---


def test_of_two_decisions_on_one_conflict_the_second_is_refused(
    store: Store, waiting: Make, decision: Decide
) -> None:
    """It is told who decided, and can still be read by whoever made it."""
    store.queue([waiting()])
    entry = store.conflict(1)
    store.decide(1, decision(entry), version=entry.version)
    with pytest.raises(DecisionRefused, match="is decided by ann"):
        store.decide(1, decision(entry, "target"), version=entry.version)
    assert store.conflict(1).decision == decision(entry)


def test_a_decision_on_an_older_version_is_refused(
    store: Store, waiting: Make, decision: Decide
) -> None:
    """Decided and undone in between: the person has not seen that."""
    store.queue([waiting()])
    entry = store.conflict(1)
    store.decide(1, decision(entry))
    store.undo(1, user="bea")
    with pytest.raises(DecisionRefused, match="has changed since it was shown"):
        store.decide(1, decision(entry), version=entry.version)
    assert store.history(1)[-1].by == "bea"


def test_of_many_who_decide_at_once_exactly_one_is_taken(
    store: Store, waiting: Make, decision: Decide
) -> None:
    """Eight threads, one conflict: one decision, seven refusals, one event in its history."""
    from concurrent.futures import ThreadPoolExecutor

    store.queue([waiting()])
    entry = store.conflict(1)

    def one(number: int) -> bool:
        try:
            store.decide(1, decision(entry, note=str(number)), version=entry.version)
        except DecisionRefused:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(8))) == 1
    assert [event.event for event in store.history(1)] == [Event.OPENED, Event.DECIDED]


# --- bulk ---


def nothing_masked(_: str) -> frozenset[str]:
    return frozenset()


def of(choice: Choice) -> Any:
    return maker(choice, user="bea", at=datetime(2026, 1, 2, tzinfo=UTC))


def test_a_preview_says_what_would_be_written_and_writes_nothing(filled: Store) -> None:
    """By effect, field and mapping; the decided one is not in it."""
    found = preview(filled, Filter(mapping="customers"), of(Choice("source")), nothing_masked)
    assert (found.total, found.actions) == (4, {"update": 3, "delete": 1})
    assert found.fields == {"email": 3}
    assert found.samples[0].changes == {"email": ("old@x", "new1@X.org")}
    assert filled.conflict_tally(Filter(state=(State.OPEN,))).total == 5


def test_a_preview_hides_what_is_masked(filled: Store) -> None:
    """In the changes and in the record afterwards."""
    found = preview(filled, Filter(ids=(1,)), of(Choice("source")), lambda _: {"email"})
    assert found.samples[0].changes == {"email": ("•••", "•••")}
    assert found.samples[0].after == {"id": 1, "email": "•••", "name": "Ann"}


def test_a_preview_counts_what_cannot_be_decided_so(filled: Store) -> None:
    """A side of a field needs two sides: the record that is gone is left, and told why."""
    choice = of(Choice("merge", sides={"email": "target"}))
    found = preview(filled, Filter(mapping="customers"), choice, nothing_masked)
    assert (found.total, list(found.refused.values())) == (3, [1])
    assert "the source is gone" in next(iter(found.refused))


def test_a_bulk_decision_takes_what_was_previewed_and_nothing_else(
    filled: Store, waiting: Make, decision: Decide
) -> None:
    """What changed since is refused, what came since is not touched; again it does nothing."""
    make = of(Choice("source"))
    found = preview(filled, Filter(mapping="customers"), make, nothing_masked)
    filled.decide(1, decision(filled.conflict(1), "target"))  # somebody else was faster
    filled.queue([waiting(3, source="newer@x", prints="9"), waiting(7)])
    done = decide(filled, found.selection, make)
    assert done.by_mapping == {"customers": (4, 5)}
    assert set(done.refused) == {1, 3}
    assert "is decided by ann" in done.refused[1]
    assert "has changed" in done.refused[3]
    assert filled.conflict(7).state is State.OPEN
    assert filled.conflict(4).decision is not None
    again = decide(filled, found.selection, make)
    assert (again.count, set(again.refused)) == (0, {1, 3, 4, 5})
    assert [event.event for event in filled.history(4)] == [Event.OPENED, Event.DECIDED]


def test_bulk_decisions_are_undone_together(filled: Store) -> None:
    """What is written meanwhile stays."""
    make = of(Choice("target"))
    decide(filled, preview(filled, Filter(), make, nothing_masked).selection, make)
    filled.mark_applied([filled.conflict(1)], "run-2")
    assert filled.undo_all([1, 3, 4], user="bea") == [3, 4]
    assert filled.conflict(3).decision is None


@pytest.mark.parametrize("seen", [{}, {1: 1}, {7: 2, 3: 1, 1_000_000: 40}])
def test_a_selection_reads_back_as_it_was(seen: dict[int, int]) -> None:
    """Numbers and versions."""
    assert seen_in(selection_of(seen)) == seen


@pytest.mark.parametrize("text", ["", "nonsense", "AAAA", "é", selection_of({1: 1})[:-4]])
def test_what_is_no_selection_is_refused(text: str) -> None:
    """Cut, or made up."""
    with pytest.raises(InputError, match="no selection"):
        seen_in(text)


def queue_many(store: Store, waiting: Make, keys: Iterable[int]) -> None:
    store.queue([waiting(key, mapping=f"m{key % 7}") for key in keys])


@pytest.mark.slow
def test_ten_thousand_conflicts_are_listed_filtered_and_decided(
    store: Store, waiting: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page is far below the reading of all records; one bulk decision takes each exactly once."""
    import time

    queue_many(store, waiting, range(10_000))
    times: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = work()
        times[name] = time.perf_counter() - began
        return found

    page = timed("page", lambda: store.conflict_page(Filter()))
    assert page.total == 10_000
    assert timed("mapping", lambda: store.conflict_page(Filter(mapping="m3"))).total == 1_429
    assert timed("text", lambda: store.conflict_page(Filter(text="9999"))).total == 1
    assert timed("field", lambda: store.conflict_page(Filter(field="email"))).total == 10_000
    timed("deep", lambda: store.conflict_page(Filter(), sort="key", offset=9_900))
    timed("tally", lambda: store.conflict_tally(Filter()))
    make = of(Choice("source"))
    found = timed("preview", lambda: preview(store, Filter(), make, nothing_masked))
    assert found.total == 10_000
    done = timed("decide", lambda: decide(store, found.selection, make))
    assert (done.count, done.refused) == (10_000, {})
    assert len(found.selection) < 20_000
    told = {name: round(seconds, 3) for name, seconds in times.items()}
    with capsys.disabled():
        print(told)  # noqa: T201 - what was measured, for whoever runs it
