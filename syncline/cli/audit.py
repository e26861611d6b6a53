"""`syncline conflicts audit`: who or what settled each record, when, why, and what lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncline.cli import show
from syncline.cli.chosen import Limit, OneName
from syncline.cli.command import JsonOption, the_project, the_store

if TYPE_CHECKING:
    from syncline.store import AuditEntry


def conflicts_audit(
    name: OneName = None,
    *,
    text: Annotated[str, typer.Option(help="With this in key, values, note or name.")] = "",
    limit: Limit = 100,
    as_json: JsonOption = False,
) -> None:
    """Show what settled records (a strategy, rule or person), and what lost."""
    from syncline.review.mask import masks_of, shown_record

    project = the_project()
    if name is not None:
        project.mapping(name)
    masks = masks_of(project)
    with the_store(project) as store:
        found = store.audit_log(name, limit, text or None)
    told = [(entry, shown_record(entry.loser, masks(entry.mapping)) or {}) for entry in found]
    # The store also finds a text in values that are masked: then it must not be shown to be there.
    told = [(entry, loser) for entry, loser in told if _has(text, entry, loser)]
    if as_json:
        for entry, loser in told:
            show.line(asdict(entry) | {"loser": loser})
        return
    if not told:
        typer.echo("nothing was settled yet")
        return
    show.table(
        ("when", "mapping", "key", "kind", "by", "won", "lost", "note"),
        [
            (show.when(e.at), e.mapping, e.key, e.kind, e.by, e.winner, loser, e.note)
            for e, loser in told
        ],
    )  # fmt: skip


def _has(text: str, entry: AuditEntry, loser: Mapping[str, Any]) -> bool:
    parts = (entry.key, loser, entry.note, entry.by, entry.winner)
    return text.casefold() in " ".join(map(show.raw, parts)).casefold()
