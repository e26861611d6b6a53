"""The in-memory endpoint beyond the contract: what tests build on."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from syncline.endpoints.base import Fetched, ReadSpec, TargetSpec
from syncline.errors import CheckpointVoid, GuardStopped, InputError, Transient
from syncline.record import Type
from syncline.testing import MemoryEndpoint

BIGINT, TEXT = Type("bigint"), Type("text")
SPEC = ReadSpec("people", ("id",), {"id": BIGINT, "name": TEXT}, by="xmin")
TARGET = TargetSpec("people", "people", {"id": BIGINT}, {"name": TEXT})


@pytest.fixture
def memory() -> MemoryEndpoint:
    """Two people."""
    memory = MemoryEndpoint({"people": {"id": BIGINT, "name": TEXT}})
    memory.put("people", {"id": 1, "name": "one"})
    memory.put("people", {"id": 2, "name": "two"})
    return memory


def _delta(memory: MemoryEndpoint, since: str) -> tuple[list[object], str]:
    with memory.read(SPEC, mode="delta", since=since) as read:
        rows = [row for batch in read.batches() for row in batch.records.to_pylist()]
        return rows, read.horizon


def _horizon(memory: MemoryEndpoint) -> str:
    with memory.read(SPEC, mode="full") as read:
        return read.horizon


def _fetched(fetched: Fetched) -> Fetched:
    return Fetched(fetched.rows.sort_by("__row"))


def test_a_delta_gives_each_change_once(memory: MemoryEndpoint) -> None:
    """The change counter is exact: only what was written since the horizon is read."""
    horizon = _horizon(memory)
    assert _delta(memory, horizon)[0] == []
    memory.put("people", {"id": 2, "name": "changed"})
    rows, later = _delta(memory, horizon)
    assert rows == [{"id": 2, "name": "changed"}]
    assert _delta(memory, later)[0] == []


def test_an_uncommitted_write_is_in_no_delta_until_it_is_committed(memory: MemoryEndpoint) -> None:
    """A change is numbered at commit: a horizon taken meanwhile does not pass it by."""
    with memory.begin(TARGET) as tx:
        tx.insert(pa.table({"id": [3], "name": ["three"]}))
        horizon = _horizon(memory)
        assert _delta(memory, horizon)[0] == []
        tx.commit()
    assert _delta(memory, horizon)[0] == [{"id": 3, "name": "three"}]


def test_a_deletion_shows_only_in_the_keys(memory: MemoryEndpoint) -> None:
    """A deleted row is in no delta, and no longer among the keys."""
    horizon = _horizon(memory)
    assert memory.remove("people", 1)
    assert not memory.remove("people", 1)
    assert _delta(memory, horizon)[0] == []
    assert [keys["id"].to_pylist() for keys in memory.keys(SPEC)] == [[2]]


def test_a_read_is_a_snapshot(memory: MemoryEndpoint) -> None:
    """Writes after a read was opened are not in it."""
    with memory.read(SPEC, mode="full") as read:
        memory.put("people", {"id": 3, "name": "late"})
        assert sum(batch.records.num_rows for batch in read.batches()) == 2


def test_a_checkpoint_of_another_store_is_void(memory: MemoryEndpoint) -> None:
    """Two endpoints never take each other's checkpoints."""
    other = MemoryEndpoint({"people": {"id": BIGINT, "name": TEXT}})
    with pytest.raises(CheckpointVoid):
        _delta(memory, _horizon(other))


def test_a_store_that_went_back_in_time_stops_the_delta(memory: MemoryEndpoint) -> None:
    """A change number from the future means that the database was restored."""
    horizon = json.loads(_horizon(memory))
    with pytest.raises(GuardStopped, match="back in time") as stopped:
        _delta(memory, json.dumps({**horizon, "change": 99}))
    assert stopped.value.reason == "other-database"


def test_of_two_transactions_on_one_row_the_second_to_commit_fails(memory: MemoryEndpoint) -> None:
    """The later commit raises Transient and leaves nothing."""
    rows = pa.table({"id": [1], "name": ["mine"]})
    mask = {"name": np.array([True])}
    with memory.begin(TARGET) as first, memory.begin(TARGET) as second:
        for tx in (first, second):
            current = tx.fetch(rows.select(["id"]))
            assert tx.update(rows, mask, current).landed.all()
        second.insert(pa.table({"id": [9], "name": ["nine"]}))
        first.commit()
        with pytest.raises(Transient):
            second.commit()
    assert memory.rows("people") == [{"id": 1, "name": "mine"}, {"id": 2, "name": "two"}]


