# pyright: basic, reportMissingImports=false
"""The script that dlt's documentation has for a table of a SQL database, run by dlt's own Python.

`python with_dlt.py replace|merge SOURCE_URL TARGET_URL`, in a directory that keeps its state.
"""

from __future__ import annotations

import sys
from pathlib import Path

import dlt
from dlt.destinations import postgres
from dlt.sources.sql_database import sql_table

mode, source, target = sys.argv[1:]
table = sql_table(
    credentials=source.replace("postgresql:", "postgresql+psycopg2:"),
    table="mapped",
    schema="public",
    backend="pyarrow",
    chunk_size=100_000,
    reflection_level="full_with_precision",
    incremental=dlt.sources.incremental("updated_at"),
    primary_key="user_id",
)
table.apply_hints(
    table_name="by_dlt",
    primary_key="user_id",
    columns={"user_id": {"unique": True}},
    write_disposition={"disposition": "merge", "strategy": "upsert"} if mode == "merge" else mode,
)
pipeline = dlt.pipeline(
    "bench",
    destination=postgres(target),
    dataset_name="public",
    pipelines_dir=str(Path.cwd() / "dlt"),
)
pipeline.run(table).raise_on_failed_jobs()
