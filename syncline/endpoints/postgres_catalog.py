"""PostgreSQL's catalogue: what a table is now, read inside the transaction that uses it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from syncline.endpoints.base import Column, ForeignKey, TableInfo
from syncline.endpoints.postgres_session import Session
from syncline.endpoints.postgres_sql import ident, literal
from syncline.endpoints.postgres_types import Native
from syncline.errors import InputError

STATE_TABLE: Final = "syncline_state"
LEDGER_PREFIX: Final = "syncline_ledger_"

# Partitions are parts of their table, not tables of their own.
TABLES: Final = """
SELECT n.nspname AS schema, c.relname AS name
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""

FIND: Final = """
SELECT c.oid::bigint AS oid FROM pg_catalog.pg_class c
WHERE c.oid = pg_catalog.to_regclass({name}) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

# One answer, so that it is one state of the catalogue. `base` walks from each column's type down
# through its domains.
DESCRIBE: Final = """
WITH RECURSIVE tree AS (
  SELECT {oid}::oid AS oid
  UNION SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
), base AS (
  SELECT a.attnum, a.atttypid AS typid, a.atttypmod AS typmod, false AS is_domain,
         a.attnotnull AS required
  FROM pg_catalog.pg_attribute a WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT b.attnum, t.typbasetype, CASE WHEN b.typmod = -1 THEN t.typtypmod ELSE b.typmod END, true,
         b.required OR t.typnotnull
  FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typid AND t.typtype = 'd'
), columns AS (
  SELECT a.attnum, json_build_object(
    'number', a.attnum,
    'name', a.attname,
    'declared', pg_catalog.format_type(a.atttypid, a.atttypmod),
    'base', CASE WHEN tn.nspname = 'pg_catalog' THEN t.typname ELSE '' END,
    'cast', pg_catalog.format_type(b.typid, -1),
    'modifier', b.typmod,
    'kind', t.typtype,
    'array', t.typlen = -1 AND t.typelem <> 0 AND t.typcategory = 'A',
    'domain', b.is_domain,
    'required', b.required,
    'default', a.atthasdef OR a.attidentity <> '',
    'always', a.attidentity = 'a',
    'generated', a.attgenerated <> '',
    'made_by', CASE WHEN a.attgenerated <> '' THEN
      (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d
        WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) END,
    'labels', (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e
      WHERE e.enumtypid IN (t.oid, t.typelem)),
    'members', (SELECT json_agg(json_build_array(m.attname, m.atttypid::bigint) ORDER BY m.attnum)
      FROM pg_catalog.pg_attribute m
      WHERE t.typrelid <> 0 AND m.attrelid = t.typrelid AND m.attnum > 0 AND NOT m.attisdropped)
  ) AS facts
  FROM base b
  JOIN pg_catalog.pg_attribute a ON a.attrelid = {oid} AND a.attnum = b.attnum
  JOIN pg_catalog.pg_type t ON t.oid = b.typid AND t.typtype <> 'd'
  JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
)
SELECT json_build_object(
  'oid', c.oid::bigint,
  'schema', n.nspname,
  'name', c.relname,
  'kind', c.relkind,
  'estimate', c.reltuples::bigint,
  'policies', pg_catalog.row_security_active(c.oid),
  'parts', (SELECT json_agg(tree.oid::bigint ORDER BY tree.oid) FROM tree WHERE tree.oid <> {oid}),
  'view', CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END,
  'columns', (SELECT json_agg(facts ORDER BY attnum) FROM columns),
  'unique', (SELECT json_agg(json_build_object(
      'primary', i.indisprimary, 'immediate', i.indimmediate,
      'columns', (SELECT json_agg(a.attname ORDER BY k.place)
        FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE k.place <= i.indnkeyatts)) ORDER BY NOT i.indisprimary, i.indexrelid)
    FROM pg_catalog.pg_index i
    WHERE i.indrelid = {oid} AND i.indisunique AND i.indisvalid
      AND i.indpred IS NULL AND i.indexprs IS NULL),
  'foreign', (SELECT json_agg(json_build_object(
      'schema', fn.nspname, 'name', f.relname,
      'columns', (SELECT json_agg(a.attname ORDER BY k.place)
        FROM unnest(o.conkey) WITH ORDINALITY k(number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.number),
      'referred', (SELECT json_agg(a.attname ORDER BY k.place)
        FROM unnest(o.confkey) WITH ORDINALITY k(number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.number))
      ORDER BY o.conname)
    FROM pg_catalog.pg_constraint o JOIN pg_catalog.pg_class f ON f.oid = o.confrelid
    JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
    WHERE o.conrelid = {oid} AND o.contype = 'f'),
  'rewrites', EXISTS (SELECT FROM pg_catalog.pg_trigger g JOIN tree ON tree.oid = g.tgrelid
      WHERE NOT g.tgisinternal AND g.tgenabled <> 'D'
        AND g.tgtype & (4 | 16) <> 0)  -- on INSERT, on UPDATE
    OR EXISTS (SELECT FROM pg_catalog.pg_rewrite w
      WHERE w.ev_class = {oid} AND w.rulename <> '_RETURN')
)::text AS described
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = {oid}
"""

MAY_READ_IDENTITY: Final = """
SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS system,
       has_function_privilege('pg_catalog.pg_control_checkpoint()', 'EXECUTE') AS checkpoint,
       pg_catalog.pg_is_in_recovery() AS standby,
       (SELECT oid::bigint::text FROM pg_catalog.pg_database
         WHERE datname = current_database()) AS database
"""
SYSTEM: Final = "SELECT system_identifier::text AS system FROM pg_catalog.pg_control_system()"
# The control file learns of a new timeline late; a primary knows the one it writes.
TIMELINE_OF_PRIMARY: Final = """
SELECT ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)
       )::bit(32)::int::text AS timeline
