"""Backfill: what a mapping's history is cut into, where it says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from syncline.mapping.forms import Strict

Unit = Literal["hour", "day", "week", "month", "year"]

CHUNKS: Final[dict[Unit, str]] = {
    "hour": "1h", "day": "1d", "week": "1w", "month": "1mo", "year": "1y",
}  # fmt: skip
"""A unit as `syncline backfill --chunk` has it."""
_STARTS: Final[dict[Unit, str]] = {
    "hour": "on the hour",
    "day": "at midnight UTC",
    "week": "on a Monday, at midnight UTC",
    "month": "on the first of a month, at midnight UTC",
    "year": "on the first of January, at midnight UTC",
}
_MOST: Final = 25_000


def _text(value: Any) -> Any:
    """Bounds are numbers or texts; what YAML takes for a date is one of the texts."""
    return value.isoformat() if isinstance(value, date) else value


Bound = Annotated[int | str, BeforeValidator(_text)]


class Backfill(Strict):
    """What a backfill is cut into: windows of the delta's cursor, or ranges of the key."""

    by: Literal["cursor", "key"] = Field(
        "cursor", description="Windows of the delta's cursor, or ranges of the first key column."
    )
    from_: Bound = Field(alias="from", description="Where the first one starts: 2013-01-01, or 1.")
    to: Bound | None = Field(
        None, description="Where the last one ends, itself left out; of time, by default now."
    )
    every: Unit | Annotated[int, Field(ge=1, strict=True)] = Field(
        "day", description="How long each is: hour, day, week, month, year, or a number."
    )
    runs: Literal["one", "many"] = Field(
        "one", description="In Dagster: all that is asked for in one run, or in many."
    )
    per_run: int = Field(1, ge=1, le=_MOST, description="many: windows or ranges in a run.")

    @model_validator(mode="after")
    def _cut(self) -> Backfill:
        problem = next(self._of_time() if isinstance(self.every, str) else self._of_numbers(), None)
        if problem is not None:
            raise ValueError(problem)
        return self

    def _of_time(self) -> Iterator[str]:
        if self.by == "key":
            yield "ranges of a key have a number in `every`: every: 100000"
        for name, bound in (("from", self.from_), ("to", self.to)):
            if bound is None:
                continue
            try:
                at = instant_of(bound)
            except ValueError:
                yield f"`{name}` is {bound!r}, no date: write 2013-01-01"
                return
            if isinstance(self.every, str) and _starts(at, self.every) != at:
                yield f"`{name}` is {bound}: with `every: {self.every}` it is {_STARTS[self.every]}"
        if self.to is not None and instant_of(self.to) <= instant_of(self.from_):
            yield f"there is nothing from {self.from_} to {self.to}"

    def _of_numbers(self) -> Iterator[str]:
        start, end, every = self.from_, self.to, self.every
        if not isinstance(start, int) or not isinstance(end, int) or not isinstance(every, int):
            yield "numbers need `from` and `to`, both numbers; the end is left out"
        elif end <= start:
            yield f"there is nothing from {start} to {end}"
        elif (end - start) / every > _MOST:
            yield f"more than {_MOST:,} ranges: give a larger `every`"

    def end(self, now: datetime) -> str:
        """Where the last one ends: as written, else with the last whole unit before now."""
        if self.to is not None or not isinstance(self.every, str):
            return str(self.to)
        at = _starts(now.astimezone(UTC), self.every)
        return at.isoformat() if self.every == "hour" else at.date().isoformat()

    @property
    def of_time(self) -> bool:
        """Whether it is cut by time, not by number."""
        return isinstance(self.every, str)


def instant_of(bound: int | str) -> datetime:
    """A bound as an instant, UTC where it has no offset. Raises ValueError."""
    found = datetime.fromisoformat(str(bound))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _starts(at: datetime, unit: Unit) -> datetime:
    """The start of the unit that an instant lies in."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    match unit:
        case "hour":
            return at.replace(minute=0, second=0, microsecond=0)
        case "day":
            return midnight
        case "week":
            return midnight - timedelta(days=at.weekday())
        case "month":
            return midnight.replace(day=1)
        case "year":
            return midnight.replace(month=1, day=1)
