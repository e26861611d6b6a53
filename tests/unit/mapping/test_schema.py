"""The JSON Schema that editors use says what the model says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from syncline.mapping.schema import SHIPPED, json_schema, schema_text

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


def test_the_shipped_schema_and_the_one_in_the_reference_are_the_models() -> None:
    """`python -m syncline.mapping.schema docs/reference/mapping.schema.json` writes both anew."""
    assert SHIPPED.read_text(encoding="utf-8") == schema_text()
    assert (REFERENCE / "mapping.schema.json").read_text(encoding="utf-8") == schema_text()


def test_every_object_refuses_unknown_keys() -> None:
    """As the loader does."""
    schema = json_schema()
    objects: list[dict[str, Any]] = [schema, *schema["$defs"].values()]
    assert all(one["additionalProperties"] is False for one in objects if one.get("properties"))


def test_short_forms_are_offered_beside_long_ones() -> None:
    """A field may be text; so may deletes and conflicts."""
    properties = json_schema()["properties"]
    field = properties["fields"]["additionalProperties"]
    for place in (field, properties["deletes"], properties["conflicts"]):
        assert place["anyOf"][0]["type"] == "string"


def test_keys_are_those_of_the_file() -> None:
    """`from` and `else`, not their names in Python."""
    assert {"from", "values", "else"} <= json_schema()["$defs"]["FromForm"]["properties"].keys()
