"""Syncs by MongoDB's change streams: what is deleted, what the oplog forgot, what is in doubt."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import monitoring
from structlog.testing import capture_logs

from syncline import checkpoint, keys
from syncline.conflict import Kind
from syncline.errors import GuardStopped
from syncline.plan import plan
from syncline.status import status
from syncline.store.store import Store
from tests.attack.conftest import Make, in_step
from tests.attack.test_machine import KILLED
from tests.attack.writers import NaivePoller
from tests.integration.project_bench import FIELDS, ProjectBench, now, person

pytestmark = pytest.mark.mongo
MIRROR = "deletes: {mode: mirror, guard: 20%}\n"
MERGE = "conflicts: merge\n"


class Asked(monitoring.CommandListener):
    """The filters of what clients of this process look for in `people`."""

    def __init__(self) -> None:
        self.filters: list[Any] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command.get("find") == "people":
            self.filters.append(dict(event.command.get("filter", {})))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Only what is asked counts."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Only what is asked counts."""

    @property
    def scans(self) -> int:
        """How often documents were asked for that were not named by their keys."""
        return sum("$in" not in each.get("_id", {}) for each in self.filters)


@pytest.fixture
def asked() -> Iterator[Asked]:
    """Listens to the clients that are made from here on."""
    listeners = monitoring._LISTENERS
    listener = Asked()
    monitoring.register(listener)
    yield listener
    listeners.command_listeners.remove(listener)


def ancient(bench: ProjectBench) -> None:
    """Put the checkpoint where no oplog reaches back to."""
    position = checkpoint.show(bench.project, "people")["position"]
    position.pop("token", None)
    checkpoint.set(bench.project, "people", json.dumps({**position, "at": [1_000_000_000, 1]}))


def test_a_delta_mirrors_deletes_without_looking_through_all_keys(make: Make, asked: Asked) -> None:
    """What changed is asked for by its keys, what was deleted too; nothing else is."""
    bench = make("stream", count=100, rest=MIRROR + MERGE)
    first = bench.run()
    assert (first.mode, first.guarantee, first.inserted) == ("full", "exact", 100)
    bench.source.edit(1, name="edited")
    bench.source.put(person(200))
    bench.source.remove(*range(10, 15))
    report = plan(bench.project, "people")
    assert report.keys == "by the source's change stream"
    assert (report.counts["delete"], report.counts["update"], report.counts["insert"]) == (5, 1, 1)
    before = asked.scans
    second = bench.run()
    # The sample that says of what types documents are, and the read that tells the time.
    sample_and_clock = asked.scans - before
    assert (second.mode, second.inserted, second.updated, second.deleted) == ("delta", 1, 1, 5)
    assert in_step(bench)
    before = asked.scans
    third = bench.run()
    assert (third.mode, third.read, third.deleted) == ("delta", 0, 0)
    assert asked.scans - before == sample_and_clock, "a delta with deletes looked through keys"
    assert status(bench.project, "people").guarantee == "exact"


@pytest.mark.slow
def test_too_many_deletes_in_the_stream_stop_the_run_before_the_first(make: Make) -> None:
    """By share of the records known; the checkpoint stays, so that they are found again."""
    bench = make("stream", count=50, rest=MIRROR + MERGE)
    bench.run()
    bench.source.remove(*range(30))
    bench.source.edit(40, name="edited")
    for _ in range(2):
        with pytest.raises(GuardStopped, match="30 of 50") as stopped:
            bench.run()
        assert stopped.value.reason == "deletes"
        assert bench.target.rows().keys() == set(range(50))
    allowed = bench.run(allow=frozenset({"deletes"}))
    assert (allowed.mode, allowed.deleted) == ("delta", 30)


@pytest.mark.slow
def test_a_delete_against_an_edit_waits_for_a_person(make: Make) -> None:
    """The stream's deletes are classified as any other: what the target edited is contested."""
    bench = make(
        "stream", count=30, rest="deletes: {mode: mirror, guard: 50%}\nconflicts: manual\n"
    )
    bench.run()
    bench.target.edit(3, name="edited here")
    bench.source.remove(3, 4)
    second = bench.run()
    assert (second.mode, second.deleted, second.queued) == ("delta", 1, 1)
    assert 3 in bench.target.rows()
    with Store.open(bench.project.store_url) as store:
        (waiting,) = store.conflicts(mapping="people")
    assert waiting.kind is Kind.UPDATE_DELETE


@pytest.mark.slow
def test_a_delete_that_waits_is_looked_at_by_each_run(make: Make) -> None:
    """Its event is behind the checkpoint by then: what is on hold is looked up with the others."""
    bench = make(
        "stream", count=30, rest="deletes: {mode: mirror, guard: 50%}\nconflicts: manual\n"
    )
    bench.run()
    bench.target.edit(3, name="edited here")
    bench.source.remove(3)
    assert bench.run().queued == 1
    bench.target.edit(3, name="Person 3")
    third = bench.run()
    assert (third.mode, third.deleted, third.queued) == ("delta", 1, 0)
    assert in_step(bench)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["sqlite", "postgres", "mariadb", "replica-set"])
