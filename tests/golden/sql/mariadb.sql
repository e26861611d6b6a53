COMMIT;

CREATE TABLE IF NOT EXISTS `syncline_ledger_people` (
  k      BIGINT NOT NULL PRIMARY KEY,
  s      BLOB NOT NULL,
  t      BLOB NULL,
  held   BLOB NULL,
  gone   SMALLINT NOT NULL,
  hold   SMALLINT NOT NULL,
  layout INT NOT NULL,
  epoch  BIGINT NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS syncline_state (
  mapping     VARCHAR(N) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
  epoch       BIGINT NOT NULL,
  holder      LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  lease_until DATETIME(6) NULL,
  document    LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE `people_copy` (`id` BIGINT NOT NULL, `name` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, `city` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, `amount` DECIMAL(14,2), `updated_at` DATETIME(6), PRIMARY KEY (`id`)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;

DELETE FROM `people_copy` WHERE `id` IN (%s, ..);

INSERT INTO `people_copy` (`id`, `name`, `city`, `amount`, `updated_at`) VALUES (%s, %s, %s, %s, %s);

INSERT INTO `syncline_state` (epoch, holder, lease_until, document, mapping) VALUES (%s, %s, %s, %s, %s);

RELEASE SAVEPOINT syncline_part;

REPLACE INTO `syncline_ledger_people` (k, s, t, held, gone, hold, layout, epoch) VALUES (%s, %s, %s, %s, %s, %s, %s, %s);

ROLLBACK;

SAVEPOINT syncline_part;

SELECT /* syncline:TOKEN */ NOW(6),
       LEAST(NOW(6), COALESCE(CONVERT_TZ(
         MIN(CASE WHEN trx_is_read_only = 0 AND trx_mysql_thread_id <> CONNECTION_ID()
                  THEN trx_started END), 'SYSTEM', '..'), NOW(6))) - INTERVAL 1 SECOND,
       MAX(trx_mysql_thread_id = CONNECTION_ID() AND trx_query LIKE '..')
  FROM information_schema.INNODB_TRX;

SELECT 1 FROM `people_copy` LIMIT 0;

SELECT 1 FROM `people_copy` LIMIT 1;

SELECT 1 FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = %s AND EVENT_OBJECT_TABLE = %s AND EVENT_MANIPULATION <> 'DELETE' LIMIT 1;

SELECT @@global.time_zone, @@system_time_zone,
       TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(),
                     CONVERT_TZ(UTC_TIMESTAMP(), '..', @@global.time_zone));

SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s AND TABLE_NAME = %s;

SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION;

SELECT CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION;

SELECT COUNT(*) FROM information_schema.PROCESSLIST
 WHERE USER = 'system user' AND COMMAND <> 'Daemon';

SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX;

SELECT MAX(`updated_at`) FROM `people`;

SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE, TABLE_TYPE, TABLE_ROWS, CREATE_TIME FROM information_schema.TABLES WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s AND TABLE_TYPE IN (%s, ..);

SELECT UTC_TIMESTAMP(6);

SELECT UTC_TIMESTAMP(6), t.trx_mysql_thread_id, CONVERT_TZ(t.trx_started, 'SYSTEM', '..'),
       p.USER, p.COMMAND
  FROM information_schema.INNODB_TRX t
  LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id
 WHERE t.trx_is_read_only = 0 AND t.trx_mysql_thread_id <> CONNECTION_ID()
 ORDER BY t.trx_started LIMIT 1;

SELECT `id`, `name`, `city`, `amount`, `updated_at`, `id` FROM `people_copy` WHERE `id` IN (%s, ..);

SELECT `id`, `name`, `city`, `amount`, `updated_at`, `id` FROM `people_copy` WHERE `id` IN (%s, ..) FOR UPDATE;

SELECT `id`, `name`, `city`, `amount`, `updated_at`, `id` FROM `people` ORDER BY `id`;

SELECT `id`, `name`, `city`, `amount`, `updated_at`, `id` FROM `people` WHERE (`updated_at` IS NULL) ORDER BY `id`;

SELECT `id`, `name`, `city`, `amount`, `updated_at`, `id` FROM `people` WHERE `id` IN (%s, ..);

SELECT `id`, `name`, `city`, `amount`, `updated_at`, `updated_at`, `id` FROM `people` WHERE `updated_at` >= %s ORDER BY `updated_at`, `id`;

SELECT epoch, holder, lease_until, document FROM `syncline_state` WHERE mapping = %s FOR UPDATE;

SELECT g, COUNT(*) AS n, CAST(SUM(h) AS CHAR) AS h FROM (SELECT (((CAST(FLOOR(`id` / 16) AS SIGNED) & N) * N) & N) >> 24 AS g, `id` AS k, COALESCE(CAST(CONV(LEFT(MD5(CAST(CAST(`id` AS CHAR) AS CHAR)), 16), 16, 10) AS UNSIGNED), N) AS h FROM `people`) AS d GROUP BY g;

SELECT g, COUNT(*) AS n, CAST(SUM(h) AS CHAR) AS h FROM (SELECT (((CAST(FLOOR(k / 16) AS SIGNED) & N) * N) & N) >> 24 AS g, k AS k, CAST(CONV(LEFT(MD5(CAST(k AS CHAR)), 16), 16, 10) AS UNSIGNED) AS h FROM `syncline_ledger_people` WHERE gone & 1 = 0) AS d GROUP BY g;

SELECT k, h FROM (SELECT (((CAST(FLOOR(`id` / 16) AS SIGNED) & N) * N) & N) >> 24 AS g, `id` AS k, COALESCE(CAST(CONV(LEFT(MD5(CAST(CAST(`id` AS CHAR) AS CHAR)), 16), 16, 10) AS UNSIGNED), N) AS h FROM `people`) AS d WHERE g IN (0);

SELECT k, h FROM (SELECT (((CAST(FLOOR(k / 16) AS SIGNED) & N) * N) & N) >> 24 AS g, k AS k, CAST(CONV(LEFT(MD5(CAST(k AS CHAR)), 16), 16, 10) AS UNSIGNED) AS h FROM `syncline_ledger_people` WHERE gone & 1 = 0) AS d WHERE g IN (0);

SELECT k, s, t, held, gone, hold, layout, epoch FROM `syncline_ledger_people` LIMIT 1;

SELECT k, s, t, held, gone, hold, layout, epoch FROM `syncline_ledger_people` WHERE k IN (%s, ..);

SET SESSION max_statement_time = 0.0;

SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

SHOW GLOBAL STATUS
 WHERE Variable_name IN ('Innodb_lsn_flushed', 'Innodb_redo_log_flushed_to_disk_lsn');

START TRANSACTION READ ONLY;

START TRANSACTION READ WRITE;

START TRANSACTION WITH CONSISTENT SNAPSHOT;

START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY;

UPDATE `people_copy` SET `name` = %s, `updated_at` = %s WHERE `id` IN (%s, ..);

UPDATE `syncline_state` SET epoch = %s, holder = %s, lease_until = %s, document = %s WHERE mapping = %s AND epoch = %s;

XA RECOVER;
