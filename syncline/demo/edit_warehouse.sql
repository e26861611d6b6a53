-- Analysts fill in what the list of aeroplanes does not know, on flights that operations edits too.
UPDATE flights SET aircraft = 'MD-82 (fleet list)'
WHERE aircraft IS NULL AND delay IS NOT NULL AND flight LIKE 'AA %' AND scheduled >= '2013-12-31';
