"""Watermarks: how each database tells a horizon, and the JSON in which a checkpoint keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from syncline.errors import CheckpointVoid

CHANGES: Final = "changes"
"""The fact of a table's identity that counts its database's changes (SQLite): 32 bits, that may
begin again at 0."""
LOG: Final = "log"
"""The fact that tells up to where its server's log is durable (InnoDB's LSN): it only grows."""
COUNTS: Final[Mapping[str, str]] = {
    CHANGES: "its file has changed {now} times, and had changed {was} times",
    LOG: "its log is durable up to {now}, and was up to {was}",
}
"""Facts that grow while a database lives, and what is said of one that did not."""
_HALF: Final = 1 << 31


def behind(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What of an identity is behind what it was, in words; empty where nothing is, or can be told.

    Only what an older copy in its place, or another database, explains.
    """
    for fact, told in COUNTS.items():
        was, is_ = str(then.get(fact) or ""), str(now.get(fact) or "")
        back = went_back(was, is_) if fact == CHANGES else bool(was and is_) and int(is_) < int(was)
        if back:
            return told.format(now=is_, was=was)
    return ""


def went_back(was: str, now: str) -> bool:
    """Whether such a count is behind what it was; one that is not told, never."""
    return bool(was and now) and (int(now) - int(was)) % (1 << 32) >= _HALF


def dump(by: str, facts: Mapping[str, Any]) -> str:
    """A horizon as JSON text: the kind of watermark, and what it must find again to go on."""
    return json.dumps({"by": by, **facts}, sort_keys=True, separators=(",", ":"))


def load(text: str | None, by: str) -> dict[str, Any]:
    """The facts of a horizon. Raises CheckpointVoid where it is none, or of another kind."""
    if text is None:
        raise CheckpointVoid("there is no checkpoint to begin the delta from")
    try:
        facts = json.loads(text)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise CheckpointVoid("the checkpoint's horizon can't be read")
    found = cast("dict[str, Any]", facts)
    if found.get("by") != by:
        raise CheckpointVoid(
            f"the checkpoint was made by {found.get('by')!r}, and the delta now goes by {by!r}"
        )
    return found
