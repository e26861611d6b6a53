"""Deciding many conflicts at once: previewed, decided, and taken back.

The same addresses serve programs and the app's own pages (`sent`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from syncline.cli.show import plain
from syncline.review import bulk
from syncline.review.bulk import Decided
from syncline.review.mask import masks_of
from syncline.review.web import render
from syncline.review.web.answers import sent_on
from syncline.review.web.bodies import BulkDecideBody, BulkPreviewBody, UndoBody
from syncline.review.web.desk import Desk, TheDesk, TheUser, common
from syncline.review.web.sent import Json, as_json, two_ways, wants_page

router = APIRouter(prefix="/api", tags=["conflicts"])


@router.post(
    "/conflicts/bulk/preview",
    response_model=Json,
    **two_ways(BulkPreviewBody, page="what would be written, which asks"),
)
def bulk_preview(
    request: Request, desk: TheDesk, user: TheUser, body: BulkPreviewBody
) -> Response | Json:
    """What one choice would write over many; its `selection` is what `bulk/decide` takes."""
    make = bulk.maker(body.chosen, user=user.name)
    found = bulk.preview(desk.store, body.which.filter, make, masks_of(desk.project))
    if wants_page(request):
        context = common(request, desk, found=found, choice=body.chosen, back=_list_of(request))
        return render.page("bulk.html", **context)
    return as_json(found)


@router.post(
    "/conflicts/bulk/decide",
    response_model=Json,
    **two_ways(BulkDecideBody, page="what was decided, and what not"),
)
def bulk_decide(
    request: Request, desk: TheDesk, user: TheUser, body: BulkDecideBody
) -> Response | Json:
    """Decide what a preview has looked at; it is written soon after. What has changed since is
    left, and told in `refused`.
    """
    done = bulk.decide(desk.store, body.selection, bulk.maker(body.chosen, user=user.name))
    for mapping in done.by_mapping:
        desk.writer.soon(mapping)
    desk.feed.hurry()
    return told_done(request, desk, done)


@router.post(
    "/conflicts/bulk/undo",
    response_model=Json,
    **two_ways(UndoBody, page="how many are open again"),
)
def bulk_undo(request: Request, desk: TheDesk, user: TheUser, body: UndoBody) -> Response | Json:
    """Take decisions back that are not written yet: those of `ids`, or of a `selection`."""
    ids = body.numbers
    undone = undo(desk, ids, user=user.name)
    if wants_page(request):
        context = common(request, desk, undone=len(undone), of=len(ids), back=_list_of(request))
        return render.page("bulk_undone.html", **context)
    return {"undone": undone}


def undo(desk: Desk, ids: Sequence[int], *, user: str) -> list[int]:
    """Take decisions back that are not written yet; the numbers of those."""
    undone = desk.store.undo_all(ids, user=user)
    desk.feed.hurry()
    return undone


def told_done(request: Request, desk: Desk, done: Decided) -> Response | Json:
    """What a bulk decision did; a page of it can take it back."""
    ids = [number for numbers in done.by_mapping.values() for number in numbers]
    taken = bulk.selection_of(dict.fromkeys(ids, 0))
    if wants_page(request):
        context = common(request, desk, done=done, taken=taken, back=_list_of(request))
        return render.page("bulk_done.html", **context)
    answer: Json = plain({"count": done.count, "selection": taken, **asdict(done)})
    return answer


def _list_of(request: Request) -> str:
    """The list that the form was on, with its filter; else the list of all."""
    page = sent_on(request.url.path, request.headers)
    return page if urlsplit(page).path == "/conflicts" else "/conflicts"
