"""A snapshot of a SQL source, read in batches: ordered and continued by keyset in the database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import pyarrow as pa

from syncline.endpoints.base import Guarantee, SourceBatch
from syncline.endpoints.sql_dialect import Dialect, Term
from syncline.endpoints.sql_session import Row, Session, Stream
from syncline.endpoints.sql_values import Field
from syncline.errors import InputError
from syncline.record import Misfit

_FIRST_ROWS: Final = 500
"""Rows fetched before anything is known of their size."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One query of a read: which rows, in which order."""

    where: tuple[str, ...]
    params: tuple[Any, ...]
    order: tuple[Term, ...]


class SqlRead:
    """See `base.Read`. The session is in its snapshot, and stays so until the read is closed."""

    def __init__(
        self,
        session: Session,
        dialect: Dialect,
        table: str,
        fields: Mapping[str, Field],
        key: Sequence[str],
        passes: Sequence[Pass],
        *,
        horizon: str,
        guarantee: Guarantee,
        batch_rows: int,
        batch_bytes: int,
        after: str | None = None,
    ) -> None:
        self.horizon, self.guarantee = horizon, guarantee
        self._session, self._dialect, self._table = session, dialect, table
        self._fields, self._key, self._passes = fields, frozenset(key), tuple(passes)
        self._rows, self._bytes = batch_rows, batch_bytes
        self._after = after

    def batches(self) -> Iterator[SourceBatch]:
        """See `base.Read.batches`."""
        first, last = _position_of(self._after, self._passes) if self._after else (0, None)
        for number in range(first, len(self._passes)):
            yield from self._pass(number, last if number == first else None)

    def _pass(self, number: int, last: Row | None) -> Iterator[SourceBatch]:
        one = self._passes[number]
        statement, params = self._statement(one, last)
        # Whoever stops half-way leaves rows in the pipe: such a connection is cut, not drained.
        self._session.discard()
        stream = self._session.stream(statement, params, self._dialect.cursor(self._session))
        ends = range(len(self._fields), len(self._fields) + len(one.order))
        for row, records, misfits in self._batches(stream):
            place = [_packed(row[end]) for end in ends]
            yield SourceBatch(records, misfits, json.dumps({"pass": number, "last": place}))
        self._session.keep()

    def _statement(self, one: Pass, last: Row | None) -> tuple[str, list[Any]]:
        select = [self._dialect.selected(field) for field in self._fields.values()]
        select += [term.selected for term in one.order]
        conditions, params = list(one.where), list(one.params)
        if last is not None:
            beyond, more = past(self._dialect, one.order, last)
            conditions.append(beyond)
            params += more
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = f" ORDER BY {', '.join(term.sql for term in one.order)}" if one.order else ""
        table = self._dialect.table(self._table)
        return f"SELECT {', '.join(select)} FROM {table}{where}{order}", params  # noqa: S608 - quoted

    def _batches(self, stream: Stream) -> Iterator[tuple[Row, pa.Table, tuple[Misfit, ...]]]:
        """Cut the stream where rows or bytes reach the limit of a batch.

        Give each cut's last row.
        """
        wide = 0  # the bytes a row has had so far
        while True:
            count, size, last = 0, 0, None
            tables: list[pa.Table] = []
            misfits: list[Misfit] = []
            while count < self._rows and size < self._bytes:
                fit = (self._bytes - size) // wide + 1 if wide else _FIRST_ROWS
                rows = stream.fetch(min(self._rows - count, fit))
                if not rows:
                    break
                table, bad = self._converted(rows, count)
                tables.append(table)
                misfits += bad
                count, size, last = count + len(rows), size + table.nbytes, rows[-1]
                wide = max(1, size // count)
            if last is None:
                return
            yield last, pa.concat_tables(tables), tuple(misfits)

    def _converted(self, rows: Sequence[Row], offset: int) -> tuple[pa.Table, list[Misfit]]:
        columns = list(zip(*rows, strict=True))
        arrays: dict[str, Any] = {}
        misfits: list[Misfit] = []
        for index, (name, field) in enumerate(self._fields.items()):
            arrays[name], bad = self._dialect.read(field, columns[index], key=name in self._key)
            misfits += [Misfit(m.row + offset, m.field, m.reason, m.value) for m in bad]
        return pa.table(arrays), misfits


def past(dialect: Dialect, order: Sequence[Term], last: Row) -> tuple[str, list[Any]]:
    """Give the condition that a row comes after `last` in this order, and its parameters.

    Spelled out as `(a > ?) OR (a = ? AND b > ?)`, which both databases answer from an index. NULL
    comes first.
    """
    parts: list[str] = []
    params: list[Any] = []
    for depth, term in enumerate(order):
        equal = [
            f"{t.sql} IS NULL" if v is None else f"{t.sql} = {dialect.mark}"
            for t, v in zip(order[:depth], last, strict=False)
        ]
        bound = [
            t.param(dialect, v) for t, v in zip(order[:depth], last, strict=False) if v is not None
        ]
        value = last[depth]
        if value is None:
            beyond = f"{term.sql} IS NOT NULL"
        else:
            beyond = f"{term.sql} > {dialect.mark}"
            bound.append(term.param(dialect, value))
        parts.append("(" + " AND ".join([*equal, beyond]) + ")")
        params += bound
    return "(" + " OR ".join(parts) + ")", params


def up_to(dialect: Dialect, order: Sequence[Term], last: Row) -> tuple[str, list[Any]]:
    """Give the condition that a row does not come after `last`: all that `past` leaves out."""
    parts: list[str] = []
    params: list[Any] = []
    same: list[str] = []
    bound: list[Any] = []
    for term, value in zip(order, last, strict=True):
        if value is not None:  # nothing comes before NULL
            before = f"({term.sql} < {dialect.mark} OR {term.sql} IS NULL)"
            parts.append("(" + " AND ".join([*same, before]) + ")")
            params += [*bound, term.param(dialect, value)]
            bound.append(term.param(dialect, value))
        same.append(f"{term.sql} IS NULL" if value is None else f"{term.sql} = {dialect.mark}")
    parts.append("(" + " AND ".join(same) + ")")
    return "(" + " OR ".join(parts) + ")", [*params, *bound]


def ending(dialect: Dialect, one: Pass, until: str) -> Pass:
    """Give the pass that ends with the row of this position."""
    condition, params = up_to(dialect, one.order, _position_of(until, (one,))[1])
    return Pass((*one.where, condition), (*one.params, *params), one.order)


def split(
    session: Session, dialect: Dialect, table: str, order: Sequence[Term], step: int, most: int
) -> list[str]:
    """Give the positions of each `step`-th row in this order, at most so many.

    The database skips the rows between along the key's index; none of them travels.
    """
    found: list[str] = []
    last: Row | None = None
    selected = ", ".join(term.selected for term in order)
    by = ", ".join(term.sql for term in order)
    while len(found) < most:
        where, params = "", list[Any]()
        if last is not None:
            condition, params = past(dialect, order, last)
            where = f" WHERE {condition}"
        rows = session.rows(
            f"SELECT {selected} FROM {dialect.table(table)}{where}"  # noqa: S608 - quoted
            f" ORDER BY {by} LIMIT 1 OFFSET {step - 1}",
            tuple(params),
        )
        if not rows:
            return found
        last = rows[0]
        found.append(json.dumps({"pass": 0, "last": [_packed(value) for value in last]}))
    return found


def _packed(value: Any) -> Any:
    return {"bytes": value.hex()} if isinstance(value, bytes) else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(cast("dict[str, str]", value)["bytes"])
    return value


def _position_of(text: str, passes: Sequence[Pass]) -> tuple[int, Row]:
    try:
        told = json.loads(text)
        number, last = int(told["pass"]), tuple(map(_unpacked, told["last"]))
        if len(passes[number].order) == len(last):
            return number, last
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        pass
    raise InputError("the position to resume from is not one of this read")
