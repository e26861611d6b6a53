"""What the tests of the MongoDB endpoint share: reads, targets and rows in few words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from syncline.endpoints.base import ReadSpec, TargetSpec, Written
from syncline.endpoints.mongo import MongoEndpoint
from syncline.record import Type, parse_type

Row = dict[str, Any]


def types_of(types: Mapping[str, str]) -> dict[str, Type]:
    return {name: parse_type(text) for name, text in types.items()}


def source(columns: Mapping[str, str], key: str = "_id", **options: Any) -> ReadSpec:
    return ReadSpec("docs", (key,), {key: Type("bigint")} | types_of(columns), **options)


def read_all(mongo: MongoEndpoint, spec: ReadSpec, **options: Any) -> tuple[list[Row], list[Any]]:
    options.setdefault("mode", "full")
    rows: list[Row] = []
    misfits: list[Any] = []
    with mongo.read(spec, **options) as read:
        for batch in read.batches():
            misfits += [(len(rows) + m.row, m.field, m.reason) for m in batch.misfits]
            rows += batch.records.to_pylist()
    return rows, misfits


def target(
    fields: Mapping[str, str], key: Mapping[str, str] | None = None, **options: Any
) -> TargetSpec:
    return TargetSpec("m", "docs", types_of(key or {"_id": "bigint"}), types_of(fields), **options)


def table(spec: TargetSpec, *rows: tuple[Any, ...]) -> pa.Table:
    types = {**spec.key, **spec.fields}
    return pa.table(
        {
            name: pa.array([row[at] for row in rows], type_.arrow)
            for at, (name, type_) in enumerate(types.items())
        }
    )


def insert(mongo: MongoEndpoint, spec: TargetSpec, *rows: tuple[Any, ...]) -> Written:
    mongo.prepare(spec)
    with mongo.begin(spec) as tx:
        written = tx.insert(table(spec, *rows))
        tx.commit()
    return written


def update(
    mongo: MongoEndpoint,
    spec: TargetSpec,
    key: Any,
    values: Mapping[str, Any],
    *,
    meanwhile: Callable[[], object] = lambda: None,
) -> Written:
    """Set values in one record; `meanwhile` runs between its fetch and its update."""
    names = list(spec.key)
    keys = pa.table({names[0]: pa.array([key], spec.key[names[0]].arrow)})
    with mongo.begin(spec) as tx:
        current = tx.fetch(keys)
        assert current.rows.num_rows == 1
        meanwhile()
        rows = current.rows
        for name, value in values.items():
            column = pa.array([value], spec.fields[name].arrow)
            rows = rows.set_column(rows.column_names.index(name), name, column)
        written = tx.update(rows, {name: np.array([True]) for name in values}, current)
        tx.commit()
    return written
