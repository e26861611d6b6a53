"""Deciding: one conflict or many, what it would write before it is done, and taking it back.

The pages and the HTTP API go through the same functions here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, get_args

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from syncline.errors import DecisionRefused, InputError
from syncline.log import redacted
from syncline.review import bulk
from syncline.review.mask import masks_of, shown, shown_record
from syncline.review.queue import Choice, Effect, choose, effect
from syncline.review.web import render
from syncline.review.web.asked import asked_in
from syncline.review.web.conflicts import one
from syncline.review.web.desk import Desk, Form, TheDesk, TheForm, TheUser, common
from syncline.store import Entry, Take
from syncline.store.conflicts import Filter

router = APIRouter()
TAKES: tuple[Take, ...] = get_args(Take)


# --- what both doors use ---------------------------------------------------------------------


def decide(desk: Desk, entry_id: int, choice: Choice, *, user: str, version: int | None) -> Entry:
    """Decide one conflict as somebody saw it; it is written soon after.

    Raises DecisionRefused where it is not what they saw any more, InputError for a choice that
    could not be written.
    """
    entry = desk.store.conflict(entry_id)
    made = choose(entry, choice, user=user, at=datetime.now(UTC))
    decided = desk.store.decide(entry_id, made, version=version)
    desk.drafts.drop(user, entry_id)
    desk.writer.soon(decided.mapping)
    desk.feed.hurry()
    return decided


def undo(desk: Desk, ids: Sequence[int], *, user: str) -> list[int]:
    """Take decisions back that are not written yet; the numbers of those."""
    undone = desk.store.undo_all(ids, user=user)
    desk.feed.hurry()
    return undone


def would(desk: Desk, entry: Entry, choice: Choice, *, user: str) -> Effect:
    """What a choice would do to the target, as a person may see it. Raises InputError."""
    masked = masks_of(desk.project)(entry.mapping)
    found = effect(entry, choose(entry, choice, user=user, at=datetime.now(UTC)))
    changes = {
        name: (shown(was, name in masked), shown(will, name in masked))
        for name, (was, will) in found.changes.items()
    }
    return replace(found, after=shown_record(found.after, masked), changes=changes)


def preview_all(desk: Desk, where: Filter, choice: Choice, *, user: str) -> bulk.Preview:
    """What a choice would write over the open conflicts of a filter."""
    return bulk.preview(desk.store, where, bulk.maker(choice, user=user), masks_of(desk.project))


def decide_all(desk: Desk, selection: str, choice: Choice, *, user: str) -> bulk.Decided:
    """Decide what a preview has looked at; it is written soon after."""
    done = bulk.decide(desk.store, selection, bulk.maker(choice, user=user))
    for mapping in done.by_mapping:
        desk.writer.soon(mapping)
    desk.feed.hurry()
    return done


# --- the pages -------------------------------------------------------------------------------


def choice_of(form: Form, take: str | None = None) -> Choice:
    """The choice that a form holds: `take`, a side for single fields, values of one's own."""
    wanted = take or form.one("take", "values")
    if wanted not in TAKES:
        raise InputError(f"there is nothing like take {wanted[:20]!r}: {', '.join(TAKES)}")
    sides: dict[str, Any] = {}
    texts: dict[str, str | None] = {}
    for name, values in form.items():
        part, _, field = name.partition(".")
        if part != "side" or not values[-1]:
            continue
        match values[-1]:
            case "source" | "target" as side:
                sides[field] = side
            case "edit":
                texts[field] = form.one(f"text.{field}").replace("\r\n", "\n")
            case "null":
                texts[field] = None
            case other:
                raise InputError(f"{field}: there is no side {other[:20]!r}")
    return Choice(wanted, sides, texts, form.one("note").strip())


@dataclass(frozen=True, slots=True)
class Would:
    """What one way to decide would do, or why it can't be."""

    take: Take
    effect: Effect | None
    problem: str = ""


@router.post("/conflicts/{entry_id:int}/preview")
def preview(
    request: Request, desk: TheDesk, user: TheUser, form: TheForm, entry_id: int
) -> Response:
    """What each way to decide would write, with what is chosen in the form."""
    entry = desk.store.conflict(entry_id)
    found: list[Would] = []
    for take in TAKES:
        try:
            found.append(Would(take, would(desk, entry, choice_of(form, take), user=user.name)))
        except InputError as error:
            found.append(Would(take, None, redacted(f"{error}. {error.hint}")))
    chosen = choice_of(form, "values")
    return render.page(
        "_would.html",
        **common(request, desk, found=found, picked=bool(chosen.sides or chosen.texts)),
    )


