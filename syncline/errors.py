"""Errors: facts raised where they are found; the CLI adds the advice and turns each into its exit
code.

Exit codes (the contract of `syncline`): 1 failed and may pass, 2 your input is wrong, 3 stopped by
a guard, 4 the lease is held by another run.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


class SynclineError(Exception):
    """Base of all errors that syncline raises on purpose.

    `hint` is the next command or edit, shown below the message; `exit_code` is what the CLI ends
    with.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Unreachable(SynclineError):
    """A database or the control store could not be reached, or did not answer in time.

    Raised on connect and on a dropped connection. It may pass: run the same command again.
    """


class Transient(SynclineError):
    """A deadlock or serialization failure: nothing of the transaction was written, and the whole of
    it may be retried.

    Raised by an endpoint inside a transaction; whoever began that transaction begins it again from
    its start.
    """


class RunFailed(SynclineError):
    """A run ended without doing its work, for a reason that may pass or that no guard names."""


class InputError(SynclineError):
    """What the user wrote is wrong: usage, a mapping, a connection, credentials.

    Nothing was written.
    """

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: where (`file:line`), its path inside the file, and what."""

    where: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message} (@ {self.path})"


class MappingErrors(InputError):
    """All that is wrong with one or more mappings, reported together.

    Raised by loading (static) and by binding to the live databases. The reader mends the named
    lines.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class CredentialsRefused(InputError):
    """A database refused the login, or the role may not do what the mapping needs."""


class DecisionRefused(InputError):
    """A decision (or its undo) on a conflict that is not what the person saw any more: somebody
    else decided it, or a side moved.

    Nothing was stored: keep what was typed, show the conflict as it is now, and let them decide
    again.
    """


class GuardStopped(SynclineError):
    """A guard stopped the run before it wrote: `reason` is what `run --allow REASON` would permit.

    Reasons: empty-source, deletes, schema, other-database, conflicts.
    """

    exit_code = 3

    def __init__(self, reason: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class LeaseHeld(SynclineError):
    """Another run holds the lease of this mapping.

    Wait for it to end, or for its lease to run out.
    """

    exit_code = 4


class LeaseLost(SynclineError):
    """This run's epoch is stale: another run took the lease, so nothing more may be written."""

    exit_code = 4


class CheckpointVoid(SynclineError):
    """The checkpoint can't be continued from (wraparound, another relation, a lost token): a full
    sync is needed.
    """


class TooManyDeadLetters(RunFailed):
    """More records than the mapping's threshold could not be mapped or written."""


@contextmanager
def reaching(connection: str) -> Generator[None]:
    """Errors of a database that is first reached in this block tell the name of its connection."""
    try:
        yield
    except (Unreachable, CredentialsRefused, InputError) as error:
        if type(error) not in {Unreachable, CredentialsRefused, InputError}:
            raise
        by_default = "is it running, and are host and port of its URL right?"
        hint = error.hint or (by_default if isinstance(error, Unreachable) else "")
        raise type(error)(f"connection {connection}: {error}", hint=hint) from error
