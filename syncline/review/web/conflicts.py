"""Conflicts to look at: the list, one side by side, and the export."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from syncline.conflict import Kind
from syncline.review.mask import masks_of, shown_record
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
        csv_lines(desk, asked.filter),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="conflicts.csv"'},
    )


_COLUMNS = (
    "id", "mapping", "key", "kind", "state", "since", "reason", "field", "contested", "moved",
    "source", "baseline", "target", "decided_by", "take", "note",
)  # fmt: skip


def csv_lines(desk: Desk, where: Filter) -> Iterator[str]:
    """The export; no cell can be taken for a formula by a spreadsheet."""
    masked = masks_of(desk.project)
    yield _csv(_COLUMNS)
    for entry in desk.store.each_conflict(where):
        found = view(entry, masked(entry.mapping))
        made = found.entry.decision
        head = (
            entry.id, entry.mapping, render.one_line(entry.key, 1000), entry.kind.value,
            entry.state.value, entry.created_at.isoformat(), found.entry.reason,
        )  # fmt: skip
        tail = (made.user, made.take, made.note) if made else ("", "", "")
        for one in found.fields:
            if not one.alike:
                yield _csv(
                    (
                        *head, one.name, one.contested, one.moved,
                        *(render.typed(side) for side in (one.source, one.baseline, one.target)),
                        *tail,
                    )
                )  # fmt: skip


def _csv(cells: Any) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([_safe(cell) for cell in cells])
    return line.getvalue()


def _safe(cell: Any) -> str:
    """A cell that no spreadsheet runs: https://owasp.org/www-community/attacks/CSV_Injection."""
    text = str(cell)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


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


def visible_record(desk: Desk, entry: Entry) -> dict[str, Any] | None:
    """The target's record as a person may see it."""
    return shown_record(entry.target, masks_of(desk.project)(entry.mapping))
