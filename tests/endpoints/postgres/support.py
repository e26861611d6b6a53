"""What the tests of the PostgreSQL endpoint share: reads, targets and rows in few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
import pyarrow as pa

from syncline.endpoints.base import (
    Comparison,
    DeltaBy,
    Fetched,
    Mode,
    Range,
    Read,
    ReadSpec,
    TargetSpec,
    Transaction,
)
from syncline.endpoints.postgres import PostgresEndpoint
from syncline.record import Type, parse_type


def spec_of(
    endpoint: PostgresEndpoint,
    table: str,
    key: Sequence[str] = ("id",),
    *,
    by: DeltaBy = "xmin",
    cursor: str | None = None,
    batch_rows: int = 50_000,
    filters: tuple[Comparison, ...] = (),
    types: Mapping[str, str] | None = None,
) -> ReadSpec:
    info = endpoint.describe(table)
    assert info is not None
    columns = {name: column.type for name, column in info.columns.items()}
    columns |= {name: parse_type(text) for name, text in (types or {}).items()}
    return ReadSpec(table, tuple(key), columns, by, cursor, batch_rows, filters=filters)


def rows_of(read: Read) -> list[dict[str, Any]]:
    return [row for batch in read.batches() for row in batch.records.to_pylist()]


def read_all(
    endpoint: PostgresEndpoint,
    spec: ReadSpec,
    mode: Mode = "full",
    *,
    since: str | None = None,
    after: str | None = None,
    window: Range | None = None,
) -> tuple[list[dict[str, Any]], str]:
    with endpoint.read(spec, mode=mode, since=since, after=after, window=window) as read:
        return rows_of(read), read.horizon


def paged(
    endpoint: PostgresEndpoint, spec: ReadSpec, mode: Mode = "full", **more: Any
) -> list[dict[str, Any]]:
    """All records, each batch by a read of its own that goes on after the last."""
    rows: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        with endpoint.read(spec, mode=mode, after=after, **more) as read:
            batch = next(read.batches(), None)
        if batch is None:
            return rows
        assert batch.records.num_rows <= spec.batch_rows
        rows += batch.records.to_pylist()
        after = batch.position


def changed(endpoint: PostgresEndpoint, since: str, table: str = "w") -> tuple[set[int], str]:
    rows, horizon = read_all(endpoint, spec_of(endpoint, table), "delta", since=since)
    return {row["id"] for row in rows}, horizon


def timed(endpoint: PostgresEndpoint, **more: Any) -> ReadSpec:
    return spec_of(endpoint, "w", by="timestamp", cursor="at", **more)


def target(
    endpoint: PostgresEndpoint,
    table: str,
    key: Mapping[str, str],
    fields: Mapping[str, str],
    *,
    ledger: str | None = None,
    mapping: str = "m",
) -> TargetSpec:
    spec = TargetSpec(
        mapping,
        table,
        {name: parse_type(text) for name, text in key.items()},
        {name: parse_type(text) for name, text in fields.items()},
        ledger=ledger is not None,
        ledger_key=Type(ledger or "text"),
    )
    endpoint.prepare(spec)
    return spec


def ints(*values: int | None) -> pa.Array[Any]:
    return pa.array(values, pa.int64())


def seen(tx: Transaction, keys: pa.Table) -> Fetched:
    found = tx.fetch(keys)
    return Fetched(found.rows.sort_by("__row"), found.misfits)


def written(database: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return database.execute(query.encode()).fetchall()


def a_batch(ids: Sequence[int], **fields: Sequence[Any]) -> pa.Table:
    types = {"name": pa.string(), "n": pa.int32(), "code": pa.string()}
    columns = {
        name: pa.array(fields.get(name, [None] * len(ids)), type_) for name, type_ in types.items()
    }
    return pa.table({"id": pa.array(ids, pa.int64()), **columns})


def ledger_rows(keys: Sequence[Any], s: bytes = b"12345678", hold: int = 0) -> pa.Table:
    count = len(keys)
    return pa.table(
        {
            "k": pa.array(keys),
            "s": pa.array([s] * count, pa.binary()),
            "t": pa.nulls(count, pa.binary()),
            "held": pa.nulls(count, pa.binary()),
            "gone": pa.array([0] * count, pa.int16()),
            "hold": pa.array([hold] * count, pa.int16()),
            "layout": pa.array([1] * count, pa.int32()),
            "epoch": pa.array([3] * count, pa.int64()),
        }
    )
