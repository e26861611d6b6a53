"""The ledger and the state row in PostgreSQL."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from syncline.endpoints.base import (
    TargetSpec,
)
from syncline.endpoints.postgres import PostgresEndpoint
from syncline.endpoints.postgres_ledger import ledger_name
from syncline.errors import (
    CredentialsRefused,
)
from syncline.record import Type
from tests.endpoints.postgres.support import (
    ints,
    ledger_rows,
    seen,
    target,
    written,
)


@pytest.mark.parametrize(("kind", "keys"), [("bigint", [1, 2, 3]), ("text", ["a", 'B"\\', "'á,"])])
def test_the_ledger_keeps_what_it_is_given(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any], kind: str, keys: list[Any]
) -> None:
    """Fresh, replaced and falsely promised fresh rows all read back as they were last put."""
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
    spec = target(endpoint, "t", {"id": "bigint"}, {}, ledger=kind)
    arrow = spec.ledger_key.arrow
    with endpoint.begin(spec) as tx:
        assert tx.ledger_is_empty()
        tx.ledger_put(ledger_rows(keys[:2]), fresh=True)
        tx.ledger_put(ledger_rows(keys, s=b"x" * 8, hold=1), fresh=True)
        tx.ledger_put(ledger_rows(keys[2:], s=b"y" * 8), fresh=False)
        assert not tx.ledger_is_empty()
        tx.commit()
    with endpoint.begin(spec, write=False) as tx:
        found = tx.ledger_fetch(pa.array([keys[2], keys[0]], arrow)).sort_by("__row")
        assert found.column("k").to_pylist() == [keys[2], keys[0]]
        assert found.column("s").to_pylist() == [b"y" * 8, b"x" * 8]
        assert found.drop_columns(["__row"]).schema.equals(ledger_rows(keys).schema)
        assert sorted(tx.ledger_holds().column("k").to_pylist()) == sorted(keys[:2])
        assert sum(part.num_rows for part in tx.ledger_scan()) == 3


def test_scans_go_on_beside_other_statements(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Keys and ledger are scanned while rows are deleted in the same transaction."""
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
    database.execute("INSERT INTO t SELECT generate_series(1, 120000)")
    spec = target(endpoint, "t", {"id": "bigint"}, {}, ledger="bigint")
    with endpoint.begin(spec) as tx:
        total = 0
        for keys in tx.scan_keys():
            total += keys.num_rows
            assert tx.delete(keys, seen(tx, keys)).landed.all()
        assert total == 120_000
        assert tx.is_empty()


def test_the_state_row_is_written_only_at_its_epoch(
    endpoint: PostgresEndpoint, things: TargetSpec, postgres_url: str
) -> None:
    """The row is made once, moves from the expected epoch only, and is locked where it is read."""
    with endpoint.begin(things) as tx:
        assert tx.state() is None
        assert tx.put_state(
            epoch=1, holder="a", lease_seconds=600, document='{"é": "\\\\"}', expected_epoch=None
        )
        assert not tx.put_state(
            epoch=1, holder="b", lease_seconds=600, document="{}", expected_epoch=None
        )
        assert not tx.put_state(
            epoch=2, holder="b", lease_seconds=600, document="{}", expected_epoch=7
        )
        tx.commit()
    with endpoint.begin(things) as tx:
        state = tx.state()
        assert state is not None
        assert (state.epoch, state.holder, state.document) == (1, "a", '{"é": "\\\\"}')
        assert state.lease_until is not None
        assert 500 < (state.lease_until - state.now).total_seconds() <= 600
        with psycopg.connect(postgres_url) as other, pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT FROM syncline_state FOR UPDATE NOWAIT")
        assert tx.put_state(epoch=2, holder="", lease_seconds=None, document="{}", expected_epoch=1)
        tx.commit()
    with endpoint.begin(things, write=False) as tx:
        state = tx.state()
    assert state is not None
    assert state.lease_until is None


def test_looking_needs_no_tables_and_writes_nothing(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Without state and ledger tables a look reads them as empty, and a write in it is refused."""
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
    spec = TargetSpec("m", "t", {"id": Type("bigint")}, {}, ledger=True, ledger_key=Type("bigint"))
    with endpoint.begin(spec, write=False) as tx:
        assert tx.state() is None
        assert tx.ledger_is_empty()
        assert tx.ledger_fetch(pa.array([1], pa.int64())).num_rows == 0
        assert tx.ledger_holds().num_rows == 0
        assert list(tx.ledger_scan()) == []
        with pytest.raises(CredentialsRefused):
            tx.insert(pa.table({"id": ints(1)}))


def test_a_ledger_is_made_under_concurrency_and_dropped(
    endpoint: PostgresEndpoint, database: psycopg.Connection[Any]
) -> None:
    """Four prepare at once without an error; a long name is cut to what PostgreSQL holds."""
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
    mapping = "a_mapping_" * 9
    spec = TargetSpec(mapping, "t", {"id": Type("bigint")}, {}, ledger=True)
    failed: list[Exception] = []

    def prepare() -> None:
        try:
            endpoint.prepare(spec)
        except Exception as error:  # noqa: BLE001 - counted below
            failed.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(ledger_name(mapping)) == 63
    assert ledger_name(mapping) != ledger_name(mapping + "x")
    assert endpoint.tables() == ["public.t"]
    endpoint.drop_ledger(spec)
    found = written(
        database, "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'syncline_ledger%'"
    )
    assert found == [(0,)]
    database.execute("DROP TABLE t")
    endpoint.drop_ledger(spec)
