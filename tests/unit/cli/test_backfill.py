"""A backfill is cut into chunks that cover its range once, and goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.backfill import Asked, backfill, instant
from syncline.errors import InputError, RunFailed
from syncline.project import Project
from syncline.store import Store
from syncline.sync import RunOptions

FIRST, LAST = datetime.fromisoformat("1971-01-01"), datetime.fromisoformat("2100-01-01")


def cut(start: str, end: str, chunk: str) -> list[tuple[str | None, str | None]]:
    return [(one.start, one.end) for one in Asked("cursor", start, end, chunk).chunks()]


def test_days_months_and_numbers() -> None:
    """The last chunk is as short as it must be; dates stay dates."""
    assert cut("2026-01-01", "2026-01-03", "1d") == [
        ("2026-01-01", "2026-01-02"),
        ("2026-01-02", "2026-01-03"),
    ]
    assert cut("2026-01-31", "2026-04-02", "1mo") == [
        ("2026-01-31", "2026-02-28"),
        ("2026-02-28", "2026-03-31"),
        ("2026-03-31", "2026-04-02"),
    ]
    assert cut("2024-02-29", "2026-01-01", "1y") == [
        ("2024-02-29", "2025-02-28"),
        ("2025-02-28", "2026-01-01"),
    ]
    assert cut("-5", "10", "10") == [("-5", "5"), ("5", "10")]


def test_instants_are_utc() -> None:
    """An offset is taken into account, and what is cut from a day says its hour."""
    assert instant("2026-01-01") == datetime(2026, 1, 1, tzinfo=UTC)
    assert cut("2026-01-01T00:00:00+02:00", "2025-12-31T23:00:00Z", "1h") == [
        ("2025-12-31T22:00:00+00:00", "2025-12-31T23:00:00+00:00")
    ]
    assert cut("2026-01-01", "2026-01-02", "12h")[0] == ("2026-01-01", "2026-01-01T12:00:00+00:00")


@given(st.integers(-(10**9), 10**9), st.integers(1, 5_000), st.integers(1, 700))
def test_number_chunks_cover_the_range_once(start: int, length: int, step: int) -> None:
    """No gap, no overlap, both ends kept."""
    chunks = cut(str(start), str(start + length), str(step))
    assert chunks[0][0] == str(start)
    assert chunks[-1][1] == str(start + length)
    assert all(one[1] == two[0] for one, two in pairwise(chunks))


@given(
    st.datetimes(FIRST, LAST),
    st.timedeltas(timedelta(days=1), timedelta(days=366)),
    st.sampled_from(["1d", "7d", "6h", "2w", "1mo", "5mo", "1y"]),
)
def test_time_chunks_cover_the_range_once(start: datetime, length: Any, chunk: str) -> None:
    """No gap, no overlap, both ends kept, always forward."""
    end = start + length
    chunks = cut(start.isoformat(), end.isoformat(), chunk)
    bounds = [instant(str(one[0])) for one in chunks] + [instant(str(chunks[-1][1]))]
    assert bounds[0] == start.replace(tzinfo=UTC)
    assert bounds[-1] == end.replace(tzinfo=UTC)
    assert all(one < two for one, two in pairwise(bounds))
    assert all(one[1] == two[0] for one, two in pairwise(chunks))


def test_without_a_chunk_the_range_is_one_and_may_be_open() -> None:
    """As the user wrote it."""
    (chunk,) = Asked("key", None, "abc").chunks()
    assert (chunk.start, chunk.end) == (None, "abc")


@pytest.mark.parametrize(
    ("start", "end", "chunk"),
    [
        ("1", "10", "0"),
        ("1", "1", "5"),
        ("9", "1", "5"),
        ("a", "b", "5"),
        ("2026-01-02", "2026-01-01", "1d"),
        ("2026-01-01", "2026-01-02", "1x"),
        ("2026-01-01", "2026-01-02", "0d"),
        ("2026-01-01", "today", "1d"),
        ("1900-01-01", "2026-01-01", "1m"),
        ("0", "1000000000", "1"),
        (None, "10", "5"),
    ],
)
def test_a_range_that_can_not_be_cut_is_refused(start: Any, end: Any, chunk: str) -> None:
    """Empty, endless, or not of that kind: before anything runs."""
    with pytest.raises(InputError):
        Asked("key", start, end, chunk).chunks()


def lines(result: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_backfill_syncs_its_range_and_leaves_the_checkpoint(place: Any, cli: Any) -> None:
    """`[from, to)` by key; the delta goes on where it was."""
    cli("run", "customers")
    place.target("DELETE FROM users")
    before = lines(cli("checkpoint", "show", "customers", "--json"))[0]
    place.write(
        "plain",
        (place.root / "mappings" / "customers.yaml").read_text().replace("manual", "source"),
    )
    result = cli("backfill", "plain", "--by", "key", "--from", "2", "--to", "4", "--json")
    assert result.exit_code == 0, result.stderr
    (ran,) = lines(result)
    assert (ran["mode"], ran["read"], ran["inserted"]) == ("backfill", 2, 2)
    assert place.target("SELECT user_id FROM users ORDER BY 1") == [(2,), (3,)]
    assert (
        lines(cli("checkpoint", "show", "customers", "--json"))[0]["position"] == before["position"]
    )


def test_a_backfill_goes_on_with_the_chunks_that_are_left(place: Any, cli: Any) -> None:
    """Done chunks are not run again, until `--restart`."""
    words = ("backfill", "customers", "--by", "key", "--from", "1", "--to", "6", "--chunk", "2")
    assert [one["read"] for one in lines(cli(*words, "--json"))] == [2, 2, 1]
    again = cli(*words)
    assert again.exit_code == 0
    assert "every chunk is done already" in again.stdout
    assert len(lines(cli(*words, "--restart", "--json"))) == 3
    assert len(lines(cli(*words[:-1], "5", "--json"))) == 1  # other chunks are another backfill
    assert place.target("SELECT count(*) FROM users") == [(5,)]


def test_a_chunk_that_failed_is_run_again(place: Any) -> None:
    """What was done before it stays done."""
    project, asked = Project(place.root), Asked("key", "1", "6", "2")
    reads: list[int] = []

    def broken(progress: Any) -> None:
        reads.append(progress.read)
        if len(reads) == 2:
            raise RunFailed("cut off")

    options = RunOptions(on_progress=broken)
    with pytest.raises(RunFailed):
        list(backfill(project, "customers", asked, options))
    left = [
        chunk.start
        for chunk, _ in backfill(project, "customers", asked, replace(options, on_progress=None))
    ]
    assert left == ["3", "5"]


def test_workers_share_the_chunks_and_the_lease(place: Any, cli: Any) -> None:
    """Two at once take turns; every chunk is done once."""
    result = cli(
        "backfill", "customers", "--by", "key", "--from", "1", "--to", "6",
        "--chunk", "1", "--workers", "3", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert [one["inserted"] for one in lines(result)] == [1] * 5
    with Store.open(Project(place.root).store_url) as store:
        assert store.chunks_left("customers", Asked("key", "1", "6", "1").words, []) == []
    assert place.target("SELECT count(*) FROM users") == [(5,)]
