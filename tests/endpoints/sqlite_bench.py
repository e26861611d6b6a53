"""What the tests of the SQLite endpoint share: specs, rows and reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from syncline.endpoints.base import ReadSpec, TableInfo, TargetSpec, Written
from syncline.endpoints.sqlite import SqliteEndpoint


def info_of(endpoint: SqliteEndpoint, table: str = "t") -> TableInfo:
    info = endpoint.describe(table)
    assert info is not None
    return info


def read_spec(info: TableInfo, *key: str, cursor: str | None = None, rows: int = 1) -> ReadSpec:
    types = {name: column.type for name, column in info.columns.items()}
    by = "timestamp" if cursor else "none"
    return ReadSpec(info.name, key, types, by=by, cursor=cursor, batch_rows=rows)


def target_spec(info: TableInfo, *key: str) -> TargetSpec:
    types = {name: column.type for name, column in info.columns.items()}
    return TargetSpec("m", info.name, {k: types.pop(k) for k in key}, types)


def table_of(spec: TargetSpec, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    types = {**spec.key, **spec.fields}
    return pa.table({n: pa.array([r.get(n) for r in rows], t.arrow) for n, t in types.items()})


def insert(
    endpoint: SqliteEndpoint, spec: TargetSpec, rows: Sequence[Mapping[str, Any]]
) -> Written:
    with endpoint.begin(spec) as tx:
        written = tx.insert(table_of(spec, rows))
        tx.commit()
    return written


def delta(endpoint: SqliteEndpoint, spec: ReadSpec, since: str | None) -> list[Any]:
    mode = "full" if since is None else "delta"
    with endpoint.read(spec, mode=mode, since=since) as read:
        return [row for b in read.batches() for row in b.records.column("id").to_pylist()]


def horizon(endpoint: SqliteEndpoint, spec: ReadSpec) -> str:
    with endpoint.read(spec, mode="full") as read:
        return read.horizon
