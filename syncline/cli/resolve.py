"""`syncline conflicts resolve` and `undo`: decisions, one by one or over a whole filter."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from syncline.cli import show
from syncline.cli.chosen import (
    FieldOption,
    KindOption,
    NewerOption,
    OlderOption,
    TextOption,
    one_of,
    where,
)
from syncline.cli.command import (
    JsonOption,
    YesOption,
    confirm,
    end,
    note,
    tell,
    the_project,
    the_store,
)
from syncline.cli.conflicts import content
from syncline.errors import DecisionRefused, InputError, LeaseHeld, SynclineError

if TYPE_CHECKING:
    from syncline.project import Project
    from syncline.review.bulk import Decided, Maker, Preview
    from syncline.review.mask import Masks
    from syncline.review.queue import Choice
    from syncline.store import Entry, Filter, Store

Ids = Annotated[
    list[int] | None, typer.Argument(metavar="ID", help="Conflicts, as `list` shows them.")
]
OfMapping = Annotated[
    str | None, typer.Option("--mapping", metavar="NAME", help="All open ones of this mapping.")
]
UserOption = Annotated[str | None, typer.Option(help="Who decides; the login name if not given.")]
AllOption = Annotated[bool, typer.Option("--all", help="All open ones that the filter finds.")]
PreviewOption = Annotated[
    bool, typer.Option("--preview", help="Say what would be written, and write nothing.")
]


def conflicts_resolve(
    ids: Ids = None,
    *,
    take: Annotated[
        Literal["source", "target", "merge"] | None, typer.Option(help="The side that wins.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option("--as", metavar="STRATEGY", help="As this strategy would have decided."),
    ] = None,
    side: Annotated[
        list[str] | None,
        typer.Option(
            "--side",
            metavar="FIELD=SIDE",
            help="The side (source or target) of this field; may be repeated.",
        ),
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
    name: OfMapping = None,
    field: FieldOption = None,
    kind: KindOption = None,
    text: TextOption = "",
    older: OlderOption = None,
    newer: NewerOption = None,
    everything: AllOption = False,
    only_preview: PreviewOption = False,
    yes: YesOption = False,
    user: UserOption = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take a decision back that is not written yet.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Decide conflicts, and write that at once.

    Where another run holds the lease, the next run writes it. A decision on what has moved since,
    or that somebody else has decided, is refused and kept: see `conflicts drafts`. Values without
    --take leave the other fields of the target as they are. Over a filter (--all, --mapping,
    --field ..) it shows what would be written, and asks.
    """
    from syncline.review.queue import Choice

    project = the_project()
    filtered = everything or name or field or kind or text or older or newer
    if undo:
        _check_undo(ids, any((take, strategy, side, given, null, filtered)))
        _undone(project, ids or [], user, as_json=as_json)
        return
    if bool(ids) == bool(filtered):
        message = "which conflicts? name their ids, or a filter such as --mapping or --all"
        raise InputError(message, hint="syncline conflicts list")
    texts: dict[str, str | None] = {**one_of(given, "--set"), **dict.fromkeys(null or ())}
    choice = Choice(take or "values", _sides(side), texts, remark)
    make = _maker(project, choice, strategy, who(user))
    if ids and not only_preview:
        kept = choice if strategy is None else None  # a strategy can be asked again
        _one_by_one(project, ids, make, kept, who(user), as_json=as_json)
        return
    wanted = where(
        project, name, field=field, kind=kind, text=text, older=older, newer=newer, ids=ids
    )
    settle_many(
        project, wanted, make, "Decide", yes=yes, only_preview=only_preview, as_json=as_json
    )


def _maker(project: Project, choice: Choice, strategy: str | None, user: str) -> Maker:
    from syncline.review.bulk import maker
    from syncline.review.whatif import by_strategy

    if strategy is None:
        return maker(choice, user=user)
    if choice.take != "values" or choice.sides or choice.texts:
        message = "--as decides as a strategy would: it goes with no other choice"
        raise InputError(message)
    made = by_strategy(project, strategy, user=user)
    return lambda entry: replace(made(entry), note=choice.note) if choice.note else made(entry)


def _check_undo(ids: Sequence[int] | None, other: bool) -> None:
    if other:
        message = "--undo takes a decision back: it goes with no other choice"
        raise InputError(message)
    if not ids:
        message = "which conflicts? name their ids"
        raise InputError(message, hint="syncline conflicts list --state decided")


def _sides(given: list[str] | None) -> dict[str, Any]:
    found = one_of(given, "--side")
    for name, side in found.items():
        if side not in ("source", "target"):
            message = f"--side {name}={side}: {side!r} is no side"
            raise InputError(message, hint=f"--side {name}=source or --side {name}=target")
    return dict(found)


def who(user: str | None) -> str:
    """Who decides."""
    return user or getpass.getuser()


# --- one by one ---


def _one_by_one(
    project: Project, ids: Sequence[int], make: Maker, choice: Choice | None, user: str, *,
    as_json: bool,
) -> None:  # fmt: skip
    codes: list[int] = []
    with the_store(project) as store:
        entries = {entry_id: store.conflict(entry_id) for entry_id in ids}
        made = {number: make(entry) for number, entry in entries.items()}
        for number, decision in made.items():
            try:
                store.decide(number, decision, version=entries[number].version)
            except DecisionRefused as error:
                _keep(store, choice, user, number, error)
                codes.append(error.exit_code)
                del entries[number]
    codes += write_decisions(project, dict.fromkeys(one.mapping for one in entries.values()))
    _after(project, list(entries), as_json=as_json)
    with the_store(project) as store:
        for number in entries:
            if store.conflict(number).state.value in {"stale", "open"}:
                moved = DecisionRefused(f"conflict {number}: a side has moved since it was shown")
                _keep(store, choice, user, number, moved)
                codes.append(moved.exit_code)
    end(codes)


