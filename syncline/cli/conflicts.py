"""`syncline conflicts list`, `show` and `export`: the queue of what waits for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncline.cli import show
from syncline.cli.chosen import (
    AsOption,
    FieldOption,
    KindOption,
    Limit,
    NewerOption,
    Offset,
    OlderOption,
    OneName,
    SortOption,
    StateOption,
    TextOption,
    where,
)
from syncline.cli.command import JsonOption, note, the_project, the_store

if TYPE_CHECKING:
    from syncline.project import Project
    from syncline.review.difference import Piece
    from syncline.review.mask import Masked, Masks
    from syncline.review.view import FieldView, View
    from syncline.review.whatif import Answer
    from syncline.store import Entry, Filter, History, Line, Page, Store

Id = Annotated[int, typer.Argument(metavar="ID", help="The conflict, as `list` shows it.")]


def conflicts_list(
    name: OneName = None,
    *,
    state: StateOption = "waiting",
    field: FieldOption = None,
    kind: KindOption = None,
    text: TextOption = "",
    older: OlderOption = None,
    newer: NewerOption = None,
    sort: SortOption = "newest",
    limit: Limit = 100,
    offset: Offset = 0,
    strategy: AsOption = None,
    count: Annotated[
        bool, typer.Option("--count", help="Only how many: by state, mapping, kind and field.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List conflicts, the newest first."""
    from syncline.review.links import conflict_link
    from syncline.review.mask import masks_of

    project = the_project()
    wanted = where(
        project, name, state=state, field=field, kind=kind, text=text, older=older, newer=newer
    )
    masks = masks_of(project)
    with the_store(project) as store:
        if count:
            _counted(store, wanted, as_json=as_json)
            return
        page = store.conflict_page(wanted, sort=sort, limit=limit, offset=offset)
        if as_json or strategy:
            entries = _whole(store, page)
            answers = _answers(project, strategy, entries)
        else:
            entries, answers = [], {}
    if as_json:
        for entry in entries:
            told = _answer_content(answers.get(entry.id), masks(entry.mapping))
            show.line(content(entry, masks) | told)
        return
    if not page.total:
        typer.echo("no conflicts" if state == "all" else f"no conflicts are {state}")
        return
    _table(page, {e.id: _answer_text(answers.get(e.id), masks(e.mapping)) for e in entries})
    if page.more or offset:
        note(f"{len(page.lines):,} of {page.total:,}; --limit and --offset show the others")
    if page.lines and (url := conflict_link(page.lines[0].id)):
        note(f"each is to be seen by its id, as {url}")


def _whole(store: Store, page: Page) -> list[Entry]:
    """The entries of a page, in its order."""
    from syncline.store import Filter

    ids = [line.id for line in page.lines]
    found = {entry.id: entry for entry in store.each_conflict(Filter(state=None, ids=ids))}
    return [found[number] for number in ids if number in found]


def _counted(store: Store, wanted: Filter, *, as_json: bool) -> None:
    found = store.conflict_tally(wanted)
    if as_json:
        show.line(asdict(found))
        return
    typer.echo(f"{found.total:,} conflicts")
    parts = {
        "state": found.by_state,
        "mapping": found.by_mapping,
        "kind": found.by_kind,
        "contested field": found.by_field,
    }
    rows = [(part, name, n) for part, counts in parts.items() for name, n in counts.items()]
    show.table(("by", "", "conflicts"), rows)


def _table(page: Page, answers: Mapping[int, str]) -> None:
    head = ("id", "mapping", "key", "kind", "state", "contested", "since")
    show.table(
        (*head, "would") if answers else head,
        [(*_cells(line), answers.get(line.id, "")) if answers else _cells(line)
         for line in page.lines],
    )  # fmt: skip


def _cells(line: Line) -> tuple[Any, ...]:
    return (
        str(line.id),
        line.mapping,
        line.key,
        line.kind.value,
        line.state.value,
        ", ".join(sorted(line.contested)),
        show.when(line.created_at),
    )


# --- what if ---


def _answers(project: Project, strategy: str | None, entries: Sequence[Entry]) -> dict[int, Answer]:
    from syncline.review.whatif import answer_as, near_of, strategy_named

    if strategy is None:
        return {}
    resolve = strategy_named(project, strategy)
    near = {name: near_of(project, name) for name in {entry.mapping for entry in entries}}
    return {entry.id: answer_as(entry, strategy, resolve, near[entry.mapping]) for entry in entries}


def _answer_content(answer: Answer | None, masked: Masked) -> dict[str, Any]:
    from syncline.review.mask import shown, shown_record

    if answer is None:
        return {}
    changes = {
        name: [shown(was, name in masked), shown(will, name in masked)]
        for name, (was, will) in answer.changes.items()
    }
    told = asdict(answer) | {"after": shown_record(answer.after, masked), "changes": changes}
    return {"would": told}


def _answer_text(answer: Answer | None, masked: Masked) -> str:
    from syncline.review.mask import shown

    if answer is None:
        return ""
    if answer.asks:
        return f"ask: {answer.reason}"
    if answer.changes:
        return ", ".join(
            f"{name}={show.raw(shown(will, name in masked))}"
            for name, (_, will) in answer.changes.items()
        )
    return "no record" if answer.after is None else "keep the target"


