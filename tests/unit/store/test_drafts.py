"""Refused decisions in the control store: kept for who made them, until they decide or discard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syncline.store import Draft, Store
from syncline.store import drafts as module

Make = Callable[..., Any]


@pytest.fixture
def queued(store: Store, waiting: Make) -> list[int]:
    """The numbers of three conflicts."""
    store.queue([waiting(key) for key in (1, 2, 3)])
    return sorted(entry.id for entry in store.conflicts())


def draft(conflict: int, note: str = "") -> Draft:
    texts = {"email": "own\0@x", "name": None}
    return Draft(conflict, "values", {"id": "source"}, texts, note, "it has moved")


def test_a_draft_outlives_the_store_that_kept_it(
    store: Store, store_url: str, queued: list[int]
) -> None:
    """As it was chosen, for its user alone; the newer one of a conflict counts."""
    first = draft(queued[0], "thought about it")
    store.drafts.keep("ann", draft(queued[0], "at first"))
    store.drafts.keep("ann", first)
    store.drafts.keep("ann", draft(queued[1]))
    with Store.open(store_url) as again:
        assert again.drafts.of("ann", queued[0]) == first
        assert [one.conflict for one in again.drafts.by("ann")] == [queued[1], queued[0]]
        assert again.drafts.of("bob", queued[0]) is None
        assert again.drafts.by("bob") == []


def test_a_draft_goes_once_its_user_decides_or_discards_it(
    store: Store, queued: list[int], decision: Make
) -> None:
    """Whichever way they decide, one or many; what another decides leaves it."""
    for number in queued:
        store.drafts.keep("ann", draft(number))
        store.drafts.keep("bob", draft(number))
    store.decide(queued[0], decision(store.conflict(queued[0])))
    seen = {number: store.conflict(number).version for number in queued[1:2]}
    store.decide_all(seen, decision)
    assert [one.conflict for one in store.drafts.by("ann")] == queued[2:]
    assert store.drafts.drop("ann", queued[2])
    assert not store.drafts.drop("ann", queued[2])
    assert store.drafts.by("ann") == []
    assert len(store.drafts.by("bob")) == 3


def test_the_oldest_drafts_of_a_user_give_way(
    store: Store, queued: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that is refused for ever does not fill the store."""
    monkeypatch.setattr(module, "MOST", 2)
    store.drafts.keep("bob", draft(queued[0]))
    for number in queued:
        store.drafts.keep("ann", draft(number))
    assert [one.conflict for one in store.drafts.by("ann")] == [queued[2], queued[1]]
    assert len(store.drafts.by("bob")) == 1
