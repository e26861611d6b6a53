BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;

BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;

BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

COMMIT;

CREATE TABLE "people_copy" ("id" bigint, "name" text, "city" text, "amount" numeric(14,2), "updated_at" timestamp with time zone, PRIMARY KEY ("id"));

CREATE TABLE IF NOT EXISTS "public"."syncline_ledger_people" (
  k bigint PRIMARY KEY,
  epoch bigint NOT NULL,
  layout integer NOT NULL,
  gone smallint NOT NULL DEFAULT 0,
  hold smallint NOT NULL DEFAULT 0,
  s bytea,
  t bytea,
  held bytea
) WITH (fillfactor = 90);

CREATE TABLE IF NOT EXISTS "public"."syncline_state" (
  mapping text COLLATE "C" PRIMARY KEY,
  epoch bigint NOT NULL,
  holder text NOT NULL,
  lease_until timestamptz,
  document text NOT NULL
);

CREATE TEMPORARY TABLE IF NOT EXISTS syncline_HEX ("__row" integer, "__version" text) ON COMMIT DELETE ROWS;

CREATE TEMPORARY TABLE IF NOT EXISTS syncline_HEX ("__row" integer, "__version" text, "__group" integer, c0 text, c1 timestamp with time zone) ON COMMIT DELETE ROWS;

CREATE TEMPORARY TABLE IF NOT EXISTS syncline_ledger_bigint ("__row" integer, k bigint, s bytea, t bytea, held bytea, gone smallint, hold smallint, layout integer, epoch bigint) ON COMMIT DELETE ROWS;

DELETE FROM "public"."people_copy" AS t USING pg_temp.syncline_HEX AS s WHERE
  t.tableoid = split_part(s."__version", ' ', 1)::oid
  AND t.ctid = split_part(s."__version", ' ', 2)::tid
  AND t.xmin = split_part(s."__version", ' ', 3)::xid
 RETURNING s."__row" AS landed;

EXECUTE syncline_describe(N);

INSERT INTO "public"."syncline_state" (mapping, epoch, holder, lease_until, document)
VALUES ('people', 1, '..', pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => 60.0), '')
ON CONFLICT (mapping) DO NOTHING RETURNING epoch;

LOCK TABLE "public"."people" IN ACCESS SHARE MODE;

LOCK TABLE "public"."people_copy" IN ACCESS SHARE MODE;

PREPARE syncline_describe(oid) AS
WITH RECURSIVE tree AS (
  SELECT $1::oid::oid AS oid
  UNION SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
), base AS (
  SELECT a.attnum, a.atttypid AS typid, a.atttypmod AS typmod, false AS is_domain,
         a.attnotnull AS required
  FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
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
  JOIN pg_catalog.pg_attribute a ON a.attrelid = $1::oid AND a.attnum = b.attnum
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
  'parts', (SELECT json_agg(tree.oid::bigint ORDER BY tree.oid) FROM tree WHERE tree.oid <> $1::oid),
  'view', CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END,
  'columns', (SELECT json_agg(facts ORDER BY attnum) FROM columns),
  'unique', (SELECT json_agg(json_build_object(
      'primary', i.indisprimary, 'immediate', i.indimmediate,
      'columns', (SELECT json_agg(a.attname ORDER BY k.place)
        FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE k.place <= i.indnkeyatts)) ORDER BY NOT i.indisprimary, i.indexrelid)
    FROM pg_catalog.pg_index i
    WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid
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
    WHERE o.conrelid = $1::oid AND o.contype = 'f'),
  'rewrites', EXISTS (SELECT FROM pg_catalog.pg_trigger g JOIN tree ON tree.oid = g.tgrelid
      WHERE NOT g.tgisinternal AND g.tgenabled <> 'D'
        AND g.tgtype & (4 | 16) <> 0)  -- on INSERT, on UPDATE
    OR EXISTS (SELECT FROM pg_catalog.pg_rewrite w
      WHERE w.ev_class = $1::oid AND w.rulename <> '_RETURN')
)::text AS described
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1::oid;

RELEASE SAVEPOINT syncline;

ROLLBACK;

SAVEPOINT syncline;

