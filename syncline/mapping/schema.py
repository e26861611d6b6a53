"""The JSON Schema of a mapping file, for editors; shipped in the package and shown in the
reference.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from syncline.mapping.model import Mapping

SHIPPED: Final = Path(__file__).with_name("mapping.schema.json")
"""The schema as it comes with the package."""


def json_schema() -> dict[str, Any]:
    """The schema, made from the model."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A syncline mapping",
        **{key: value for key, value in Mapping.model_json_schema().items() if key != "title"},
    }


def schema_text() -> str:
    """The schema as the text of its file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    # `python -m syncline.mapping.schema [FILE..]` writes the shipped file, and copies of it.
    import sys

    for target in (SHIPPED, *map(Path, sys.argv[1:])):
        target.write_text(schema_text(), encoding="utf-8")
