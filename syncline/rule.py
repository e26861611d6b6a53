"""Rule: a decision that is remembered: under which condition, which side of a field wins.

Rules are asked where a strategy would ask a person (`manual` always does), in the order of their
file; the first whose condition holds settles its field. Pure, as strategies are.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from syncline.conflict import MISSING, Conflict, Keep, Kind, Resolution, Write, later

Side = Literal["source", "target"]
HIDDEN: Final = "•••"
"""What is shown in place of a masked value."""
_BLANK: Final = re.compile(r"\s+")
_EQUALS: Final = re.compile(r"^(source|target) (=|!=) (.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """One remembered decision.

    `field` is the contested field that it settles; None: the whole record, where one side is gone
    (`update_delete`, `delete_update`). `when` is a condition (`check_when`). `take` is the side
    that wins; None: `value` is written. `kind` narrows it to one way to collide. Where the field is
    masked the value is `secret`: nothing that shows the rule has it.
    """

    field: str | None
    when: str
    take: Side | None
    value: Any = None
    kind: Kind | None = None
    note: str = ""
    secret: bool = dataclasses.field(default=False, compare=False)

    @property
    def shown_value(self) -> Any:
        """The value as a person may see it."""
        return HIDDEN if self.secret and self.value is not None else self.value

    @property
    def content(self) -> dict[str, Any]:
        """The rule as JSON prints it."""
        told = asdict(self) | {"value": self.shown_value, "text": self.text}
        return {name: value for name, value in told.items() if name != "secret"}

    @property
    def text(self) -> str:
        """The rule in one line, as the audit log names it."""
        of = self.field or "record"
        value = self.shown_value
        wins = self.take or (
            HIDDEN if value is HIDDEN else json.dumps(value, ensure_ascii=False, default=str)
        )
        only = f" ({self.kind.value})" if self.kind else ""
        return f"{of}: {wins} when {self.when}{only}"


def _empty(value: Any) -> bool:
    return value is None or value is MISSING or (isinstance(value, str) and not value.strip())


def _greater(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return False
    try:
        return bool(one > other)
    except TypeError:  # of two kinds: then neither is greater
        return False


def _longer(one: Any, other: Any) -> bool:
    return isinstance(one, str) and isinstance(other, str) and len(one) > len(other)


def _but_for(case: bool, spaces: bool) -> Callable[[Conflict, Any, Any], bool]:
    def alike(_: Conflict, source: Any, target: Any) -> bool:
        if not isinstance(source, str) or not isinstance(target, str):
            return False
        found = (source, target)
        if spaces:
            found = tuple(_BLANK.sub("", text) for text in found)
        if case:
            found = tuple(text.casefold() for text in found)
        return found[0] == found[1]

    return alike


def _later(conflict: Conflict, *, source: bool) -> bool:
    clocks = (conflict.clock_source, conflict.clock_target)
    if None in clocks:
        return False
    first, second = clocks if source else reversed(clocks)
    return later(first, second, conflict.clock_digits)


Condition = Callable[[Conflict, Any, Any], bool]
"""Whether it holds for a conflict and the values of the two sides."""

CONDITIONS: Final[Mapping[str, Condition]] = {
    "always": lambda _c, _s, _t: True,
    "source is empty": lambda _c, s, _t: _empty(s),
    "target is empty": lambda _c, _s, t: _empty(t),
    "source is not empty": lambda _c, s, _t: not _empty(s),
    "target is not empty": lambda _c, _s, t: not _empty(t),
    "source is later": lambda c, _s, _t: _later(c, source=True),
    "target is later": lambda c, _s, _t: _later(c, source=False),
    "source is greater": lambda _c, s, t: _greater(s, t),
    "target is greater": lambda _c, s, t: _greater(t, s),
    "source is longer": lambda _c, s, t: _longer(s, t),
    "target is longer": lambda _c, s, t: _longer(t, s),
    "only case differs": _but_for(case=True, spaces=False),
    "only spaces differ": _but_for(case=False, spaces=True),
    "only case and spaces differ": _but_for(case=True, spaces=True),
}
"""Every condition; beside them `source = VALUE` and `!=`, of either side, and several by ` and `.
"""


def check_when(when: str) -> str:
    """A condition as it is. Raises ValueError for one that does not exist."""
    for part in _parts(when):
        if part not in CONDITIONS and not _EQUALS.match(part):
            known = ", ".join(CONDITIONS)
            message = f"there is no condition {part!r}: there are {known}, and source = VALUE"
            raise ValueError(message)
    return when


def _parts(when: str) -> list[str]:
    return [part.strip() for part in when.split(" and ")] if when not in CONDITIONS else [when]


def holds(rule: Rule, conflict: Conflict) -> bool:
    """Whether the rule's condition holds for this conflict."""
    if rule.kind is not None and rule.kind is not conflict.kind:
        return False
    source = (conflict.source or {}).get(rule.field or "", MISSING)
    target = (conflict.target or {}).get(rule.field or "", MISSING)
    return all(_holds(part, conflict, source, target) for part in _parts(rule.when))


def _holds(part: str, conflict: Conflict, source: Any, target: Any) -> bool:
    if part in CONDITIONS:
        return CONDITIONS[part](conflict, source, target)
    match = _EQUALS.match(part)
    if match is None:
        return False
    side, sign, wanted = match.groups()
    alike = _text(source if side == "source" else target) == wanted
    return alike if sign == "=" else not alike


def _text(value: Any) -> str:
    """A value as a condition writes it: null, true, 5, some text."""
    if value is None or value is MISSING:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def ruling(rules: Sequence[Rule], conflict: Conflict) -> dict[str | None, Rule]:
    """The rule that settles each contested field (None: the record) of those that have one."""
    wanted: Sequence[str | None] = sorted(conflict.contested) or [None]
    if conflict.kind is Kind.REFUSED:
        return {}
    found = {
        name: next((r for r in rules if r.field == name and holds(r, conflict)), None)
        for name in wanted
    }
    return {name: rule for name, rule in found.items() if rule is not None}


def settled(
    rules: Sequence[Rule], conflict: Conflict
) -> tuple[Resolution, tuple[Rule, ...]] | None:
    """What the rules answer, and which; None where they leave anything open."""
    found = ruling(rules, conflict)
    if len(found) < max(len(conflict.contested), 1):
        return None
    used = tuple(dict.fromkeys(found.values()))
    if None in found:
        return _of_record(found[None], conflict), used
    values = {
        name: rule.value if rule.take is None else (conflict.source or {})[name]
        for name, rule in found.items()
        if name is not None and rule.take != "target"
    }
    reason = "; ".join(rule.text for rule in used)
    return (Write(values, reason) if values else Keep(reason)), used


def _of_record(rule: Rule, conflict: Conflict) -> Resolution:
    if rule.take == "target":
        return Keep(rule.text)
    return Write(None if conflict.source is None else dict(conflict.source), rule.text)
