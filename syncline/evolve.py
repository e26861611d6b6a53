"""Evolve: what `drift: evolve` makes of the target's columns where the source's became wider.

A column is widened under the lease and before the first write, to the narrowest type that holds
what it held and what its field now gives: never narrower, and a second time there is nothing to do.
What the database refuses (a view or a generated column depends on it, an index can't hold it)
stops the run, with the statement to run by hand. The ledger keeps what it knows where fingerprints
do not depend on the type; a decimal that got more digits behind its point is met anew in each
record, as after any change of a type.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from syncline import drift
from syncline.errors import CredentialsRefused, GuardStopped, InputError, RunFailed
from syncline.mapping.bound import digest_of
from syncline.record import Type, parse_type
from syncline.retry import AT_ONCE
from syncline.wider import covers, join

if TYPE_CHECKING:
    from syncline.ledger import Document, Lease
    from syncline.mapping.select import Column
    from syncline.run import Opened

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")


@dataclass(frozen=True, slots=True)
class Widening:
    """A target column, and the wider type that it needs."""

    column: str
    was: Type
    type: Type


def widened(run: Opened, lease: Lease, allow: frozenset[str]) -> Opened:
    """The run, its target's columns widened where the mapping says `evolve` and the source's are.

    To be called under the lease, before anything is written. Raises GuardStopped("schema") where
    the target refuses.
    """
    if run.mapping.drift != "evolve" or run.bound.target_info is None:
        return run
    found = list(widenings(run, lease.document))
    for each in found:
        _widen(run, each, allow)
    if found and not run.bound.target_info.open_columns:
        run = run.bound_again()
        lease.writes(run.spec)
    _keep_baselines(run, lease.document)
    return run


def widenings(run: Opened, document: Document) -> Iterator[Widening]:
    """What has to be widened, because a source column was since the last run."""
    info = run.bound.target_info
    if info is None or info.open_columns:
        return
    grown = {
        one.column
        for one in drift.found(run, document)
        if (one.side, one.what) == ("source", "widened")
    }
    for column in run.bound.program.columns:
        if grown & column.raw.uses and (type_ := _wanted(column)) is not None:
            yield Widening(column.name, column.type, type_)


def bears(run: Opened, drifted: drift.Drifted) -> bool:
    """Whether `evolve` goes on over it: a wider target, or a wider source that the target holds, or
    will once it is widened.
    """
    if drifted.what != "widened" or drifted.side == "target":
        return drifted.what == "widened"
    info = run.bound.target_info
    made_to_fit = info is not None and info.open_columns
    return all(
        made_to_fit or _holds(column) or _wanted(column) is not None
        for column in run.bound.program.columns
        if drifted.column in column.raw.uses
    )


def _holds(column: Column) -> bool:
    return column.raw.type is not None and covers(column.type, column.raw.type)


def _wanted(column: Column) -> Type | None:
    """The type that a field's column needs; None where it has it, or the mapping declares one, or
    none is known: a key is what records are known by, and a function's values are nobody's.
    """
    raw = column.raw
    if column.key or column.declared is not None or raw.hook is not None or raw.type is None:
        return None
    type_ = join(column.type, raw.type)
    return None if type_ == column.type else type_


def _widen(run: Opened, each: Widening, allow: frozenset[str]) -> None:
    table = run.spec.table
    try:
        AT_ONCE.call(lambda: run.target.widen_column(table, each.column, each.type))
    except (InputError, RunFailed, CredentialsRefused) as error:
        if "schema" in allow:
            log.warning("not widened", column=each.column, reason=str(error))
            return
        raise GuardStopped(
            "schema",
            f"{run.name}: the target's column {each.column} is {each.was}, its field now gives "
            f"{each.type}, and it could not be widened: {error}; nothing was written",
            hint=f"widen it by hand: {error.hint}; or go on without, what does not fit becoming a "
            f"dead letter: syncline run {run.name} --full --allow schema",
        ) from error
    log.info("widened", table=table, column=each.column, was=str(each.was), now=str(each.type))


def _keep_baselines(run: Opened, document: Document) -> None:
    """Have the ledger's layouts know a field as what it is now, where only its type grew: what was
    settled then is settled.
    """
    rules = run.mapping.fields
    columns = {column.name: column for column in run.bound.program.columns if not column.key}
    digests = {field.name: field.digest for field in run.bound.fields}

    def known(name: str, digest: str, type_: str) -> tuple[str, str, str]:
        column = columns.get(name)
        if column is None or column.declared or column.raw.hook or type_ == str(column.type):
            return name, digest, type_
        default = repr(rules[name].default)
        same = digest == digest_of(column.raw.meaning, "", type_, default, "")
        grew = same and covers(column.type, parse_type(type_))
        return name, digests[name] if grew else digest, type_

    document.layouts = [
        tuple(known(name, digest, type_) for name, digest, type_ in layout)
        for layout in document.layouts
    ]
