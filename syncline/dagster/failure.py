"""Failures: how an error of the engine is told to Dagster, and whether it is worth another try."""

from __future__ import annotations

import dagster as dg

from syncline.errors import (
    CheckpointVoid,
    GuardStopped,
    LeaseHeld,
    SynclineError,
    TooManyDeadLetters,
)

RETRIES = dg.RetryPolicy(
    max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
"""The retry policy of every mapping, in seconds; it gets to see only what may pass."""


def may_pass(error: BaseException) -> bool:
    """Whether the same run may do better in a while: unreachable, a timeout, a deadlock.

    Not what a person must mend first (exit codes 2, 3, 4), not a run that was canceled, and not an
    error that syncline does not know: that is a fault of ours, and would only repeat.
    """
    from syncline.sync import Cancelled

    # These end with exit code 1 too, and yet the same records would do the same again.
    repeats = CheckpointVoid | Cancelled | TooManyDeadLetters
    return (
        isinstance(error, SynclineError) and error.exit_code == 1 and not isinstance(error, repeats)
    )


def failure_of(error: BaseException, shown: str) -> dg.Failure:
    """The failure to raise for an error; `shown` is its message with no secret in it."""
    metadata: dict[str, dg.MetadataValue] = {"error": dg.MetadataValue.text(type(error).__name__)}
    lines = [shown]
    if isinstance(error, SynclineError):
        metadata["exit_code"] = dg.MetadataValue.int(error.exit_code)
        if isinstance(error, GuardStopped):
            metadata["reason"] = dg.MetadataValue.text(error.reason)
        if hint := _hint(error):
            metadata["hint"] = dg.MetadataValue.text(hint)
            lines.append(hint)
    return dg.Failure("\n".join(lines), metadata=metadata, allow_retries=may_pass(error))


def _hint(error: SynclineError) -> str:
    if isinstance(error, GuardStopped):
        here = f"here: launch it with the config `allow: [{error.reason}]`"
        return f"{error.hint}; {here}" if error.hint else here
    if isinstance(error, LeaseHeld) and not error.hint:
        return "another run holds the lease: wait for it to end"
    return error.hint
