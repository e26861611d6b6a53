"""Finding many rows at once: keys by digest, lists in pieces, membership with one parameter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    String,
    Table,
    any_,
    func,
    literal,
    select,
    text,
)

from syncline.store.model import LIVE

_T = TypeVar("_T")
_PER_STATEMENT: Final = 5_000


def key_digest(mapping: str, ledger_key: str) -> str:
    """What a record is found by: keys can be longer than an index entry may be.

    The mapping is in it, so one column and its index are enough: PostgreSQL without statistics
    (rows just inserted) took the wrong one of two indexes, and a minute instead of a second.
    """
    return digest(mapping, ledger_key)


def digest(*parts: str) -> str:
    """128 bits of BLAKE2b over the parts, as 32 hex digits; no two lists of parts read alike."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        content = part.encode("utf-8", "surrogatepass")
        hashed.update(len(content).to_bytes(8, "little"))
        hashed.update(content)
    return hashed.hexdigest()


def split(items: Sequence[_T], size: int = _PER_STATEMENT) -> Iterator[Sequence[_T]]:
    """The items in pieces that one statement can take."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def among(
    connection: Connection, column: Column[Any], wanted: Sequence[int | str]
) -> ColumnElement[bool]:
    """Whether the column is one of these: one parameter, however many they are."""
    if connection.dialect.name == "postgresql":
        of = BigInteger() if column.type.python_type is int else String()
        from sqlalchemy.dialects.postgresql import ARRAY  # 40 ms, for those whose store it is

        return column == any_(literal(list(wanted), ARRAY(of)))
    given = func.json_each(json.dumps(list(wanted))).table_valued("value")
    return column.in_(select(given.c.value))


def insert_into(dialect: str, table: Table) -> Any:
    """An INSERT that can say what is done about rows that are there: PostgreSQL's or SQLite's."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def is_live() -> Any:
    """The condition of the partial index, word for word, so that the databases use it."""
    states = ", ".join(f"'{state}'" for state in LIVE)
    return text(f"state IN ({states})")
