"""The watermark `xmin` of PostgreSQL: exact, for a role that may only SELECT.

A row changed by a transaction that a snapshot could not see has an xmin at or past that snapshot's
xmin, since every transaction below it had ended. So the rows to read next are those whose xmin is
not before it; whatever clock the writers had, however late they committed.

- Let a read have the snapshot S with `pg_snapshot_xmin(S) = x`, and let transaction T write the
  row version v. Where T < x, T had ended when S was taken: v was seen, or was rolled back.
- Where T >= x, S may not have seen v. But xmin(v) is T, or a subtransaction of T, whose number is
  handed out after T's: xmin(v) >= x, so the next delta reads v if it is still there. A newer
  version in its place has an xmin of its own, for which the same holds.
- A prepared transaction counts as running, here and on a standby. The order of numbers is that of
  `age`, true for 2^31 transactions from x; past it, and where values move without a new version
  (`_VOID`), the checkpoint is void. A deletion leaves no version: it is found by the keys.

https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT: xmin is the
lowest transaction still active; all below are committed and visible, or rolled back and dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from syncline.endpoints.base import Guarantee
from syncline.errors import CheckpointVoid, GuardStopped
from syncline.watermark import dump, load

SNAPSHOT: Final = "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text AS x"
# `age` counts back from the next transaction, so it orders xids across their 32-bit wrap-around;
# frozen rows keep their xmin, and at worst are read once more.
CHANGED: Final = "age({row}.xmin) <= age('{since}'::xid)"

GUARANTEE: Final = Guarantee(
    "exact",
    "every row is read that a transaction wrote which the last snapshot could not see,"
    " whenever it committed",
)
_ALLOW: Final = "once it is the database you mean: syncline run NAME --allow other-database"
_HALF: Final = 1 << 31
_WORD: Final = (1 << 32) - 1
_VOID: Final = {
    "timeline": "the source was promoted or restored: its timeline is now {now}, and was {then}",
    "relation": "the table was replaced by another of its name",
    "partitions": "a partition was attached or detached, and keeps the xmin of its rows",
    "catalogue": "columns or an enum were changed, by which values move without a new xmin",
}


def horizon(x: int, identity: Mapping[str, str]) -> str:
    """The horizon of a snapshot whose xmin (64-bit) is `x`."""
    return dump("xmin", {"x": x, **identity})


def changed_since(since: str | None, x: int, identity: Mapping[str, str], row: str) -> str:
    """The SQL condition on row alias `row` for what changed since the horizon `since`.

    `x` and `identity` are those of the snapshot to read. Raises GuardStopped where this is another
    database, or went back in time; CheckpointVoid where the checkpoint can't be continued from.
    """
    then = load(since, "xmin")
    same_database(then, identity)
    start = int(then["x"])
    if x < start:
        raise GuardStopped(
            "other-database",
            f"the source went back in time: it is at transaction {x}, the checkpoint at {start}"
            " (restored from a backup, or a replica that lags)",
            hint=_ALLOW,
        )
    unchanged(then, identity)
    if x - start >= _HALF:
        raise CheckpointVoid(
            f"{x - start} transactions since the checkpoint: xmin can't tell so many apart"
        )
    return CHANGED.format(row=row, since=start & _WORD)


def same_database(then: Mapping[str, Any], now: Mapping[str, str]) -> None:
    """Raise GuardStopped("other-database") where system id or database OID differ, if known."""
    for fact in ("system", "database"):
        if then.get(fact) and now[fact] and then[fact] != now[fact]:
            raise GuardStopped(
                "other-database",
                f"another database: its {fact} id is {now[fact]}, the checkpoint's {then[fact]}",
                hint=_ALLOW,
            )


def unchanged(then: Mapping[str, Any], now: Mapping[str, str]) -> None:
    """Raise CheckpointVoid where the table is no longer what the checkpoint was made on."""
    for fact, reason in _VOID.items():
        if fact == "timeline" and not (then.get(fact) and now[fact]):
            continue  # the role may not ask, on one of the two
        if then.get(fact) != now[fact]:
            raise CheckpointVoid(reason.format(now=now[fact], then=then.get(fact)))
