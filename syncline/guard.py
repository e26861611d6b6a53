"""Guard: what stops a run before its first write, unless the user allows it by name."""

from __future__ import annotations

from collections.abc import Mapping as Mapping_
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from syncline import drift
from syncline.conflict import Kind
from syncline.errors import CheckpointVoid, GuardStopped, TooManyDeadLetters
from syncline.watermark import behind

if TYPE_CHECKING:
    from syncline.ledger import Document
    from syncline.mapping.model import Mapping
    from syncline.run import Opened
    from syncline.store.model import DeadLetter

SAME_DATABASE: Final = ("system", "database", "replica_set")
"""The facts of a table's identity that no DDL changes; one that a role may not see is empty."""

FEW: Final = 100
"""So many conflicts may always wait, whatever their share: a small table is no storm."""


def check_drift(run: Opened, document: Document, allow: frozenset[str]) -> bool:
    """Compare the mapping and the source with what the last run saw; says whether the mapping must
    be rebased: it means other values, or keeps a ledger from now on, which has no baselines yet.

    Raises GuardStopped("schema") where the key changed or the tables drifted (`drift.check`),
    GuardStopped("other-database") where another database answers behind the URL.
    """
    if not document.digest:
        return False
    if document.key_digest != run.bound.key_digest:
        _check_sample(run)
        raise GuardStopped(
            "schema",
            f"{run.name}: the key of the mapping changed since the last run; its baselines are of "
            "the old key",
            hint="give the mapping a new name, or begin anew: "
            f"syncline checkpoint rewind {run.name}",
        )
    _check_identity(run, document, allow)
    drift.check(run, document, allow)
    begins_ledger = run.spec.ledger and document.unledgered
    return begins_ledger or document.digest != run.bound.digest


def _check_sample(run: Opened) -> None:
    """Where documents are sampled for their types, an empty collection shows no key's type."""
    info = run.bound.source_info
    if info.open_columns and info.row_estimate == 0:
        key = ", ".join(f"{name}: TYPE" for name in run.bound.key.values())
        raise GuardStopped(
            "empty-source",
            f"{run.name}: the source {run.read.table} is suddenly empty, so that its key's type is "
            "not known; nothing was written",
            hint=f"if that is right, write it down: source: {{types: {{{key}}}}}",
        )


def _check_identity(run: Opened, document: Document, allow: frozenset[str]) -> None:
    now = run.bound.source_info.identity
    moved = [
        fact
        for fact, was in document.identity.items()
        if fact in SAME_DATABASE and was and now.get(fact) and now[fact] != was
    ]
    told = behind(document.identity, now)
    if told and "other-database" not in allow:
        raise GuardStopped(
            "other-database",
            f"{run.name}: the source went back in time, as by a restored backup: {told} at the "
            "last run",
            hint=f"if that is right: syncline run {run.name} --full --allow other-database",
        )
    if moved and "other-database" not in allow:
        raise GuardStopped(
            "other-database",
            f"{run.name}: another database answers at connection {run.mapping.source.connection!r} "
            f"({', '.join(f'{k} was {document.identity[k]}, is {now[k]}' for k in moved)})",
            hint=f"if that is right: syncline run {run.name} --full --allow other-database",
        )


def check_lookups(document: Document, now: Mapping_[str, str]) -> None:
    """Raise CheckpointVoid where a lookup holds something else than when all was last mapped: which
    records that concerns no delta tells, since none of them moved.
    """
    other = sorted(name for name in now if document.lookups.get(name) != now[name])
    if other:
        raise CheckpointVoid(
            f"the lookup {', '.join(other)} changed, by which records map otherwise that did not"
        )


def check_queue_share(
    run: Opened, queued: int, seen: int, kinds: set[Kind], allow: frozenset[str]
) -> None:
    """Stop before a storm: more records would wait for a person than the mapping's share allows."""
    share = run.mapping.conflicts.guard
    if "conflicts" in allow or queued <= FEW or seen == 0 or queued <= share * seen:
        return
    raise GuardStopped(
        "conflicts",
        f"{run.name}: {queued:,} of {seen:,} records would wait for a person, "
        f"more than {share:.0%}; the batch was not written",
        hint=(
            "say who wins the first contact (conflicts: {first_contact: source | target}), or: "
            if Kind.FIRST_CONTACT in kinds
            else f"see what differs with: syncline plan {run.name}; then let a strategy settle it, "
            "or let them wait: "
        )
        + f"syncline run {run.name} --allow conflicts",
    )


def letter_limit(mapping: Mapping, estimate: int | None) -> int:
    """How many dead letters a run may leave before it fails."""
    limit = mapping.dead_letters.limit
    if isinstance(limit, float):
        return max(FEW, int(limit * (estimate or 0)))
    return limit


def check_letters(run: Opened, before: int, more: Sequence[DeadLetter], limit: int) -> None:
    """Fail where more records than the mapping allows could not be mapped or written."""
    if before + len(more) > limit:
        raise TooManyDeadLetters(
            f"{run.name}: more than {limit} records could not be mapped or written; "
            f"the first: {more[0].error if more else ''}",
            hint=f"syncline dead-letters list {run.name}",
        )


def check_empty_source(run: Opened, allow: frozenset[str]) -> None:
    """Stop where a full sync read nothing, and the target is not empty."""
    if "empty-source" not in allow:
        raise GuardStopped(
            "empty-source",
            f"{run.name}: the source {run.read.table} is suddenly empty, the target is not; "
            "nothing was written",
            hint=f"if that is right: syncline run {run.name} --full --allow empty-source",
        )


def check_deletes(run: Opened, gone: int, known: int, allow: frozenset[str]) -> None:
    """Stop before the first delete where too many records, or all of them, are gone from the
    source.
    """
    if gone == known and known > 1 and "empty-source" not in allow:
        raise GuardStopped(
            "empty-source",
            f"{run.name}: every record is gone from the source {run.read.table}; "
            "nothing was deleted",
            hint=f"if that is right: syncline run {run.name} --allow empty-source",
        )
    share = run.mapping.deletes.guard
    if gone > share * known and gone > 1 and not {"deletes", "empty-source"} & allow:
        raise GuardStopped(
            "deletes",
            f"{run.name}: {gone:,} of {known:,} records are gone from the source, "
            f"more than {share:.0%}; nothing was deleted",
            hint=f"if that is right: syncline run {run.name} --allow deletes",
        )
