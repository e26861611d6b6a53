"""Sources with rights, collations and histories that go against a sync; runs that overlap others'
writes.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from syncline.endpoints.base import Range
from syncline.errors import LeaseLost
from syncline.plan import plan
from syncline.sync import Progress
from syncline.verify import verify
from tests.attack.conftest import Hands, Make, in_step
from tests.attack.writers import connect
from tests.integration.project_bench import ProjectBench, Side, now, person

ALL = ["xmin", "timestamp", "mariadb", "sqlite", "mongo"]
MIRROR = "deletes: {mode: mirror, guard: 90%}\n"

AWKWARD = [
    *("a", "B", "b_", "Z", "_x", "-y", "10", "9", "a b", "ab", "a-b", "Å", "ä", "ß", "z", "é"),
    *("日本", "ё", "'", '"', "\\", "%", "A0", "ij", "ĳ", "ch", "d", "ll", "m", "~", "\U0001f600"),
]
TEXT_KEYS = {
    "xmin": 'id text collate "{collation}" primary key, name text, updated_at timestamptz',
    "mariadb": "id varchar(40) character set utf8mb4 collate utf8mb4_{collation} primary key,"
    " name text, updated_at datetime(6)",
    "sqlite": "id text collate {collation} primary key, name text, updated_at timestamptz",
    "mongo": "",
}
COLLATIONS = [
    ("xmin", "a locale"),
    ("xmin", "C"),
    ("mariadb", "general_ci"),
    ("mariadb", "unicode_520_ci"),
    ("sqlite", "nocase"),
    ("mongo", ""),
]


def a_locale(source: Side) -> str:
    """A collation of this PostgreSQL that does not order text as its bytes."""
    found = source.sql(
        "select collname from pg_collation where collprovider in ('i', 'c') and collencoding in"
        " (-1, 6) and collname not in ('C', 'POSIX') and collisdeterministic order by 1"
    )
    for (name,) in found:
        with contextlib.suppress(sa.exc.DBAPIError):  # ICU's are listed where it is not built in
            if source.sql(f"select 'a' < 'B' collate \"{name}\"")[0][0]:
                return str(name)
    pytest.skip("this server was built without ICU, and the system has no locale but C")


@pytest.mark.parametrize(("watermark", "collation"), COLLATIONS)
def test_f33_text_keys_of_any_collation_one_at_a_time(
    watermark: str, collation: str, make: Make
) -> None:
    """Pages of one record, full and delta: the database's order is not Python's, and none is
    skipped.
    """
    fields = "  name: name\n  updated_at: updated_at\n"
    bench = make(watermark, fields=fields)
    source = bench.source
    if source.kind != "mongo":
        if collation == "a locale":
            collation = a_locale(source)
        source.sql("drop table people")
        source.sql(f"create table people ({TEXT_KEYS[watermark].format(collation=collation)})")
    keys: list[str] = []
    for key in AWKWARD:
        text: Any = {"id": key, "name": f"<{key}>", "updated_at": now()}
        with contextlib.suppress(sa.exc.IntegrityError):  # equal to another, in this collation
            source.put(text)
            keys.append(key)
    assert len(keys) > 20
    assert bench.run(batch_size=1).inserted == len(keys)
    for key in keys[::2]:
        edited: Any = key
        source.edit(edited, name=f"[{key}]", updated_at=now())
    delta = bench.run(batch_size=1)
    assert (delta.mode, delta.updated) == ("delta", len(keys[::2]))
    copied = dict(tuple(row) for row in bench.target.sql("select id, name from people_copy"))
    assert copied == {key: f"[{key}]" if key in keys[::2] else f"<{key}>" for key in keys}


@pytest.fixture
def reader(make: Make) -> Iterator[Any]:
    """Makes a bench whose source is read as a role that may do nothing but `grants`."""
    made: list[tuple[Side, str]] = []

    def make_reader(watermark: str, grants: list[str]) -> ProjectBench:
        bench = make(watermark, count=20, rest=MIRROR)
        role, host = f"reader_{secrets.token_hex(4)}", bench.source.url.split("@")[-1]
        name = role if watermark == "xmin" else f"{role}@'%'"
        password = "password" if watermark == "xmin" else "identified by"
        login = " login" if watermark == "xmin" else ""
        host = host.split("://")[-1]
        bench.source.sql(f"create {'role' if login else 'user'} {name}{login} {password} 'secret'")
        made.append((bench.source, name))
        for grant in grants:
            bench.source.sql(f"grant {grant} to {name}")
        scheme = bench.source.url.split("://")[0]
        (bench.folder / ".env").write_text(
            f"FROM_URL={scheme}://{role}:secret@{host}\nTO_URL={bench.target.url}\n"
        )
        return bench

    yield make_reader
    for side, name in made:
        if side.kind == "postgres":
            side.sql(f"drop owned by {name}")
            side.sql(f"drop role {name}")
        else:
            side.sql(f"drop user {name}")


@pytest.mark.parametrize(
    ("watermark", "grants"),
    [("xmin", ["select on people"]), ("mariadb", ["select on people", "process on *.*"])],
)
def test_f45_a_role_that_may_only_read_is_enough(
    watermark: str, grants: list[str], reader: Any, hands: Hands
) -> None:
    """Full, delta, a late commit of others and deletes: with nothing but SELECT on PostgreSQL, and
    with PROCESS besides on MariaDB.
    """
    if watermark == "mariadb":
        grants = [grant.replace("on people", "on `people`") for grant in grants]
    bench = reader(watermark, grants)
    assert bench.run().inserted == 20
    late, other = hands(bench.source), hands(bench.source)
    late.begin()
    late.put(100)
    time.sleep(1.2)
    other.put(101)
    other.remove(3)
    delta = bench.run()
    assert (delta.mode, delta.inserted, delta.deleted) == ("delta", 1, 1)
    late.run("COMMIT")
    assert bench.run().inserted == 1
    assert in_step(bench)


def test_f52_a_record_that_row_security_hides_is_unknown(reader: Any) -> None:
    """Absent is not gone: a policy comes to hide records from our role, and none is deleted; run,
    plan and verify say that deletions can't be told. Without the policy they are found again.
    """
    bench = reader("xmin", ["select on people"])
    source = bench.source
    bench.run()
    source.sql("alter table people enable row level security")
    source.sql("create policy few on people for select using (id < 10)")
    for mode in (None, "full"):
        summary = bench.run(mode=mode)
        assert (summary.status, summary.deleted) == ("ok", 0)
        assert any("row security" in told for told in summary.warnings)
    assert set(bench.target.rows()) == set(range(20))
    report = plan(bench.project, "people")
    assert report.counts["delete"] == 0
    assert any("row security" in told for told in report.warnings)
    assert verify(bench.project, "people").extra is None
    source.edit(5, name="Still seen", updated_at=now())
    assert bench.run().updated == 1
    source.remove(15)
    source.sql("alter table people disable row level security")
    assert bench.run().deleted == 1
    assert in_step(bench)


@pytest.mark.parametrize("watermark", ALL)
def test_f49_what_a_backfill_read_before_an_edit_gives_way_to_it(
    watermark: str, make: Make
) -> None:
    """It reads v1 of a record that no delta has brought yet; then the record becomes v2, and v1
    lands late: the next delta leaves v2 standing.
    """
    bench = make(watermark, count=60, rest="conflicts: {strategy: manual}\n")
    not_blocked(bench.source)
    bench.run()
    keys = (25, 39, 45)
    for key in keys:
        bench.source.edit(key, name=f"v1 of {key}", updated_at=now())
    edited: list[int] = []

    def edit(_: Progress) -> None:
        for key in () if edited else keys:
            bench.source.edit(key, name=f"v2 of {key}", updated_at=now())
            edited.append(key)

    window = Range("key", "10", "50")
    late = bench.run(mode="backfill", window=window, batch_size=10, on_progress=edit)
    delta = bench.run()
    assert (delta.mode, late.conflicts, delta.conflicts) == ("delta", 0, 0)
    assert {bench.target.rows()[key]["name"] for key in keys} == {f"v2 of {key}" for key in keys}
    again = bench.run(mode="backfill", window=window)
    assert (again.updated, again.conflicts) == (0, 0)
    assert in_step(bench)


def not_blocked(source: Side) -> None:
    """Let applications write while a run reads: on SQLite only the write-ahead log does."""
    if source.kind == "sqlite":
        with contextlib.closing(connect("sqlite", source.url)) as own:
            own.execute("pragma journal_mode = wal")


@pytest.mark.parametrize("target", ["sqlite", "postgres", "mariadb", "mongo"])
def test_f49_a_backfill_frozen_past_its_lease_writes_nothing_over_a_later_delta(
    target: str, make: Make
) -> None:
    """It read v1 and stood still until its lease ran out; a delta took over and wrote v2; thawed,
    it finds its epoch stale.
    """
    bench = make("sqlite", target, count=60, rest="conflicts: {strategy: manual}\n")
    not_blocked(bench.source)
    bench.run()
    took: list[int] = []

    def frozen(_: Progress) -> None:
        if took:
            return
        _let_lease_run_out(bench.target)
        for key in (25, 55):
            bench.source.edit(key, name=f"v2 of {key}", updated_at=now())
        took.append(bench.run().updated)

    with pytest.raises(LeaseLost):
        bench.run(
            mode="backfill", window=Range("key", "0", None), batch_size=10, on_progress=frozen
        )
    assert took == [2]
    assert in_step(bench)
    assert bench.run().conflicts == 0


def _let_lease_run_out(target: Side) -> None:
    """As if a minute had passed without a word of its holder."""
    if target.kind == "mongo":
        past = {"$set": {"renewed": now().replace(year=2020)}}
        target.documents.database["syncline_state"].update_many({}, past)
        return
    past_time: Any = 0 if target.kind == "sqlite" else "2020-01-01 00:00:00"
    target.sql("update syncline_state set lease_until = :past", past=past_time)


@pytest.mark.parametrize("watermark", ALL)
def test_f51_no_new_record_is_taken_for_deleted(watermark: str, make: Make) -> None:
    """An application inserts, and deletes and inserts again, while runs reconcile deletions: what
    is there all the time is never missing from the target, and in the end the two are equal.
    """
    bench = make(watermark, count=30, rest=MIRROR)
    bench.run()
    stop, faults = threading.Event(), []

    def churn() -> None:
        own = Side(bench.source.kind, bench.source.url, "people")
        number = 1000
        try:
            while not stop.is_set():
                own.put(person(number, updated_at=now()), person(number + 1, updated_at=now()))
                own.remove(5)
                own.put(person(5, updated_at=now()))
                number += 2
                time.sleep(0.01)
        except Exception as error:  # noqa: BLE001 - raised in the test's thread
            faults.append(error)
        finally:
            own.close()

    application = threading.Thread(target=churn, daemon=True)
    application.start()
    try:
        for _ in range(6):
            before = {key for key in bench.source.rows() if key != 5}
            bench.run()
            assert not before - bench.target.rows().keys()
    finally:
        stop.set()
        application.join(100)
    assert not faults
    bench.run()
    assert in_step(bench)
