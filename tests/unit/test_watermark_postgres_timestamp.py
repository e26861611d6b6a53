"""The watermark `timestamp` of PostgreSQL: from where a delta reads, and when it is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from syncline.errors import CheckpointVoid, GuardStopped, InputError
from syncline.record import Type
from syncline.watermark.postgres_timestamp import condition, horizon, start_of, take

IDENTITY = {
    "system": "77",
    "database": "5",
    "timeline": "1",
    "relation": "9",
    "partitions": "",
    "catalogue": "abc",
}
EARLY, LATE = "2024-01-01 00:00:00.5+00", "2024-01-01 00:00:00.25+00"


def server(*, standby: bool = False, allowed: bool = True, tracked: bool = True) -> Any:
    """What a server answers to the checks, and then to the question for its oldest transaction."""
    answers = iter([[(standby, allowed, tracked, "reader")], [(LATE, False)]])
    return lambda _: next(answers)


def test_f05_without_the_right_it_is_refused_with_both_ways_out() -> None:
    """The refusal names the GRANT, and `xmin` that needs none."""
    with pytest.raises(InputError) as refused:
        take(server(allowed=False), None)
    assert 'GRANT pg_read_all_stats TO "reader"' in refused.value.hint
    assert "by: xmin" in refused.value.hint


def test_f07_a_standby_is_refused() -> None:
    """A standby does not know its primary's open transactions."""
    with pytest.raises(InputError, match="standby"):
        take(server(standby=True), None)


def test_untracked_activity_is_refused() -> None:
    """Without track_activities no session's transaction start can be trusted."""
    with pytest.raises(InputError, match="track_activities"):
        take(server(tracked=False), None)


def test_a_prepared_transaction_keeps_the_last_horizon() -> None:
    """Nobody knows when a prepared transaction began: the horizon stays, or is none at all."""

    def prepared() -> Any:
        answers = iter([[(False, True, True, "reader")], [(LATE, True)]])
        return lambda _: next(answers)

    assert take(prepared(), horizon(EARLY, "at", IDENTITY)) == EARLY
    assert take(prepared(), None) is None


def test_a_delta_reads_from_the_earlier_horizon() -> None:
    """A clock set back stamps rows before the last horizon, so the earlier of the two holds."""
    since = horizon(EARLY, "at", IDENTITY)
    assert start_of(since, LATE, "at", IDENTITY) == LATE
    assert start_of(horizon(LATE, "at", IDENTITY), EARLY, "at", IDENTITY) == LATE


def test_another_cursor_or_no_horizon_reads_every_row() -> None:
    """What another column's horizon says of this one is nothing."""
    assert start_of(horizon(EARLY, "other", IDENTITY), LATE, "at", IDENTITY) is None
    assert start_of(horizon(None, "at", IDENTITY), LATE, "at", IDENTITY) is None


def test_the_table_and_the_database_must_be_the_same() -> None:
    """Another database stops; a changed table needs a full sync."""
    facts = json.loads(horizon(EARLY, "at", IDENTITY))
    with pytest.raises(GuardStopped):
        start_of(json.dumps({**facts, "database": "6"}), LATE, "at", IDENTITY)
    with pytest.raises(CheckpointVoid):
        start_of(json.dumps({**facts, "relation": "6"}), LATE, "at", IDENTITY)


def test_the_condition_is_inclusive_and_in_the_columns_own_clock() -> None:
    """A zoned column is compared with the instant, one without zone with the server's clock."""
    instant = "CAST('2024-01-01T00:00:00.500000+00:00' AS timestamptz)"

    def paris(_: str) -> list[tuple[Any, ...]]:
        return [("Europe/Paris",)]

    assert condition(EARLY, "t.at", Type("timestamptz"), paris) == f"t.at >= {instant}"
    assert condition(EARLY, "t.at", Type("timestamp"), paris) == (
        f"t.at >= (({instant} AT TIME ZONE 'Europe/Paris') - interval '1 hour')"
    )
    assert condition(EARLY, "t.at", Type("timestamp"), lambda _: [("UTC",)]) == (
        f"t.at >= (({instant} AT TIME ZONE 'UTC'))"
    )
    assert condition(None, "t.at", Type("timestamptz"), paris) == "t.at IS NOT NULL"
    with pytest.raises(InputError, match="not a time"):
        condition(EARLY, "t.n", Type("bigint"), paris)