SELECT ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)
       )::bit(32)::int::text AS timeline;

SELECT (asked.place - 1)::int4 AS "__row", l.k, l.s, l.t, l.held, l.gone, l.hold, l.layout, l.epoch
FROM unnest(CAST('..' AS bigint[])) WITH ORDINALITY AS asked(k, place)
JOIN "public"."syncline_ledger_people" AS l ON l.k = asked.k;

SELECT (asked.place - 1)::int4 AS "__row", t."id" AS "id", t."name" AS "name", t."city" AS "city", t."amount"::text AS "amount", t."updated_at" AS "updated_at"
FROM unnest(CAST('..' AS bigint[])) WITH ORDINALITY AS asked(k0, place)
JOIN "public"."people" AS t ON t."id" = asked.k0;

SELECT (asked.place - 1)::int4 AS "__row", t."id" AS "id", t."name" AS "name", t."city" AS "city", t."amount"::text AS "amount", t."updated_at" AS "updated_at", t.tableoid::text || ' ' || t.ctid::text || ' ' || t.xmin::text AS "__version"
FROM unnest(CAST('..' AS bigint[])) WITH ORDINALITY AS asked(k0, place)
JOIN "public"."people_copy" AS t ON t."id" = asked.k0;

SELECT EXISTS (SELECT FROM "public"."people_copy") AS found;

SELECT EXISTS (SELECT FROM "public"."syncline_ledger_people") AS found;

SELECT c.oid::bigint AS oid FROM pg_catalog.pg_class c
WHERE c.oid = pg_catalog.to_regclass('"people"') AND c.relkind IN ('r', 'p', 'v', 'm', 'f');

SELECT c.oid::bigint AS oid FROM pg_catalog.pg_class c
WHERE c.oid = pg_catalog.to_regclass('"people_copy"') AND c.relkind IN ('r', 'p', 'v', 'm', 'f');

SELECT c.oid::bigint AS oid FROM pg_catalog.pg_class c
WHERE c.oid = pg_catalog.to_regclass('"public"."people"') AND c.relkind IN ('r', 'p', 'v', 'm', 'f');

SELECT c.oid::bigint AS oid FROM pg_catalog.pg_class c
WHERE c.oid = pg_catalog.to_regclass('"public"."people_copy"') AND c.relkind IN ('r', 'p', 'v', 'm', 'f');

SELECT current_setting('server_encoding') AS encoding, md5('') AS print;

SELECT epoch, holder, lease_until::text AS lease_until, document,
       pg_catalog.clock_timestamp()::text AS now
FROM "public"."syncline_state" WHERE mapping = 'people' FOR UPDATE;

SELECT false AS prepared, a.pid::text AS id,
       coalesce(a.usename::text, a.backend_type, 'a system process') AS owner,
       nullif(a.application_name, '') AS application, a.state, a.xact_start::text AS since
FROM pg_catalog.pg_stat_activity a
WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.backend_xid IS NOT NULL ORDER BY pg_catalog.age(a.backend_xid) DESC LIMIT 1;

SELECT g, COUNT(*) AS n, sum(h)::text AS h FROM (SELECT (((((t."id")::bigint >> 4) & N) * N) & N) >> 21 AS g, t."id"::bigint AS k, ('x' || md5((t."id"::text)::text))::bit(64)::bigint AS h FROM "public"."people" AS t) AS d GROUP BY g;

SELECT g, COUNT(*) AS n, sum(h)::text AS h FROM (SELECT (((((t.k)::bigint >> 4) & N) * N) & N) >> 21 AS g, t.k AS k, ('x' || md5((t.k)::text))::bit(64)::bigint AS h FROM "public"."syncline_ledger_people" AS t WHERE t.gone & 1 = 0) AS d GROUP BY g;

SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS system,
       has_function_privilege('pg_catalog.pg_control_checkpoint()', 'EXECUTE') AS checkpoint,
       pg_catalog.pg_is_in_recovery() AS standby,
       (SELECT oid::bigint::text FROM pg_catalog.pg_database
         WHERE datname = current_database()) AS database;

