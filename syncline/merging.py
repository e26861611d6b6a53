"""Merging: what becomes of a field that both sides moved, where its mapping says how (`merge:`).

Each is symmetric: whichever side is called the source, the result is the same. What is written is
held apart from the source's value, so that its next change is merged too and overwrites nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, cast

from syncline.conflict import MISSING, Ask, Conflict, Resolution, Strategy, Write

Manner = Literal["union", "add", "max"]
_Merge = Callable[[Any, Any, Any], Any]
"""Source, target and baseline (MISSING where it is not known) to the merged value, or Ask."""


MERGED: Final = "merge "
"""How the audit log's name of each begins."""


def name_of(manner: Manner) -> str:
    """What the audit log calls it."""
    return f"{MERGED}{manner}"


def merging(manner: Manner) -> Strategy:
    """The strategy of a field with that `merge:`."""
    merge = _MERGES[manner]

    def resolve(conflict: Conflict) -> Resolution:
        source, target = conflict.source or {}, conflict.target or {}
        values: dict[str, Any] = {}
        for name in sorted(conflict.contested):
            value = merge(source[name], target[name], conflict.baseline_of(name))
            if isinstance(value, Ask):
                return Ask(f"{name}: {value.reason}")
            values[name] = value
        held = frozenset(name for name, value in values.items() if value != source[name])
        return Write(values, f"merge: {manner}", held)

    return resolve


def _max(source: Any, target: Any, _: Any) -> Any:
    if source is None or target is None:
        return target if source is None else source
    return max(source, target)


def _add(source: Any, target: Any, baseline: Any) -> Any:
    """The target's value, and what the source added since (or took away)."""
    if baseline is MISSING:
        return Ask("no baseline value to add to is known")
    if None in (source, target, baseline):
        return Ask("NULL can't be added to")
    if isinstance(source, str):  # a decimal without bounds travels as text
        return str(Decimal(target) + Decimal(source) - Decimal(baseline))
    return target + source - baseline


def _union(source: Any, target: Any, baseline: Any) -> Any:
    """What either list has, without what either took out since; in the target's order, then the
    source's.
    """
    lists = [_list(value) for value in (source, target, None if baseline is MISSING else baseline)]
    if None in lists:
        return Ask("only lists can be united")
    of_source, of_target, before = cast("list[dict[str, Any]]", lists)
    gone = {key for key in before if key not in of_source or key not in of_target}
    found = {key: item for key, item in {**of_target, **of_source}.items() if key not in gone}
    return json.dumps(list(found.values()), ensure_ascii=False, separators=(",", ":"))


def _list(value: Any) -> dict[str, Any] | None:
    """The items of a JSON list by their canonical text (none of NULL); None where it is no list."""
    from syncline.record import canonical_json

    if value is None:
        return {}
    try:
        found: Any = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if not isinstance(found, list):
        return None
    items = cast("list[Any]", found)
    return {canonical_json(json.dumps(item)): item for item in items}


_MERGES: Final[Mapping[Manner, _Merge]] = {"union": _union, "add": _add, "max": _max}
