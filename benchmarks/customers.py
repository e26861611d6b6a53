"""The data: customers of 12 columns, and the six fields that every contender makes of them.

The same fields stand here twice: as the mapping that syncline runs, and as a SELECT.
"""

from __future__ import annotations

from typing import Final, Literal

Target = Literal["plain", "ledgered", "by_hand"]
"""A table of the target database; `plain` and `ledgered` are also the names of mappings."""

CREATE_SOURCE: Final = """
CREATE TABLE customers (
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
INSERT INTO customers
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
WHERE id % 10 = {round} % 10
"""
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
source: {{connection: source, table: public.customers}}
target: {{connection: target, table: public.{table}}}
key: {{user_id: id}}
fields:
  full_name: concat_ws(' ', first_name, last_name)
  email: {{sql: "lower(trim(email))", type: text}}
  status: {{from: is_active, values: {{"true": active, "false": inactive}}, else: inactive}}
  balance: {{from: balance, type: "decimal(14,2)"}}
  region: {{sql: "region_id * 10", type: integer}}
  updated_at: updated_at
conflicts: {conflicts}
"""
CONFLICTS: Final[dict[Target, str]] = {
    "plain": "{detect: none}",
    "ledgered": "{strategy: merge}",
}
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
CHECKSUM: Final = """
SELECT count(*) || ' rows, sum ' || coalesce(sum(hashtextextended(r::text, 0)::numeric), 0)
FROM ({rows}) AS r
"""
"""One text for equal sets of rows, whatever their order."""