def test_deletes_by_object_ids_arrive_on_every_target(target: str, make: Make) -> None:
    """Keys of text, of records that landed, that wait, and that were never ours."""
    bench = make("stream", target, rest="deletes: {mode: mirror, guard: 50%}\nconflicts: manual\n")
    ids = [ObjectId() for _ in range(12)]
    bench.source.documents.insert_many([
        bench.source._document(person(number)) | {"_id": key} for number, key in enumerate(ids)
    ])  # fmt: skip
    bench.run()
    for number, gone in enumerate((ids[:2], ids[2:3], ids[3:5])):
        bench.source.documents.delete_many({"_id": {"$in": gone}})
        bench.source.documents.insert_one({"_id": f"brief {number}"})
        bench.source.documents.delete_one({"_id": f"brief {number}"})
        done = bench.run()
        assert (done.mode, done.deleted, done.dead_letters) == ("delta", len(gone), 0)
    assert {row["name"] for row in bench.target.rows().values()} == {
        f"Person {number}" for number in range(5, 12)
    }


@pytest.mark.slow
def test_a_document_that_comes_back_is_not_gone(make: Make) -> None:
    """Deleted and made again, in one delta and over two: the target has what there is."""
    bench = make("stream", count=30, rest=MIRROR + MERGE)
    bench.run()
    bench.source.remove(1, 2)
    bench.source.put(person(1, name="again"))
    bench.run()
    assert in_step(bench)
    bench.source.put(person(2, name="again, too"))
    assert bench.run().inserted == 1
    assert in_step(bench)


@pytest.mark.slow
def test_keys_are_compared_once_where_deletes_begin_to_count(make: Make) -> None:
    """What was deleted while the mapping ignored it is behind the checkpoint, and found still."""
    bench = make("stream", count=40, rest="deletes: ignore\n" + MERGE)
    bench.run()
    bench.source.remove(1)
    assert bench.run().deleted == 0
    bench.write(rest=MIRROR + MERGE)
    assert plan(bench.project, "people").keys.startswith("by all keys")
    assert bench.run().deleted == 1
    assert plan(bench.project, "people").keys == "by the source's change stream"
    bench.source.remove(2)
    assert bench.run().deleted == 1
    assert in_step(bench)


@pytest.mark.slow
def test_deletes_are_found_by_keys_where_the_stream_does_not_name_them(make: Make) -> None:
    """A mapping by another key than `_id`: its changes come by the stream, its deletes do not."""
    bench = make("stream", count=20, rest=MIRROR + MERGE)
    path = bench.folder / "mappings" / "people.yaml"
    path.write_text(path.read_text().replace("{id: _id}", "{id: number}"))
    for key in range(20):
        bench.source.documents.update_one({"_id": key}, {"$set": {"number": key}})
    bench.run()
    bench.source.edit(7, name="edited")
    bench.source.remove(1)
    assert plan(bench.project, "people").keys.startswith("by all keys")
    second = bench.run()
    assert (second.mode, second.updated, second.deleted) == ("delta", 1, 1)
    assert in_step(bench)


@pytest.mark.slow
def test_f24_an_expired_token_is_told_and_the_sync_is_full(make: Make) -> None:
    """What happened while the oplog ran on is found by reading all; then deltas go on."""
    bench = make("stream", count=30, rest=MIRROR + MERGE)
    bench.run()
    bench.source.edit(1, name="edited")
    bench.source.remove(2)
    ancient(bench)
    report = plan(bench.project, "people")
    assert "does not go on from the checkpoint" in report.stopped
    with capture_logs() as said:
        second = bench.run()
    (told,) = [line for line in said if "full sync" in line["event"]]
    assert "the resume point may no longer be in the oplog" in told["reason"]
    assert (second.mode, second.updated, second.deleted) == ("full", 1, 1)
    assert in_step(bench)
    bench.source.edit(3, name="edited")
    third = bench.run()
    assert (third.mode, third.updated) == ("delta", 1)


@pytest.mark.slow
def test_f01_f03_of_a_late_transaction_of_mongodb_what_is_committed_is_delivered(
    make: Make,
) -> None:
    """Documents stamped long before they show, with deltas and later stamps between; of two that
    were open, one is rolled back. A poller by the largest timestamp never sees them.
    """
    bench = make("stream", count=10, rest=MIRROR + MERGE)
    documents, naive = bench.source.documents, NaivePoller(bench.source)
    bench.run()
    client = documents.database.client
    with client.start_session() as kept, client.start_session() as undone:
        for session, key in ((kept, 100), (undone, 200)):
            session.start_transaction()
            documents.insert_one({"_id": key, "name": "late", "updated_at": now()}, session=session)
        documents.update_one({"_id": 1}, {"$set": {"name": "late"}}, session=kept)
        documents.delete_one({"_id": 2}, session=kept)
        documents.delete_one({"_id": 3}, session=undone)
        bench.source.put(person(50, updated_at=now() + timedelta(seconds=1)))
        assert bench.run().inserted == 1
        naive.poll()
        kept.commit_transaction()
        undone.abort_transaction()
    naive.poll()
    assert naive.lost(bench.source.rows()) > 0
    last = bench.run()
    assert (last.mode, last.inserted, last.updated, last.deleted) == ("delta", 1, 1, 1)
    assert bench.target.rows().keys() == {0, 1, *range(3, 10), 50, 100}
    assert in_step(bench)


