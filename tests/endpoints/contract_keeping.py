"""The contract on what a transaction keeps: records with their ledger and state, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from syncline.endpoints.base import LEDGER_SCHEMA, Transaction
from syncline.record import Type
from tests.endpoints.contract_bench import Bench, in_thread, people

_LEDGER_TYPES = {
    "s": pa.binary(), "t": pa.binary(), "held": pa.binary(), "gone": pa.int16(),
    "hold": pa.int16(), "layout": pa.int32(), "epoch": pa.int64(),
}  # fmt: skip


class Keeping:
    """Mixed into `Contract`."""

    def test_what_is_not_committed_is_rolled_back(self, bench: Bench) -> None:
        """Leaving a transaction without commit leaves nothing: no row, ledger row or state."""
        table = people(bench)
        spec = table.spec(ledger=True, ledger_key=Type("bigint"))
        bench.endpoint.prepare(spec)
        with bench.endpoint.begin(spec) as tx:
            if not tx.atomic:
                pytest.skip("this target has no transactions, and says so")
            tx.insert(table.arrow([(50, "x", 1)]))
            tx.ledger_put(_ledger_rows([50], spec.ledger_key), fresh=True)
            _put_state(tx, epoch=1, expected=None)
        with bench.endpoint.begin(spec) as tx:
            assert tx.fetch(table.keys(50)).rows.num_rows == 0
            assert tx.ledger_is_empty()
            assert tx.state() is None

    def test_what_is_committed_is_seen_by_the_next_transaction(self, bench: Bench) -> None:
        """Rows, ledger and state are there after the commit."""
        table = people(bench)
        spec = table.spec(ledger=True, ledger_key=Type("bigint"))
        bench.endpoint.prepare(spec)
        with bench.endpoint.begin(spec) as tx:
            assert tx.insert(table.arrow([(50, "x", 1)])).landed.all()
            tx.ledger_put(_ledger_rows([50], spec.ledger_key), fresh=True)
            assert _put_state(tx, epoch=1, expected=None)
            tx.commit()
        with bench.endpoint.begin(spec) as tx:
            assert tx.fetch(table.keys(50)).rows.num_rows == 1
            assert not tx.ledger_is_empty()
            assert tx.state() is not None

    @pytest.mark.parametrize("key", ["bigint", "text"])
    def test_the_ledger_keeps_and_replaces_rows(self, bench: Bench, key: str) -> None:
        """Put fresh, put again, put fresh on a false promise: the last one stands."""
        table = people(bench)
        spec = table.spec(ledger=True, ledger_key=Type(key))
        bench.endpoint.prepare(spec)
        keys = [-5, 2**62, 7] if key == "bigint" else ["a", "A", 'é"\x01 ']
        with bench.endpoint.begin(spec) as tx:
            assert tx.ledger_is_empty()
            tx.ledger_put(_ledger_rows(keys[:2], spec.ledger_key), fresh=True)
            tx.ledger_put(_ledger_rows(keys[1:], spec.ledger_key, epoch=9), fresh=False)
            tx.commit()
        asked = pa.array([keys[2], keys[0]], spec.ledger_key.arrow)
        with bench.endpoint.begin(spec) as tx:
            found = tx.ledger_fetch(asked).sort_by("__row")
            assert found["k"].to_pylist() == asked.to_pylist()
            assert found["epoch"].to_pylist() == [9, 1]
            assert found["__row"].to_pylist() == [0, 1]
            tx.ledger_put(_ledger_rows(keys, spec.ledger_key, epoch=10, hold=2), fresh=True)
            tx.commit()
        with bench.endpoint.begin(spec, write=False) as tx:
            found = tx.ledger_fetch(pa.array(keys, spec.ledger_key.arrow)).sort_by("__row")
            expected = _ledger_rows(keys, spec.ledger_key, epoch=10, hold=2)
            for name, _ in LEDGER_SCHEMA:
                assert found[name].to_pylist() == expected[name].to_pylist(), name
                assert found[name].type == expected[name].type, name

    def test_the_ledger_gives_its_holds_and_all_its_keys(self, bench: Bench) -> None:
        """`ledger_holds` gives rows with a hold, `ledger_scan` every key with gone and hold."""
        table = people(bench)
        spec = table.spec(ledger=True, ledger_key=Type("bigint"))
        bench.endpoint.prepare(spec)
        with bench.endpoint.begin(spec) as tx:
            tx.ledger_put(_ledger_rows(range(5), spec.ledger_key), fresh=True)
            tx.ledger_put(_ledger_rows([2], spec.ledger_key, hold=1), fresh=False)
            tx.ledger_put(_ledger_rows([3], spec.ledger_key, gone=3), fresh=False)
            tx.commit()
        with bench.endpoint.begin(spec, write=False) as tx:
            assert tx.ledger_holds()["k"].to_pylist() == [2]
            scanned = pa.concat_tables(list(tx.ledger_scan())).sort_by("k").to_pylist()
        assert scanned == [{"k": k, "gone": 3 * (k == 3), "hold": int(k == 2)} for k in range(5)]

    def test_the_state_is_written_only_over_the_expected_epoch(self, bench: Bench) -> None:
        """A stale holder's write does nothing, and is told so."""
        table = people(bench)
        bench.endpoint.prepare(table.spec())

        def put(epoch: int, expected: int | None, **more: Any) -> bool:
            with bench.endpoint.begin(table.spec()) as tx:
                done = _put_state(tx, epoch=epoch, expected=expected, **more)
                tx.commit()
            return done

        assert not put(5, 4)
        assert put(1, None)
        assert not put(1, None)
        assert put(2, 1, document='{"ü": "x"}', lease_seconds=3600)
        assert not put(2, 1)
        with bench.endpoint.begin(table.spec()) as tx:
            state = tx.state()
        assert state is not None
        assert (state.epoch, state.holder, state.document) == (2, "me", '{"ü": "x"}')
        assert abs(state.now - datetime.now(UTC)) < timedelta(minutes=2)
        assert state.lease_until is not None
        assert timedelta(minutes=50) < state.lease_until - state.now <= timedelta(seconds=3601)
        assert put(2, 2, lease_seconds=None)
        with bench.endpoint.begin(table.spec(), write=False) as tx:
            state = tx.state()
        assert state is not None
        assert state.lease_until is None

    def test_reading_without_ledger_and_state_finds_them_empty(self, bench: Bench) -> None:
        """With `write=False` tables that nobody prepared read as empty, and nothing is made."""
        table = bench.table({"v": "text"})
        spec = table.spec(ledger=True, ledger_key=Type("bigint"), mapping=bench.name("unprepared"))
        with bench.endpoint.begin(spec, write=False) as tx:
            assert tx.state() is None
            assert tx.ledger_is_empty()
            assert tx.ledger_fetch(pa.array([1], pa.int64())).num_rows == 0
            assert tx.ledger_holds().num_rows == 0
            assert sum(batch.num_rows for batch in tx.ledger_scan()) == 0
            assert tx.is_empty()

    def test_dropping_a_ledger_removes_its_rows_and_keeps_the_state(self, bench: Bench) -> None:
        """After `drop_ledger` there is no baseline; the epoch stays. Twice is harmless."""
        table = people(bench)
        spec = table.spec(ledger=True, ledger_key=Type("bigint"))
        bench.endpoint.prepare(spec)
        with bench.endpoint.begin(spec) as tx:
            tx.ledger_put(_ledger_rows([1], spec.ledger_key), fresh=True)
            _put_state(tx, epoch=1, expected=None)
            tx.commit()
        bench.endpoint.drop_ledger(spec)
        bench.endpoint.drop_ledger(spec)
        with bench.endpoint.begin(spec, write=False) as tx:
            assert tx.ledger_is_empty()
            state = tx.state()
        assert state is not None
        assert state.epoch == 1
        bench.endpoint.prepare(spec)
        with bench.endpoint.begin(spec) as tx:
            tx.ledger_put(_ledger_rows([1], spec.ledger_key), fresh=True)
            tx.commit()
        assert sorted(table.now()) == [1, 2]

    def test_preparing_twice_and_at_once_is_harmless(self, bench: Bench) -> None:
        """Two runs may prepare one target at the same time."""
        table = bench.table({"v": "text"})
        spec = table.spec(ledger=True, ledger_key=Type("bigint"))
        failures: list[Exception] = []

        def prepare() -> None:
            try:
                bench.endpoint.prepare(spec)
            except Exception as error:  # noqa: BLE001 - whatever it is, it fails the test
                failures.append(error)

        threads = [in_thread(prepare) for _ in range(3)]
        for thread in threads:
            thread.join(100)
        assert not any(thread.is_alive() for thread in threads)
        prepare()
        assert failures == []


def _put_state(
    tx: Transaction,
    *,
    epoch: int,
    expected: int | None,
    document: str = "{}",
    lease_seconds: float | None = 5,
) -> bool:
    return tx.put_state(
        epoch=epoch,
        holder="me",
        lease_seconds=lease_seconds,
        document=document,
        expected_epoch=expected,
    )


def _ledger_rows(
    keys: Any, key_type: Type, *, epoch: int = 1, gone: int = 0, hold: int = 0
) -> pa.Table:
    count = len(keys)
    values: dict[str, list[Any]] = {
        "s": [b"\x00\x01" * 8] * count,
        "t": [None if n % 2 else b"\xff" * 16 for n in range(count)],
        "held": [b"\x01\x00" if n % 2 else None for n in range(count)],
        "gone": [gone] * count,
        "hold": [hold] * count,
        "layout": [3] * count,
        "epoch": [epoch] * count,
    }
    columns = {name: pa.array(column, _LEDGER_TYPES[name]) for name, column in values.items()}
    return pa.table({"k": pa.array(list(keys), key_type.arrow), **columns})
