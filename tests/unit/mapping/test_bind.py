"""Binding looks at both live databases and reports everything that is wrong together."""

# ruff: noqa: ARG002, E501, ISC004 - stand-ins, and messages as they are shown

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from syncline.endpoints.base import Column, Comparison, DeltaBy, TableInfo
from syncline.endpoints.memory import MemoryEndpoint
from syncline.errors import InputError, MappingErrors
from syncline.mapping.compile import BoundMapping, bind
from syncline.mapping.load import parse_mapping
from syncline.record import Type, parse_type

HEAD = """\
source: {connection: crm, table: customers}
target: {connection: app, table: users}
key: {user_id: id}
"""
CUSTOMERS = {
    "id": "bigint",
    "name": "text",
    "Email": "text",
    "balance": "decimal(14,2)",
    "total": "decimal",
    "region_id": "integer",
    "profile": "json",
    "active": "bool",
    "updated_at": "timestamptz",
}
USERS = {
    "user_id": "bigint",
    "name": "text",
    "email": "text(50)",
    "balance": "decimal(14,2)",
    "region": "text",
    "joined": "date",
    "active": "bool",
    "deleted_at": "timestamptz",
    "updated_at": "timestamptz(3)",
}
REGIONS = {"id": "integer", "name": "text"}


def typed(columns: Mapping[str, str]) -> dict[str, Type]:
    return {name: parse_type(text) for name, text in columns.items()}


