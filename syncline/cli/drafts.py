"""`syncline conflicts drafts`: decisions that were refused, kept until their maker decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncline.cli import show
from syncline.cli.command import JsonOption, the_project, the_store
from syncline.cli.resolve import UserOption, who

if TYPE_CHECKING:
    from syncline.project import Project
    from syncline.store import Draft, Store


def conflicts_drafts(
    discard: Annotated[
        list[int] | None,
        typer.Option("--discard", metavar="ID", help="Forget that of this conflict; repeatable."),
    ] = None,
    *,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List your decisions that were refused, the newest first.

    A side had moved, or somebody was faster. Each goes once you decide its conflict.
    """
    project, name = the_project(), who(user)
    with the_store(project) as store:
        if discard:
            gone = [number for number in dict.fromkeys(discard) if store.drafts.drop(name, number)]
            told = {"discarded": gone}
            show.line(told) if as_json else typer.echo(f"{len(gone):,} drafts discarded")
            return
        found = _contents(project, store, store.drafts.by(name))
    if as_json:
        for one in found:
            show.line(one)
    elif not found:
        typer.echo(f"no drafts of {name}")
    else:
        show.table(
            ("conflict", "chosen", "note", "refused", "when"),
            [
                (
                    str(one["conflict"]),
                    _chosen(one),
                    one["note"],
                    one["reason"],
                    show.when(one["at"]),
                )
                for one in found
            ],
        )


def _contents(project: Project, store: Store, drafts: list[Draft]) -> list[dict[str, Any]]:
    from syncline.review.mask import masks_of
    from syncline.review.view import draft_content

    masks = masks_of(project)
    return [draft_content(one, masks(store.conflict(one.conflict).mapping)) for one in drafts]


def _chosen(one: dict[str, Any]) -> str:
    parts = [] if one["take"] == "values" else [one["take"]]
    parts += [f"{name}: {side}" for name, side in one["sides"].items()]
    parts += [f"{name}={show.raw(value)}" for name, value in one["values"].items()]
    return ", ".join(parts)
