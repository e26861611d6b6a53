"""Asked: which conflicts a page, a form or a program wants to see, as a query string says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, get_args

from fastapi import Depends, Query

from syncline.conflict import Kind
from syncline.errors import InputError
from syncline.store import LIVE, State
from syncline.store.conflicts import Filter, Sort

AGES: Final[Mapping[str, tuple[str, timedelta]]] = {
    "hour": ("in the last hour", timedelta(hours=1)),
    "day": ("in the last day", timedelta(days=1)),
    "week": ("in the last week", timedelta(days=7)),
    "over-day": ("more than a day ago", timedelta(days=1)),
    "over-week": ("more than a week ago", timedelta(days=7)),
}
STATES: Final = ("waiting", *(state.value for state in State), "all")
SORTS: Final = get_args(Sort)
PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """A filter, an order and a page, all as text."""

    mapping: str = ""
    field: str = ""
    kind: str = ""
    state: str = "waiting"
    age: str = ""
    q: str = ""
    sort: Sort = "newest"
    page: int = 1

    @property
    def filter(self) -> Filter:
        """The filter. Raises InputError for a word that is none of its kind."""
        states: Mapping[str, Any] = {"waiting": LIVE, "all": None}
        state = states[self.state] if self.state in states else (_one(State, self.state),)
        since = until = None
        if self.age:
            if self.age not in AGES:
                raise InputError(f"there is no age {self.age!r}: {', '.join(AGES)}")
            edge = datetime.now(UTC) - AGES[self.age][1]
            since, until = (None, edge) if self.age.startswith("over-") else (edge, None)
        return Filter(
            mapping=self.mapping or None,
            state=state,
            field=self.field or None,
            kind=_one(Kind, self.kind) if self.kind else None,
            since=since,
            until=until,
            text=self.q,
        )

    @property
    def parts(self) -> dict[str, Any]:
        """What is not as it would be anyway: for links and hidden fields."""
        bare = asdict(Asked())
        return {name: value for name, value in asdict(self).items() if value != bare[name]}

    @property
    def offset(self) -> int:
        """How many conflicts stand on the pages before."""
        return (self.page - 1) * PAGE


def _one(kind: Any, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(one.value for one in kind)
        raise InputError(f"there is no {kind.__name__.lower()} {text!r}: {known}") from None


def _words(description: str, *words: str) -> Any:
    """A parameter that takes one of these words, or is empty, as a form's field is then."""
    return Query(description=description, json_schema_extra={"enum": ["", *map(str, words)]})


def asked(
    mapping: str = "",
    field: Annotated[str, Query(description="Where this field is contested.")] = "",
    kind: Annotated[str, _words("How the two sides collided.", *Kind)] = "",
    state: Annotated[
        str, _words("`waiting` is open, decided or stale; `all` is any.", *STATES)
    ] = "waiting",
    age: Annotated[str, _words("When it was opened.", *AGES)] = "",
    q: Annotated[str, Query(description="Words in the key, the reason or a value.")] = "",
    sort: Sort = "newest",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Asked:
    """What a query string asks for."""
    return Asked(mapping, field, kind, state or "waiting", age, q, sort, page)


TheAsked = Annotated[Asked, Depends(asked)]
