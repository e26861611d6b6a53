"""`syncline status` and `syncline checkpoint`: where mappings stand, and moving that by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncline.cli import show
from syncline.cli.command import JsonOption, YesOption, chosen, confirm, end, the_project
from syncline.cli.run import All, Names, failed
from syncline.errors import SynclineError

if TYPE_CHECKING:
    from syncline.status import StatusReport

Name = Annotated[str, typer.Argument(metavar="NAME", help="The mapping.")]


def status(names: Names = None, *, everything: All = False, as_json: JsonOption = False) -> None:
    """Show where mappings stand.

    The last sync, lag, promise, what waits, who holds the lease. Without a name, all of them.
    """
    from syncline.status import status as look

    project = the_project()
    codes: list[int] = []
    reports: list[StatusReport] = []
    for name in chosen(project, names, everything=everything or not names):
        try:
            report = look(project, name)
        except SynclineError as error:
            codes.append(failed(name, error, as_json=False, mode=None))
            continue
        reports.append(report)
        if as_json:
            show.line(report.as_dict())
    if reports and not as_json:
        _table(reports)
    end(codes)


def _table(reports: list[StatusReport]) -> None:
    show.table(
        (
            "mapping",
            "last sync",
            "lag",
            "promise",
            "strategy",
            "conflicts",
            "dead letters",
            "lease",
        ),
        [
            (
                one.mapping,
                show.when(one.synced_at) or "never",
                "" if one.lag_seconds is None else age(one.lag_seconds),
                one.guarantee,
                one.strategy,
                one.open_conflicts,
                one.dead_letters,
                one.lease or "free",
            )
            for one in reports
        ],
    )
    for one in reports:
        if one.unfinished is not None:
            typer.echo(f"{one.mapping}: a full sync stopped after {one.unfinished:,} records")
        for told in (*one.drift, *one.warnings):
            typer.echo(f"{one.mapping}: {told}")


def age(seconds: float) -> str:
    """A length of time in the two largest units that it has."""
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    left, parts = int(seconds), list[str]()
    for unit, length in units:
        count, left = divmod(left, length)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def checkpoint_show(name: Name, *, as_json: JsonOption = False) -> None:
    """Show where the next delta starts."""
    from syncline import checkpoint

    _print(checkpoint.show(the_project(), name), as_json=as_json)


def checkpoint_set(
    name: Name,
    position: Annotated[
        str, typer.Argument(metavar="POSITION", help="As `show --json` prints it.")
    ],
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put the checkpoint at a position.

    What lies between is skipped, or read again.
    """
    from syncline import checkpoint

    project = the_project()
    project.mapping(name)
    confirm(f"Move the checkpoint of {name}? Changes before it are not read again.", yes=yes)
    _print(checkpoint.set(project, name, position), as_json=as_json)


def checkpoint_rewind(
    name: Name,
    *,
    to: Annotated[
        str | None,
        typer.Option(help="An instant, UTC: back to where the last run before it ended."),
    ] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take the checkpoint back, to read again.

    Without --to it forgets checkpoint and baselines: the next run is a full sync in which every
    record is met for the first time.
    """
    from syncline import checkpoint
    from syncline.backfill import instant

    project = the_project()
    project.mapping(name)
    earlier = None if to is None else instant(to)
    what = "the checkpoint and every baseline" if earlier is None else "the checkpoint"
    confirm(f"Take back {what} of {name}?", yes=yes)
    _print(checkpoint.rewind(project, name, earlier), as_json=as_json)


def _print(state: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show.line(state)
    elif state.get("synced_at") is None:
        typer.echo(f"{state['mapping']}: no checkpoint: the next run is a full sync")
        show.facts({"unfinished": state.get("unfinished_full")})
    else:
        show.facts(state)
