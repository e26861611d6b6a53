"""Checksums in SQL: one statement that groups records by key and sums their prints.

What a record's text, print and group are is said by `syncline.spelling`; databases differ in how
they write that down.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

SUMS: Final = "SELECT g, COUNT(*) AS n, {total} AS h FROM ({rows}) AS d GROUP BY g"
MEMBERS: Final = "SELECT k, h FROM ({rows}) AS d"


@dataclass(frozen=True, slots=True)
class Piece:
    """The SQL of one value's text, which is NULL only where `column` is or it is too long;
    `free` where the text may hold any character.
    """

    sql: str
    column: str
    free: bool = False


class Spelling(ABC):
    """How one database writes texts, prints and groups."""

    @abstractmethod
    def joined(self, parts: Sequence[str]) -> str:
        """Put texts together; NULL where one is."""

    @abstractmethod
    def length(self, text: str) -> str:
        """The number of a text's characters, as text."""

    @abstractmethod
    def quoted(self, text: str) -> str:
        """A text as JSON writes it, in double quotes."""

    @abstractmethod
    def print_of(self, text: str) -> str:
        """The first 64 bits of a text's MD5, as a number."""

    @abstractmethod
    def number_text(self, number: str) -> str:
        """A whole number as text."""

    @abstractmethod
    def block(self, number: str) -> str:
        """The low 31 bits of a whole number divided by 16, rounded down."""

    total: str
    """The SQL of the sum of `h`, as text."""

    def key(self, pieces: Sequence[Piece], *, whole: bool) -> str:
        """The text of a key, as a ledger has it."""
        if len(pieces) == 1:
            return self.number_text(pieces[0].sql) if whole else pieces[0].sql
        parts = [
            self.quoted(piece.sql) if piece.free else self.joined(["'\"'", piece.sql, "'\"'"])
            for piece in pieces
        ]
        between = [part for one in parts for part in ("', '", one)][1:]
        return self.joined(["'['", *between, "']'"])

    def record(self, key: str, pieces: Iterable[Piece]) -> str:
        """The text of a record: no two records have the same."""
        parts = [self.length(key), "':'", key]
        for piece in pieces:
            text = piece.sql
            if piece.free:
                text = self.joined([self.length(text), "':'", text])
            parts += [f"CASE WHEN {piece.column} IS NULL THEN '~' ELSE {text} END", "','"]
        return self.joined(parts)

    def group(self, key: str, groups: int, *, whole: bool) -> str:
        """The number of a key's group; `key` is the number itself where it is `whole`."""
        bits = groups.bit_length() - 1
        if whole:
            return f"((({self.block(key)}) * 2654435769) & 4294967295) >> {32 - bits}"
        return f"({self.print_of(key)} >> {64 - bits}) & {groups - 1}"
