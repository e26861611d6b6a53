"""The small values of a mapping file: types, shares, durations, schedules, names."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import AfterValidator, PlainValidator, WithJsonSchema

from syncline.errors import InputError
from syncline.record import Type, parse_type

_SHARE: Final = re.compile(r"^(\d{1,3}(?:\.\d+)?)\s*%$")
_WHOLE, _MICROSECONDS = 100, 6
_LAG: Final = re.compile(r"^(\d+)\s*([smhd])$")
_LAG_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_CRON_NAMES: Final = frozenset({"@hourly", "@daily", "@weekly", "@monthly", "@yearly"})
_CRON_FIELDS: Final = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_CRON_WORDS: Final = {
    name: number
    for names, first in (
        ("jan feb mar apr may jun jul aug sep oct nov dec", 1),
        ("sun mon tue wed thu fri sat", 0),
    )
    for number, name in enumerate(names.split(), first)
}
_CRON_PART: Final = re.compile(r"^(\*|\w+)(?:-(\w+))?(?:/(\d+))?$", re.ASCII)


class Share(float):
    """A part of a whole, 0.0 to 1.0, written `5%`."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{self * 100:g}%"


def parse_share(value: Any) -> Share:
    """Read `5%` or `0.5%`. Raises ValueError for anything else, a bare number included: 5
    of what?
    """
    if isinstance(value, Share):
        return value
    match = _SHARE.match(value) if isinstance(value, str) else None
    if not match or float(match[1]) > _WHOLE:
        raise ValueError(f"{value!r} is not a share: write a percentage, such as 5%")
    return Share(float(match[1]) / 100)


def parse_limit(value: Any) -> int | Share:
    """Read a number of records, or a share of them. Raises ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(
                f"{value} is not a limit: write 0 or more records, or a share such as 1%"
            )
        return value
    return parse_share(value)


def parse_duration(value: Any) -> timedelta:
    """Read `30s`, `15m`, `2h` or `1d`. Raises ValueError for anything else."""
    if isinstance(value, timedelta):
        return value
    match = _LAG.match(value) if isinstance(value, str) else None
    if not match:
        raise ValueError(f"{value!r} is not a duration: write 30s, 15m, 2h or 1d")
    return timedelta(**{_LAG_UNITS[match[2]]: int(match[1])})


def check_schedule(value: str) -> str:
    """A cron schedule of five fields (or @hourly .. @yearly) as it is. Raises ValueError for any
    other.
    """
    if value in _CRON_NAMES:
        return value
    parts = value.split()
    if len(parts) != len(_CRON_FIELDS):
        raise ValueError(
            f"{value!r} is not a schedule: five fields (minute hour day month weekday), "
            f"or one of {', '.join(sorted(_CRON_NAMES))}"
        )
    for part, (name, low, high) in zip(parts, _CRON_FIELDS, strict=True):
        for item in part.split(","):
            _check_cron_item(item, name, low, high)
    return value


def _check_cron_item(item: str, name: str, low: int, high: int) -> None:
    match = _CRON_PART.match(item)
    if not match or (match[1] == "*" and match[2]) or match[3] == "0":
        raise ValueError(f"{item!r} is not a {name} of a schedule")
    bounds = [_cron_number(text, name) for text in (match[1], match[2]) if text and text != "*"]
    if any(not low <= number <= high for number in bounds) or bounds != sorted(bounds):
        raise ValueError(f"{item!r} is not a {name} of a schedule: {low} to {high}")


def _cron_number(text: str, name: str) -> int:
    if text.isdigit():
        return int(text)
    if text.lower() in _CRON_WORDS:
        return _CRON_WORDS[text.lower()]
    raise ValueError(f"{text!r} is not a {name} of a schedule")


def _parse_type(value: Any) -> Type:
    if isinstance(value, Type):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a type: write its name, such as text")
    try:
        type_ = parse_type(value)
    except InputError as error:
        raise ValueError(f"{error}: {error.hint}") from None
    _check_size(type_, value)
    return type_


def _check_size(type_: Type, text: str) -> None:
    """Refuse a size that the type has not: `bigint(5)`, `timestamp(9)`, `decimal(4,6)`."""
    if type_.precision is None:
        return
    if type_.name == "decimal":
        if type_.precision < 1 or (type_.scale or 0) > type_.precision:
            raise ValueError(
                f"{text!r}: a decimal has at least 1 digit, and no more of them after the point"
            )
    elif type_.scale is not None or type_.name not in {"text", "time", "timestamp", "timestamptz"}:
        raise ValueError(f"{text!r}: {type_.name} takes no such size")
    elif type_.name != "text" and type_.precision > _MICROSECONDS:
        raise ValueError(f"{text!r}: times keep at most 6 digits of a second")
    elif type_.name == "text" and type_.precision < 1:
        raise ValueError(f"{text!r}: text holds at least 1 character")


def _matching(pattern: str, advice: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.match(value):
            raise ValueError(f"{value!r} is not {advice}")
        return value

    return AfterValidator(check)


_SHARE_PATTERN: Final = r"^\d{1,3}(\.\d+)?\s*%$"
TypeName = Annotated[
    Type,
    PlainValidator(_parse_type),
    WithJsonSchema(
        {"type": "string", "examples": ["text", "bigint", "decimal(14,2)", "timestamptz(3)"]}
    ),
]
Percent = Annotated[
    Share,
    PlainValidator(parse_share),
    WithJsonSchema({"type": "string", "pattern": _SHARE_PATTERN, "examples": ["5%"]}),
]
Limit = Annotated[
    int | Share,
    PlainValidator(parse_limit),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": _SHARE_PATTERN},
            ]
        }
    ),
]
Duration = Annotated[
    timedelta,
    PlainValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": _LAG.pattern, "examples": ["15m"]}),
]
Schedule = Annotated[str, AfterValidator(check_schedule)]
StrategyName = Annotated[
    str,
    _matching(r"^[a-z_]+\Z", "the name of a strategy: lower case letters and underscores"),
    WithJsonSchema(
        {"type": "string", "pattern": "^[a-z_]+$", "examples": ["source", "merge", "manual"]}
    ),
]
GroupName = Annotated[str, _matching(r"^[A-Za-z0-9_/]+\Z", "a group: letters, digits, `_` and `/`")]
Owner = Annotated[
    str,
    _matching(
        r"^(team:[\w-]+|[^@\s]+@[^@\s]+\.[^@\s]+)\Z", "an owner: an e-mail address, or team:name"
    ),
]
TagValue = Annotated[
    str, _matching(r"^[A-Za-z0-9._-]{0,63}\Z", "a tag: up to 63 letters, digits, `.`, `_` and `-`")
]
Dotted = Annotated[
    str,
    _matching(
        r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+\Z", "a function of the project, such as hooks.score"
    ),
]
MappingName = Annotated[str, _matching(r"^[a-z0-9_]+\Z", "the name of a mapping: a-z, 0-9 and `_`")]
