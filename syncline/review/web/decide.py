"""Deciding one conflict: what it would write before it is done, drafts, and taking it back.

The same addresses serve programs and the app's own pages (`sent`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from syncline.errors import DecisionRefused, InputError
from syncline.log import redacted
from syncline.review.mask import HIDDEN, masks_of, shown, shown_record
from syncline.review.queue import Choice, Effect, choose, effect
from syncline.review.web import render
from syncline.review.web.bodies import TAKES, DecideBody, PreviewBody
from syncline.review.web.conflicts import draft_of, entry_of, one
from syncline.review.web.desk import Desk, TheDesk, TheUser, common
from syncline.review.web.sent import Form, Id, Json, as_json, in_words, part, two_ways, wants_page
from syncline.store import Entry, Take
from syncline.store.conflicts import Filter

router = APIRouter(prefix="/api", tags=["conflicts"])


def decide(desk: Desk, entry_id: int, choice: Choice, *, user: str, version: int | None) -> Entry:
    """Decide one conflict as somebody saw it; it is written soon after.

    Raises DecisionRefused where it is not what they saw any more (their choice is kept as a draft),
    InputError for a choice that could not be written.
    """
    entry = desk.store.conflict(entry_id)
    choice = replace(choice, texts=_typed(desk, entry, choice.texts, user))
    try:
        made = _made(entry, choice, user, version)
        decided = desk.store.decide(entry_id, made, version=version)
    except DecisionRefused as error:
        desk.store.drafts.keep(user, choice.refused(entry_id, str(error)))
        message = f"{error}: your choice is kept as a draft"
        raise DecisionRefused(message, hint=error.hint) from error
    desk.writer.soon(decided.mapping)
    desk.feed.hurry()
    return decided


def _made(entry: Entry, choice: Choice, user: str, version: int | None) -> Any:
    try:
        return choose(entry, choice, user=user, at=datetime.now(UTC))
    except InputError as error:
        if version is None or version == entry.version:
            raise
        # It may well have fitted what they saw.
        message = f"conflict {entry.id} has changed since it was shown"
        raise DecisionRefused(message, hint="look again") from error


def _typed(
    desk: Desk, entry: Entry, texts: Mapping[str, str | None], user: str
) -> dict[str, str | None]:
    """The texts, each that is hidden by what the user's draft has for it. Raises InputError where
    it has none: the sign for a hidden value is no value.
    """
    masked = masks_of(desk.project)(entry.mapping)
    hidden = [name for name, text in texts.items() if text == HIDDEN and name in masked]
    draft = desk.store.drafts.of(user, entry.id) if hidden else None
    kept: Mapping[str, str | None] = {} if draft is None else draft.texts
    for name in hidden:
        if name not in kept:
            message = f"{name}: {HIDDEN} stands for a value that is hidden, and is none itself"
            raise InputError(message, hint="type the value that is meant")
    return {name: kept[name] if name in hidden else text for name, text in texts.items()}


def would(desk: Desk, entry: Entry, choice: Choice, *, user: str) -> Effect:
    """What a choice would do to the target, as a person may see it. Raises InputError."""
    masked = masks_of(desk.project)(entry.mapping)
    choice = replace(choice, texts=_typed(desk, entry, choice.texts, user))
    found = effect(entry, choose(entry, choice, user=user, at=datetime.now(UTC)))
    changes = {
        name: (shown(was, name in masked), shown(will, name in masked))
        for name, (was, will) in found.changes.items()
    }
    return replace(found, after=shown_record(found.after, masked), changes=changes)


@dataclass(frozen=True, slots=True)
class Would:
    """What one way to decide would do, or why it can't be."""

    take: Take
    effect: Effect | None
    problem: str = ""


def ways(desk: Desk, entry: Entry, body: PreviewBody, *, user: str) -> list[Would]:
    """What each way to decide would do, with what else is chosen."""
    found: list[Would] = []
    for take in TAKES:
        try:
            found.append(Would(take, would(desk, entry, body.choice(take), user=user)))
        except InputError as error:
            found.append(Would(take, None, in_words(error)))
    return found


