"""Dead letters: the record, its error; mend and replay it, replay it as it is, or drop it.

The same addresses serve programs and the app's own pages (`sent`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from syncline.cli.show import plain
from syncline.errors import InputError, SynclineError
from syncline.log import redacted
from syncline.review.dead_letters import replay_mended, told_of
from syncline.review.mask import Masked, column_masks_of, shown_letter
from syncline.review.web import render
from syncline.review.web.bodies import LettersBody, MendBody
from syncline.review.web.desk import Desk, TheDesk, TheUser, common
from syncline.review.web.sent import Form, Id, Json, Offset, as_json, in_words, two_ways, wants_page
from syncline.store import DeadLetter

if TYPE_CHECKING:
    from syncline.sync import RunSummary

router = APIRouter()
"""Pages."""
api = APIRouter(prefix="/api", tags=["dead letters"])
_PAGE: Final = 100
_SHOWN: Final = 20
_ALL: Final = 1_000_000


def visible(letter: DeadLetter, masked: Masked) -> DeadLetter:
    """The letter as a person may see it."""
    hidden = shown_letter(letter, masked)
    return replace(hidden, error=redacted(hidden.error))


def found(desk: Desk, mapping: str | None, limit: int, offset: int) -> list[DeadLetter]:
    """Letters as a person may see them, newest first."""
    letters = desk.store.dead_letters(mapping, limit=limit, offset=offset)
    masks = column_masks_of(desk.project)
    return [visible(letter, masks(letter.mapping)) for letter in letters]


def seen(desk: Desk, letter: DeadLetter) -> DeadLetter:
    """One letter as a person may see it."""
    return visible(letter, column_masks_of(desk.project)(letter.mapping))


@router.get("/dead-letters")
def letters(request: Request, desk: TheDesk, mapping: str = "", offset: Offset = 0) -> Response:
    """The list, newest first."""
    shown_ones = found(desk, mapping or None, _PAGE, max(offset, 0))
    return render.page(
        "letters.html",
        **common(
            request, desk, letters=shown_ones, names=desk.names, mapping=mapping, offset=offset,
            more=len(shown_ones) == _PAGE, page=_PAGE,
        ),
    )  # fmt: skip


@router.get("/dead-letters/{letter_id:int}")
def letter(request: Request, desk: TheDesk, letter_id: Id) -> Response:
    """One letter."""
    return _page(request, desk, desk.store.dead_letter(letter_id))


def _page(
    request: Request, desk: Desk, letter: DeadLetter, problem: str = "", form: Form | None = None
) -> Response:
    masked = column_masks_of(desk.project)(letter.mapping)
    keys = _key_columns(desk, letter.mapping)
    return render.page(
        "letter.html",
        status=422 if problem else 200,
        **common(
            request, desk, letter=visible(letter, masked), problem=problem, form=form or Form(),
            hidden=[name for name in letter.source if name in masked], keys=keys,
        ),
    )  # fmt: skip


def _key_columns(desk: Desk, mapping: str) -> frozenset[str]:
    """The source columns that say which record it is; none where the mapping can't be read."""
    try:
        return frozenset(desk.project.mapping(mapping).key.values())
    except SynclineError:
        return frozenset()


@router.get("/dead-letters/drop")
def ask_to_drop(
    request: Request, desk: TheDesk, ids: Annotated[list[int] | None, Query(alias="id")] = None,
    mapping: str = "",
) -> Response:  # fmt: skip
    """What would be forgotten, to be said a second time."""
    chosen = [desk.store.dead_letter(number) for number in dict.fromkeys(ids or ())]
    if not chosen:
        return _listed(request, desk, mapping, ["nothing was chosen"])
    shown_ones = [seen(desk, one) for one in chosen[:_SHOWN]]
    return render.page(
        "letters_drop.html",
        **common(request, desk, letters=shown_ones, chosen=chosen, mapping=mapping),
    )


def _listed(request: Request, desk: Desk, mapping: str, told: list[str]) -> Response:
    return render.page(
        "letters.html",
        **common(
            request, desk, letters=found(desk, mapping or None, _PAGE, 0), names=desk.names,
            mapping=mapping, offset=0, more=False, page=_PAGE, told=told,
        ),
    )  # fmt: skip


# --- the API ---------------------------------------------------------------------------------


@api.get("/dead-letters")
def dead_letters(
    desk: TheDesk, mapping: str = "", limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    offset: Offset = 0,
) -> list[Json]:  # fmt: skip
    """Dead letters, newest first."""
    return [as_json(letter) for letter in found(desk, mapping or None, limit, offset)]


@api.get("/dead-letters/{letter_id:int}")
def dead_letter(desk: TheDesk, letter_id: Id) -> Json:
    """One dead letter: the record as it was read, and why it failed."""
    return as_json(seen(desk, desk.store.dead_letter(letter_id)))