"""
TIMELINE_OF_STANDBY: Final = (
    "SELECT timeline_id::text AS timeline FROM pg_catalog.pg_control_checkpoint()"
)


@dataclass(frozen=True, slots=True)
class PgTable:
    """A table as the catalogue has it, with what this endpoint needs beyond `TableInfo`."""

    info: TableInfo
    oid: int
    schema: str
    name: str
    natives: Mapping[str, Native]
    arbiters: tuple[frozenset[str], ...]
    """Columns of each unique index that `ON CONFLICT` can name."""
    identity_always: frozenset[str]
    """Columns that an INSERT must override to set."""
    has_policies: bool = False
    """Row security holds for this role: COPY into the table is refused, INSERT is not."""

    @property
    def sql(self) -> str:
        """The table's name, qualified and quoted."""
        return ident(self.schema, self.name)

    def native(self, column: str) -> Native:
        """The type of a column. Raises InputError where the table has no such column."""
        if column not in self.natives:
            raise InputError(
                f"{self.info.name} has no column {column!r}",
                hint=f"it has {', '.join(self.natives)}",
            )
        return self.natives[column]


def table_names(session: Session) -> list[str]:
    """All user tables and views but syncline's own, as `schema.table`, sorted."""
    names = [(schema, name) for schema, name in session.rows(TABLES) if not _own(name)]
    return sorted(f"{schema}.{name}" for schema, name in names)


def _own(name: str) -> bool:
    return name == STATE_TABLE or name.startswith(LEDGER_PREFIX)


def spelled(table: str) -> str:
    """`schema.table`, or `table` by the search path, quoted. The first dot ends the schema."""
    schema, dot, name = table.partition(".")
    return ident(schema, name) if dot else ident(table)


def schema_of(session: Session, table: str) -> str:
    """The schema that a table's name means, whether the table is there or not."""
    schema, dot, _ = table.partition(".")
    return schema if dot else str(session.rows("SELECT current_schema()::text AS schema")[0][0])


def load(session: Session, table: str, *, identified: bool = True) -> PgTable | None:
    """The table as it is now, or None where there is none.

    What tells its database from another is left out unless it is to be `identified`.
    """
    found = session.rows(FIND.format(name=literal(spelled(table))))
    # Planning it takes three times as long as running it, and a run asks once a transaction.
    describe = DESCRIBE.format(oid="$1::oid")
    rows = session.prepared("syncline_describe(oid)", describe, found[0][0]) if found else []
    if not rows:
        return None
    known = identity(session) if identified else {}
    return _table(cast("dict[str, Any]", json.loads(rows[0][0])), known)


