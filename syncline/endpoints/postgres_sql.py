"""PostgreSQL text: quoted names and literals, and values in the form that is cast back."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute

from syncline.errors import InputError
from syncline.record import Type

# What pyarrow's calls take and give is told by them at run time only.
pc: Any = pyarrow.compute


def ident(*parts: str) -> str:
    """A quoted identifier, qualified where it has several parts."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def literal(value: str | float | None) -> str:
    """A quoted literal: text as `'..'`, numbers and NULL as they are written in SQL.

    Safe beside whatever stands before it, and whatever `standard_conforming_strings` says. Raises
    InputError for a NUL, which no text of PostgreSQL holds: the statement would end there.
    """
    if value is None:
        return "NULL"
    if not isinstance(value, str):
        text = f"{value}" if isinstance(value, int) or isfinite(value) else f"'{value}'::float8"
        return f" {text}" if text.startswith("-") else text  # two of them would begin a comment
    if "\0" in value:
        raise InputError("a text of PostgreSQL can't hold a NUL")
    quoted = "'" + value.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in value else quoted


def text_forms(values: pa.Array[Any], type_: Type) -> pa.Array[Any]:
    """Each value as text that `CAST(.. AS its column's type)` reads back as the same value."""
    if type_.name == "bytes":
        texts = ["\\x" + v.hex() if v is not None else None for v in values.to_pylist()]
        return pa.array(texts, pa.string())
    return values.cast(pa.string())


def array_literal(values: pa.Array[Any], type_: Type) -> str:
    """The column as one quoted SQL array literal (`'{"1","2",NULL}'`), not yet cast to a type."""
    texts = text_forms(values, type_)
    escaped = pc.replace_substring(texts, "\\", "\\\\")
    escaped = pc.replace_substring(escaped, '"', '\\"')
    quoted = pc.binary_join_element_wise(pa.scalar('"'), escaped, pa.scalar('"'), pa.scalar(""))
    items = cast("list[str]", pc.fill_null(quoted, "NULL").to_pylist())
    return literal("{" + ",".join(items) + "}")


def conjunction(conditions: Sequence[str]) -> str:
    """The conditions as one `WHERE` clause, or nothing where there is none."""
    kept = [condition for condition in conditions if condition]
    return " WHERE " + " AND ".join(kept) if kept else ""
