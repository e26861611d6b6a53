"""The HTTP API: what it reads. What it changes stands beside the pages that do (`decide`, `bulk`,
`rules`, `letters`); the app's own pages go through both.

Its document is at /api/openapi.json, and as a page at /api/docs.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from syncline.cli.show import plain
from syncline.review.links import conflict_link
from syncline.review.mask import masks_of
from syncline.review.view import shown_history
from syncline.review.web import audit, overview, render
from syncline.review.web.asked import PAGE, TheAsked
from syncline.review.web.conflicts import draft_of, entry_of, export_lines, listing, sides
from syncline.review.web.desk import TheDesk, TheUser, common
from syncline.review.web.sent import LARGEST, Before, Id, Json, as_json, part, two_ways, wants_page
from syncline.store import History

router = APIRouter(prefix="/api")
_LARGEST: Final = 1_000
Limit = Annotated[int, Query(ge=1, le=_LARGEST)]
Seen = Annotated[
    int | None,
    Query(ge=0, le=LARGEST, description="A version: is it another by now (`changed`)?"),
]


@router.get("/me", tags=["session"])
def me(user: TheUser) -> Json:
    """Who you are here, and whether you may decide."""
    return {"name": user.name, "role": user.role}


@router.get("/events", tags=["session"], response_class=StreamingResponse)
async def events(desk: TheDesk) -> Response:
    """Server-sent events, as long as you listen: `conflicts`, `dead-letters`, `runs` and `audit`
    say that something moved there, `conflict-ID` on which conflict, and by whom. Never a value.
    """
    return StreamingResponse(desk.feed.listen(), media_type="text/event-stream")


@router.get(
    "/mappings", tags=["mappings"], response_model=list[Json], **two_ways(page="the overview")
)
def mappings(request: Request, desk: TheDesk) -> Response | list[Json]:
    """Every mapping: its last run, what it promises, what waits."""
    cards = overview.cards(desk)
    if wants_page(request):
        return render.page("_cards.html", **common(request, desk, cards=cards))
    return [
        plain({name: value for name, value in asdict(card).items() if name != "plot"})
        for card in cards
    ]


@router.get(
    "/mappings/{name}/status", tags=["mappings"], response_model=Json, **two_ways(page="the same")
)
def status(request: Request, desk: TheDesk, name: str) -> Response | Json:
    """What `syncline status NAME --json` says: asks both databases."""
    desk.project.mapping(name)
    found = overview.live(desk, name)
    if wants_page(request):
        return render.page("_state.html", **found)
    if found["report"] is None:
        return {"error": found["error"], "hint": found["hint"]}
    report: Json = plain(found["report"].as_dict())
    return report


@router.get("/conflicts", tags=["conflicts"], response_model=Json, **two_ways(page="the list"))
def conflicts(request: Request, desk: TheDesk, asked: TheAsked) -> Response | Json:
    """A page of conflicts, without their records, and how many there are of what."""
    if wants_page(request):
        return render.page("_list.html", **common(request, desk, **listing(desk, asked)))
    where = asked.filter
    page = desk.store.conflict_page(where, sort=asked.sort, limit=PAGE, offset=asked.offset)
    lines = [asdict(line) | {"url": conflict_link(line.id)} for line in page.lines]
    answer: Json = plain(
        {
            "total": page.total,
            "page": asked.page,
            "more": page.more,
            "tally": asdict(desk.store.conflict_tally(where)),
            "conflicts": lines,
        }
    )
    return answer


@router.get("/conflicts.csv", tags=["conflicts"], response_class=Response)
def export(desk: TheDesk, asked: TheAsked) -> Response:
    """All conflicts of a filter, a line a field that is not alike; safe for spreadsheets."""
    return StreamingResponse(
        export_lines(desk, asked),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="conflicts.csv"'},
    )


@router.get(
    "/conflicts/{entry_id:int}",
    tags=["conflicts"],
    response_model=Json,
    **two_ways(page="it beside the list, or what became of it since `seen`"),
)
def conflict(
    request: Request, desk: TheDesk, user: TheUser, entry_id: Id, seen: Seen = None
) -> Response | Json:
    """One conflict side by side, with its history, and your draft for it."""
    entry = desk.store.conflict(entry_id)
    if wants_page(request) and part(request) == "banner":
        context = common(request, desk, entry=entry, version=seen)
        return render.page("_banner.html", **context)
    if wants_page(request):
        return render.page("_pane.html", **common(request, desk, **sides(desk, entry)))
    past = shown_history(desk.store.history(entry_id), masks_of(desk.project)(entry.mapping))
    draft = desk.store.drafts.of(user.name, entry_id)
    told: Json = {"history": [_event(one) for one in past]}
    told["draft"] = None if draft is None else draft_of(desk, draft)
    if seen is not None:
        told["changed"] = seen != entry.version
    return entry_of(desk, entry) | told


def _event(event: History) -> Json:
    answer: Json = as_json(event) | {"event": event.event.value}
    if answer.get("decision"):
        for hidden in ("source_prints", "target_prints"):
            answer["decision"].pop(hidden, None)
    return answer


@router.get("/runs", tags=["runs"])
def runs(desk: TheDesk, mapping: str = "", limit: Limit = 50, before: str = "") -> list[Json]:
    """Runs, newest first; `before` is the id of one: those that began earlier."""
    found = desk.store.runs(mapping or None, limit=limit, before=before or None)
    return [as_json(run) for run in found]


@router.get("/runs/{run_id}", tags=["runs"])
def run(desk: TheDesk, run_id: str) -> Json:
    """One run: its numbers, what it settled, its log as far as it is kept."""
    from syncline.log import kept, redacted

    found = as_json(desk.store.run(run_id))
    settled = audit.shown(desk, desk.store.audit_log(run_id=run_id, limit=_LARGEST))
    told = {"error": redacted(found["error"]), "log": redacted(kept(desk.project.log_dir, run_id))}
    return found | told | {"audit": [as_json(one) for one in settled]}


@router.get("/audit", tags=["audit"])
def audit_log(
    desk: TheDesk, mapping: str = "", q: str = "", limit: Limit = 100, before: Before = None
) -> list[Json]:
    """What was settled, by which strategy or whom, and the values that lost; newest first."""
    return [as_json(one) for one in audit.found(desk, mapping, q, limit, before)[0]]


@router.get("/docs", include_in_schema=False)
def docs(request: Request, desk: TheDesk) -> Response:
    """The API's document as a page of our own: the usual ones load scripts from elsewhere."""
    document = request.app.openapi()
    return render.page("api.html", **common(request, desk, document=document))
