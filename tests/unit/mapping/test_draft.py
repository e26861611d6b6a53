"""A draft is a mapping file that loads and binds, with remarks for the person who takes it over."""

# ruff: noqa: E501 - tables

from __future__ import annotations

import pytest

from syncline.endpoints.base import Column, TableInfo
from syncline.endpoints.memory import MemoryEndpoint
from syncline.errors import InputError
from syncline.mapping.compile import bind
from syncline.mapping.draft import draft, scalar
from syncline.mapping.load import parse_mapping
from syncline.mapping.model import Mapping
from syncline.record import Type, parse_type

CUSTOMERS = {
    "id": "bigint",
    "FirstName": "text",
    "last_name": "text",
    "order": "integer",
    "balance": "decimal",
    "UpdatedAt": "timestamptz",
    "born": "text",
    "profile": "json",
    "we ird": "text",
    "true": "bool",
}


class Database(MemoryEndpoint):
    """A memory endpoint of one table, whose catalogue may be told otherwise."""

    told: TableInfo | None = None

    def describe(self, table: str) -> TableInfo | None:
        return self.told or super().describe(table)


def database(**tables: dict[str, str]) -> Database:
    return Database(
        {name: {c: parse_type(t) for c, t in columns.items()} for name, columns in tables.items()}
    )


def drafted(source: Database, target: Database, table: str | None = None) -> tuple[str, Mapping]:
    """The text and the mapping in it, which has been bound to both databases."""
    text = draft(
        source, "customers", target, table, source_connection="crm", target_connection="app"
    )
    mapping = parse_mapping(text, "customers")
    bind(mapping, source=source, target=target, project=None)
    return text, mapping


def test_a_missing_target_is_drafted_to_be_created() -> None:
    """Every column, the source's key, and the delta that is the best here."""
    text, mapping = drafted(database(customers=CUSTOMERS), database())
    assert mapping.target.create
    assert mapping.key == {"id": "id"}
    assert list(mapping.fields) == [name for name in CUSTOMERS if name != "id"]
    assert "delta: {by: xmin}" in text
    assert "order: order" in text  # a lone name is a column, though it is a word of SQL
    assert '"true": {from: "true"}' in text


def test_columns_meet_by_their_letters_and_are_cast_where_they_differ() -> None:
    """Case and underscores do not matter; a cast that may fail says so; what is left over
    is shown.
    """
    users = {
        "user_id": "bigint", "first_name": "text(12)", "lastName": "text", "balance": "decimal(14,2)",
        "updated_at": "timestamptz", "born": "date", "profile": "integer", "extra": "text",
    }  # fmt: skip
    text, mapping = drafted(database(customers=CUSTOMERS), database(users=users), "users")
    assert mapping.key == {"user_id": "id"}
    assert set(mapping.fields) == {"first_name", "lastName", "balance", "updated_at", "born"}
    assert mapping.fields["born"].type == Type("date")
    assert "text to date: what does not fit is a dead letter" in text
    assert "# extra: no source column is named like it." in text
    assert "# profile: profile is json, which has no cast to integer" in text
    assert "# not mapped: true (bool)" in text


def test_documents_are_flattened_into_a_table_and_kept_as_paths_in_documents() -> None:
    """A path becomes a column `a_b` of a table; its parent is left out, for it would be written
    twice.
    """
    source = database()
    source.create_table("customers", {"_id": Type("text")}, {})
    columns = [
        Column("_id", Type("text"), nullable=False),
        Column("address", Type("json")),
        Column("address.city", Type("text")),
        Column("tags", Type("json")),
    ]
    source.told = TableInfo(
        "customers", {c.name: c for c in columns}, primary_key=("_id",), open_columns=True
    )
    _, mapping = drafted(source, database(), "people")
    assert mapping.source.collection == "customers"
    assert list(mapping.fields) == ["address_city", "tags"]
    people = database()
    people.told = TableInfo("people", {"_id": columns[0]}, primary_key=("_id",), open_columns=True)
    _, mapping = drafted(source, people, "people")
    assert list(mapping.fields) == ["address.city", "tags"]
    assert mapping.target.collection == "people"


def test_a_table_without_a_key_is_searched_for_one() -> None:
    """A column that is named like a key and proves unique; else the draft says that it
    found none.
    """
    source = database(customers={"n": "integer", "code": "text", "name": "text"})
    columns = {
        name: Column(name, Type(kind)) for name, kind in (("name", "text"), ("code", "text"))
    }
    source.told = TableInfo("customers", columns)
    _, mapping = drafted(source, database())
    assert mapping.key == {"code": "code"}
    for n in (1, 2):
        source.put("customers", {"n": n, "code": "x", "name": "y"})
    with pytest.raises(InputError, match="none of code is unique"):
        drafted(source, database())


def test_a_missing_source_names_the_tables_there_are() -> None:
    """The person sees what could be meant."""
    with pytest.raises(InputError) as caught:
        draft(database(orders={"id": "bigint"}), "customers", database(),
              source_connection="crm", target_connection="app")  # fmt: skip
    assert "crm has no customers" in str(caught.value)
    assert caught.value.hint == "it has orders"


@pytest.mark.parametrize("text", ["a b", "on", "null", "1", "x: y", "a#b", "é", "-", 'q"q', "a\nb"])
def test_any_name_survives_being_written(text: str) -> None:
    """Whatever a column is called, YAML reads it back as the same text."""
    from syncline.mapping.document import parse_document

    written = f"{{k: {scalar(text)}, {scalar(text)}: v}}"
    assert parse_document(written, "x").data == {"k": text, text: "v"}
