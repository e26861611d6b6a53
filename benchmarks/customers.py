"""The data: customers of 12 columns, and the six fields that every contender makes of them.

The same fields stand here twice: as the mapping that syncline runs, and as a SELECT.
"""

from __future__ import annotations

from typing import Final

import psycopg

from benchmarks.measure import Failed
from benchmarks.stage import Stage
from syncline.testing.servers import with_database
from syncline.testing.servers.databases import create, drop

CREATE_SOURCE: Final = """
CREATE TABLE {table} (
  id bigint PRIMARY KEY,
  first_name text,
  last_name text,
  email text,
  is_active boolean,
  balance numeric(14,2),
  score double precision,
  created_at timestamptz,
  updated_at timestamptz,
  region_id integer,
  notes text,
  born date
)
"""
FILL_SOURCE: Final = """
INSERT INTO {table}
SELECT
  i,
  'first' || i,
  'last' || i,
  ' Mail' || i || '@Example.com',
  i % 2 = 0,
  (i * 1.17)::numeric(14,2),
  sin(i) * 50 + 50,
  timestamptz '2024-01-01 00:00Z' + i * interval '1 second',
  timestamptz '2025-01-01 00:00Z' + i * interval '1 second',
  i % 50,
  'note ' || i,
  date '1980-01-01' + (i % 10000)::integer
FROM generate_series(1, {rows}) AS i
"""
# Changed rows lie spread over the whole table, as they do when people work on it.
CHANGE_SOURCE: Final = """
UPDATE customers SET
  email = ' Mail' || id || '.{round}@Example.com',
  balance = balance + 1,
  updated_at = timestamptz '2026-01-01 00:00Z' + {round} * interval '1 day'
WHERE {which}
"""
A_TENTH: Final = "id % 10 = {round} % 10"
CHANGED_SINCE: Final = "updated_at >= timestamptz '2026-01-01 00:00Z' + {round} * interval '1 day'"

CREATE_TARGET: Final = """
CREATE TABLE {table} (
  user_id bigint PRIMARY KEY,
  full_name text,
  email text,
  status text,
  balance numeric(14,2),
  region integer,
  updated_at timestamptz
)
"""
FIELDS: Final = """
SELECT
  id AS user_id,
  concat_ws(' ', first_name, last_name) AS full_name,
  lower(trim(email)) AS email,
  CASE WHEN is_active THEN 'active' ELSE 'inactive' END AS status,
  balance,
  region_id * 10 AS region,
  updated_at
FROM customers
"""
MAPPING: Final = """
source: {{connection: {source}, {source_table}}}
target: {{connection: {target}, {target_table}}}
key: {{{key}: {source_key}}}
fields:
  full_name: concat_ws(' ', first_name, last_name)
  email: {{sql: "lower(trim(email))", type: text}}
  status: {{from: is_active, values: {{"true": active, "false": inactive}}, else: inactive}}
  balance: {{from: balance, type: "decimal(14,2)"}}
  region: {{sql: "region_id * 10", type: integer}}
  updated_at: {clock}
{rest}
"""
FIELDS_OF: Final = """
SELECT
  user_id::bigint,
  full_name::text,
  email::text,
  status::text,
  balance::numeric(14,2),
  region::integer,
  updated_at::timestamptz
FROM {table}
"""
"""The fields of a table that a peer made, in the types of ours."""
UPSERT: Final = """
INSERT INTO by_hand SELECT * FROM arrived
ON CONFLICT (user_id) DO UPDATE SET
  full_name = excluded.full_name,
  email = excluded.email,
  status = excluded.status,
  balance = excluded.balance,
  region = excluded.region,
  updated_at = excluded.updated_at
"""


def load(stage: Stage) -> None:
    """Fill the source, and make the view `mapped` that the peers read."""
    template = f"customers_{stage.rows}"
    url = stage.servers.postgres.url
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [template])
        known = found.rowcount > 0
    if not known:
        create(url, template)
        with psycopg.connect(with_database(url, template), autocommit=True) as connection:
            for statement in (
                CREATE_SOURCE.format(table="customers"),
                FILL_SOURCE.format(table="customers", rows=stage.rows),
                f"CREATE VIEW mapped AS {FIELDS}",
                "VACUUM ANALYZE",
            ):
                connection.execute(statement.encode())
    drop(url, "source")
    with psycopg.connect(url, autocommit=True) as connection:
        statement = f"CREATE DATABASE source TEMPLATE {template} STRATEGY file_copy"
        connection.execute(statement.encode())


def map_to(stage: Stage, table: str, rest: str, *, source: str = "customers") -> None:
    """Write the mapping `table`, from the PostgreSQL source to the table of that name."""
    text = MAPPING.format(
        source="source",
        source_table=f"table: public.{source}",
        source_key="id",
        target="target",
        target_table=f"table: public.{table}",
        key="user_id",
        clock="updated_at",
        rest=rest,
    )
    stage.write_mapping(table, text)


def create_target(stage: Stage, table: str) -> None:
    """Make a target table, in place of the one that is there, that no run knows of."""
    stage.run("target", f"DROP TABLE IF EXISTS {table}", CREATE_TARGET.format(table=table))
    stage.forget(table)


def check(stage: Stage, table: str, *, ledger: int = 0) -> None:
    """See that a target table is exactly what the source says, and its ledger's number of rows.

    Raises Failed.
    """
    stage.compare(FIELDS, FIELDS_OF.format(table=table), table)
    if ledger:
        rows = stage.value("target", f"SELECT count(*) FROM syncline_ledger_{table}")
        if int(rows) != ledger:
            raise Failed(f"the ledger has {rows} rows, not {ledger}")
