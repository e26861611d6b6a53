"""What the watermarks of SQLite and MySQL/MariaDB share.

The checkpoint must be of this cursor of this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from syncline.errors import CheckpointVoid, GuardStopped
from syncline.watermark import COUNTS, behind, dump, load


def horizon(at: Any, cursor: str, identity: Mapping[str, str], **more: Any) -> str:
    """The horizon as JSON; `at` None begins the next delta with every row."""
    return dump("timestamp", {"at": at, "cursor": cursor, "identity": dict(identity), **more})


def start_of(since: str | None, cursor: str, identity: Mapping[str, str]) -> Any:
    """Where a delta begins, inclusive; None for every row.

    Raises GuardStopped("other-database") where this is another database, CheckpointVoid where the
    checkpoint is of another cursor, or of the table before it was altered or swapped for another.
    """
    facts = load(since, "timestamp")
    then = cast("dict[str, str]", facts.get("identity") or {})
    system = then.get("system")
    if system and identity.get("system") and system != identity["system"]:
        raise GuardStopped(
            "other-database",
            f"this is another database: it is {identity['system']}, the checkpoint's was {system}",
            hint="syncline run NAME --full --allow other-database, once it is the database you"
            " mean",
        )
    if told := behind(then, identity):
        raise restored(told)
    if facts.get("cursor") != cursor:
        raise CheckpointVoid(f"the checkpoint is of the cursor {facts.get('cursor')}")
    moved = sorted(fact for fact in then if fact not in COUNTS and then[fact] != identity.get(fact))
    if moved:
        raise CheckpointVoid(
            f"the table is not the one of the checkpoint: its {', '.join(moved)} is another"
        )
    return facts.get("at")


def restored(why: str) -> GuardStopped:
    """What is raised where the source holds what it held before the checkpoint."""
    return GuardStopped(
        "other-database",
        f"the source went back in time, as by a restored backup: {why}",
        hint="syncline run NAME --full --allow other-database, once it is the database you mean",
    )
