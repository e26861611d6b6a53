"""Which conflicts a command is about: the options of its filter, read alike by every command."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from syncline.errors import InputError

if TYPE_CHECKING:
    from syncline.project import Project
    from syncline.store import Filter, State

StateName = Literal["waiting", "open", "decided", "applied", "stale", "superseded", "all"]
KindName = Literal["both_changed", "first_contact", "update_delete", "delete_update", "refused"]
SortName = Literal["newest", "oldest", "updated", "mapping", "kind", "key"]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")]
Offset = Annotated[int, typer.Option(min=0, help="How many to leave out first.")]
OneName = Annotated[str | None, typer.Argument(metavar="NAME", help="Of this mapping only.")]
StateOption = Annotated[StateName, typer.Option(help="`waiting` is open, decided or stale.")]
FieldOption = Annotated[str | None, typer.Option(help="Where this field is contested.")]
KindOption = Annotated[KindName | None, typer.Option(help="How the two sides collided.")]
TextOption = Annotated[
    str, typer.Option(help="With all of these words in key, reason or values that are not masked.")
]
OlderOption = Annotated[
    str | None, typer.Option("--older-than", metavar="2d", help="Opened longer ago: 30s 15m 2h 1d.")
]
NewerOption = Annotated[
    str | None, typer.Option("--newer-than", metavar="2h", help="Opened since then.")
]
SortOption = Annotated[SortName, typer.Option(help="In which order.")]
AsOption = Annotated[
    str | None,
    typer.Option("--as", metavar="STRATEGY", help="Show what this strategy would have done."),
]


def where(
    project: Project,
    name: str | None,
    *,
    state: StateName = "waiting",
    field: str | None = None,
    kind: KindName | None = None,
    text: str = "",
    older: str | None = None,
    newer: str | None = None,
    ids: Sequence[int] | None = None,
) -> Filter:
    """The filter that these options say. Raises InputError for a mapping that is not there."""
    from syncline.conflict import Kind
    from syncline.store import Filter

    if name is not None:
        project.mapping(name)
    now = datetime.now(UTC)
    return Filter(
        mapping=name,
        state=_states(state),
        field=field,
        kind=None if kind is None else Kind(kind),
        since=None if newer is None else now - _age(newer),
        until=None if older is None else now - _age(older),
        text=text,
        ids=ids,
    )


def _states(name: StateName) -> Sequence[State] | None:
    from syncline.store import LIVE, State

    if name == "all":
        return None
    return LIVE if name == "waiting" else (State(name),)


def _age(text: str) -> timedelta:
    from syncline.mapping.scalars import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise InputError(str(error)) from error


def one_of(pairs: Sequence[str] | None, option: str) -> dict[str, str]:
    """`FIELD=VALUE` options as a mapping. Raises InputError for one without `=`."""
    found: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals:
            message = f"{option} {pair}: there is no `=`"
            raise InputError(message, hint=f"{option} FIELD=VALUE")
        found[name] = value
    return found