class Database(MemoryEndpoint):
    """A memory endpoint whose catalogue can be told to say something else of a table."""

    def __init__(self, tables: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__({name: typed(columns) for name, columns in tables.items()})
        self.told: dict[str, TableInfo] = {}
        self.delta: DeltaBy = "xmin"

    def describe(self, table: str) -> TableInfo | None:
        return self.told.get(table) or super().describe(table)

    def best_delta(self, info: TableInfo, cursor: str | None) -> DeltaBy:
        return self.delta


class Surroundings:
    """A project of one database and one function."""

    def __init__(self, database: MemoryEndpoint) -> None:
        self.database = database
        self.hooks = self

    def open(self, name: str) -> Any:
        return self.database

    def function(self, dotted: str) -> Callable[..., Any]:
        if dotted != "hooks.score":
            raise InputError(f"there is no {dotted}")
        return lambda frame: frame["id"]

    def digest(self, dotted: str) -> str:
        return "of the file"


@pytest.fixture
def crm() -> Database:
    return Database({"customers": CUSTOMERS, "regions": REGIONS})


@pytest.fixture
def app() -> Database:
    return Database({"users": USERS})


def bound(rest: str, crm: Database, app: Database, head: str = HEAD) -> BoundMapping:
    mapping = parse_mapping(head + rest, "customers")
    return bind(mapping, source=crm, target=app, project=Surroundings(crm))


def problems(rest: str, crm: Database, app: Database, head: str = HEAD) -> list[str]:
    with pytest.raises(MappingErrors) as caught:
        bound(rest, crm, app, head)
    return [str(problem) for problem in caught.value.problems]


def test_a_bound_mapping_says_what_to_read_and_what_to_write(crm: Database, app: Database) -> None:
    """Only the columns that are needed are read; the target's own types are written."""
    found = bound(
        "where: region_id <> 9 and 3 < balance and name is not null\n"
        "fields:\n  name: upper(name)\n  updated_at: {from: updated_at, truncate: ms}\n"
        "delta: {cursor: updated_at}\n",
        crm,
        app,
    )
    assert found.read.key == ("id",)
    assert list(found.read.columns) == ["id", "name", "balance", "region_id", "updated_at"]
    assert (found.read.by, found.read.cursor) == ("xmin", "updated_at")
    assert found.read.filters == (Comparison("region_id", "<>", 9),)
    assert found.target.key == {"user_id": Type("bigint")}
    assert found.target.fields == {"name": Type("text"), "updated_at": Type("timestamptz", 3)}
    assert (found.target.ledger, found.target.ledger_key) == (False, Type("bigint"))
    assert found.key == {"user_id": "id"}
    assert [field.name for field in found.fields] == ["name", "updated_at"]


def test_everything_that_is_wrong_comes_together(crm: Database, app: Database) -> None:
    """Columns, fields, types, key, delta and deletes: one report, each at its line."""
    rest = (
        "where: balance\n"
        "fields:\n"
        "  name: upper(nam)\n"
        "  emial: Email\n"
        "  joined: active\n"
        "  region: {lookup: regions, match: region_id, take: nmae}\n"
        "  balance: profile\n"
        "  active: lower(balance)\n"
        "lookups: {regions: {connection: crm, table: regions, key: id}}\n"
        "delta: {by: timestamp, cursor: profile}\n"
        "deletes: {mode: soft, column: gone}\n"
    )
    found = problems(rest, crm, app)
    said = {
        "customers.yaml:4: a condition is true or false; this is decimal(14,2) (@ $.where)",
        "customers.yaml:6: customers has no column `nam`; did you mean `name`? (@ $.fields.name)",
        "customers.yaml:7: users has no column `emial`; did you mean `email`? (@ $.fields.emial)",
        "customers.yaml:8: bool has no cast to date: write one in an expression (@ $.fields.joined)",
        "customers.yaml:9: regions has no column `nmae`; did you mean `name`? (@ $.fields.region.take)",
        "customers.yaml:10: json has no cast to decimal(14,2): write one in an expression"
        " (@ $.fields.balance)",
        "customers.yaml:13: `profile` is json: a cursor is a time, or a number that grows"
        " (@ $.delta.cursor)",
    }
    assert said <= {problem.replace("$.fields.name.sql", "$.fields.name") for problem in found}
    assert any("No function matches" in problem and ":11:" in problem for problem in found)
    assert any("users has no column `gone`" in problem for problem in found)


def test_a_missing_table_is_named_with_the_way_out(crm: Database, app: Database) -> None:
    """The source must be there; the target may be made."""
    head = "source: {connection: crm, table: nope}\ntarget: {connection: app, table: nope}\nkey: {a: b}\n"
    assert problems("", crm, app, head) == [
        "customers.yaml:1: crm has no nope; it has customers, regions (@ $.source)",
        "customers.yaml:2: app has no nope; `create: true` makes it (@ $.target)",
    ]


def test_a_table_to_be_created_has_the_types_that_the_fields_have(
    crm: Database, app: Database
) -> None:
    """Declared, else inferred; what can't be inferred must be declared."""
    head = HEAD.replace("table: users", "table: fresh, create: true")
    rest = "fields:\n  a: length(name)\n  b: {from: balance, type: double}\n  c: balance * 2\n  d: '[name]'\n"
    found = bound(rest, crm, app, head)
    assert found.target_info is None
    assert {name: str(type_) for name, type_ in found.target.fields.items()} == {
        "a": "bigint", "b": "double", "c": "decimal(18,2)", "d": "json",
    }  # fmt: skip
    assert problems("fields: {a: {value: null}, s: {python: hooks.score}}", crm, app, head) == [
        "customers.yaml:4: its type can't be told: give it in `type` (@ $.fields.a)",
        "customers.yaml:4: its type can't be told: give it in `type` (@ $.fields.s)",
    ]


def test_names_find_their_column_whatever_their_case_if_only_one_has_the_letters(
    crm: Database, app: Database
) -> None:
    """`EMAIL` is `Email`; where two columns differ only in case, the exact name is asked for."""
    assert "Email" in bound("fields: {email: lower(EMAIL)}", crm, app).read.columns
    both = Database({"customers": {"id": "bigint", "Name": "text", "name": "text", "Code": "text"}})
    found = bound('fields: {name: name || "Name"}', both, app)
    assert list(found.read.columns) == ["id", "Name", "name"]
    assert "may be any of Name, name" in problems("fields: {name: NAME}", both, app)[0]


def test_the_source_key_must_be_unique(crm: Database, app: Database) -> None:
    """By the catalogue; else by a look at the records, which names those that are not."""
    head = HEAD.replace("user_id: id", "user_id: region_id")
    assert bound("", crm, app, head).key == {"user_id": "region_id"}
    crm.put("customers", {"id": 1, "region_id": 5})
    crm.put("customers", {"id": 2, "region_id": 5})
    (problem,) = problems("", crm, app, head)
    assert "region_id is not a key of customers: NULL or more than once: (5)" in problem
    assert problem.startswith("customers.yaml:3:")


def told(database: Database, table: str, *columns: Column, **more: Any) -> None:
    database.told[table] = TableInfo(table, {column.name: column for column in columns}, **more)


def test_the_target_key_must_be_unique_there(crm: Database, app: Database) -> None:
    """A primary key, or unique NOT NULL columns, within the mapping's key."""
    columns = [Column("user_id", Type("bigint")), Column("name", Type("text"))]
    told(app, "users", *columns)
    assert (
        "has no primary key or unique NOT NULL columns within user_id" in problems("", crm, app)[0]
    )
    told(app, "users", *columns, unique=(("user_id", "name"),))
    assert problems("", crm, app)
    told(app, "users", *columns, unique=(("user_id",),))
    assert bound("", crm, app).target_info is not None


def test_columns_that_the_target_needs_or_computes_are_told(crm: Database, app: Database) -> None:
    """NOT NULL without a default must be mapped; a generated one must not."""
    told(
        app,
        "users",
        Column("user_id", Type("bigint"), nullable=False),
        Column("name", Type("text"), nullable=False),
        Column("email", Type("text"), nullable=False, has_default=True),
        Column("full", Type("text"), generated=True, nullable=False),
        primary_key=("user_id",),
    )
    found = problems("fields: {full: name}", crm, app)
    assert [problem.split(": ", 1)[1] for problem in found] == [
        "`name` of users is NOT NULL without a default, and not mapped (@ $.fields)",
        "`full` is computed by users, so it can't be written (@ $.fields.full)",
    ]


def test_a_lookup_needs_a_table_with_a_unique_key_of_a_comparable_type(
    crm: Database, app: Database
) -> None:
    """Its table, key, taken column and the matched column's type are all looked at."""
    field = "fields: {region: {lookup: regions, match: region_id, take: name}}\n"
    crm.put("regions", {"id": 1, "name": "north"})
    crm.put("regions", {"id": 2, "name": "north"})
    good = "lookups: {regions: {connection: crm, table: regions, key: id}}"
    assert bound(field + good, crm, app).program.uses.taken == {"regions": ("name",)}
    for key, said in (("name", "not unique in regions"), ("nope", "regions has no column `nope`")):
        found = problems(field + good.replace("key: id", f"key: {key}"), crm, app)
        assert any(said in problem for problem in found)
    assert (
        "crm has no nope"
        in problems(field + good.replace("table: regions", "table: nope"), crm, app)[0]
    )
    by_name = field.replace("region_id", "name")
    assert (
        "`name` is text, but `id` of the lookup is integer" in problems(by_name + good, crm, app)[0]
    )
    assert "no field uses this lookup" in problems(good, crm, app)[0]


def test_value_maps_take_the_type_of_their_column(crm: Database, app: Database) -> None:
    """A key that is no value of the column is told, as is a result that the field can't hold."""
    found = problems(
        "fields:\n"
        "  name: {from: region_id, values: {1: one, x: two}}\n"
        "  active: {from: name, values: {a: true, b: perhaps}}\n"
        "  region: {from: active, values: {true: 1, t: 2}, type: bigint}\n",
        crm,
        app,
    )
    assert [problem.split(" (@")[0] for problem in found] == [
        "customers.yaml:5: the key 'x' does not fit integer (`region_id` is integer)",
        "customers.yaml:6: 'perhaps' is not a bool",
    ]


def test_constants_and_defaults_must_fit_their_field(crm: Database, app: Database) -> None:
    """What can be told before the first record is told then."""
    found = problems(
        "fields:\n"
        "  balance: {value: 1.005}\n"
        "  joined: {from: name, type: date, default: tomorrow}\n"
        "  name: {from: name, truncate: ms}\n",
        crm,
        app,
    )
    assert "1.005 does not fit decimal(14,2) exactly" in found[0] or "no cast" not in found[0]
    assert any("'tomorrow' is not a date" in problem for problem in found)
    assert any("text can't be cut to `ms`" in problem for problem in found)


def test_a_delta_must_be_one_the_source_can_do(crm: Database, app: Database) -> None:
    """Xmin is PostgreSQL's (and the memory endpoint's); a cursor must help."""
    assert bound("delta: {by: xmin}", crm, app).read.by == "xmin"
    crm.delta = "none"
    assert "has no xmin" in problems("delta: {by: xmin}", crm, app)[0]
    assert "has no change stream" in problems("delta: {by: stream}", crm, app)[0]
    said = problems("delta: {by: timestamp, cursor: updated_at}", crm, app)[0]
    assert "can't tell by `updated_at` what changed" in said
    assert bound("", crm, app).read.by == "none"
    assert bound("delta: {by: none}", crm, app).read.by == "none"
    crm.delta = "stream"
    assert bound("delta: {by: stream}", crm, app).read.by == "stream"
    assert bound("delta: {cursor: updated_at}", crm, app).read.by == "stream"


def test_a_function_must_be_there(crm: Database, app: Database) -> None:
    """A field made by Python is looked up in the project."""
    assert (
        bound("fields: {name: {python: hooks.score}}", crm, app).read.columns.keys()
        == CUSTOMERS.keys()
    )
    assert "there is no hooks.nope" in problems("fields: {name: {python: hooks.nope}}", crm, app)[0]
    mapping = parse_mapping(HEAD + "fields: {name: {python: hooks.score}}")
    with pytest.raises(MappingErrors, match="needs a project"):
        bind(mapping, source=crm, target=app, project=None)


def test_digests_change_if_and_only_if_what_is_computed_changes(
    crm: Database, app: Database
) -> None:
    """Layout, comments and quoting move nothing; expression, type, default, condition and
    key do.
    """

    def digest(rest: str, head: str = HEAD) -> str:
        return bound(rest, crm, app, head).digest

    base = digest("fields: {name: upper(name)}")
    assert digest("fields:\n  name: {sql: ' UPPER( \"name\" )'}  # same") == base
    assert digest("fields: {name: upper(name)}\nschedule: '@daily'\nbatch_size: 7") == base
    others = [
        digest("fields: {name: lower(name)}"),
        digest("fields: {name: {sql: upper(name), default: x}}"),
        digest("fields: {name: {sql: upper(name), type: text(5)}}"),
        digest("fields: {email: upper(name)}"),
        digest("fields: {name: upper(name)}\nwhere: active"),
        digest("fields: {name: upper(name)}", HEAD.replace("user_id: id", "user_id: region_id")),
    ]
    assert len({base, *others}) == 1 + len(others)
    first, second = (bound(rest, crm, app) for rest in ("where: active", ""))
    assert first.key_digest == second.key_digest


def test_a_composite_key_is_kept_in_the_ledger_as_text(crm: Database, app: Database) -> None:
    """Only a single whole number is its own ledger key."""
    head = HEAD.replace("{user_id: id}", "{user_id: id, name: name}")
    found = bound("conflicts: merge", crm, app, head)
    assert found.target.ledger_key == Type("text")
    assert found.target.ledger
    assert found.read.key == ("id", "name")


def test_documents_take_any_path(crm: Database, app: Database) -> None:
    """A sampled column may be read; one that no sample showed needs a type; any may be written."""
    told(
        crm,
        "customers",
        Column("id", Type("bigint"), nullable=False),
        Column("address.city", Type("text")),
        primary_key=("id",),
        open_columns=True,
    )
    told(
        app, "users", Column("user_id", Type("bigint")), primary_key=("user_id",), open_columns=True
    )
    found = bound("fields: {home.town: upper(address.city)}", crm, app)
    assert found.target.fields == {"home.town": Type("text")}
    assert "Give its type in `source.types`" in problems("fields: {zip: address.zip}", crm, app)[0]
    head = HEAD.replace("table: customers", "table: customers, types: {address.zip: integer}")
    assert bound("fields: {zip: address.zip}", crm, app, head).read.columns["address.zip"] == Type(
        "integer"
    )


def test_the_column_that_marks_deletes_is_found(crm: Database, app: Database) -> None:
    """Soft deletes need a column of the target that can mark."""
    found = bound("deletes: {mode: soft, column: deleted_at}", crm, app)
    assert found.soft_delete == ("deleted_at", Type("timestamptz"))
    assert (
        "a mark of what is gone" in problems("deletes: {mode: soft, column: balance}", crm, app)[0]
    )


def test_nothing_of_the_project_is_needed_for_plain_fields(crm: Database, app: Database) -> None:
    """`project` may be None, and a lookup then says what it lacks."""
    mapping = parse_mapping(HEAD + "fields: {name: name}")
    assert bind(mapping, source=crm, target=app, project=None).fields[0].name == "name"
