"""The contract on writing records, each only where it is as it was seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from syncline.endpoints.base import Fetched, Transaction
from syncline.errors import Transient
from tests.endpoints.contract_bench import Bench, Table, in_thread, people


class Writes:
    """Mixed into `Contract`."""

    def test_an_insert_leaves_out_a_key_that_is_taken(self, bench: Bench) -> None:
        """A taken key neither lands nor is refused; the others land."""
        table = people(bench)
        written = table.insert((1, "other", 0), (3, "new", 3))
        assert written.landed.tolist() == [False, True]
        assert written.refused == ()
        assert table.now()[1]["name"] == "one"
        assert table.now()[3]["name"] == "new"

    def test_an_insert_takes_one_of_two_rows_of_one_key(self, bench: Bench) -> None:
        """The first claim of a key within one call wins or loses alone."""
        table = people(bench)
        written = table.insert((5, "a", 0), (6, "b", 0), (5, "c", 0))
        assert written.landed[1]
        assert written.landed.sum() == 2
        assert written.refused == ()

    def test_one_bad_record_does_not_stop_the_others(self, bench: Bench) -> None:
        """A record that the target can't hold is refused by itself, with its row."""
        table, good, bad = _with_poison(bench)
        rows = [(n, bad if n in {3, 40} else good) for n in range(50)]
        written = table.do(lambda tx: tx.insert(_as_given(table, rows)))
        assert [(each.row, each.kind) for each in written.refused] == [(3, "value"), (40, "value")]
        assert all(each.message for each in written.refused)
        assert written.landed.sum() == 48
        assert len(table.now()) == 48

    def test_one_bad_update_does_not_stop_the_others(self, bench: Bench) -> None:
        """The same for updates."""
        table, good, bad = _with_poison(bench)
        table.do(lambda tx: tx.insert(_as_given(table, [(n, good) for n in range(10)])))

        def change(tx: Transaction) -> Any:
            current = _aligned(tx.fetch(table.keys(*range(10))))
            rows = _as_given(table, [(n, bad if n == 4 else None) for n in range(10)])
            return tx.update(rows, {"v": np.full(10, fill_value=True)}, current)

        written = table.do(change)
        assert [(each.row, each.kind) for each in written.refused] == [(4, "value")]
        assert written.landed.tolist() == [n != 4 for n in range(10)]
        kept = [key for key, row in table.now().items() if row["v"] is not None]
        assert kept == [4]

    def test_an_update_sets_only_the_fields_that_changed(self, bench: Bench) -> None:
        """Row i sets exactly the fields whose mask is set there; the rest stays as it is."""
        table = people(bench)
        rows = table.arrow([(1, "ONE", 100), (2, "TWO", None)])
        changed = {"name": np.array([True, False]), "age": np.array([False, True])}
        written = table.do(
            lambda tx: tx.update(rows, changed, _aligned(tx.fetch(table.keys(1, 2))))
        )
        assert written.landed.all()
        assert table.now()[1] == {bench.id: 1, "name": "ONE", "age": 1}
        assert table.now()[2] == {bench.id: 2, "name": "two", "age": None}

    def test_an_update_sees_nulls_and_sets_them(self, bench: Bench) -> None:
        """A record with NULLs can be updated, from NULL and to NULL."""
        table = people(bench)
        table.insert((7, None, None))
        table.set(7, name="seven")
        assert table.now()[7] == {bench.id: 7, "name": "seven", "age": None}
        table.set(7, name=None, age=7)
        assert table.now()[7] == {bench.id: 7, "name": None, "age": 7}

    def test_composite_keys_are_updated_and_deleted(self, bench: Bench) -> None:
        """The whole key says which record is meant."""
        table = bench.table({"v": "text"}, {"region": "text", "number": "bigint"})
        table.insert(("a", 1, "x"), ("a", 2, "x"), ("A", 1, "x"))
        table.set(("a", 1), v="y")
        table.delete(("A", 1))
        assert {key: row["v"] for key, row in table.now().items()} == {("a", 1): "y", ("a", 2): "x"}

    def test_a_delete_removes_the_asked_records(self, bench: Bench) -> None:
        """Deleted records are gone; the others stay."""
        table = people(bench)
        table.delete(1)
        assert list(table.now()) == [2]

    def test_an_edit_between_fetch_and_update_is_never_overwritten(self, bench: Bench) -> None:
        """It is seen and the row does not land, it waits until ours is committed, or the
        transaction is lost to it as a whole.
        """
        table = people(bench)
        try:
            with bench.endpoint.begin(table.spec()) as tx:
                current = _aligned(tx.fetch(table.keys(1, 2)))
                other = in_thread(lambda: table.set(1, name="edited"))
                other.join(1)
                came_between = not other.is_alive()
                written = tx.update(*table.change(current, name="ours"), current)
                tx.commit()
        except Transient:
            other.join(100)
            assert [table.now()[key]["name"] for key in (1, 2)] == ["edited", "two"]
            return
        other.join(100)
        assert written.landed[1]
        assert not (came_between and written.landed[0])
        assert written.refused == ()
        assert table.now()[1]["name"] == "edited"
        assert table.now()[2]["name"] == "ours"

    def test_an_edit_between_fetch_and_delete_is_never_lost(self, bench: Bench) -> None:
        """A record that was edited since it was seen is not deleted."""
        table = people(bench)
        try:
            with bench.endpoint.begin(table.spec()) as tx:
                current = _aligned(tx.fetch(table.keys(1, 2)))
                other = in_thread(lambda: _edit_if_there(table, 1))
                other.join(1)
                came_between = not other.is_alive()
                written = tx.delete(table.keys(1, 2), current)
                tx.commit()
        except Transient:  # lost to the edit as a whole
            other.join(100)
            assert sorted(table.now()) == [1, 2]
            return
        other.join(100)
        assert written.landed[1]
        assert not (came_between and written.landed[0])
        assert list(table.now()) == ([] if written.landed[0] else [1])

    def test_a_record_deleted_meanwhile_does_not_land(self, bench: Bench) -> None:
        """An update of a record that is no longer there reports that it did not land."""
        table = people(bench)
        with bench.endpoint.begin(table.spec(), write=False) as tx:
            current = _aligned(tx.fetch(table.keys(1, 2)))
        table.delete(1)
        written = table.do(lambda tx: tx.update(*table.change(current, name="x"), current))
        assert written.landed.tolist() == [False, True]
        assert written.refused == ()
        assert list(table.now()) == [2]

    def test_fetch_answers_the_asked_target_keys(self, bench: Bench) -> None:
        """Key, fields and `__row`; no record for a key that is not there."""
        table = people(bench)
        with bench.endpoint.begin(table.spec()) as tx:
            rows = tx.fetch(table.keys(2, 77, 1)).rows
        assert {"__row", *table.types} <= set(rows.column_names)
        assert sorted(zip(rows["__row"].to_pylist(), rows["name"].to_pylist(), strict=True)) == [
            (0, "two"), (2, "one"),
        ]  # fmt: skip
        for name, type_ in table.types.items():
            assert rows[name].type == type_.arrow

    def test_fetch_of_many_keys_is_set_based(self, bench: Bench) -> None:
        """Thousands of keys are one call, in any order."""
        table = bench.table({"n": "bigint"})
        table.insert(*((n, n) for n in range(6000)))
        with bench.endpoint.begin(table.spec(), write=False) as tx:
            fetched = tx.fetch(table.keys(*range(5999, -1, -1))).rows.sort_by("__row")
        assert fetched["n"].to_pylist() == list(range(5999, -1, -1))

    def test_emptiness_and_keys_of_the_target(self, bench: Bench) -> None:
        """`is_empty` and `scan_keys` look at the target table."""
        table = bench.table({"v": "text"})
        bench.endpoint.prepare(table.spec())
        with bench.endpoint.begin(table.spec(), write=False) as tx:
            assert tx.is_empty()
            assert [batch for batch in tx.scan_keys() if batch.num_rows] == []
        table.insert((1, "a"), (2, "b"))
        with bench.endpoint.begin(table.spec(), write=False) as tx:
            assert not tx.is_empty()
            keys = [key for batch in tx.scan_keys() for key in batch[bench.id].to_pylist()]
        assert sorted(keys) == [1, 2]


def _edit_if_there(table: Table, key: int) -> None:
    def change(tx: Transaction) -> Any:
        current = tx.fetch(table.keys(key))
        return tx.update(*table.change(current, name="edited"), current)

    table.do(change)


def _with_poison(bench: Bench) -> tuple[Table, Any, Any]:
    """A table with one field, a value that it takes, and one that it can't hold."""
    match bench.endpoint.product:
        case "mongodb":
            return bench.table({"v": "decimal"}), "1.5", "1" * 35
        case "sqlite":
            return bench.table({"v": "double"}), 1.5, float("nan")
        case _:
            return bench.table({"v": "text(3)"}), "abc", "abcd"


def _as_given(table: Table, rows: list[tuple[Any, ...]]) -> pa.Table:
    return table.arrow(rows)


def _aligned(fetched: Fetched) -> Fetched:
    """The fetched records in the order of the asked keys, as the engine aligns them."""
    return Fetched(fetched.rows.sort_by("__row"), fetched.misfits)