@router.post(
    "/conflicts/{entry_id:int}/preview",
    response_model=Json,
    **two_ways(PreviewBody, page="what each way to decide would write"),
)
def preview(
    request: Request, desk: TheDesk, user: TheUser, entry_id: Id, body: PreviewBody | None = None
) -> Response | Json:
    """What a decision would write; writes nothing. Without `take`: `ways`, each with its `effect`,
    or with the `problem` that is in its way.
    """
    body = body or PreviewBody.model_validate({})
    entry = desk.store.conflict(entry_id)
    if wants_page(request):
        found = ways(desk, entry, body, user=user.name)
        picked = bool(body.sides or body.values)
        return render.page("_would.html", **common(request, desk, found=found, picked=picked))
    if body.take is None:
        return {"ways": [as_json(one) for one in ways(desk, entry, body, user=user.name)]}
    return as_json(would(desk, entry, body.choice(body.take), user=user.name))


@router.post(
    "/conflicts/{entry_id:int}/decide",
    response_model=Json,
    **two_ways(DecideBody, page="its line of the list"),
)
def decide_one(
    request: Request, desk: TheDesk, user: TheUser, entry_id: Id, body: DecideBody
) -> Response | Json:
    """Decide one; it is written soon after. 409 where it is not what was seen any more: the choice
    is then kept as a draft.
    """
    try:
        made = decide(desk, entry_id, body.chosen, user=user.name, version=body.version)
    except DecisionRefused as error:
        if not wants_page(request):
            raise
        return _row(request, desk, entry_id, 409, str(error)) or _shown(entry_id)
    except InputError as error:
        if not wants_page(request):
            raise
        told = in_words(error)
        return _row(request, desk, entry_id, 422, told) or _again(
            request, desk, entry_id, told, 422, body.form
        )
    if wants_page(request):
        return _row(request, desk, entry_id) or _shown(entry_id)
    return entry_of(desk, made)


@router.post(
    "/conflicts/{entry_id:int}/undo",
    response_model=Json,
    **two_ways(page="its line of the list, or leads to its page"),
)
def undo_one(request: Request, desk: TheDesk, user: TheUser, entry_id: Id) -> Response | Json:
    """Take a decision back that is not written yet. 409 where there is none."""
    try:
        undone = desk.store.undo(entry_id, user=user.name)
    except DecisionRefused as error:
        if not wants_page(request):
            raise
        told = str(error)
        return _row(request, desk, entry_id, 409, told) or _again(
            request, desk, entry_id, told, 409
        )
    desk.feed.hurry()
    if wants_page(request):
        told = f"conflict {entry_id} is open again"
        return _row(request, desk, entry_id, told=told) or _shown(entry_id)
    return entry_of(desk, undone)


@router.get("/drafts")
def drafts(desk: TheDesk, user: TheUser) -> list[Json]:
    """Your decisions that were refused, newest first, until you decide or discard them."""
    return [draft_of(desk, one) for one in desk.store.drafts.by(user.name)]


@router.post(
    "/conflicts/{entry_id:int}/draft/discard",
    response_model=Json,
    **two_ways(page="leads to the conflict"),
)
def discard_draft(request: Request, desk: TheDesk, user: TheUser, entry_id: Id) -> Response | Json:
    """Discard your draft for a conflict; `discarded` is false where there was none."""
    discarded = desk.store.drafts.drop(user.name, entry_id)
    return _shown(entry_id) if wants_page(request) else {"discarded": discarded}


# --- as pages have it ------------------------------------------------------------------------


def _shown(entry_id: int) -> Response:
    return RedirectResponse(f"/conflicts/{entry_id}", 303)


def _again(
    request: Request, desk: Desk, entry_id: int, told: str, status: int, form: Form | None = None
) -> Response:
    """The page of a conflict once more, with what was wrong."""
    entry = desk.store.conflict(entry_id)
    return one(request, desk, entry, problem=redacted(told), form=form, status=status)


def _row(
    request: Request, desk: Desk, entry_id: int, status: int = 200, told: str = ""
) -> Response | None:
    """A line of the list, as the conflict is now; None where no line was asked for."""
    if not part(request).startswith("row-"):
        return None
    found = desk.store.conflict_page(Filter(state=None, ids=[entry_id]), limit=1)
    answer = render.page(
        "_row.html",
        status=status,
        **common(request, desk, line=found.lines[0], flash=status != HTTPStatus.OK),
    )
    if told:
        answer.headers["hx-trigger"] = json.dumps({"told": redacted(told)})
    return answer
