"""The asset graph of a project: dependencies, source tables, columns and their origin, versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from syncline.dagster import build_definitions
from syncline.dagster.columns import UNSEEN
from syncline.sync import run
from tests.integration.dagster_bench import CUSTOMERS, DagsterBench

RICH = """\
source: {connection: shop, table: customers}
target: {connection: app, table: users, create: true}
key: {id: id}
fields:
  name: upper(trim(name)) || ' of ' || town_id
  town: {lookup: towns, match: town_id, take: title}
  status: {from: kind, values: {"1": active}, else: unknown}
  country: {value: US, type: text}
  score: {python: hooks.score, takes: [name, kind]}
lookups: {towns: {connection: far, table: public.towns, key: id}}
conflicts: {strategy: longest, fields: {status: target}}
"""
LONGEST = "def resolve(conflict):\n    return None\n"


@pytest.fixture
def bench(tmp_path: Path) -> DagsterBench:
    """A project without mappings."""
    return DagsterBench(tmp_path / "project")


def specs(bench: DagsterBench, **options: Any) -> dict[str, dg.AssetSpec]:
    definitions = build_definitions(bench.root, **options)
    dg.Definitions.validate_loadable(definitions)
    found = definitions.resolve_all_asset_specs()
    assert [s.description for s in found if s.group_name == "broken"] == []
    return {spec.key.to_user_string(): spec for spec in found}


def before(found: dict[str, dg.AssetSpec], name: str) -> set[str]:
    return {dep.asset_key.to_user_string() for dep in found[name].deps}


def types(spec: dg.AssetSpec) -> dict[str, str]:
    return {column.name: column.type for column in spec.metadata["dagster/column_schema"].columns}


def test_tables_that_are_only_read_are_external_assets(bench: DagsterBench) -> None:
    """The source and the lookup's table stand before the mapping, named after their connection."""
    bench.write("customers", RICH.replace("strategy: longest, ", "").replace("hooks.score", "h.s"))
    (bench.root / "h.py").write_text("def s(frame):\n    return frame['name']\n")
    found = specs(bench)
    assert set(found) == {"customers", "shop/customers", "far/towns"}
    assert before(found, "customers") == {"shop/customers", "far/towns"}
    source = found["shop/customers"]
    assert (source.group_name, source.kinds) == ("sources", {"sqlite"})
    assert set(types(source)) == {"id", "name", "town_id", "kind"}
    assert set(types(found["far/towns"])) == {"title"}
    materializable = build_definitions(bench.root).resolve_asset_graph().materializable_asset_keys
    assert materializable == {dg.AssetKey("customers")}


def test_a_table_that_one_mapping_writes_and_another_reads_puts_them_in_order(
    bench: DagsterBench,
) -> None:
    """By source or lookup, `public.` or not; and two that feed each other make no circle."""
    bench.write("users")
    read = CUSTOMERS.replace("shop, table: customers", "app, table: public.users")
    bench.write("archive", read.replace("app, table: users", "app, table: archive"))
    bench.write("back", read.replace("app, table: users", "shop, table: customers"))
    found = specs(bench)
    assert before(found, "archive") == {"users"}
    # Of the two that feed each other, one comes first: which one follows from their names.
    assert (before(found, "back"), before(found, "users")) == ({"users"}, set()) or (
        before(found, "back"),
        before(found, "users"),
    ) == (set(), {"back"})


def test_a_foreign_key_of_a_target_puts_its_mapping_behind_the_other(bench: DagsterBench) -> None:
    """From the first run on, which has seen it: no database is asked to load definitions."""
    bench.sql("app", "create table users (id bigint primary key, name text, seen text)")
    bench.sql(
        "app",
        "create table cards (id bigint primary key references users (id), name text, seen text)",
    )
    bench.write("users", CUSTOMERS)
    bench.write("cards", CUSTOMERS.replace("table: users", "table: cards"))
    assert before(specs(bench), "cards") == {"shop/customers"}
    for name in ("users", "cards"):
        run(bench.project, name)
    assert before(specs(bench), "cards") == {"shop/customers", "users"}


