"""A control store of each kind, and the makings of what goes into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from syncline.conflict import Conflict, Kind
from syncline.store import Decision, Entry, Store, Waiting


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database for a store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/.syncline/store.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with Store.open(store_url) as opened:
        yield opened


@pytest.fixture
def waiting() -> Callable[..., Waiting]:
    """Makes a conflict over `email`, by default of record 1."""

    def make(
        key: int = 1,
        *,
        source: Any = "new@x",
        target: Any = "old@x",
        prints: str = "1",
        **given: Any,
    ) -> Waiting:
        conflict = Conflict(
            mapping=given.get("mapping", "customers"),
            key={"id": key},
            kind=given.get("kind", Kind.BOTH_CHANGED),
            source=None if source is None else {"id": key, "email": source, "name": "Ann"},
            target=None if target is None else {"id": key, "email": target, "name": "Ann"},
            contested=frozenset(given.get("contested", {"email"})),
            baseline={"email": "was@x"},
        )
        return Waiting(
            mapping=conflict.mapping,
            key=conflict.key,
            ledger_key=str(key),
            conflict=conflict,
            source_prints="s" + prints,
            target_prints="t" + prints,
            run_id=given.get("run_id", "run-1"),
            reason="both sides moved email",
        )

    return make


@pytest.fixture
def decision() -> Callable[..., Decision]:
    """Makes a decision on what an entry shows."""

    def make(entry: Entry, take: Any = "source", **given: Any) -> Decision:
        return Decision(
            take=take,
            user="ann",
            at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            source_prints=entry.source_prints,
            target_prints=entry.target_prints,
            **given,
        )

    return make
