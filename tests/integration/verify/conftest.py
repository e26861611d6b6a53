"""A project that is in step, for the tests of verify and repair."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import NewDatabase
from tests.integration.project_bench import FIELDS, ProjectBench, Side, person
from tests.integration.verify.support import DELTA, LEDGER, Make


@pytest.fixture
def make(new_database: NewDatabase, tmp_path: Path) -> Make:
    """Makes a project that has synced `count` people, SQLite to SQLite where not said otherwise."""

    def made(
        count: int = 100,
        *,
        source: str = "sqlite",
        target: str = "sqlite",
        rest: str = LEDGER,
        fields: str = FIELDS,
    ) -> ProjectBench:
        here, there = (
            Side(kind, new_database(kind), name)
            for kind, name in ((source, "people"), (target, "people_copy"))
        )
        here.create()
        if count:
            here.put(*(person(key) for key in range(count)))
        bench = ProjectBench(tmp_path, here, there, rest=DELTA + rest, fields=fields)
        bench.run()
        return bench

    return made
