"""Transactions of MongoDB: on a replica set, or what poses as one, all of a batch or nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pymongo
import pytest
from pymongo.database import Database
from pymongo.errors import AutoReconnect

from syncline.endpoints.base import LEDGER_SCHEMA, Transaction
from syncline.endpoints.mongo import MongoEndpoint
from syncline.endpoints.mongo_connection import OPTIONS
from syncline.endpoints.mongo_errors import told
from syncline.errors import Transient, Unreachable
from syncline.record import Type
from tests.conftest import REPLICA_SET, NewDatabase
from tests.endpoints.mongo.support import Row, table, target

pytestmark = pytest.mark.mongo
SPEC = target({"v": "text", "u": "text"}, ledger=True, ledger_key=Type("bigint"))


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    """A database of a server that has transactions."""
    return new_database(REPLICA_SET)


@pytest.fixture
def mongo(url: str) -> Iterator[MongoEndpoint]:
    """The endpoint, with what the mapping `m` needs in place."""
    endpoint = MongoEndpoint(url)
    endpoint.prepare(SPEC)
    yield endpoint
    endpoint.close()


@pytest.fixture
def database(url: str, mongo: MongoEndpoint) -> Iterator[Database[Row]]:  # noqa: ARG001 - first
    """The same database by the driver itself: what everybody else sees."""
    client: pymongo.MongoClient[Row] = pymongo.MongoClient(url)
    found = client.get_default_database(codec_options=OPTIONS)
    found.docs.create_index("u", unique=True, sparse=True)
    yield found
    client.close()


def ledger_row(key: int) -> pa.Table:
    values = {"k": key, "s": b"12345678", "gone": 0, "hold": 0, "layout": 0, "epoch": 1}
    return pa.table({name: [values.get(name)] for name, _ in LEDGER_SCHEMA})


def put_state(tx: Transaction, epoch: int, expected: int | None) -> bool:
    return tx.put_state(
        epoch=epoch, holder="us", lease_seconds=60, document="{}", expected_epoch=expected
    )


def counts(database: Database[Row]) -> tuple[int, int, int]:
    """How many documents, ledger rows and state rows others see."""
    names = ("docs", "syncline_ledger_m", "syncline_state")
    docs, ledger, state = (database[name].count_documents({}) for name in names)
    return docs, ledger, state


def test_rows_ledger_and_state_land_together_or_not_at_all(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """Nobody sees a part of it, what is left without a commit is nothing, and then all is there."""
    for commit in (False, True):
        with mongo.begin(SPEC) as tx:
            assert tx.atomic
            assert tx.state() is None
            assert tx.insert(table(SPEC, (1, "a", "x"), (2, "b", "y"))).landed.all()
            tx.ledger_put(ledger_row(1), fresh=True)
            assert put_state(tx, 1, None)
            assert counts(database) == (0, 0, 0)
            state = tx.state()
            assert state is not None
            assert state.epoch == 1
            if commit:
                tx.commit()
        assert counts(database) == ((2, 1, 1) if commit else (0, 0, 0))


def test_a_refused_record_does_not_undo_the_others_of_its_transaction(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """MongoDB ends the transaction at the first refusal: it is begun again without that record,
    and what was written before is written again.
    """
    database.docs.insert_one({"_id": 9, "v": "theirs", "u": "taken"})
    with mongo.begin(SPEC) as tx:
        assert put_state(tx, 1, None)
        assert tx.insert(table(SPEC, (1, "a", "free"))).landed.all()
        written = tx.insert(table(SPEC, (2, "b", "taken"), (3, "c", None), (4, "d", "taken")))
        assert written.landed.tolist() == [False, True, False]
        assert [each.row for each in written.refused] == [0, 2]
        tx.commit()
    assert sorted(each["_id"] for each in database.docs.find()) == [1, 3, 9]
    assert counts(database)[2] == 1


def test_f18_a_transaction_that_lost_to_another_writes_nothing_and_may_be_tried_again(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """An application writes a document between our read and our commit."""
    database.docs.insert_many([{"_id": 1, "v": "a"}, {"_id": 2, "v": "a"}])
    keys = table(SPEC, (1, None, None), (2, None, None)).select(["_id"])

    def delete() -> None:
        with mongo.begin(SPEC) as tx:
            current = tx.fetch(keys)
            database.docs.update_one({"_id": 1}, {"$set": {"v": "theirs"}})
            tx.delete(keys, current)
            assert put_state(tx, 1, None)
            tx.commit()

    with pytest.raises(Transient):
        delete()
    assert {each["_id"]: each["v"] for each in database.docs.find()} == {1: "theirs", 2: "a"}
    assert counts(database)[2] == 0


def test_f21_of_two_holders_one_transaction_writes_nothing(
    mongo: MongoEndpoint, database: Database[Row]
) -> None:
    """A holder is frozen in its transaction, and another takes the lease meanwhile: both have the
    state row locked, so one of the two is lost, with all that it wrote.
    """
    with mongo.begin(SPEC) as tx:
        assert put_state(tx, 1, None)
        tx.commit()
    lost: list[str] = []

    def take() -> None:
        try:
            with mongo.begin(SPEC) as other:
                assert other.state() is not None
                assert put_state(other, 2, 1)
                other.commit()
        except Transient:
            lost.append("taker")

    try:
        with mongo.begin(SPEC) as frozen:
            assert frozen.state() is not None
            assert frozen.insert(table(SPEC, (1, "frozen", None))).landed.all()
            take()
            assert put_state(frozen, 1, 1)
            frozen.commit()
    except Transient:
        lost.append("frozen")
    assert len(lost) == 1
    taken = lost == ["frozen"]
    assert counts(database) == (0 if taken else 1, 0, 1)
    with mongo.begin(SPEC) as again:
        state = again.state()
        assert state is not None
        assert state.epoch == (2 if taken else 1)
        assert put_state(again, 3, 1) == (not taken)


def test_a_connection_lost_in_a_transaction_is_a_lost_connection() -> None:
    """The driver gives it the label of a transaction that may be tried again at once, too."""
    error = AutoReconnect("connection closed")
    error._add_error_label("TransientTransactionError")
    assert isinstance(told(error), Unreachable)
