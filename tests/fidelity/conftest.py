"""Sources with every type that their database has, filled once for all pairings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import NewDatabase
from tests.fidelity.cases import CASES, Case
from tests.fidelity.hands import HANDS, Hand

Held = dict[int, tuple[Case, Any]]
DatabaseOf = Callable[[str, str], str]
TABLE = "everything"


@pytest.fixture(scope="module")
def database_of(new_module_database: NewDatabase) -> DatabaseOf:
    """The URL of this module's one database of a kind, on a side."""
    urls: dict[tuple[str, str], str] = {}

    def url(kind: str, side: str) -> str:
        # A file that is read is not to be written by the same run.
        key = (kind, side if kind == "sqlite" else "")
        if key not in urls:
            urls[key] = new_module_database(kind)
        return urls[key]

    return url


@pytest.fixture(scope="module")
def filled(database_of: DatabaseOf) -> Callable[[str], tuple[Hand, Held]]:
    """A source of a kind with a row for every value of every case, and what its rows hold."""
    had: dict[str, tuple[Hand, Held]] = {}

    def source(kind: str) -> tuple[Hand, Held]:
        if kind not in had:
            hand = HANDS[kind](database_of(kind, "source"))
            had[kind] = hand, hand.fill(TABLE, CASES[kind])
        return had[kind]

    return source
