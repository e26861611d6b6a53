"""The contract on reading: paging, resuming, deltas, backfills, keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from syncline.endpoints.base import Comparison, Range
from syncline.errors import CheckpointVoid, InputError
from tests.endpoints.contract_bench import BIGINT, TEXT, Bench, Table, in_thread, instant

ODD_TEXTS = [
    "a", "A", "á", "Á", "b", "B", "ab", "a b", "a-b", "a_b", "ä", "z", "Z", "-", "_", "é", "e", "É",
    "ß", "ss", "中", "😀", "10", "9", "1", " a", "i", "I", "\u0131", "İ", "'", "%",
]  # fmt: skip
KEYS: dict[str, Sequence[Any]] = {
    "bigint": [-(2**63), -1, 0, 1, 2**53, 2**53 + 1, 2**63 - 1],
    "text": ODD_TEXTS,
    "uuid": [f"{n:08x}-0000-4000-8000-{n:012x}" for n in (0, 1, 255, 256, 2**31, 2**32 - 1)],
    "date": [datetime(year, 1, 1, tzinfo=UTC).date() for year in (1000, 1969, 1970, 2024, 9999)],
}
SOON = timedelta(hours=1)


class Reads:
    """Mixed into `Contract`."""

    @pytest.mark.parametrize("batch_rows", [1, 7, 1000])
    def test_a_full_read_gives_every_record_once(self, bench: Bench, batch_rows: int) -> None:
        """A full read pages in key order, in batches no larger than asked, and gives all."""
        table = _numbered(bench, 20)
        reading = table.read(batch_rows=batch_rows)
        assert reading.keys() == list(range(20))
        assert max(reading.sizes) <= batch_rows
        assert len(set(reading.positions)) == len(reading.positions)

    @pytest.mark.parametrize("kind_of_key", KEYS)
    def test_a_read_resumes_after_any_position(self, bench: Bench, kind_of_key: str) -> None:
        """Resumed after each batch's position, a read gives exactly the rest, in the same order."""
        table = bench.table({"v": "bigint"}, {bench.id: kind_of_key})
        is_text = table.types[bench.id].name == "text"
        keys = [str(key) if is_text else key for key in KEYS[kind_of_key]]
        assert table.insert(*((key, n) for n, key in enumerate(keys))).landed.all()
        whole = table.read(batch_rows=1)
        assert sorted(whole.keys()) == sorted(keys)
        for count, position in enumerate(whole.positions, start=1):
            rest = table.read(after=position, batch_rows=3)
            assert rest.keys() == whole.keys()[count:]

    @pytest.mark.parametrize("kind_of_key", KEYS)
    def test_two_reads_that_meet_at_any_position_are_the_whole(
        self, bench: Bench, kind_of_key: str
    ) -> None:
        """Up to a position and from it on: each record in exactly one of the two."""
        table = bench.table({"v": "bigint"}, {bench.id: kind_of_key})
        is_text = table.types[bench.id].name == "text"
        keys = [str(key) if is_text else key for key in KEYS[kind_of_key]]
        assert table.insert(*((key, n) for n, key in enumerate(keys))).landed.all()
        whole = table.read(batch_rows=1)
        for count, position in enumerate(whole.positions, start=1):
            assert table.read(until=position, batch_rows=3).keys() == whole.keys()[:count]
        first, last = whole.positions[0], whole.positions[-2]
        assert table.read(after=first, until=last).keys() == whole.keys()[1:-1]
        assert table.read(after=last, until=last).keys() == []

    @pytest.mark.parametrize("composite", [False, True], ids=["text", "composite"])
    def test_a_table_is_divided_into_parts_that_are_the_whole(
        self, bench: Bench, composite: bool
    ) -> None:
        """Read between the positions that `split` gives, each record is read exactly once."""
        key = {"region": "text", "number": "bigint"} if composite else {bench.id: "text"}
        table = bench.table({"v": "text"}, key)
        texts = [text for text in ODD_TEXTS if text not in {"", " a"}]
        keys = [(text, n) for text in texts for n in range(3)]
        if not composite:
            keys = [(f"{text}{n}",) for text, n in keys]
        assert table.insert(*((*one, "x") for one in keys)).landed.all()
        cuts = bench.endpoint.split(table.source(), 4)
        assert 1 <= len(cuts) <= 16
        read: list[Any] = []
        for after, until in zip([None, *cuts], [*cuts, None], strict=True):
            part = table.read(after=after, until=until, batch_rows=5).keys()
            assert part
            read += part
        assert read == table.read().keys()
        assert len(read) == len(keys)

    def test_an_empty_table_is_not_divided(self, bench: Bench) -> None:
        """There is nothing to divide."""
        assert list(bench.endpoint.split(_numbered(bench, 0).source(), 4)) == []

    def test_composite_keys_page_without_a_gap(self, bench: Bench) -> None:
        """Pages that end within one first key column go on there."""
        table = bench.table({"v": "text"}, {"region": "text", "number": "bigint"})
        keys = [(region, number) for region in ("A", "a", "é", "b") for number in range(5)]
        assert table.insert(*((*key, "x") for key in keys)).landed.all()
        whole = table.read(batch_rows=3)
        assert sorted(whole.keys()) == sorted(keys)
        read = 0
        for size, position in zip(whole.sizes, whole.positions, strict=True):
            read += size
            assert table.read(after=position, batch_rows=2).keys() == whole.keys()[read:]

    def test_an_empty_table_reads_as_nothing_and_has_a_horizon(self, bench: Bench) -> None:
        """No batch, no error, and a horizon from which a delta can begin."""
        table = bench.table({"v": "text", "at": "timestamptz(3)"})
        by = _by(bench, table)
        reading = table.read(by=by, cursor="at")
        assert reading.records == []
        table.insert((1, "x", datetime.now(UTC).replace(microsecond=0) + SOON))
        if by != "none":
            assert table.read("delta", since=reading.horizon, by=by, cursor="at").keys() == [1]

    def test_batches_may_be_taken_by_another_thread(self, bench: Bench) -> None:
        """The thread that opens a read need not be the one that reads."""
        table = _numbered(bench, 10)
        seen: list[int] = []
        with bench.endpoint.read(table.source(batch_rows=3), mode="full") as read:
            in_thread(lambda: seen.extend(batch.records.num_rows for batch in read.batches())).join(
                100
            )
        assert sum(seen) == 10

    @pytest.mark.parametrize("way", ["best", "timestamp"])
    def test_a_delta_sees_what_changed_since_the_horizon(self, bench: Bench, way: str) -> None:
        """Changed, new and null-cursor records are all in the delta; twice is allowed."""
        table, now = _timed(bench), datetime.now(UTC).replace(microsecond=0) + SOON
        by = _by(bench, table) if way == "best" else "timestamp"
        horizon = table.read(by=by, cursor="at").horizon
        table.set(3, v="changed", at=now)
        table.insert((100, "new", now), (101, "no time", None))
        table.set(4, at=None)
        delta = table.read("delta", since=horizon, by=by, cursor="at", batch_rows=1)
        records = {row[bench.id]: row for row in delta.records}
        assert {3, 4, 100, 101} <= records.keys()
        assert records[3]["v"] == "changed"
        assert len(delta.keys()) == len(set(delta.keys()))
        again = table.read("delta", since=delta.horizon, by=by, cursor="at")
        table.set(5, v="later", at=now)
        last = table.read("delta", since=again.horizon, by=by, cursor="at")
        assert 5 in last.keys()  # noqa: SIM118 - a list of keys

    @pytest.mark.parametrize("way", ["best", "timestamp"])
    def test_a_delta_without_a_change_leaves_old_records_alone(
        self, bench: Bench, way: str
    ) -> None:
        """Records whose cursor is long past are not read again."""
        table = _timed(bench)
        by = _by(bench, table) if way == "best" else "timestamp"
        table.insert((50, "newest", datetime.now(UTC).replace(microsecond=0)))
        horizon = table.read(by=by, cursor="at").horizon
        old = set(range(10))
        assert not old & set(table.read("delta", since=horizon, by=by, cursor="at").keys())

    @pytest.mark.parametrize("way", ["best", "timestamp"])
    def test_ties_of_the_cursor_never_skip(self, bench: Bench, way: str) -> None:
        """Many records of one instant, in small pages, resumed anywhere: each exactly once."""
        table, now = _timed(bench), datetime.now(UTC).replace(microsecond=0) + SOON
        by = _by(bench, table) if way == "best" else "timestamp"
        horizon = table.read(by=by, cursor="at").horizon
        times = [now, None]
        table.insert(*((1000 + n, "tie", times[n % 5 == 0]) for n in range(23)))
        options = {"since": horizon, "by": by, "cursor": "at", "batch_rows": 4}
        whole = table.read("delta", **options)
        keys = [row[bench.id] for row in whole.records if row[bench.id] >= 1000]
        assert sorted(keys) == list(range(1000, 1023))
        read = 0
        for size, position in zip(whole.sizes, whole.positions, strict=True):
            read += size
            rest = table.read("delta", after=position, **options)
            assert rest.keys() == whole.keys()[read:]

    def test_the_guarantee_is_told_before_and_by_the_read(self, bench: Bench) -> None:
        """What a delta promises is known without reading, and the read says the same."""
        table = _timed(bench)
        for by in {"none", "timestamp", _by(bench, table)}:
            spec = table.source(by=by, cursor="at")
            told = bench.endpoint.guarantee(spec)
            with bench.endpoint.read(spec, mode="full") as read:
                assert read.guarantee.level == told.level
            assert told.why
            assert (told.level == "none") == (by == "none")

    def test_a_delta_refuses_a_position_it_can_not_continue(self, bench: Bench) -> None:
        """A horizon of another kind of delta is void: a full read is needed."""
        table = _timed(bench)
        with pytest.raises(CheckpointVoid):
            table.read("delta", since='{"by": "something else"}', by="timestamp", cursor="at")

    def test_a_backfill_by_key_takes_the_start_and_not_the_end(self, bench: Bench) -> None:
        """`[from, to)` by key, open where None, in pages, resumed."""
        table = _numbered(bench, 20)

        def keys(start: str | None, end: str | None, **options: Any) -> list[int]:
            window = Range("key", start, end)
            return table.read("backfill", window=window, batch_rows=3, **options).keys()

        assert keys("3", "12") == list(range(3, 12))
        assert keys(None, "4") == [0, 1, 2, 3]
        assert keys("17", None) == [17, 18, 19]
        assert keys("30", "40") == []
        position = table.read("backfill", window=Range("key", "3", "12"), batch_rows=3).positions[1]
        assert keys("3", "12", after=position) == [9, 10, 11]

    def test_a_backfill_by_cursor_takes_the_start_and_not_the_end(self, bench: Bench) -> None:
        """`[from, to)` by cursor in UTC; records without a cursor are in no window."""
        table = _timed(bench)
        table.insert((77, "no time", None))
        window = Range("cursor", "2024-01-03T00:00:00", "2024-01-06T00:00:00+00:00")
        by = _by(bench, table)
        options = {"window": window, "by": by, "cursor": "at", "batch_rows": 1}
        whole = table.read("backfill", **options)
        assert sorted(whole.keys()) == [3, 4, 5]
        rest = table.read("backfill", after=whole.positions[0], **options)
        assert rest.keys() == whole.keys()[1:]

    def test_filters_keep_all_that_satisfies_them(self, bench: Bench) -> None:
        """A source may apply a filter or leave it; what satisfies it is always there."""
        table = bench.table({"n": "bigint"})
        table.insert(*((i, i) for i in range(10)), (10, None))
        everything = set(range(10))
        for op, wanted in {
            "=": {5}, "<>": everything - {5}, "<": set(range(5)), "<=": set(range(6)),
            ">": set(range(6, 10)), ">=": set(range(5, 10)),
        }.items():  # fmt: skip
            found = table.read(filters=(Comparison("n", op, 5),)).keys()  # type: ignore[arg-type]
            assert wanted <= set(found), op

    def test_a_delta_sees_a_record_that_left_the_filter(self, bench: Bench) -> None:
        """Filters are not applied to a delta."""
        table = bench.table({"n": "bigint", "at": "timestamptz(3)"})
        table.insert((1, 5, instant("2024-01-01")))
        by = _by(bench, table)
        options: dict[str, Any] = {"by": by, "cursor": "at", "filters": (Comparison("n", "=", 5),)}
        horizon = table.read(**options).horizon
        table.set(1, n=6, at=datetime.now(UTC).replace(microsecond=0) + SOON)
        assert table.read("delta", since=horizon, **options).keys() == [1]

    def test_fetch_answers_the_asked_keys(self, bench: Bench) -> None:
        """Each record says which key it answers; missing keys have no record, repeated ones two."""
        table = _numbered(bench, 5)
        rows, misfits = bench.endpoint.fetch(table.source(), table.keys(4, 99, 0, 4))
        assert not misfits
        assert sorted(zip(rows["__row"].to_pylist(), rows[bench.id].to_pylist(), strict=True)) == [
            (0, 4), (2, 0), (3, 4),
        ]  # fmt: skip
        assert rows["__row"].type == pa.int32()
        empty, _ = bench.endpoint.fetch(table.source(), table.keys())
        assert empty.num_rows == 0
        assert set(empty.column_names) == {*table.types, "__row"}

    def test_fetch_by_composite_and_odd_text_keys(self, bench: Bench) -> None:
        """Keys are compared exactly: not by the letter case or accents of a collation."""
        table = bench.table({"v": "bigint"}, {"region": "text", "number": "bigint"})
        keys = [(text, n) for n, text in enumerate(ODD_TEXTS)]
        assert table.insert(*((*key, n) for n, key in enumerate(keys))).landed.all()
        rows, _ = bench.endpoint.fetch(table.source(), table.keys(*keys, ("A", 0), ("a", 1)))
        found = sorted(zip(rows["__row"].to_pylist(), rows["v"].to_pylist(), strict=True))
        assert found == [(n, n) for n in range(len(keys))]

    def test_keys_gives_every_key_whatever_the_filter(self, bench: Bench) -> None:
        """`keys` scans the whole table, in batches."""
        table = _numbered(bench, 20)
        spec = table.source(batch_rows=6, filters=(Comparison(bench.id, "<", 3),))
        batches = list(bench.endpoint.keys(spec))
        assert sorted(k for b in batches for k in b[bench.id].to_pylist()) == list(range(20))
        assert all(batch.column_names == [bench.id] for batch in batches)

    def test_duplicate_and_null_keys_are_named(self, bench: Bench) -> None:
        """Up to five keys that are not unique or have a NULL; none where the key is unique."""
        table = bench.table({"group": "text", "n": "bigint"})
        table.insert((1, "a", 1), (2, "a", 1), (3, "a", 2), (4, None, 9))
        duplicates = bench.endpoint.duplicate_keys
        assert list(duplicates(table.name, [bench.id])) == []
        assert {tuple(key) for key in duplicates(table.name, ["group"])} == {("a",), (None,)}
        assert {tuple(key) for key in duplicates(table.name, ["group", "n"])} == {
            ("a", 1), (None, 9),
        }  # fmt: skip
        table.insert(*((10 + n, f"g{n // 2}", 0) for n in range(20)))
        assert len(duplicates(table.name, ["group"])) == 5

    def test_what_is_not_there_is_an_input_error(self, bench: Bench) -> None:
        """An unknown table is described as None, and refused by a read."""
        assert bench.endpoint.describe("no_such_table") is None
        table = Table(bench, "no_such_table", {bench.id: BIGINT}, {"v": TEXT})
        with pytest.raises(InputError):
            table.read()

    def test_an_unknown_column_is_an_input_error(self, bench: Bench) -> None:
        """A column is checked against the catalogue, not pasted into a statement."""
        table = _numbered(bench, 1)
        info = bench.endpoint.describe(table.name)
        assert info is not None
        if info.open_columns:
            pytest.skip("documents may have any path")
        columns = {bench.id: BIGINT, 'v"; DROP TABLE x; --': TEXT}
        with pytest.raises(InputError):
            table.read(columns=columns)
        assert table.read().keys() == [0]

    def test_tables_are_listed_without_our_own(self, bench: Bench) -> None:
        """The ledger and the state are not the user's tables."""
        table = _numbered(bench, 1)
        bench.endpoint.prepare(table.spec(ledger=True))
        names = bench.endpoint.tables()
        assert any(name.split(".")[-1] == table.name for name in names)
        assert not [name for name in names if "syncline" in name]
        assert list(names) == sorted(names)

    def test_product_and_version_are_told(self, bench: Bench) -> None:
        """Product and version name the server that answers."""
        assert bench.endpoint.product in {
            "postgresql", "mariadb", "mysql", "sqlite", "mongodb", "memory",
        }  # fmt: skip
        assert bench.endpoint.version()


def _numbered(bench: Bench, count: int) -> Table:
    table = bench.table({"v": "text"})
    assert table.insert(*((n, f"v{n}") for n in range(count))).landed.all()
    return table


def _timed(bench: Bench) -> Table:
    """Ten records, one a day from 2024-01-01 on."""
    table = bench.table({"v": "text", "at": "timestamptz(3)"})
    first = instant("2024-01-01")
    table.insert(*((n, f"v{n}", first + timedelta(days=n - 1)) for n in range(10)))
    return table


def _by(bench: Bench, table: Table) -> Any:
    info = bench.endpoint.describe(table.name)
    assert info is not None
    return bench.endpoint.best_delta(info, "at")
