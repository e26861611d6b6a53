"""Conflicts to look at: the list, and one side by side; as pages, and as the API gives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from syncline.cli.show import plain
from syncline.conflict import Kind
from syncline.review.export import csv_lines
from syncline.review.links import conflict_link
from syncline.review.mask import HIDDEN, Masked, masks_of
from syncline.review.view import draft_content, shown_history, view
from syncline.review.web import render
from syncline.review.web.asked import AGES, PAGE, SORTS, STATES, Asked, TheAsked
from syncline.review.web.desk import Desk, TheDesk, common
from syncline.review.web.sent import Form, Id, Json
from syncline.store import Draft, Entry, State
from syncline.store.conflicts import Filter

router = APIRouter()
KINDS = tuple(kind.value for kind in Kind)


def listing(desk: Desk, asked: Asked) -> dict[str, Any]:
    """What the list shows of a filter."""
    where = asked.filter
    page = desk.store.conflict_page(where, sort=asked.sort, limit=PAGE, offset=asked.offset)
    tally = desk.store.conflict_tally(where)
    return {"asked": asked, "page": page, "tally": tally, "last": max(1, -(-page.total // PAGE))}


@router.get("/conflicts")
def conflicts(request: Request, desk: TheDesk, asked: TheAsked) -> Response:
    """The list, with its filters."""
    return render.page(
        "conflicts.html",
        **common(
            request, desk, **listing(desk, asked), names=desk.names, kinds=KINDS, states=STATES,
            ages=AGES, sorts=SORTS, drafts=desk.store.drafts.by(request.state.user.name),
        ),
    )  # fmt: skip


def export_lines(desk: Desk, asked: Asked) -> Iterator[str]:
    """The export of a filter; masked values are hidden, and no cell is a formula."""
    return csv_lines(desk.store.each_conflict(asked.filter), masks_of(desk.project))


@router.get("/conflicts/{entry_id:int}")
def conflict(request: Request, desk: TheDesk, entry_id: Id) -> Response:
    """One conflict, side by side."""
    return one(request, desk, desk.store.conflict(entry_id))


def one(
    request: Request, desk: Desk, entry: Entry, *, problem: str = "", form: Form | None = None,
    status: int = 200,
) -> Response:  # fmt: skip
    """The page of a conflict; with a form it is filled in again, as after a refusal."""
    draft = desk.store.drafts.of(request.state.user.name, entry.id)
    masked = masks_of(desk.project)(entry.mapping)
    if form is None and draft is not None and entry.state is State.OPEN:
        form = _form_of(draft, masked)
    return render.page(
        "conflict.html",
        status=status,
        **common(
            request, desk, **sides(desk, entry), problem=problem, form=form or Form(),
            draft=None if draft is None else draft_of(desk, draft),
            history=shown_history(desk.store.history(entry.id), masked),
            wrote=desk.writer.last.get(entry.mapping),
        ),
    )  # fmt: skip


def sides(desk: Desk, entry: Entry) -> dict[str, Any]:
    """What a template needs to show a conflict."""
    masked = masks_of(desk.project)(entry.mapping)
    seconds = desk.writer.seconds_left(entry.mapping) if entry.state is State.DECIDED else None
    return {"entry": entry, "view": view(entry, masked), "seconds": seconds}


def entry_of(desk: Desk, entry: Entry) -> Json:
    """A conflict as the API gives it: side by side, masked values hidden."""
    found = view(entry, masks_of(desk.project)(entry.mapping))
    told = asdict(found.entry) | {"state": entry.state.value, "kind": entry.kind.value}
    answer: Json = plain(told | found.content | {"url": conflict_link(entry.id)})
    for hidden in ("source_prints", "target_prints", "ledger_key"):
        answer.pop(hidden, None)
    return answer


def draft_of(desk: Desk, draft: Draft) -> Json:
    """A draft as its maker may see it, masked values hidden."""
    mapping = desk.store.conflict(draft.conflict).mapping
    answer: Json = plain(draft_content(draft, masks_of(desk.project)(mapping)))
    return answer


def _form_of(draft: Draft, masked: Masked) -> Form:
    """A draft as the form that it was. A hidden value comes back as the sign for it, and then
    stands for what was typed.
    """
    form = Form(note=[draft.note])
    form.update({f"side.{name}": [side] for name, side in draft.sides.items()})
    for name, text in draft.texts.items():
        form[f"side.{name}"] = ["null" if text is None else "edit"]
        if text is not None:
            form[f"text.{name}"] = [HIDDEN if name in masked else text]
    return form


@router.get("/conflicts/{entry_id:int}/next")
def following(desk: TheDesk, entry_id: Id) -> Response:
    """The next open conflict: of the same mapping if there is one, else of any."""
    entry = desk.store.conflict(entry_id)
    for mapping in (entry.mapping, None):
        where = Filter(mapping=mapping, state=(State.OPEN,))
        open_ones = desk.store.conflict_versions(where)
        later = next((number for number in open_ones if number > entry_id), None)
        first = next((number for number in open_ones if number != entry_id), None)
        if found := later or first:
            return RedirectResponse(f"/conflicts/{found}", 303)
    return RedirectResponse("/conflicts", 303)
