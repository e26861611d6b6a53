-- What operations does while nobody looks. Each statement is a transaction of its own.

-- American's flights of New Year's Eve came in ten minutes later than first written down.
UPDATE flights SET dep_delay = dep_delay + 10, arr_delay = arr_delay + 10
WHERE carrier = 'AA' AND month = 12 AND day = 31 AND arr_delay IS NOT NULL;

-- The timetable of the next New Year's Day: no times yet, so NULL.
INSERT INTO flights (year, month, day, sched_dep_time, sched_arr_time, carrier, flight, origin, dest,
                     distance, hour, minute, time_hour)
SELECT 2014, month, day, sched_dep_time, sched_arr_time, carrier, flight, origin, dest,
       distance, hour, minute, time_hour + interval '365 days'
FROM flights WHERE month = 1 AND day = 1;

-- Cancelled flights that should never have been written down.
DELETE FROM flights WHERE carrier = 'UA' AND month = 12 AND day = 31 AND dep_time IS NULL;

-- The longest delay of the year was a slip of the pen.
UPDATE flights SET dep_delay = 13, arr_delay = 12
WHERE id = (SELECT id FROM flights ORDER BY arr_delay DESC NULLS LAST LIMIT 1);

-- Airports: renamed, closed, found missing. Flights have gone to SJU all year.
UPDATE airports SET name = 'Seattle-Tacoma' WHERE faa = 'SEA';
UPDATE airports SET name = 'San Francisco' WHERE faa = 'SFO';
UPDATE airports SET tzone = NULL WHERE faa = 'OAK';
UPDATE airports SET name = 'Tuskegee Moton' WHERE faa = '06A';
UPDATE airports SET name = 'Chicago O''Hare International' WHERE faa = 'ORD';
DELETE FROM airports WHERE faa = '04G';
INSERT INTO airports (faa, name, lat, lon, alt, tz, dst, tzone)
VALUES ('SJU', 'Munoz Marin', 18.4393722, -66.0018333, 9, -4, 'N', 'America/Puerto_Rico');
