"""All sixteen pairings: a full sync, edits, a delta, deletes, and nothing to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import NewDatabase
from tests.integration.project_bench import ProjectBench, Side, now, person

KINDS = ["postgres", "mariadb", "sqlite", "mongo"]


@pytest.mark.parametrize("target_kind", KINDS)
@pytest.mark.parametrize("source_kind", KINDS)
def test_a_pair_of_databases_is_kept_in_step(
    source_kind: str, target_kind: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Full, then nothing, then a delta of inserts and updates, then deletes: the target equals the
    source each time.
    """
    source = Side(source_kind, new_database(source_kind), "people")
    target = Side(target_kind, new_database(target_kind), "people_copy")
    source.create()
    source.put(*(person(key) for key in range(250)))
    rest = "delta: {cursor: updated_at}\ndeletes: {mode: mirror, guard: 50%}\nbatch_size: 60\n"
    bench = ProjectBench(tmp_path, source, target, rest=rest)

    full = bench.run()
    assert (full.mode, full.read, full.inserted, full.dead_letters) == ("full", 250, 250, 0)
    assert target.rows() == source.rows()

    nothing = bench.run()
    assert nothing.mode == "delta"
    assert (nothing.inserted, nothing.updated, nothing.deleted, nothing.status) == (0, 0, 0, "ok")

    source.put(*(person(key, updated_at=now()) for key in range(250, 280)))
    for key in range(0, 40, 4):
        source.edit(key, name=f"Moved {key}", city=None, updated_at=now())
    delta = bench.run()
    assert (delta.mode, delta.inserted, delta.updated) == ("delta", 30, 10)
    assert target.rows() == source.rows()

    source.remove(1, 5, 9)
    gone = bench.run()
    assert gone.deleted == 3
    assert target.rows() == source.rows()
    source.close()
    target.close()