@api.post(
    "/dead-letters/replay",
    response_model=Json,
    **two_ways(LettersBody, page="the list, with what came of it"),
)
def replay_some(
    request: Request, desk: TheDesk, user: TheUser, body: LettersBody
) -> Response | Json:
    """Read their sources again and sync them."""
    told = replay(desk, user.name, _chosen(desk, body))
    if wants_page(request):
        return _listed(request, desk, _of_list(body), told)
    return {"told": told}


@api.post(
    "/dead-letters/drop",
    response_model=Json,
    **two_ways(LettersBody, page="the list, with what came of it"),
)
def drop_some(request: Request, desk: TheDesk, user: TheUser, body: LettersBody) -> Response | Json:
    """Forget them: their records stay out of the target until their source changes."""
    dropped = drop(desk, user.name, _chosen(desk, body))
    if wants_page(request):
        told = (
            f"{dropped:,} forgotten. Their records stay out of the target until the source changes."
        )
        return _listed(request, desk, _of_list(body), [told] if dropped else ["nothing was chosen"])
    return {"dropped": dropped}


def _chosen(desk: Desk, body: LettersBody) -> list[DeadLetter]:
    if body.mapping is not None:
        return desk.store.dead_letters(body.mapping, limit=_ALL)
    return [desk.store.dead_letter(number) for number in dict.fromkeys(body.ids)]


def _of_list(body: LettersBody) -> str:
    """The mapping whose list the form was on."""
    return "" if body.form is None else body.form.one("mapping")


@api.post(
    "/dead-letters/{letter_id:int}/mend",
    response_model=Json,
    **two_ways(MendBody, page="it, if it failed again; else leads to the list"),
)
def mend(
    request: Request, desk: TheDesk, user: TheUser, letter_id: Id, body: MendBody
) -> Response | Json:
    """Replay one with some values of its record mended."""
    letter = desk.store.dead_letter(letter_id)
    if body.form is not None:
        masked = column_masks_of(desk.project)(letter.mapping)
        return _mended_page(request, desk, letter, changed(letter, masked, body.values), body.form)
    if not body.values:
        message = "there is no value to mend"
        raise InputError(message, hint="to replay it as it is: /api/dead-letters/replay")
    answer: Json = plain(mended(desk, user.name, letter, body.values).as_dict())
    return answer


def _mended_page(
    request: Request, desk: Desk, letter: DeadLetter, texts: Mapping[str, str], form: Form
) -> Response:
    try:
        mended(desk, request.state.user.name, letter, texts)
    except InputError as error:
        return _page(request, desk, letter, in_words(error), form)
    if any(one.id == letter.id for one in desk.store.dead_letters(letter.mapping, limit=_ALL)):
        again = desk.store.dead_letter(letter.id)
        return _page(request, desk, again, "It failed again: see the error below.", form)
    return RedirectResponse(f"/dead-letters?mapping={letter.mapping}", 303)


def changed(letter: DeadLetter, masked: Masked, given: Mapping[str, str]) -> dict[str, str]:
    """The values of a form that are not as the record has them; of a masked one, any that is
    given.
    """
    texts: dict[str, str] = {}
    for name, value in letter.source.items():
        before = "" if name in masked else render.typed(value).replace("\r\n", "\n")
        if name in given and given[name] != before:
            texts[name] = given[name]
    return texts


def mended(desk: Desk, user: str, letter: DeadLetter, texts: Mapping[str, str]) -> RunSummary:
    """Replay a letter with these values, and say so in the audit log."""
    summary = replay_mended(desk.project, letter, texts) if texts else _replayed(desk, [letter])[0]
    what = "mended" if texts else "replayed"
    desk.store.audit(told_of([letter], what, user, ", ".join(sorted(texts))))
    desk.feed.hurry()
    return summary


def replay(desk: Desk, user: str, chosen: list[DeadLetter]) -> list[str]:
    """Read the sources again; what came of it, a line a mapping."""
    told: list[str] = []
    for summary in _replayed(desk, chosen):
        ids = {one.id for one in chosen if one.mapping == summary.mapping}
        left = {one.id for one in desk.store.dead_letters(summary.mapping, limit=_ALL)} & ids
        told.append(f"{summary.mapping}: {len(ids) - len(left):,} of {len(ids):,} went through")
    desk.store.audit(told_of(chosen, "replayed", user))
    desk.feed.hurry()
    return told or ["nothing was chosen"]


def _replayed(desk: Desk, chosen: list[DeadLetter]) -> list[Any]:
    from syncline import decide

    return [
        decide.replay(desk.project, name, [one.id for one in chosen if one.mapping == name])
        for name in dict.fromkeys(one.mapping for one in chosen)
    ]


def drop(desk: Desk, user: str, chosen: list[DeadLetter]) -> int:
    """Forget letters, and say so in the audit log; how many there were."""
    from syncline import decide

    count = 0
    for name in dict.fromkeys(one.mapping for one in chosen):
        ids = [one.id for one in chosen if one.mapping == name]
        if name in desk.names:
            count += decide.drop(desk.project, name, ids)
        else:  # its mapping is gone, and with it where the ledger stands
            count += desk.store.drop_dead_letters(ids)
    desk.store.audit(told_of(chosen, "dropped", user))
    desk.feed.hurry()
    return count