def require(session: Session, table: str, *, identified: bool = True) -> PgTable:
    """The table as it is now, as `load` gives it. Raises InputError where there is none."""
    found = load(session, table, identified=identified)
    if found is None:
        raise InputError(
            f"there is no table {table}",
            hint="table names are schema.table, as the catalogue spells them",
        )
    return found


def identity(session: Session) -> dict[str, str]:
    """What tells this database from another: system id, OID, timeline; empty where not allowed."""
    may_system, may_checkpoint, standby, database = session.rows(MAY_READ_IDENTITY)[0]
    known = {"database": str(database), "system": "", "timeline": ""}
    if may_system:
        known["system"] = str(session.rows(SYSTEM)[0][0])
    if not standby or may_checkpoint:
        known["timeline"] = str(
            session.rows(TIMELINE_OF_STANDBY if standby else TIMELINE_OF_PRIMARY)[0][0]
        )
    return known


def _table(facts: Mapping[str, Any], database: Mapping[str, str]) -> PgTable:
    columns: list[dict[str, Any]] = facts["columns"] or []
    natives = {str(c["name"]): _native(c) for c in columns}
    required = frozenset(str(c["name"]) for c in columns if c["required"])
    uniques: list[dict[str, Any]] = facts["unique"] or []
    info = TableInfo(
        name=f"{facts['schema']}.{facts['name']}",
        columns={str(c["name"]): _column(c) for c in columns},
        primary_key=next((tuple(u["columns"]) for u in uniques if u["primary"]), ()),
        unique=tuple(
            dict.fromkeys(tuple(u["columns"]) for u in uniques if required.issuperset(u["columns"]))
        ),
        foreign_keys=tuple(map(_foreign_key, cast("list[dict[str, Any]]", facts["foreign"] or []))),
        # Of a foreign or materialized table no row says when it was written, just as of a view.
        is_view=facts["kind"] in {"v", "m", "f"},
        rewrites=bool(facts["rewrites"]),
        hides_rows=facts["policies"],
        identity={
            **database,
            "relation": str(facts["oid"]),
            "partitions": ",".join(map(str, facts["parts"] or [])),
            "catalogue": _digest(facts, columns),
        },
        row_estimate=facts["estimate"] if facts["estimate"] >= 0 else None,
    )
    return PgTable(
        info=info,
        oid=facts["oid"],
        schema=facts["schema"],
        name=facts["name"],
        natives=natives,
        arbiters=tuple(frozenset(u["columns"]) for u in uniques if u["immediate"]),
        identity_always=frozenset(str(c["name"]) for c in columns if c["always"]),
        has_policies=facts["policies"],
    )


def _native(column: Mapping[str, Any]) -> Native:
    return Native(
        declared=column["declared"],
        base=column["base"],
        cast=column["cast"],
        modifier=column["modifier"],
        kind=column["kind"],
        is_array=column["array"],
        is_domain=column["domain"],
    )


def _column(column: Mapping[str, Any]) -> Column:
    native = _native(column)
    return Column(
        name=column["name"],
        type=native.canonical(),
        nullable=not column["required"],
        has_default=column["default"] and not column["generated"],
        generated=column["generated"],
        native=native.declared,
        opaque=native.is_opaque,
        no_key=native.is_no_key,
    )


def _foreign_key(facts: Mapping[str, Any]) -> ForeignKey:
    return ForeignKey(
        tuple(facts["columns"]), f"{facts['schema']}.{facts['name']}", tuple(facts["referred"])
    )


def _digest(facts: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> str:
    """Changes with all by which a row's values change without a new xmin.

    A column added with a fast default, an enum's value renamed, a virtual column's expression, a
    view's query. Not `attmissingval` itself: VACUUM FULL clears it and moves no value, while the
    column it comes with has a number of its own.
    """
    parts = ("number", "name", "declared", "made_by", "labels", "members")
    told = json.dumps([facts["view"], [[column[part] for part in parts] for column in columns]])
    return hashlib.sha256(told.encode()).hexdigest()[:16]