def test_constraints_refuse_single_records() -> None:
    """A taken unique value or a NULL where none may be is refused as a constraint."""
    memory = MemoryEndpoint()
    memory.create_table(
        "people", {"id": BIGINT}, {"name": TEXT}, unique=[["name"]], not_null=["name"]
    )
    memory.put("people", {"id": 1, "name": "one"})
    with memory.begin(TARGET) as tx:
        written = tx.insert(pa.table({"id": [2, 3, 4, 5], "name": ["one", None, "four", "four"]}))
        tx.commit()
    assert written.landed.tolist() == [False, False, True, False]
    assert [(r.row, r.kind) for r in written.refused] == [
        (0, "constraint"), (1, "constraint"), (3, "constraint"),
    ]  # fmt: skip
    info = memory.describe("people")
    assert info is not None
    assert info.unique == (("id",), ("name",))


def test_a_row_edited_since_it_was_seen_is_not_written(memory: MemoryEndpoint) -> None:
    """An edit between fetch and update is seen by its version."""
    keys = pa.table({"id": [1, 2]})
    with memory.begin(TARGET) as tx:
        current = _fetched(tx.fetch(keys))
        memory.put("people", {"id": 1, "name": "edited"})
        rows = pa.table({"id": [1, 2], "name": ["ours", "ours"]})
        written = tx.update(rows, {"name": np.array([True, True])}, current)
        assert tx.delete(keys.slice(0, 1), Fetched(current.rows.slice(0, 1))).landed.sum() == 0
        tx.commit()
    assert written.landed.tolist() == [False, True]
    assert [row["name"] for row in memory.rows("people")] == ["edited", "ours"]


def test_the_lease_runs_on_the_endpoints_own_clock() -> None:
    """A test that owns the clock decides when a lease has run out."""
    now = datetime(2024, 1, 1, tzinfo=UTC)
    memory = MemoryEndpoint({"people": {"id": BIGINT, "name": TEXT}}, clock=lambda: now)
    with memory.begin(TARGET) as tx:
        assert tx.put_state(
            epoch=1, holder="me", lease_seconds=5, document="{}", expected_epoch=None
        )
        state = tx.state()
    assert state is not None
    assert state.now == now
    assert state.lease_until == datetime(2024, 1, 1, 0, 0, 5, tzinfo=UTC)


def test_a_table_made_again_is_another_table(memory: MemoryEndpoint) -> None:
    """Its identity tells it from the one that was dropped."""
    before = memory.describe("people")
    memory.drop_table("people")
    assert memory.describe("people") is None
    memory.create_table("people", {"id": BIGINT}, {"name": TEXT})
    after = memory.describe("people")
    assert before is not None
    assert after is not None
    assert before.identity != after.identity
    assert memory.rows("people") == []


def test_a_table_without_a_key_may_hold_the_same_row_twice() -> None:
    """Its duplicates are named, and a full read still pages over them."""
    memory = MemoryEndpoint()
    memory.create_table("log", {}, {"id": BIGINT, "name": TEXT})
    for _ in range(5):
        memory.put("log", {"id": 1, "name": "same"})
    spec = ReadSpec("log", ("id",), {"id": BIGINT}, batch_rows=2)
    with memory.read(spec, mode="full") as read:
        sizes = [batch.records.num_rows for batch in read.batches()]
    assert sizes == [2, 2, 1]
    assert memory.duplicate_keys("log", ["id"]) == [(1,)]


@pytest.mark.parametrize(
    "row", [{"id": "x"}, {"id": 1.5}, {"id": None}, {"id": 1, "age": 3}, {"id": 2**63}]
)
def test_a_row_that_does_not_fit_its_table_is_refused(
    memory: MemoryEndpoint, row: dict[str, object]
) -> None:
    """Tests can't put what a database would not hold."""
    with pytest.raises(InputError):
        memory.put("people", row)
    assert len(memory.rows("people")) == 2


def test_a_reading_transaction_refuses_to_write(memory: MemoryEndpoint) -> None:
    """With `write=False` every write is a programming error."""
    with memory.begin(TARGET, write=False) as tx, pytest.raises(RuntimeError):
        tx.insert(pa.table({"id": [3], "name": ["three"]}))
