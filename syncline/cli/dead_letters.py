"""`syncline dead-letters`: records that could not be mapped or written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from syncline.cli import show
from syncline.cli.chosen import Limit, Offset, OneName, one_of
from syncline.cli.command import (
    JsonOption,
    YesOption,
    confirm,
    end,
    note,
    the_project,
    the_store,
)
from syncline.cli.resolve import UserOption, who
from syncline.cli.run import failed, told
from syncline.errors import InputError, SynclineError

if TYPE_CHECKING:
    from syncline.project import Project
    from syncline.store import DeadLetter, Store

Id = Annotated[int, typer.Argument(metavar="ID", help="The dead letter, as `list` shows it.")]
Ids = Annotated[
    list[int] | None, typer.Argument(metavar="ID", help="Dead letters, as `list` shows them.")
]
Of = Annotated[
    str | None, typer.Option("--mapping", metavar="NAME", help="All of this mapping, instead.")
]
_ALL = 1_000_000


def dead_letters_list(
    name: OneName = None, *, limit: Limit = 100, offset: Offset = 0, as_json: JsonOption = False
) -> None:
    """List dead letters, the newest first."""
    from syncline.review.mask import column_masks_of, shown_letter

    project = the_project()
    if name is not None:
        project.mapping(name)
    with the_store(project) as store:
        letters = store.dead_letters(name, limit=limit, offset=offset)
    masks = column_masks_of(project)
    letters = [shown_letter(letter, masks(letter.mapping)) for letter in letters]
    if as_json:
        for letter in letters:
            show.line(asdict(letter))
    elif not letters:
        typer.echo("no dead letters")
    else:
        show.table(
            ("id", "mapping", "key", "stage", "field", "error", "tries", "since"),
            [
                (
                    str(letter.id),
                    letter.mapping,
                    letter.ledger_key or "not readable",
                    letter.stage,
                    letter.field or "",
                    letter.error,
                    letter.attempts,
                    show.when(letter.created_at),
                )
                for letter in letters
            ],
        )


def dead_letters_show(letter_id: Id, *, as_json: JsonOption = False) -> None:
    """Show the record as it was read, and why it failed."""
    from syncline.review.mask import column_masks_of, shown_letter

    project = the_project()
    with the_store(project) as store:
        letter = store.dead_letter(letter_id)
    letter = shown_letter(letter, column_masks_of(project)(letter.mapping))
    if as_json:
        show.line(asdict(letter))
        return
    typer.echo(f"dead letter {letter.id}: {letter.mapping} {letter.ledger_key or ''}")
    where = f" in {letter.field}" if letter.field else ""
    show.facts(
        {
            "error": f"{letter.error} ({letter.stage}{where})",
            "run": letter.run_id,
            "tries": letter.attempts,
            "since": show.when(letter.created_at),
        }
    )
    show.table(("column", "value"), list(letter.source.items()))


def dead_letters_replay(
    ids: Ids = None, *, name: Of = None, user: UserOption = None, as_json: JsonOption = False
) -> None:
    """Read the sources again, and sync them.

    What goes through is no dead letter any more.
    """
    from syncline.decide import replay
    from syncline.review.dead_letters import told_of

    project = the_project()
    with the_store(project) as store:
        by_mapping = _by_mapping(_wanted(store, ids, name))
    if not by_mapping:
        note("no dead letters")
    codes: list[int] = []
    for mapping, letters in by_mapping.items():
        project.mapping(mapping)
        try:
            summary = replay(project, mapping, [letter.id for letter in letters])
        except SynclineError as error:
            codes.append(failed(mapping, error, as_json=as_json, mode="replay"))
            continue
        told(summary, as_json=as_json)
        with the_store(project) as store:
            store.audit(told_of(letters, "replayed", who(user)))
            left = {letter.id for letter in store.dead_letters(mapping, limit=_ALL)}
        _still(mapping, [letter for letter in letters if letter.id in left], len(letters))
    end(codes)


def _still(mapping: str, still: Sequence[DeadLetter], tried: int) -> None:
    if still:
        note(f"{mapping}: {len(still):,} of {tried:,} failed again")
    if any(letter.ledger_key is None for letter in still):
        note(f"{mapping}: a record without a key needs: syncline run {mapping} --full")


def dead_letters_mend(
    letter_id: Id,
    *,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="COLUMN=VALUE", help="The value that was meant; may be repeated."
        ),
    ] = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sync a record with values of your own in the place of those that failed.

    The source keeps its own: mend them there too, else the next full read fails on them again.
    """
    from syncline.review.dead_letters import replay_mended, told_of

    project = the_project()
    texts = one_of(given, "--set")
    if not texts:
        message = "which values? there is nothing to mend"
        raise InputError(message, hint=f"syncline dead-letters mend {letter_id} --set COLUMN=VALUE")
    with the_store(project) as store:
        letter = store.dead_letter(letter_id)
    told(replay_mended(project, letter, texts), as_json=as_json)
    with the_store(project) as store:
        store.audit(told_of([letter], "mended", who(user), ", ".join(sorted(texts))))
        left = {one.id for one in store.dead_letters(letter.mapping, limit=_ALL)}
    _still(letter.mapping, [letter] if letter_id in left else [], 1)


def dead_letters_drop(
    ids: Ids = None, *, name: Of = None, yes: YesOption = False, user: UserOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Forget dead letters.

    The records stay out of the target until their source changes.
    """
    from syncline.review.dead_letters import told_of

    project = the_project()
    with the_store(project) as store:
        letters = _wanted(store, ids, name)
        if letters:
            confirm(f"Forget {len(letters):,} dead letters?", yes=yes)
    dropped = sum(
        _dropped(project, mapping, [letter.id for letter in some])
        for mapping, some in _by_mapping(letters).items()
    )
    with the_store(project) as store:
        store.audit(told_of(letters, "dropped", who(user)))
    if as_json:
        show.line({"dropped": dropped})
    else:
        typer.echo(f"{dropped:,} dead letters forgotten")


def _dropped(project: Project, mapping: str, ids: Sequence[int]) -> int:
    from syncline.decide import drop

    if any(path.stem == mapping for path in project.mapping_paths):
        return drop(project, mapping, ids)
    with the_store(project) as store:  # its mapping is gone, and with it where the ledger stands
        return store.drop_dead_letters(ids)


def _wanted(store: Store, ids: Sequence[int] | None, name: str | None) -> list[DeadLetter]:
    if bool(ids) == bool(name):
        message = "which dead letters? name their ids, or a mapping by --mapping"
        raise InputError(message, hint="syncline dead-letters list")
    if name:
        return store.dead_letters(name, limit=_ALL)
    return [store.dead_letter(letter_id) for letter_id in dict.fromkeys(ids or ())]


def _by_mapping(letters: Sequence[DeadLetter]) -> dict[str, list[DeadLetter]]:
    found: dict[str, list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        found[letter.mapping].append(letter)
    return dict(found)
