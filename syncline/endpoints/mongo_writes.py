"""Bulk writes, each operation's failure told apart; alone, or within a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, PyMongoError
from pymongo.read_concern import ReadConcern

from syncline.endpoints.mongo_connection import Connection, Documents
from syncline.endpoints.mongo_errors import told_by_code
from syncline.errors import Transient, Unreachable

Request: TypeAlias = InsertOne[Any] | UpdateOne | ReplaceOne[Any] | DeleteOne

_COMMITS: Final = 3
"""How often a commit is asked for whose answer was lost; the server takes it once."""
_STATE_OF_SERVER: Final = frozenset(
    {6, 7, 13, 18, 50, 64, 89, 91, 112, 133, 134, 189, 246, 251, 262, 8000}
    | {9001, 10058, 10107, 11600, 11602, 13435, 13436}
)
"""Codes by which a server says that it, not the document, is the trouble."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a bulk: how many documents were met, and the error of each request refused."""

    met: int
    errors: Mapping[int, Mapping[str, Any]] = field(default_factory=dict[int, Mapping[str, Any]])


class Writes(Protocol):
    """Where writes go: straight to the database, or into a transaction."""

    @property
    def atomic(self) -> bool:
        """Whether all of it commits together."""
        ...

    @property
    def session(self) -> ClientSession | None:
        """The session whose reads see these writes; None needs none."""
        ...

    def bulk(self, collection: Documents, requests: Sequence[Request]) -> Outcome:
        """Run requests in any order; one that is refused does not stop the others."""
        ...

    def commit(self) -> None:
        """Make what was written durable."""
        ...

    def close(self) -> None:
        """Roll back what was not committed."""
        ...


class Direct:
    """Every bulk is durable by itself."""

    atomic = False
    session = None

    def bulk(self, collection: Documents, requests: Sequence[Request]) -> Outcome:
        """Run requests in any order."""
        return _run(collection, requests, None) if requests else Outcome(0)

    def commit(self) -> None:
        """Everything is durable already."""

    def close(self) -> None:
        """There is nothing to roll back."""


class InTransaction:
    """All bulks commit together.

    A refused request ends a transaction of MongoDB. So it is begun again: what was done before is
    done once more, and must meet as many documents as it did; then the rest, without the request.
    """

    atomic = True

    def __init__(self, connection: Connection) -> None:
        self.session: ClientSession = connection.client.start_session()
        self._done: list[tuple[Documents, Sequence[Request], int]] = []
        self._start()

    def bulk(self, collection: Documents, requests: Sequence[Request]) -> Outcome:
        """Run requests within the transaction."""
        errors: dict[int, Mapping[str, Any]] = {}
        remaining = dict(enumerate(requests))
        while remaining:
            part = list(remaining.values())
            outcome = _run(collection, part, self.session)
            if not outcome.errors:
                self._done.append((collection, part, outcome.met))
                return Outcome(outcome.met, errors)
            numbers = list(remaining)
            for index, error in outcome.errors.items():
                errors[numbers[index]] = error
                del remaining[numbers[index]]
            self._restart()
        return Outcome(0, errors)

    def commit(self) -> None:
        """Commit; ask again while the answer is lost."""
        for attempt in range(1, _COMMITS + 1):
            try:
                self.session.commit_transaction()
            except PyMongoError as error:
                if not error.has_error_label("UnknownTransactionCommitResult"):
                    raise
                if attempt == _COMMITS:
                    raise Unreachable("mongodb: the answer to a commit was lost") from error
            else:
                return

    def close(self) -> None:
        """Roll back what was not committed."""
        self.session.end_session()

    def _start(self) -> None:
        self.session.start_transaction(
            read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
        )

    def _restart(self) -> None:
        if self.session.in_transaction:
            self.session.abort_transaction()
        self._start()
        for collection, requests, met in self._done:
            again = _run(collection, requests, self.session)
            if again.errors or again.met != met:
                raise Transient("mongodb: records moved while a transaction was repeated")


def _run(
    collection: Documents, requests: Sequence[Request], session: ClientSession | None
) -> Outcome:
    # In a transaction the first refusal ends all: there is nothing to go on with after it.
    in_transaction = session is not None
    try:
        result = collection.bulk_write(list(requests), ordered=in_transaction, session=session)
    except BulkWriteError as error:
        if error.has_error_label("TransientTransactionError"):
            raise
        return _partial(error.details)
    return Outcome(result.inserted_count + _met(result.bulk_api_result))


def _partial(details: Mapping[str, Any]) -> Outcome:
    for error in (*details["writeConcernErrors"], *details["writeErrors"]):
        if error.get("code") in _STATE_OF_SERVER or error in details["writeConcernErrors"]:
            raise told_by_code(int(error.get("code", 0)), str(error.get("errmsg", "")))
    errors = {int(error["index"]): error for error in details["writeErrors"]}
    # nInserted is not asked: of an insert each row that has no error has landed.
    return Outcome(_met(details), errors)


def _met(details: Mapping[str, Any]) -> int:
    return int(details["nMatched"]) + int(details["nRemoved"]) + int(details["nUpserted"])
