"""`syncline conflicts`: the queue of what waits for a person, and the decisions on it."""

from __future__ import annotations

import getpass
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from syncline.cli import show
from syncline.cli.command import JsonOption, end, note, tell, the_project, the_store
from syncline.errors import InputError, LeaseHeld, SynclineError

if TYPE_CHECKING:
    from syncline.conflict import Kind
    from syncline.project import Project
    from syncline.store import Entry, History, State, Store, Take

Id = Annotated[int, typer.Argument(metavar="ID", help="The conflict, as `list` shows it.")]
Ids = Annotated[list[int], typer.Argument(metavar="ID", help="Conflicts, as `list` shows them.")]
StateName = Literal["waiting", "open", "decided", "applied", "stale", "superseded", "all"]
KindName = Literal["both_changed", "first_contact", "update_delete", "delete_update", "refused"]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")]
Offset = Annotated[int, typer.Option(min=0, help="How many to leave out first.")]
OneName = Annotated[str | None, typer.Argument(metavar="NAME", help="Of this mapping only.")]


def conflicts_list(
    name: OneName = None,
    *,
    state: Annotated[
        StateName, typer.Option(help="`waiting` is open, decided or stale.")
    ] = "waiting",
    field: Annotated[str | None, typer.Option(help="Where this field is contested.")] = None,
    kind: Annotated[KindName | None, typer.Option(help="How the two sides collided.")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
    as_json: JsonOption = False,
) -> None:
    """List conflicts, the newest first."""
    project = the_project()
    if name is not None:
        project.mapping(name)
    with the_store(project) as store:
        entries = store.conflicts(
            mapping=name,
            state=_states(state),
            field=field,
            kind=_kind(kind),
            limit=limit,
            offset=offset,
        )
    if as_json:
        for entry in entries:
            show.line(content(entry))
        return
    if not entries:
        typer.echo("no conflicts" if state == "all" else f"no conflicts are {state}")
        return
    show.table(
        ("id", "mapping", "key", "kind", "state", "contested", "since"),
        [
            (
                str(entry.id),
                entry.mapping,
                entry.key,
                entry.kind.value,
                entry.state.value,
                ", ".join(sorted(entry.contested)),
                entry.created_at,
            )
            for entry in entries
        ],
    )


def _states(name: StateName) -> Sequence[State] | None:
    from syncline.store import LIVE, State

    if name == "all":
        return None
    return LIVE if name == "waiting" else (State(name),)


def _kind(name: KindName | None) -> Kind | None:
    from syncline.conflict import Kind

    return None if name is None else Kind(name)


def content(entry: Entry) -> dict[str, Any]:
    """An entry as `--json` prints it."""
    shown = asdict(entry)
    shown["state"], shown["kind"] = entry.state.value, entry.kind.value
    return shown


def conflicts_show(entry_id: Id, *, as_json: JsonOption = False) -> None:
    """Show a conflict side by side, and its history."""
    with the_store(the_project()) as store:
        entry, past = store.conflict(entry_id), store.history(entry_id)
    if as_json:
        show.line(content(entry) | {"history": [asdict(event) for event in past]})
        return
    _side_by_side(entry)
    _decided(entry)
    _told(past)


def _side_by_side(entry: Entry) -> None:
    from syncline.review.view import fields

    head = f"conflict {entry.id}: {entry.mapping} {show.cell(entry.key)}"
    typer.echo(f"{head}: {entry.kind.value}, {entry.state.value}")
    if entry.reason:
        typer.echo(entry.reason)
    if entry.source is None:
        typer.echo("the source record is gone")
    if entry.target is None:
        typer.echo("the target record is gone")
    show.table(
        ("field", "source", "baseline", "target", "moved"),
        [
            (
                view.name,
                view.source,
                view.baseline,
                view.target,
                "both" if view.contested else "" if view.moved == "neither" else view.moved,
            )
            for view in fields(entry)
        ],
    )


def _decided(entry: Entry) -> None:
    from syncline.review.queue import result

    made = entry.decision
    if made is None:
        return
    typer.echo(f"decided by {made.user} at {show.cell(made.at)}: take {made.take}")
    after = result(entry, made)
    show.facts(
        {
            "  values": made.values or None,
            "  note": made.note,
            "  leaves": "no record" if after is None else after,
        }
    )


def _told(past: Sequence[History]) -> None:
    show.table(
        ("when", "what", "by", "note"),
        [(event.at, event.event.value, event.by or event.run_id, event.note) for event in past],
    )


def conflicts_resolve(
    ids: Ids,
    *,
    take: Annotated[
        Literal["source", "target", "merge"] | None, typer.Option(help="The side that wins.")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="A value of your own, before the side's; may be repeated.",
        ),
    ] = None,
    null: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Set this field to NULL.")
    ] = None,
    remark: Annotated[str, typer.Option("--note", help="Why, for the audit log.")] = "",
    user: Annotated[
        str | None, typer.Option(help="Who decides; the login name if not given.")
    ] = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take a decision back that is not written yet.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Decide conflicts, and write that at once.

    Where another run holds the lease, the next run writes it. A decision on what has moved since is
    refused. Values without --take leave the other fields of the target as they are.
    """
    project = the_project()
    with the_store(project) as store:
        if undo:
            if take or given or null:
                message = "--undo takes a decision back: it goes with no other choice"
                raise InputError(message)
            entries = [store.undo(entry_id) for entry_id in ids]
        else:
            entries = [
                _decide(store, one, take or "values", _parse(one, given, null), remark, user)
                for one in [store.conflict(entry_id) for entry_id in ids]
            ]
    codes = [] if undo else _write(project, entries)
    with the_store(project) as store:
        for entry in entries:
            _after(store.conflict(entry.id), as_json=as_json)
    end(codes)


def _parse(entry: Entry, given: list[str] | None, null: list[str] | None) -> dict[str, Any]:
    from syncline.review.typed import read_value

    values: dict[str, Any] = {}
    for pair in given or ():
        name, equals, text = pair.partition("=")
        if not equals:
            message = f"--set {pair}: there is no `=`"
            raise InputError(message, hint="--set FIELD=VALUE")
        values[name] = read_value(entry, name, text)
    return values | dict.fromkeys(null or ())


def _decide(
    store: Store, entry: Entry, take: Take, values: Mapping[str, Any], remark: str, user: str | None
) -> Entry:
    from syncline.review.queue import decision

    who = user or getpass.getuser()
    made = decision(entry, take, user=who, at=datetime.now(UTC), values=values, note=remark)
    return store.decide(entry.id, made)


def _write(project: Project, entries: Sequence[Entry]) -> list[int]:
    """Write the decisions of each mapping, if its lease is free; the exit codes."""
    from syncline.decide import apply_decisions

    by_mapping: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        by_mapping[entry.mapping].append(entry.id)
    codes: list[int] = []
    for name in by_mapping:
        try:
            apply_decisions(project, name)
        except LeaseHeld:
            note(f"{name}: a run holds the lease; the decision is kept, and the next run writes it")
        except SynclineError as error:
            tell(error)
            note(f"{name}: the decision is kept; it is written by the next run that ends well")
            codes.append(error.exit_code)
    return codes


def _after(entry: Entry, *, as_json: bool) -> None:
    if as_json:
        show.line(content(entry))
        return
    saying = {
        "applied": "written to the target",
        "decided": "decided, not written yet",
        "stale": "refused: a side has moved since; the next run shows it again",
        "open": "open: look again, a side may have moved",
        "superseded": "settled: the two sides agree",
    }
    typer.echo(f"conflict {entry.id}: {saying[entry.state.value]}")
