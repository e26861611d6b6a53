BEGIN;

BEGIN IMMEDIATE;

COMMIT;

CREATE TABLE "people_copy" ("id" INTEGER NOT NULL, "name" TEXT, "city" TEXT, "amount" DECIMALTEXT(14,2), "updated_at" TIMESTAMPTZ, PRIMARY KEY ("id"));

CREATE TABLE IF NOT EXISTS "syncline_ledger_people" (
  k      INTEGER NOT NULL PRIMARY KEY,
  s      BLOB NOT NULL,
  t      BLOB,
  held   BLOB,
  gone   INTEGER NOT NULL,
  hold   INTEGER NOT NULL,
  layout INTEGER NOT NULL,
  epoch  INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS syncline_state (
  mapping     TEXT NOT NULL PRIMARY KEY,
  epoch       INTEGER NOT NULL,
  holder      TEXT NOT NULL,
  lease_until INTEGER,
  document    TEXT NOT NULL
);

DELETE FROM "people_copy" WHERE "id" IN (?, ..);

INSERT INTO "people_copy" ("id", "name", "city", "amount", "updated_at") VALUES (?, ?, ?, ?, ?);

INSERT INTO "syncline_state" (epoch, holder, lease_until, document, mapping) VALUES (?, ?, ?, ?, ?);

INSERT OR REPLACE INTO "syncline_ledger_people" (k, s, t, held, gone, hold, layout, epoch) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

PRAGMA schema_version;

RELEASE SAVEPOINT syncline_part;

SAVEPOINT syncline_part;

SELECT "id", "id" FROM "people" ORDER BY "id";

SELECT "id", "name", "city", "amount", "updated_at", "id" FROM "people" ORDER BY "id";

SELECT "id", "name", "city", "amount", "updated_at", "id" FROM "people" WHERE "id" IN (?, ..);

SELECT "id", "name", "city", "amount", "updated_at", "id" FROM "people" WHERE (typeof("updated_at") <> 'text' OR "updated_at" NOT GLOB '..') ORDER BY "id";

SELECT "id", "name", "city", "amount", "updated_at", "id" FROM "people_copy" WHERE "id" IN (?, ..);

SELECT "id", "name", "city", "amount", "updated_at", "updated_at", "id" FROM "people" WHERE ("updated_at" >= ? AND "updated_at" GLOB '..' AND (syncline_utc("updated_at") >= ? OR syncline_utc("updated_at") IS NULL)) ORDER BY "updated_at" COLLATE BINARY, "id";

SELECT "updated_at" FROM "people" WHERE typeof("updated_at") = 'text' AND "updated_at" GLOB '..' AND syncline_utc("updated_at") IS NOT NULL ORDER BY "updated_at" COLLATE BINARY DESC LIMIT 1;

SELECT 1 FROM "people_copy" LIMIT 0;

SELECT 1 FROM "people_copy" LIMIT 1;

SELECT 1 FROM sqlite_master LIMIT 1;

SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE LIMIT 1;

SELECT MAX(rowid) FROM "people";

SELECT MAX(rowid) FROM "people_copy";

SELECT MAX(syncline_utc("updated_at")) FROM "people" WHERE "updated_at" >= ? AND typeof("updated_at") = 'text' AND "updated_at" GLOB '..';

SELECT epoch, holder, lease_until, document FROM "syncline_state" WHERE mapping = ?;

SELECT id, seq, "table", "from", "to" FROM pragma_foreign_key_list(?);

SELECT k, s, t, held, gone, hold, layout, epoch FROM "syncline_ledger_people" LIMIT 1;

SELECT k, s, t, held, gone, hold, layout, epoch FROM "syncline_ledger_people" ORDER BY k LIMIT N;

SELECT k, s, t, held, gone, hold, layout, epoch FROM "syncline_ledger_people" WHERE k > ? ORDER BY k LIMIT N;

SELECT k, s, t, held, gone, hold, layout, epoch FROM "syncline_ledger_people" WHERE k IN (?, ..);

SELECT name FROM pragma_index_info(?);

SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial;

SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?);

SELECT type FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?;

SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?;

UPDATE "people_copy" SET "name" = ?, "updated_at" = ? WHERE "id" = ?;

UPDATE "syncline_state" SET epoch = ?, holder = ?, lease_until = ?, document = ? WHERE mapping = ? AND epoch = ?;