@router.post("/conflicts/{entry_id:int}/decide")
def decide_one(
    request: Request, desk: TheDesk, user: TheUser, form: TheForm, entry_id: int
) -> Response:
    """Decide one. What is refused is kept as a draft and shown beside what the conflict is now."""
    try:
        decide(desk, entry_id, choice_of(form), user=user.name, version=form.number("version"))
    except DecisionRefused as error:
        desk.drafts.keep(user.name, entry_id, form, str(error))
        return _refused(request, desk, entry_id, f"{error}. Your choice is kept as a draft.")
    except InputError as error:
        if form.one("row"):
            return _row(request, desk, entry_id, 422, str(error))
        entry = desk.store.conflict(entry_id)
        told = redacted(f"{error}. {error.hint}")
        return one(request, desk, entry, problem=told, form=form, status=422)
    if form.one("row"):
        return _row(request, desk, entry_id)
    return RedirectResponse(f"/conflicts/{entry_id}", 303)


@router.post("/conflicts/{entry_id:int}/undo")
def undo_one(
    request: Request, desk: TheDesk, user: TheUser, form: TheForm, entry_id: int
) -> Response:
    """Take a decision back."""
    if not undo(desk, [entry_id], user=user.name):
        entry = desk.store.conflict(entry_id)
        told = f"conflict {entry_id} is {entry.state.value}: there is no decision to take back"
        return _refused(request, desk, entry_id, told)
    if form.one("row"):
        return _row(request, desk, entry_id, told=f"conflict {entry_id} is open again")
    return RedirectResponse(f"/conflicts/{entry_id}", 303)


@router.post("/conflicts/{entry_id:int}/draft")
def drop_draft(desk: TheDesk, user: TheUser, entry_id: int) -> Response:
    """Forget a draft."""
    desk.drafts.drop(user.name, entry_id)
    return RedirectResponse(f"/conflicts/{entry_id}", 303)


def _refused(request: Request, desk: Desk, entry_id: int, told: str) -> Response:
    if request.headers.get("hx-request"):
        return _row(request, desk, entry_id, 409, told)
    return one(request, desk, desk.store.conflict(entry_id), problem=redacted(told), status=409)


def _row(
    request: Request, desk: Desk, entry_id: int, status: int = 200, told: str = ""
) -> Response:
    """A line of the list, as the conflict is now."""
    found = desk.store.conflict_page(Filter(state=None, ids=[entry_id]), limit=1)
    answer = render.page(
        "_row.html",
        status=status,
        **common(request, desk, line=found.lines[0], flash=status != HTTPStatus.OK),
    )
    if told:
        answer.headers["hx-trigger"] = json.dumps({"told": redacted(told)})
    return answer


@router.post("/conflicts/bulk/preview")
def bulk_preview(request: Request, desk: TheDesk, user: TheUser, form: TheForm) -> Response:
    """What a choice would write to the selected conflicts, or to all of a filter."""
    where = asked_in(form).filter
    if form.one("scope") != "filter":
        where = Filter(ids=[int(text) for text in form.get("id", []) if text.isdecimal()])
    choice = choice_of(form)
    found = preview_all(desk, where, choice, user=user.name)
    return render.page("bulk.html", **common(request, desk, found=found, choice=choice))


@router.post("/conflicts/bulk/decide")
def bulk_decide(request: Request, desk: TheDesk, user: TheUser, form: TheForm) -> Response:
    """Decide what the preview showed."""
    done = decide_all(desk, form.one("selection"), choice_of(form), user=user.name)
    ids = [number for numbers in done.by_mapping.values() for number in numbers]
    taken = bulk.selection_of(dict.fromkeys(ids, 0))
    return render.page("bulk_done.html", **common(request, desk, done=done, taken=taken))


@router.post("/conflicts/bulk/undo")
def bulk_undo(request: Request, desk: TheDesk, user: TheUser, form: TheForm) -> Response:
    """Take back what a bulk decision decided, as far as it is not written yet."""
    ids = list(bulk.seen_in(form.one("selection")))
    undone = undo(desk, ids, user=user.name)
    return render.page("bulk_undone.html", **common(request, desk, undone=len(undone), of=len(ids)))
