"""Records by key: asked in chunks, matched exactly whatever a collation holds equal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from syncline.endpoints.base import ROW
from syncline.endpoints.sql_dialect import Dialect
from syncline.endpoints.sql_session import Row, Session
from syncline.endpoints.sql_values import Field, column_of
from syncline.record import Misfit, canonical_array

_COMPOSITE_AT_ONCE: Final = 200
"""Composite keys a query: SQLite refuses expressions over 1,000 terms deep."""


@dataclass(frozen=True, slots=True)
class Found:
    """Records answering a set of keys, in the order of the keys.

    `stored` are the keys as the database holds them, one a row: what a WHERE must say to meet them.
    """

    rows: pa.Table
    misfits: tuple[Misfit, ...]
    stored: tuple[Row, ...]


def look_up(
    session: Session,
    dialect: Dialect,
    table: str,
    key: Mapping[str, Field],
    fields: Mapping[str, Field],
    keys: pa.Table,
    *,
    lock: bool = False,
) -> Found:
    """Give the records of these keys: `__row`, and the columns of `key` and `fields`."""
    wanted = {**key, **fields}
    select = ", ".join(
        [dialect.selected(f) for f in wanted.values()] + [dialect.compared(f) for f in key.values()]
    )
    statement = f"SELECT {select} FROM {dialect.table(table)} WHERE "  # noqa: S608 - quoted by the dialect
    answers: list[Row] = []
    for condition, params in _conditions(dialect, key, keys):
        answers += session.rows(statement + condition + (dialect.lock if lock else ""), params)
    return _matched(dialect, key, wanted, keys, answers)


def key_rows(dialect: Dialect, key: Mapping[str, Field], keys: pa.Table) -> list[Row]:
    """Give the keys as parameters, in the order of `key`."""
    return list(zip(*_bound(dialect, key, keys), strict=True))


def condition_for(
    dialect: Dialect, key: Mapping[str, Field], rows: Sequence[Row], *, exact: bool = False
) -> tuple[str, list[Any]]:
    """Give the condition that a record has one of these keys, and its parameters.

    `exact`: the keys are as stored, and only the very same characters meet them.
    """
    if len(key) == 1:
        ((_, wanted),) = key.items()
        return _is_one_of(dialect, wanted, [row[0] for row in rows], exact=exact)
    parts: list[str] = []
    params: list[Any] = []
    for row in rows:
        terms = [
            _is_one_of(dialect, wanted, [value], exact=exact)
            for wanted, value in zip(key.values(), row, strict=True)
        ]
        parts.append("(" + " AND ".join(sql for sql, _ in terms) + ")")
        params += [param for _, some in terms for param in some]
    return "(" + " OR ".join(parts) + ")", params


def _is_one_of(
    dialect: Dialect, wanted: Field, values: Sequence[Any], *, exact: bool
) -> tuple[str, list[Any]]:
    if exact:
        forms = list(values)
    else:
        forms = [form for value in values for form in dialect.forms(wanted, value)]
    sql = f"{dialect.compared(wanted)} IN ({dialect.marks(len(forms))})"
    strict = dialect.exactly(wanted) if exact else None
    if strict is None:
        return sql, forms
    return f"({sql} AND {strict} IN ({dialect.marks(len(forms))}))", forms * 2


def _bound(dialect: Dialect, key: Mapping[str, Field], keys: pa.Table) -> list[list[Any]]:
    return [dialect.bind(wanted, column_of(keys, wanted)).values for wanted in key.values()]


def _conditions(
    dialect: Dialect, key: Mapping[str, Field], keys: pa.Table
) -> Iterator[tuple[str, list[Any]]]:
    rows = {row for row in key_rows(dialect, key, keys) if None not in row}
    ordered = sorted(rows)  # locks are taken in key order, so that two writers can't wait in a ring
    single = len(key) == 1
    step = dialect.keys_at_once if single else _COMPOSITE_AT_ONCE
    for start in range(0, len(ordered), step):
        yield condition_for(dialect, key, ordered[start : start + step])


def _matched(
    dialect: Dialect,
    key: Mapping[str, Field],
    wanted: Mapping[str, Field],
    keys: pa.Table,
    answers: Sequence[Row],
) -> Found:
    columns = list(zip(*answers, strict=True)) or [()] * (len(wanted) + len(key))
    arrays: dict[str, Any] = {}
    misfits: list[Misfit] = []
    for index, (name, field) in enumerate(wanted.items()):
        arrays[name], bad = dialect.read(field, columns[index], key=name in key)
        misfits += bad
    asked: dict[Row, list[int]] = defaultdict(list)
    for row, values in enumerate(_exact(key, keys)):
        asked[values].append(row)
    told = pa.table({name: arrays[name] for name in key})
    pairs = sorted(
        (row, answer)
        for answer, values in enumerate(_exact(key, told))
        if None not in values
        for row in asked.get(values, ())
    )
    picked = pa.array([answer for _, answer in pairs], pa.int64())
    rows = pa.table(
        {ROW: pa.array([row for row, _ in pairs], pa.int32()), **arrays_taken(arrays, picked)}
    )
    places: dict[int, list[int]] = defaultdict(list)
    for place, (_, answer) in enumerate(pairs):
        places[answer].append(place)
    kept = tuple(
        Misfit(place, m.field, m.reason, m.value)
        for m in misfits
        for place in places.get(m.row, ())
    )
    raw = [
        [dialect.stored(field, value) for value in values]
        for field, values in zip(key.values(), columns[len(wanted) :], strict=True)
    ]
    stored = list(zip(*raw, strict=True))
    return Found(rows, kept, tuple(stored[answer] for _, answer in pairs))


def arrays_taken(arrays: Mapping[str, Any], picked: Any) -> dict[str, Any]:
    """Give the same rows of several arrays."""
    return {name: array.take(picked) for name, array in arrays.items()}


def _exact(key: Mapping[str, Field], keys: pa.Table) -> Iterator[Row]:
    columns = [
        canonical_array(column_of(keys, wanted), wanted.type).to_pylist() for wanted in key.values()
    ]
    return zip(*columns, strict=True)