def test_columns_have_their_types_once_a_run_has_seen_them(bench: DagsterBench) -> None:
    """Before that, those that the mapping declares; on either side."""
    bench.sql(
        "app", "create table users (id bigint primary key, name varchar(9) not null, seen date)"
    )
    bench.write("customers", CUSTOMERS.replace("seen: seen", "seen: {from: seen, type: date}"))
    found = specs(bench)
    assert types(found["customers"]) == {"id": UNSEEN, "name": UNSEEN, "seen": "date"}
    bench.write("customers", CUSTOMERS.replace("  seen: seen\n", ""))
    bench.sql("shop", "update customers set name = 'a'")
    run(bench.project, "customers")
    found = specs(bench)
    assert types(found["customers"]) == {"id": "bigint", "name": "varchar(9)"}
    assert types(found["shop/customers"])["name"] == "TEXT"
    schema = found["customers"].metadata["dagster/column_schema"]
    nullable = {column.name: column.constraints.nullable for column in schema.columns}
    assert nullable == {"id": False, "name": False}


def test_every_column_says_which_columns_it_is_made_of(bench: DagsterBench) -> None:
    """Expressions, value maps, lookups and functions; a constant is made of none."""
    bench.write("customers", RICH.replace("strategy: longest, ", ""))
    (bench.root / "hooks.py").write_text("def score(frame):\n    return frame['kind']\n")
    lineage = specs(bench)["customers"].metadata["dagster/column_lineage"]
    made_of = {
        name: {f"{dep.asset_key.to_user_string()}.{dep.column_name}" for dep in deps}
        for name, deps in lineage.deps_by_column.items()
    }
    assert made_of == {
        "id": {"shop/customers.id"},
        "name": {"shop/customers.name", "shop/customers.town_id"},
        "town": {"shop/customers.town_id", "far/towns.title"},
        "status": {"shop/customers.kind"},
        "country": set(),
        "score": {"shop/customers.name", "shop/customers.kind"},
    }


def test_lineage_goes_on_through_the_mapping_that_wrote_the_table(bench: DagsterBench) -> None:
    """A source that another mapping writes is that mapping's asset, column by column."""
    bench.write("users")
    bench.write(
        "archive",
        CUSTOMERS.replace("shop, table: customers", "app, table: users").replace(
            "app, table: users, create", "app, table: archive, create"
        ),
    )
    lineage = specs(bench)["archive"].metadata["dagster/column_lineage"]
    (dep,) = lineage.deps_by_column["seen"]
    assert (dep.asset_key, dep.column_name) == (dg.AssetKey("users"), "seen")


def test_the_code_version_is_that_of_what_the_mapping_means(bench: DagsterBench) -> None:
    """It changes with a field, a function or a strategy of the project; not with a schedule."""
    (bench.root / "resolvers").mkdir()
    (bench.root / "resolvers" / "longest.py").write_text(LONGEST)
    (bench.root / "hooks.py").write_text("def score(frame):\n    return frame['kind']\n")
    versions: list[str | None] = []

    def look() -> None:
        versions.append(specs(bench)["customers"].code_version)

    bench.write("customers", RICH)
    look()
    bench.write("customers", RICH, more="# a comment\nschedule: '@daily'\ngroup: crm\n")
    look()
    assert versions[0] == versions[1]
    bench.write("customers", RICH.replace("trim(name)", "name"))
    look()
    (bench.root / "hooks.py").write_text("def score(frame):\n    return frame['name']\n")
    look()
    (bench.root / "resolvers" / "longest.py").write_text(LONGEST + "# another\n")
    look()
    assert None not in versions
    assert len(set(versions)) == 4


def test_some_mappings_can_be_chosen(bench: DagsterBench) -> None:
    """`only` leaves the others out, broken ones too; what they write is still known."""
    bench.write("users")
    bench.write("typo", "source: {}\n")
    read = CUSTOMERS.replace("shop, table: customers", "app, table: users")
    bench.write("archive", read.replace("app, table: users, create", "app, table: archive, create"))
    found = specs(bench, only=["archive"])
    assert before(found, "archive") == {"users"}
    assert {name for name, spec in found.items() if spec.metadata.get("strategy")} == {"archive"}
    with pytest.raises(Exception, match="there is no mapping 'nowhere'"):
        build_definitions(bench.root, only=["nowhere"])


def test_the_review_app_is_linked_where_it_is_known(
    bench: DagsterBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SYNCLINE_REVIEW_URL says where it is; without, there is no link."""
    bench.write("customers")
    monkeypatch.delenv("SYNCLINE_REVIEW_URL", raising=False)
    assert "review" not in specs(bench)["customers"].metadata
    monkeypatch.setenv("SYNCLINE_REVIEW_URL", "https://review.example/")
    link = specs(bench)["customers"].metadata["review"]
    assert link.value == "https://review.example/conflicts?mapping=customers"
