"""The reference of the mapping file names every key, and each of its examples loads and binds."""

# ruff: noqa: ARG002 - stand-ins

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncline.endpoints.memory import MemoryEndpoint
from syncline.mapping.compile import bind
from syncline.mapping.document import parse_document
from syncline.mapping.load import parse_mapping
from syncline.mapping.schema import json_schema
from syncline.record import TYPE_NAMES, parse_type

TEXT = (Path(__file__).parents[3] / "docs" / "reference" / "mapping.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
AROUND = {
    "source": "source: {connection: crm, table: public.customers}\n",
    "target": "target: {connection: app, table: users, create: true}\n",
    "key": "key: {user_id: id}\n",
}
CUSTOMERS = (
    "id bigint, first_name text, last_name text, email text, notes text, "
    "is_active bool, region_id integer, "
    "tier integer, balance decimal(14,2), amount decimal(9,2), currency text, "
    "status text, profile json, "
    "updated_at timestamptz"
)


def columns(text: str) -> dict[str, Any]:
    parts = re.split(r", (?=[a-z])", text)
    return {name: parse_type(kind) for name, kind in (part.split(" ", 1) for part in parts)}


class Project:
    """Just enough of one for the examples."""

    def __init__(self, database: MemoryEndpoint) -> None:
        self.database, self.hooks = database, self

    def open(self, name: str) -> Any:
        return self.database

    def function(self, dotted: str) -> Callable[..., Any]:
        return lambda frame: frame

    def digest(self, dotted: str) -> str:
        return dotted


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_loads_and_binds(example: str) -> None:
    """What the reference shows is what works; the parts it leaves out are filled in."""
    given = parse_document(example, "example").data
    text = "".join(line for key, line in AROUND.items() if key not in given) + example
    mapping = parse_mapping(text)
    crm = MemoryEndpoint(
        {
            "public.customers": columns(CUSTOMERS),
            "public.regions": columns("id integer, name text"),
        }
    )
    crm.create_table("prices", columns("region integer, tier integer"), columns("name text"))
    assert bind(mapping, source=crm, target=MemoryEndpoint(), project=Project(crm)).digest


def test_every_key_is_in_the_reference() -> None:
    """A key that the schema knows is explained."""
    schema = json_schema()
    keys = {key for one in (schema, *schema["$defs"].values()) for key in one.get("properties", {})}
    assert {key for key in keys if f"`{key}`" not in TEXT} == set()
    assert {name for name in TYPE_NAMES if f"`{name}" not in TEXT} == set()
