"""What tables refuse and documents don't, or the other way round: keys that look alike, hostile
names, and unique values that swap, on MongoDB.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.errors import MappingErrors, SynclineError
from syncline.store.store import Store
from tests.attack.conftest import Make, in_step
from tests.conftest import NewDatabase
from tests.integration.project_bench import ProjectBench, Side, now

pytestmark = [pytest.mark.slow, pytest.mark.mongo]

LEDGER = "conflicts: manual\n"
LOOKALIKES = {"a": "small", "A": "capital", "á": "accented", "a ": "padded"}
HOSTILE = 'x"; DROP TABLE y; --'


def names(source: Side, *columns: str) -> None:
    """A table of texts with `id` and these columns."""
    told = ", ".join(f"{source.engine.dialect.identifier_preparer.quote(c)} text" for c in columns)
    source.sql(f"create table people (id text primary key, {told})")


def test_f32_keys_that_look_alike_are_documents_of_their_own(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """MongoDB compares keys byte by byte: four records, four documents, in every run."""
    source = Side("sqlite", new_database("sqlite"), "people")
    target = Side("mongo", new_database("mongo"), "people_copy")
    names(source, "name")
    for key, name in LOOKALIKES.items():
        source.sql("insert into people values (:id, :name)", id=key, name=name)
    bench = ProjectBench(tmp_path, source, target, fields="  name: name\n", rest=LEDGER)
    for _ in range(2):
        bench.run(mode="full")
        assert {each["_id"]: each["name"] for each in target.documents.find()} == LOOKALIKES
    source.close()
    target.close()


def test_f32_keys_that_a_collation_of_the_collection_holds_equal_never_overwrite(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """The first stays as it is, the others are told."""
    source = Side("sqlite", new_database("sqlite"), "people")
    target = Side("mongo", new_database("mongo"), "people_copy")
    database = target.documents.database
    collation = {"locale": "en", "strength": 1}
    database.command("create", "people_copy", collation=collation)
    if "collation" not in next(iter(database.list_collections())).get("options", {}):
        pytest.skip("this server has no collations")
    names(source, "name")
    for key, name in LOOKALIKES.items():
        source.sql("insert into people values (:id, :name)", id=key, name=name)
    bench = ProjectBench(tmp_path, source, target, fields="  name: name\n", rest=LEDGER)
    for _ in range(2):
        bench.run(mode="full", allow=frozenset({"conflicts"}))
        (kept,) = target.documents.find()
        assert LOOKALIKES[kept["_id"]] == kept["name"]
    with Store.open(bench.project.store_url) as store:
        told = store.conflicts(mapping="people")
        letters = store.dead_letters("people", 10)
    assert len(told) + len(letters) == 3
    source.close()
    target.close()


def test_f36_a_hostile_name_of_a_collection_or_field_is_only_a_name(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Quotes, semicolons and comments are a collection's and a field's name like any."""
    source = Side("sqlite", new_database("sqlite"), "people")
    target = Side("mongo", new_database("mongo"), HOSTILE)
    names(source, HOSTILE)
    source.sql("insert into people values ('1', 'one')")
    target.documents.database["y"].insert_one({"_id": 1})
    bench = ProjectBench(
        tmp_path,
        source,
        target,
        fields=f"  '{HOSTILE}': {{from: '{HOSTILE}'}}\n",
    )
    path = bench.folder / "mappings" / "people.yaml"
    path.write_text(path.read_text().replace(f"collection: {HOSTILE}", f"collection: '{HOSTILE}'"))
    assert bench.run().inserted == 1
    assert [*target.documents.find()] == [{"_id": "1", HOSTILE: "one"}]
    assert target.documents.database["y"].count_documents({}) == 1
    source.close()
    target.close()


@pytest.mark.parametrize("path", ["$where", "a.$set", "a..b", "_id.$ne"])
def test_f36_a_field_that_mongodb_would_run_is_refused(
    path: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """An operator is no name: the mapping is refused before anything is written."""
    source = Side("sqlite", new_database("sqlite"), "people")
    target = Side("mongo", new_database("mongo"), "people_copy")
    names(source, "name")
    source.sql("insert into people values ('1', 'one')")
    bench = ProjectBench(tmp_path, source, target, fields=f"  '{path}': name\n")
    with pytest.raises((MappingErrors, SynclineError)) as refused:
        bench.run()
    assert path in str(refused.value)
    assert target.documents.count_documents({}) == 0
    source.close()
    target.close()


@pytest.mark.parametrize("rest", ["", "conflicts: manual\n"], ids=["plain", "ledger"])
def test_f57_two_documents_that_swap_a_unique_value_are_not_lost(rest: str, make: Make) -> None:
    """Each is refused for as long as the other has the value. Both wait, told, or land; once the
    value is free the next run brings them.
    """
    bench = make("sqlite", "mongo", count=6, rest=rest)
    bench.run()
    bench.target.documents.create_index("name", unique=True)
    bench.source.edit(2, name="Person 3", updated_at=now())
    bench.source.edit(3, name="Person 2", updated_at=now())
    bench.source.edit(4, name="Unhindered", updated_at=now())
    bench.run()
    bench.run()
    rows = bench.target.rows()
    assert len(rows) == 6
    assert rows[4]["name"] == "Unhindered"
    with Store.open(bench.project.store_url) as store:
        waiting = {entry.key["_id"] for entry in store.conflicts(mapping="people")}
    behind = {key for key, row in rows.items() if row != bench.source.rows()[key]}
    assert waiting == behind
    bench.target.edit(2, name="Out of the way")
    bench.run(mode="full")
    bench.run()
    if rest:
        return  # what was moved by hand is the target's edit
    assert in_step(bench)
