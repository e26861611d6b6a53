"""Sources that are not what they were: values, tables and files put in the place of others."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from syncline import checkpoint
from syncline.errors import GuardStopped
from syncline.testing.servers import Server, Unavailable, start_detached, with_database
from tests.attack.conftest import CURSOR, Make, in_step
from tests.conftest import NewDatabase
from tests.integration.project_bench import ProjectBench, Side, now, person

SWAPS = {
    "a table swapped by rename": [
        "create table other as select * from people where id < 8",
        "alter table other add primary key (id)",
        "update other set name = 'Of the other table'",
        "alter table people rename to gone_people",
        "alter table other rename to people",
    ],
    "an enum value renamed": ["alter type mood rename value 'sad' to 'blue'"],
    "a column added with a fast default": ["alter table people add plan text default 'free'"],
    "a partition attached": [
        "create table late_part (like people including defaults)",
        "insert into late_part (id, name) values (1500, 'Came with its partition')",
        "alter table people attach partition late_part for values from (1000) to (2000)",
    ],
}


@pytest.mark.parametrize("watermark", ["xmin", "timestamp"])
@pytest.mark.parametrize("what", SWAPS)
def test_f53_values_that_move_without_a_transaction_of_their_own_mean_a_full_sync(
    what: str, watermark: str, make: Make
) -> None:
    """No row has a new xmin, so a delta would be silent: the run says why it reads in full."""
    bench = make(watermark, fields="  name: name\n")
    source = bench.source
    if what == "a partition attached":
        source.sql("drop table people")
        source.sql(
            "create table people (id bigint primary key, name text, updated_at timestamptz)"
            " partition by range (id)"
        )
        source.sql("create table part partition of people for values from (0) to (1000)")
    if what == "an enum value renamed":
        source.sql("create type mood as enum ('sad', 'glad')")
        source.sql("alter table people add mood mood default 'sad'")
        bench.write(
            fields="  name: mood\n", rest=f"delta: {{by: {watermark}, cursor: updated_at}}\n"
        )
    for key in range(10):
        source.sql("insert into people (id, name, updated_at) values (:id, 'One', now())", id=key)
    time.sleep(1.1 if watermark == "timestamp" else 0)
    bench.run()
    assert bench.run().mode == "delta"
    for statement in SWAPS[what]:
        source.sql(statement)
    again = bench.run()
    assert again.mode == "full"
    column = "mood::text" if what == "an enum value renamed" else "name"
    truth = dict(tuple(row) for row in source.sql(f"select id, {column} from people"))
    copy = dict(tuple(row) for row in bench.target.sql("select id, name from people_copy"))
    assert {key: copy[key] for key in truth} == truth
    assert bench.run().mode == "delta"


@pytest.mark.parametrize("watermark", ["mariadb", "mongo", "sqlite"])
def test_f53_a_table_swapped_for_another_of_its_name_means_a_full_sync(
    watermark: str, make: Make
) -> None:
    """Its clocks say nothing of what the other held, as long as it has the latest of them: one that
    has not is a restored copy's (`test_f55_..`).
    """
    bench = make(watermark, count=10)
    source = bench.source
    bench.run()
    assert bench.run().mode == "delta"
    if watermark == "mongo":
        catalogue = next(iter(source.documents.database.list_collections()))
        if "uuid" not in catalogue.get("info", {}):
            pytest.skip("this server gives its collections no identity")
        other = source.documents.database["other"]
        other.insert_many([each for each in source.documents.find() if each["_id"] != 8])
        other.update_many({}, {"$set": {"name": "Other"}})
        source.documents.rename("gone_people")
        other.rename("people")
    else:
        if watermark == "sqlite":
            ddl = source.sql("select sql from sqlite_master where name = 'people'")[0][0]
        else:
            ddl = source.sql("show create table people")[0][1]
            time.sleep(1.1)  # MariaDB tells when a table was made to the second
        source.sql(ddl.replace("people", "other_people", 1))
        source.sql("insert into other_people select * from people where id <> 8")
        source.sql("update other_people set name = 'Other'")
        source.sql("alter table people rename to gone_people")
        source.sql("alter table other_people rename to people")
    assert bench.run().mode == "full"
    names = {key: row["name"] for key, row in bench.target.rows().items()}
    assert {names[key] for key in range(8)} == {"Other"}


def test_f55_a_source_that_went_back_in_time_stops(make: Make) -> None:
    """PostgreSQL behind its checkpoint, by a restore of its files or on a replica that lags:
    neither a delta nor a full sync writes the past over the present.
    """
    bench = make("xmin", count=10)
    bench.run()
    position = dict(checkpoint.show(bench.project, "people")["position"])
    position["x"] += 1_000  # what the checkpoint of the lost future was
    checkpoint.set(bench.project, "people", json.dumps(position))
    bench.source.edit(3, name="Of the past")
    for _ in range(2):
        with pytest.raises(GuardStopped) as stopped:
            bench.run()
        assert stopped.value.reason == "other-database"
    assert bench.target.rows()[3]["name"] == "Person 3"


@pytest.mark.slow  # three servers are started
@pytest.mark.mariadb
def test_f23_f55_a_mariadb_restored_or_another_behind_the_url_stops(tmp_path: Path) -> None:
    """A copy of a server's files, taken before the last sync and put back after it, and a new
    server: neither a delta nor a full sync writes what they hold over the present, until it is
    allowed.
    """
    home = Path(tempfile.mkdtemp(prefix="syncline-restored-"))
    home.chmod(0o755)  # a server of another user has to reach into it
    started: list[Server] = []

    def start(name: str) -> Side:
        try:
            started.append(start_detached("mariadb", home / name))
        except Unavailable as refusal:
            pytest.skip(str(refusal))
        return Side("mariadb", started[-1].fresh_database("people"), "people")

    try:
        source = start("one")
        target = Side("sqlite", f"sqlite:///{tmp_path / 'copy.db'}", "people_copy")
        source.create()
        source.put(*(person(key) for key in range(10)))
        bench = ProjectBench(tmp_path / "project", source, target, rest=CURSOR)
        bench.run()
        data = _files_of(source)
        source.close()
        started[-1].stop()
        shutil.copytree(data, home / "backup")
        source = Side("mariadb", _again(started, home / "one"), "people")
        source.edit(3, name="Of the lost future", updated_at=now())
        assert bench.run().mode == "delta"
        source.close()
        started[-1].stop()
        _put_back(home / "backup", data)
        source = Side("mariadb", _again(started, home / "one"), "people")
        _stops(bench)
        source.close()
        other = start("two")
        other.create()
        other.put(*(person(key, name="Of another") for key in range(10)))
        (bench.folder / ".env").write_text(f"FROM_URL={other.url}\nTO_URL={target.url}\n")
        _stops(bench)
        bench.run(mode="full", allow=frozenset({"other-database"}))
        assert bench.target.rows() == other.rows()
        assert bench.run().mode == "delta"
        other.close()
        target.close()
    finally:
        for server in started:
            server.stop()
        shutil.rmtree(home, ignore_errors=True)


def _stops(bench: ProjectBench) -> None:
    for mode in (None, "full"):
        with pytest.raises(GuardStopped) as stopped:
            bench.run(mode=mode)
        assert stopped.value.reason == "other-database"
    assert bench.target.rows()[3]["name"] == "Of the lost future"


def _files_of(side: Side) -> Path:
    ((found,),) = side.sql("select @@datadir")
    return Path(found)


def _again(started: list[Server], root: Path) -> str:
    """Start the server under `root` anew; the URL of its database."""
    started.append(start_detached("mariadb", root))
    return with_database(started[-1].url, "people")


def _put_back(backup: Path, data: Path) -> None:
    """Put files in the place of others, with their owner and rights."""
    owner = data.stat()
    shutil.rmtree(data)
    shutil.copytree(backup, data)
    for each in (data, *data.rglob("*")):
        os.chown(each, owner.st_uid, owner.st_gid)


def test_f55_a_sqlite_file_that_was_put_back_stops(make: Make) -> None:
    """Neither a delta nor a full sync writes the past over the present, until it is allowed."""
    bench = make("sqlite", count=10)
    path = Path(bench.source.url.removeprefix("sqlite:///"))
    backup = path.read_bytes()
    bench.source.edit(3, name="Of the lost future", updated_at=now())
    bench.run()
    bench.source.close()
    path.write_bytes(backup)
    for mode in (None, None, "full"):
        with pytest.raises(GuardStopped) as stopped:
            bench.run(mode=mode)
        assert stopped.value.reason == "other-database"
    assert bench.target.rows()[3]["name"] == "Of the lost future"
    bench.run(mode="full", allow=frozenset({"other-database"}))
    assert in_step(bench)
    bench.source.edit(4, name="Later", updated_at=now())
    assert bench.run().mode == "delta"
    assert in_step(bench)


def test_a_sqlite_file_that_is_source_and_target_at_once_is_read_by_deltas(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """What a run makes in the file itself, its target, its state and its ledger, is no reason to
    read in full; neither is what it makes later.
    """
    url = new_database("sqlite")
    source, target = Side("sqlite", url, "people"), Side("sqlite", url, "people_copy")
    source.sql("pragma journal_mode = wal")  # else who reads the file keeps writers out
    source.create()
    source.put(*(person(key) for key in range(10)))
    bench = ProjectBench(tmp_path / "one", source, target, rest=f"{CURSOR}conflicts: manual\n")
    assert bench.run().mode == "full"
    for turn in range(3):
        source.edit(turn, name="Edited", updated_at=now())
        assert bench.run().mode == "delta"
        assert in_step(bench)
    source.close()
    target.close()
