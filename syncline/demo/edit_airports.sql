-- What the warehouse's people do meanwhile, to the same airports; their application moves updated_at.
-- Each edit is a minute older than operations', but that of SFO, which is a minute younger.

UPDATE {table} SET name = 'Sea-Tac', updated_at = now() - interval '1 minute' WHERE code = 'SEA';
UPDATE {table} SET name = 'SFO', updated_at = now() + interval '1 minute' WHERE code = 'SFO';
UPDATE {table} SET time_zone = 'US/Pacific', updated_at = now() - interval '1 minute'
WHERE code = 'OAK';
UPDATE {table} SET name = 'closed field', updated_at = now() - interval '1 minute'
WHERE code = '04G';
DELETE FROM {table} WHERE code = '06A';
INSERT INTO {table} (code, name, altitude, time_zone, updated_at)
VALUES ('SJU', 'San Juan', 9, 'America/Puerto_Rico', now() - interval '1 minute');
