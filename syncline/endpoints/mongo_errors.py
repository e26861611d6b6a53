"""Driver errors of MongoDB, told in syncline's own."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from pymongo import errors

from syncline.errors import (
    CredentialsRefused,
    InputError,
    RunFailed,
    SynclineError,
    Transient,
    Unreachable,
)

DUPLICATE_KEY: Final = 11000
NO_SUCH_COMMAND: Final = 59
NAMESPACE_EXISTS: Final = 48
_NAMESPACE_NOT_FOUND: Final = 26
_REFUSED_LOGIN: Final = frozenset({13, 18, 8000})
_OUT_OF_TIME: Final = frozenset({50, 262})
_WAITED: Final = re.compile(r" \(configured timeouts: [^)]*\)")
_LOST: Final = frozenset({112, 246, 251})
"""WriteConflict, SnapshotUnavailable, NoSuchTransaction."""


@contextmanager
def reporting() -> Generator[None]:
    """Raise what the driver raises within as syncline's errors. Also a decorator of functions."""
    try:
        yield
    except errors.PyMongoError as error:
        raise told(error) from error


def told(error: errors.PyMongoError) -> SynclineError:
    """Give syncline's error for one of the driver."""
    message = str(error).split(", full error:")[0]
    if isinstance(error, errors.ConnectionFailure):
        # What the driver waited for, and what it knows of every server, helps nobody find it.
        message = _WAITED.sub("", message.partition(", Timeout: ")[0])
        # AutoReconnect and timeouts are such. In a transaction they have the label below, too, but
        # what is gone then is the server: it is waited for, not asked again a few times in a row.
        return Unreachable(f"mongodb: {message}")
    if error.has_error_label("TransientTransactionError"):
        return Transient(f"mongodb: {message}")
    if isinstance(error, errors.OperationFailure):
        return told_by_code(error.code or 0, message)
    if isinstance(error, errors.ConfigurationError | errors.InvalidName | errors.InvalidOperation):
        return InputError(f"mongodb: {message}")
    return Unreachable(f"mongodb: {message}") if error.timeout else RunFailed(f"mongodb: {message}")


def told_by_code(code: int, message: str) -> SynclineError:
    """Give the error for a code of the server."""
    if code in _LOST:
        return Transient(f"mongodb: {message}")
    if code in _REFUSED_LOGIN:
        return CredentialsRefused(f"mongodb: {message}")
    if code in _OUT_OF_TIME:
        return Unreachable(f"mongodb: {message}")
    if code == _NAMESPACE_NOT_FOUND:
        return InputError(f"mongodb: {message}")
    return RunFailed(f"mongodb: {message} (code {code})")