def _keep(
    store: Store, choice: Choice | None, user: str, number: int, error: DecisionRefused
) -> None:
    """Keep what was refused, as the review app does, and say where it is."""
    tell(error)
    if choice is not None:
        store.drafts.keep(user, choice.refused(number, str(error)))
        note(f"your choice for conflict {number} is kept: syncline conflicts drafts")


def write_decisions(project: Project, names: Iterable[str]) -> list[int]:
    """Write the decisions of each mapping, if its lease is free; the exit codes."""
    from syncline.decide import apply_decisions

    codes: list[int] = []
    for name in names:
        try:
            apply_decisions(project, name)
        except LeaseHeld:
            note(f"{name}: a run holds the lease; the decision is kept, and the next run writes it")
        except SynclineError as error:
            tell(error)
            note(f"{name}: the decision is kept; it is written by the next run that ends well")
            codes.append(error.exit_code)
    return codes


def _after(project: Project, ids: Sequence[int], *, as_json: bool) -> None:
    from syncline.review.mask import masks_of

    masks = masks_of(project)
    with the_store(project) as store:
        for entry_id in ids:
            _said(store.conflict(entry_id), masks, as_json=as_json)


def _said(entry: Entry, masks: Masks, *, as_json: bool) -> None:
    if as_json:
        show.line(content(entry, masks))
        return
    saying = {
        "applied": "written to the target",
        "decided": "decided, not written yet",
        "stale": "refused: a side has moved since; the next run shows it again",
        "open": "open: look again, a side may have moved",
        "superseded": "settled without a decision",
    }
    typer.echo(f"conflict {entry.id}: {saying[entry.state.value]}")


# --- many ---


def settle_many(
    project: Project,
    wanted: Filter,
    make: Maker,
    verb: str,
    *,
    yes: bool,
    only_preview: bool,
    as_json: bool,
) -> None:
    """Preview what `make` decides over a filter, ask, decide and write."""
    from syncline.review import bulk
    from syncline.review.mask import masks_of

    with the_store(project) as store:
        found = bulk.preview(store, wanted, make, masks_of(project))
        if only_preview or not as_json:
            told(found, as_json=as_json)
        if only_preview or not found.total:
            return
        confirm(f"{verb} {found.total:,} conflicts so?", yes=yes)
        done = bulk.decide(store, found.selection, make)
    codes = write_decisions(project, done.by_mapping)
    with the_store(project) as store:
        _told_many(store, done, as_json=as_json)
    end(codes)


def told(found: Preview, *, as_json: bool) -> None:
    """Print a preview."""
    if as_json:
        show.line(asdict(replace(found, selection="")))
        return
    typer.echo(f"{found.total:,} conflict{'' if found.total == 1 else 's'} can be decided so")
    for what, counts in (("cannot", found.refused), ("fields", found.fields)):
        for text, count in counts.items():
            typer.echo(f"  {what}: {text}: {count:,}")
    show.table(
        ("id", "mapping", "key", "would", "changes"),
        [(str(s.id), s.mapping, s.key, s.action, _changes(s.changes)) for s in found.samples],
    )
    if found.total > len(found.samples):
        typer.echo(f".. and {found.total - len(found.samples):,} more")


def _changes(changes: Any) -> str:
    return ", ".join(
        f"{name}: {show.raw(was)} -> {show.raw(will)}" for name, (was, will) in changes.items()
    )


def _told_many(store: Store, done: Decided, *, as_json: bool) -> None:
    from syncline.store import Filter

    ids = [number for numbers in done.by_mapping.values() for number in numbers]
    states = store.conflict_tally(Filter(state=None, ids=ids)).by_state
    if as_json:
        show.line({"decided": done.count, "states": states, "refused": done.refused})
        return
    typer.echo(f"{done.count:,} decided: {', '.join(f'{n:,} {s}' for s, n in states.items())}")
    for number, why in done.refused.items():
        typer.echo(f"conflict {number} {why}")


# --- undo ---


def conflicts_undo(
    ids: Ids = None,
    *,
    name: Annotated[
        str | None, typer.Option("--mapping", metavar="NAME", help="All decided of this mapping.")
    ] = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take decisions back that are not written yet; they are open again."""
    project = the_project()
    if bool(ids) == bool(name):
        message = "which conflicts? name their ids, or a mapping by --mapping"
        raise InputError(message, hint="syncline conflicts list --state decided")
    if ids:
        _undone(project, ids, user, as_json=as_json)
        return
    wanted = where(project, name, state="decided")
    with the_store(project) as store:
        undone = store.undo_all(list(store.conflict_versions(wanted)), user=who(user))
    if as_json:
        show.line({"undone": undone})
    else:
        typer.echo(f"{len(undone):,} decisions taken back")


def _undone(project: Project, ids: Sequence[int], user: str | None, *, as_json: bool) -> None:
    with the_store(project) as store:
        for entry_id in ids:
            store.undo(entry_id, user=who(user))
    _after(project, ids, as_json=as_json)