SELECT k, h FROM (SELECT (((((t."id")::bigint >> 4) & N) * N) & N) >> 21 AS g, t."id"::bigint AS k, ('x' || md5((t."id"::text)::text))::bit(64)::bigint AS h FROM "public"."people" AS t) AS d JOIN unnest(CAST('..' AS bigint[])) AS w(g) ON w.g = d.g;

SELECT k, h FROM (SELECT (((((t.k)::bigint >> 4) & N) * N) & N) >> 21 AS g, t.k AS k, ('x' || md5((t.k)::text))::bit(64)::bigint AS h FROM "public"."syncline_ledger_people" AS t WHERE t.gone & 1 = 0) AS d JOIN unnest(CAST('..' AS bigint[])) AS w(g) ON w.g = d.g;

SELECT pg_catalog.clock_timestamp()::text AS clock;

SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('syncline public', 0));

SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text AS x;

SELECT pg_catalog.to_regclass('"public"."syncline_ledger_people"') IS NOT NULL AS found;

SELECT pg_catalog.to_regclass('"public"."syncline_state"') IS NOT NULL AS found;

SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO, YMD', false), set_config('IntervalStyle', '..', false), set_config('extra_float_digits', '..', false), set_config('bytea_output', 'hex', false), set_config('standard_conforming_strings', 'on', false), set_config('idle_in_transaction_session_timeout', '..', false), set_config('random_page_cost', '..', false), set_config('enable_mergejoin', 'off', false), set_config('jit', 'off', false), set_config('client_min_messages', 'error', false), set_config('statement_timeout', '..', false), pg_catalog.pg_backend_pid(), pg_catalog.pg_postmaster_start_time()::text;

SELECT system_identifier::text AS system FROM pg_catalog.pg_control_system();

SELECT t."id" AS "id", t."name" AS "name", t."city" AS "city", t."amount"::text AS "amount", t."updated_at" AS "updated_at" FROM "public"."people" AS t ORDER BY t."id";

SELECT t."id" AS "id", t."name" AS "name", t."city" AS "city", t."amount"::text AS "amount", t."updated_at" AS "updated_at" FROM (SELECT t."id", t."name", t."city", t."amount", t."updated_at" FROM "public"."people" AS t WHERE age(t.xmin) <= age('..'::xid) OFFSET 0) AS t ORDER BY t."id";

SELECT true AS prepared, p.gid AS id, p.owner::text AS owner, p.database::text AS application,
       'prepared' AS state, p.prepared::text AS since
FROM pg_catalog.pg_prepared_xacts p ORDER BY p.prepared LIMIT 1;

SET CONSTRAINTS ALL IMMEDIATE;

SET LOCAL enable_hashjoin = DEFAULT;

SET LOCAL enable_hashjoin = off;

SET LOCAL statement_timeout = 0;

SET LOCAL statement_timeout = N;

TRUNCATE pg_temp.syncline_HEX;

TRUNCATE pg_temp.syncline_ledger_bigint;

UPDATE "public"."people_copy" AS t SET "name" = s.c0, "updated_at" = s.c1 FROM pg_temp.syncline_HEX AS s
WHERE s."__group" = 0 AND
  t.tableoid = split_part(s."__version", ' ', 1)::oid
  AND t.ctid = split_part(s."__version", ' ', 2)::tid
  AND t.xmin = split_part(s."__version", ' ', 3)::xid
RETURNING s."__row" AS landed;

UPDATE "public"."syncline_state" SET epoch = N, holder = '', lease_until = NULL, document =  E'..'
WHERE mapping = 'people' AND epoch = N RETURNING epoch;

UPDATE "public"."syncline_state" SET epoch = N, holder = '..', lease_until = pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => 60.0), document =  E'..'
WHERE mapping = 'people' AND epoch = N RETURNING epoch;

WITH put AS (
  UPDATE "public"."syncline_ledger_people" AS l SET s = p.s, t = p.t, held = p.held, gone = p.gone, hold = p.hold, layout = p.layout, epoch = p.epoch FROM pg_temp.syncline_ledger_bigint AS p WHERE l.k = p.k RETURNING 1
)
SELECT count(*) AS put FROM put;
