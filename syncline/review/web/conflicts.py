"""Conflicts to look at: the list, one side by side, and the export."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from syncline.conflict import Kind
from syncline.review.export import csv_lines
from syncline.review.mask import masks_of
from syncline.review.view import shown_history, view
from syncline.review.web import render
from syncline.review.web.asked import AGES, PAGE, SORTS, STATES, Asked, TheAsked
from syncline.review.web.desk import Desk, Form, TheDesk, common
from syncline.store import Entry, State
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
            ages=AGES, sorts=SORTS, drafts=desk.drafts.by(request.state.user.name),
        ),
    )  # fmt: skip


@router.get("/conflicts/list")
def conflicts_again(request: Request, desk: TheDesk, asked: TheAsked) -> Response:
    """The list alone, for a page that is open already."""
    return render.page("_list.html", **common(request, desk, **listing(desk, asked)))


@router.get("/conflicts.csv")
def export(desk: TheDesk, asked: TheAsked) -> Response:
    """All conflicts of a filter, a line a field that is not alike on both sides."""
    return StreamingResponse(
        export_lines(desk, asked),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="conflicts.csv"'},
    )


def export_lines(desk: Desk, asked: Asked) -> Iterator[str]:
    """The export of a filter; masked values are hidden, and no cell is a formula."""
    return csv_lines(desk.store.each_conflict(asked.filter), masks_of(desk.project))


@router.get("/conflicts/{entry_id:int}")
def conflict(request: Request, desk: TheDesk, entry_id: int) -> Response:
    """One conflict, side by side."""
    return one(request, desk, desk.store.conflict(entry_id))


def one(
    request: Request, desk: Desk, entry: Entry, *, problem: str = "", form: Form | None = None,
    status: int = 200,
) -> Response:  # fmt: skip
    """The page of a conflict; with a form it is filled in again, as after a refusal."""
    user = request.state.user.name
    draft = desk.drafts.of(user, entry.id)
    if form is None and draft is not None and entry.state is State.OPEN:
        form = Form(draft.form)
    return render.page(
        "conflict.html",
        status=status,
        **common(
            request, desk, **sides(desk, entry), problem=problem, draft=draft, form=form or Form(),
            history=shown_history(
                desk.store.history(entry.id), masks_of(desk.project)(entry.mapping)
            ),
            wrote=desk.writer.last.get(entry.mapping),
        ),
    )  # fmt: skip


def sides(desk: Desk, entry: Entry) -> dict[str, Any]:
    """What a template needs to show a conflict."""
    masked = masks_of(desk.project)(entry.mapping)
    seconds = desk.writer.seconds_left(entry.mapping) if entry.state is State.DECIDED else None
    return {"entry": entry, "view": view(entry, masked), "seconds": seconds}


@router.get("/conflicts/{entry_id:int}/pane")
def pane(request: Request, desk: TheDesk, entry_id: int) -> Response:
    """One conflict, beside the list."""
    entry = desk.store.conflict(entry_id)
    return render.page("_pane.html", **common(request, desk, **sides(desk, entry)))


@router.get("/conflicts/{entry_id:int}/banner")
def banner(request: Request, desk: TheDesk, entry_id: int, version: int) -> Response:
    """What has become of a conflict since its page was opened; empty if nothing has."""
    entry = desk.store.conflict(entry_id)
    context = common(request, desk, entry=entry, version=version)
    return render.page("_banner.html", **context)


@router.get("/conflicts/{entry_id:int}/next")
def following(desk: TheDesk, entry_id: int) -> Response:
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