# --- one ---


def content(entry: Entry, masks: Masks) -> dict[str, Any]:
    """An entry as `--json` prints it; masked values are hidden."""
    from syncline.review.links import conflict_link
    from syncline.review.view import shown_entry

    shown = asdict(shown_entry(entry, masks(entry.mapping))) | {"url": conflict_link(entry.id)}
    shown["state"], shown["kind"] = entry.state.value, entry.kind.value
    return shown


def conflicts_show(entry_id: Id, *, strategy: AsOption = None, as_json: JsonOption = False) -> None:
    """Show a conflict side by side, and its history."""
    from syncline.review.links import conflict_link
    from syncline.review.mask import masks_of
    from syncline.review.view import shown_history, view

    project = the_project()
    with the_store(project) as store:
        entry, past = store.conflict(entry_id), store.history(entry_id)
    masks = masks_of(project)
    masked = masks(entry.mapping)
    answer = _answers(project, strategy, [entry]).get(entry.id)
    past = shown_history(past, masked)
    if as_json:
        told = content(entry, masks) | view(entry, masked).content
        told |= {"history": [asdict(event) for event in past]}
        show.line(told | _answer_content(answer, masked))
        return
    _side_by_side(view(entry, masked))
    if url := conflict_link(entry.id):
        typer.echo(url)
    _decided(entry, masked)
    if answer is not None:
        typer.echo(f"{answer.strategy} would: {_answer_text(answer, masked)}")
    _told(past)


def _side_by_side(seen: View) -> None:
    entry = seen.entry
    head = f"conflict {entry.id}: {entry.mapping} {show.cell(entry.key)}"
    typer.echo(f"{head}: {entry.kind.value}, {entry.state.value}")
    if entry.reason:
        typer.echo(entry.reason)
    if entry.source is None:
        typer.echo("the source record is gone")
    if entry.target is None:
        typer.echo("the target record is gone")
    rows = [row for field in seen.fields for row in _rows(field)]
    show.table(("field", "source", "baseline", "target", "moved"), rows)
    if seen.known == "sides":
        typer.echo("of the baseline only which side moved is known (`keep: values` keeps more)")


def _rows(field: FieldView) -> list[tuple[Any, ...]]:
    moved = "" if field.moved == "neither" else field.moved
    if field.merges:
        moved = f"{field.merges}, merges by itself"
    if field.together:
        moved = f"{moved}; goes with {', '.join(field.together)}".removeprefix("; ")
    if not field.paths:
        source = _marked(field.source_pieces) or field.source
        target = _marked(field.target_pieces) or field.target
        return [(field.name, source, field.baseline, target, moved)]
    rows: list[tuple[Any, ...]] = [(field.name, "", "", "", moved)]
    for at in field.paths:
        path_moved = "" if at.moved == "neither" else at.moved
        rows.append((f"  {at.path}", at.source, at.baseline, at.target, path_moved))
    return rows


def _marked(pieces: Sequence[Piece]) -> Any:
    """A text with what the other side lacks in bold and underlined, if they have much in common."""
    from rich.text import Text

    if all(piece.changed for piece in pieces):
        return None
    return Text.assemble(*((p.text, "bold underline" if p.changed else "") for p in pieces))


def _decided(entry: Entry, masked: Masked) -> None:
    from syncline.review.mask import shown_record
    from syncline.review.queue import result
    from syncline.review.view import shown_decision

    made = shown_decision(entry.decision, masked)
    if entry.decision is None or made is None:
        return
    typer.echo(f"decided by {made.user} at {show.when(made.at)}: take {made.take}")
    after = shown_record(result(entry, entry.decision), masked)
    show.facts(
        {
            "  sides": made.sides or None,
            "  values": made.values or None,
            "  note": made.note,
            "  leaves": "no record" if after is None else after,
        }
    )


def _told(past: Sequence[History]) -> None:
    show.table(
        ("when", "what", "by", "note"),
        [
            (show.when(event.at), event.event.value, event.by or event.run_id, event.note)
            for event in past
        ],
    )


# --- export ---


def conflicts_export(
    name: OneName = None,
    *,
    state: StateOption = "waiting",
    field: FieldOption = None,
    kind: KindOption = None,
    text: TextOption = "",
    older: OlderOption = None,
    newer: NewerOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Else to stdout.")
    ] = None,
) -> None:
    """Write conflicts as CSV, a line for each field that differs, oldest first."""
    from syncline.review.export import csv_lines
    from syncline.review.mask import masks_of

    project = the_project()
    wanted = where(
        project, name, state=state, field=field, kind=kind, text=text, older=older, newer=newer
    )
    with the_store(project) as store:
        lines = csv_lines(store.each_conflict(wanted), masks_of(project))
        if output is None:
            for line in lines:
                typer.echo(line, nl=False)
            return
        with output.open("w", encoding="utf-8", newline="") as file:
            written = sum(bool(file.write(line)) for line in lines)
    note(f"{output}: {written - 1:,} lines")
