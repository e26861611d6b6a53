"""Drift: what became of the columns of both tables since the last run, and what is done about it.

`drift:` in the mapping says: `ignore` says nothing, `warn` tells every change and goes on, `stop`
(the default) tells every change and stops before the first write where a column that is read or
written has another type, `evolve` is `stop`, but a new column of the source becomes a field, and
where one became wider so does the target's (`syncline.evolve`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

import structlog

from syncline.errors import GuardStopped
from syncline.ledger import NOT_NULL, Document, columns_seen

if TYPE_CHECKING:
    from syncline.endpoints.base import Column, TableInfo
    from syncline.run import Opened

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")

Side = Literal["source", "target"]
What = Literal[
    "added", "dropped", "renamed", "narrowed", "widened", "changed", "tightened", "loosened"
]  # fmt: skip
_WIDER: Final = (
    ("smallint", "integer", "int", "bigint"),
    ("tinyint", "smallint", "mediumint", "int", "bigint"),
    ("real", "double precision"),
    ("float", "double"),
    ("character varying", "varchar", "tinytext", "text", "mediumtext", "longtext"),
    ("date", "timestamp without time zone"),
)
"""Native types, each of which holds what those before it hold."""
_LENGTHLESS: Final = {
    "character varying", "varchar", "numeric", "decimal", "text", "time without time zone",
    "timestamp without time zone", "timestamp with time zone",
}  # fmt: skip
"""Native types that hold most where no numbers are given."""
_SHORTEST: Final = {"time", "datetime", "timestamp"}
"""Those of MySQL and MariaDB that have no fraction of a second where no number is given."""


@dataclass(frozen=True, slots=True)
class Drifted:
    """One column that is not what it was. `used` says whether the mapping reads or writes it."""

    side: Side
    what: What
    column: str
    told: str
    used: bool

    @property
    def stops(self) -> bool:
        """Whether a run that takes nothing for granted stops for it.

        That a column may be NULL from now on harms nobody, nor that the source has no NULL more.
        """
        harmless = self.what == "loosened" or (self.what, self.side) == ("tightened", "source")
        return self.used and not harmless

    def __str__(self) -> str:
        return f"{self.side} column {self.column} {self.told}"


def compare(
    side: Side,
    was: Mapping[str, str],
    now: Mapping[str, str],
    used: AbstractSet[str],
) -> Iterator[Drifted]:
    """The columns that drifted, from what `columns_seen` gave then and now."""
    added = [name for name in now if name not in was]
    dropped = [name for name in was if name not in now]
    if len(added) == 1 and len(dropped) == 1 and now[added[0]] == was[dropped[0]]:
        told = f"was renamed to {added[0]}, it seems"
        yield Drifted(side, "renamed", dropped[0], told, dropped[0] in used)
        added, dropped = [], []
    for name in sorted(added):
        yield Drifted(side, "added", name, f"({now[name]}) is new", used=False)
    for name in sorted(dropped):
        yield Drifted(side, "dropped", name, f"({was[name]}) was dropped", name in used)
    for name in sorted(set(was) & set(now)):
        yield from _altered(side, name, was[name], now[name], used=name in used)


def _altered(side: Side, name: str, was: str, now: str, *, used: bool) -> Iterator[Drifted]:
    type_was, type_now = was.removesuffix(NOT_NULL), now.removesuffix(NOT_NULL)
    if type_was != type_now:
        what = type_change(type_was, type_now)
        yield Drifted(side, what, name, f"was {what}: {type_was} is now {type_now}", used)
    elif was != now:
        tightened = now.endswith(NOT_NULL)
        told = f"may be NULL {'no more' if tightened else 'now'}"
        yield Drifted(side, "tightened" if tightened else "loosened", name, told, used)


def type_change(was: str, now: str) -> Literal["narrowed", "widened", "changed"]:
    """How one native type became another, as far as their names tell."""
    base_was, numbers_was = _parts(was)
    base_now, numbers_now = _parts(now)
    if base_was == base_now and base_was in _SHORTEST:
        numbers_was, numbers_now = numbers_was or (0,), numbers_now or (0,)
    if base_was == base_now:
        if base_was in _LENGTHLESS and bool(numbers_was) != bool(numbers_now):
            return "widened" if numbers_was else "narrowed"
        pairs = list(zip(numbers_was, numbers_now, strict=False))
        if len(numbers_was) == len(numbers_now) and pairs:
            # decimal(14,2) to decimal(14,4) leaves fewer digits before the point
            room = [(a - b, c - d) for (a, c), (b, d) in pairwise(pairs)]
            if all(a <= b for a, b in (*pairs, *room)):
                return "widened"
            if all(a >= b for a, b in pairs):
                return "narrowed"
        return "changed"
    for order in _WIDER:
        if base_was in order and base_now in order:
            return "widened" if order.index(base_was) < order.index(base_now) else "narrowed"
    return "changed"


def _parts(native: str) -> tuple[str, tuple[int, ...]]:
    found = re.search(r"\(([\d,\s]+)\)", native)
    numbers = tuple(int(part) for part in found[1].split(",")) if found else ()
    return re.sub(r"\([\d,\s]+\)", "", native).strip().lower(), numbers


def found(run: Opened, document: Document) -> list[Drifted]:
    """What drifted on either side since the last run; nothing before the first.

    Documents have no declared columns: a value of theirs that does not fit is a dead letter.
    """
    drifted: list[Drifted] = []
    source, target = run.bound.source_info, run.bound.target_info
    if document.columns and not source.open_columns:
        now = columns_seen(source.columns)
        drifted += compare("source", document.columns, now, set(run.read.columns))
    if document.target_columns and target is not None and not target.open_columns:
        now, written = columns_seen(target.columns), {*run.spec.key, *run.spec.fields}
        drifted += compare("target", document.target_columns, now, written)
    return drifted


def check(run: Opened, document: Document, allow: frozenset[str]) -> None:
    """Do what the mapping says about drift. Raises GuardStopped("schema")."""
    policy = run.mapping.drift
    if policy == "ignore":
        return
    drifted = found(run, document)
    for each in drifted:
        log.warning("the schema drifted", what=str(each), used=each.used)
    from syncline import evolve  # which looks for drift, as this module does

    stops = [
        str(each)
        for each in drifted
        if each.stops and not (policy == "evolve" and evolve.bears(run, each))
    ]
    if stops and policy != "warn" and "schema" not in allow:
        raise GuardStopped(
            "schema",
            f"{run.name}: changed since the last run: {'; '.join(stops)}",
            hint=f"look at it with: syncline plan {run.name}; then: "
            f"syncline run {run.name} --full --allow schema",
        )


def check_target(run: Opened, columns: Mapping[str, Column]) -> None:
    """Stop where the target is no more what the run was bound to: it would write by what was.

    `columns` as they stay until the transaction ends. Whatever the mapping says of drift: the next
    run sees the table anew, and does what it says. Raises GuardStopped("schema").
    """
    if columns and run.bound.target_info is not None:
        written = {*run.spec.key, *run.spec.fields}
        _check_still(run, "target", run.bound.target_info.columns, columns, written)


def check_source(run: Opened) -> None:
    """Stop where the source is no more what the run was bound to. Raises GuardStopped("schema").

    To be called just before a read begins. What is altered in between is seen by the next run.
    """
    bound = run.bound.source_info
    info = None if bound.open_columns else run.source.describe(run.read.table)
    if info is not None:
        _check_still(run, "source", bound.columns, info.columns, set(run.read.columns))


def _check_still(
    run: Opened,
    side: Side,
    bound: Mapping[str, Column],
    now: Mapping[str, Column],
    used: AbstractSet[str],
) -> None:
    if now == bound:
        return
    drifted = compare(side, columns_seen(bound), columns_seen(now), used)
    if stops := [str(each) for each in drifted if each.stops]:
        raise GuardStopped(
            "schema",
            f"{run.name}: changed while the run was going on: {'; '.join(stops)}; nothing more was "
            "written",
            hint=f"look at it with: syncline plan {run.name}; then: "
            f"syncline run {run.name} --full --allow schema",
        )


def remember(run: Opened, document: Document) -> None:
    """Note what the next run compares with: the mapping, and both tables as this one found them."""
    bound = run.bound
    document.digest, document.key_digest = bound.digest, bound.key_digest
    document.columns = columns_seen(bound.source_info.columns)
    document.identity = dict(bound.source_info.identity)
    document.evolved = list(run.evolved)
    document.unledgered = not run.spec.ledger
    if bound.target_info is not None:
        document.target_columns = columns_seen(bound.target_info.columns)


def new_columns(info: TableInfo, document: Document, fields: AbstractSet[str]) -> list[str]:
    """The source's columns that `evolve` makes fields: those it made before, and those that came
    since the last run and are not fields yet.
    """
    known = document.columns
    return [
        name
        for name in info.columns
        if name in document.evolved or (known and name not in known and name not in fields)
    ]
