"""Dead letters in the control store: kept whole, one a record however often it fails."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, delete, select

from syncline.errors import InputError
from syncline.store import values
from syncline.store.keys import among, digest, insert_into, key_digest, split
from syncline.store.model import DeadLetter
from syncline.store.tables import dead_letters

_REFRESHED = ("source", "error", "field", "stage", "run_id", "updated_at")


def identity(letter: DeadLetter) -> str:
    """What makes it the same record: its ledger key, or its content where there is none."""
    if letter.ledger_key is not None:
        return _of_key(letter.mapping, letter.ledger_key)
    return "r:" + digest(letter.mapping, values.encode(dict(letter.source)))


def _of_key(mapping: str, ledger_key: str) -> str:
    return "k:" + key_digest(mapping, ledger_key)


def put(connection: Connection, letters: Sequence[DeadLetter], now: datetime) -> None:
    """Keep the letters; one that is there already takes the new error and record.

    `attempts` counts runs: a batch delivered twice by one run counts once.
    """
    rows = {identity(letter): letter for letter in letters}
    ordered = [_row(rows[key], key, now) for key in sorted(rows)]  # one order: no two deadlock
    for piece in split(ordered, 2_000):
        connection.execute(_upsert(connection.dialect.name), list(piece))


def _upsert(dialect: str) -> Any:
    statement = insert_into(dialect, dead_letters)
    given = statement.excluded
    again = dead_letters.c.run_id != given.run_id
    return statement.on_conflict_do_update(
        index_elements=["identity"],
        set_={name: given[name] for name in _REFRESHED}
        | {"attempts": dead_letters.c.attempts + case((again, 1), else_=0)},
    )


def _row(letter: DeadLetter, key: str, now: datetime) -> dict[str, Any]:
    return {
        "mapping": letter.mapping,
        "identity": key,
        "ledger_key": letter.ledger_key,
        "source": dict(letter.source),
        "error": letter.error,
        "field": letter.field,
        "stage": letter.stage,
        "attempts": 1,
        "run_id": letter.run_id,
        "created_at": now,
        "updated_at": now,
    }


def listed(
    connection: Connection, mapping: str | None, limit: int, offset: int
) -> list[DeadLetter]:
    """Letters, newest first."""
    query = select(dead_letters).order_by(dead_letters.c.id.desc()).limit(limit).offset(offset)
    if mapping is not None:
        query = query.where(dead_letters.c.mapping == mapping)
    return [_letter(row) for row in connection.execute(query)]


def one(connection: Connection, letter_id: int) -> DeadLetter:
    """The letter. Raises InputError where there is none."""
    row = connection.execute(select(dead_letters).where(dead_letters.c.id == letter_id)).first()
    if row is None:
        message = f"there is no dead letter {letter_id}"
        raise InputError(message, hint="syncline dead-letters list")
    return _letter(row)


def drop(connection: Connection, ids: Sequence[int]) -> int:
    """Remove letters by id; how many there were."""
    return sum(
        connection.execute(
            delete(dead_letters).where(among(connection, dead_letters.c.id, piece))
        ).rowcount
        for piece in split(ids)
    )


def clear(connection: Connection, mapping: str, ledger_keys: Sequence[str]) -> int:
    """Remove the letters of these keys; how many there were."""
    return sum(
        connection.execute(
            delete(dead_letters).where(
                among(connection, dead_letters.c.identity, [_of_key(mapping, key) for key in piece])
            )
        ).rowcount
        for piece in split(ledger_keys)
    )


def _letter(row: Row[Any]) -> DeadLetter:
    return DeadLetter(
        mapping=row.mapping, ledger_key=row.ledger_key, source=row.source, error=row.error,
        stage=row.stage, run_id=row.run_id, field=row.field, id=row.id, attempts=row.attempts,
        created_at=row.created_at, updated_at=row.updated_at,
    )  # fmt: skip