@pytest.mark.slow
def test_f13_a_delta_killed_amid_its_events_begins_again_at_its_token(make: Make) -> None:
    """What was committed before the kill is found unchanged; the checkpoint is where it was."""
    bench = make("stream", count=30, rest=MIRROR + MERGE)
    bench.run()
    before = checkpoint.show(bench.project, "people")["position"]
    for key in range(10):
        bench.source.edit(key, name="edited")
    bench.source.remove(20, 21)
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(bench.folder), "3", ""], capture_output=True, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    edited = [row for row in bench.target.rows().values() if row["name"] == "edited"]
    assert 0 < len(edited) < 10
    assert checkpoint.show(bench.project, "people")["position"] == before
    bench.source.edit(0, name="edited again")
    bench.source.remove(1)
    last = bench.run()
    assert (last.mode, last.deleted) == ("delta", 3)
    assert in_step(bench)


@pytest.mark.slow
def test_a_collection_made_again_is_read_in_full(make: Make) -> None:
    """Its stream ends with it: what is of the new one is not taken for changes of the old."""
    bench = make("stream", count=30, rest=MIRROR + MERGE)
    bench.run()
    bench.source.documents.drop()
    bench.source.put(*(person(key, name="of another life") for key in range(30)))
    second = bench.run()
    assert (second.mode, second.updated) == ("full", 30)
    assert in_step(bench)


@pytest.mark.slow
def test_records_that_leave_where_are_deleted(make: Make) -> None:
    """`where` is no filter of the stream: a record that stops satisfying it is gone."""
    bench = make("stream", count=20, rest='where: "_id < 100"\n' + MIRROR + MERGE, fields=FIELDS)
    path = bench.folder / "mappings" / "people.yaml"
    path.write_text(path.read_text().replace('"_id < 100"', "\"name <> 'hidden'\""))
    bench.run()
    bench.source.edit(1, name="hidden")
    second = bench.run()
    assert (second.mode, second.deleted) == ("delta", 1)
    bench.source.remove(1, 2)
    assert bench.run().deleted == 1
    assert in_step(bench)


@pytest.mark.slow
def test_a_mapping_can_still_go_by_a_cursor(make: Make) -> None:
    """And takes a full sync where it begins to go by the stream, whose checkpoint is another."""
    bench = make("stream", count=10, rest="delta: {by: timestamp, cursor: updated_at}\n" + MERGE)
    assert bench.run().guarantee == "bounded"
    bench.write(rest="delta: {by: stream}\n" + MERGE)
    assert (bench.run().mode, bench.run().mode) == ("full", "delta")


@pytest.mark.slow
@pytest.mark.parametrize("most", [3, 500_000], ids=["on disk", "in memory"])
def test_keys_that_go_and_come_within_one_delta_end_as_they_are_last(
    most: int, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted and inserted again, inserted and deleted, and both more than once, in events far
    apart, beside more deletes than memory is to hold: each is told once, and none falls between.
    """
    monkeypatch.setattr(keys, "MOST", most)
    monkeypatch.setattr(keys, "PAGE", 4)
    bench = make("stream", count=60, rest="deletes: {mode: mirror, guard: 40%}\n" + MERGE)
    bench.run()
    source = bench.source
    source.remove(1, 2, 3)
    source.put(person(100), person(101))
    source.remove(*range(10, 25))
    source.put(person(1, name="came back"), person(2, name="came back, to go"))
    source.remove(2, 100)
    source.put(person(100, name="new again"))
    source.remove(101, 100)
    source.put(person(3, name="came back last"))
    report = plan(bench.project, "people")
    done = bench.run(batch_size=5)
    assert (done.mode, done.deleted) == ("delta", 16)
    assert report.counts["delete"] == 16
    assert in_step(bench)
    assert (bench.run().read, bench.run(mode="full").deleted) == (0, 0)


@pytest.mark.slow
def test_deletes_above_the_guard_are_counted_once_on_disk_too(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is told twice, in batches far apart, is one record: the guard speaks of records."""
    monkeypatch.setattr(keys, "MOST", 3)
    bench = make("stream", count=50, rest=MIRROR + MERGE)
    bench.run()
    for _ in range(2):
        bench.source.remove(*range(12))
        bench.source.put(*(person(key) for key in range(12)))
    bench.source.remove(*range(12))
    with pytest.raises(GuardStopped, match="12 of 50"):
        bench.run(batch_size=5)
    assert bench.target.rows().keys() == set(range(50))
    assert bench.run(allow=frozenset({"deletes"})).deleted == 12
    assert in_step(bench)
