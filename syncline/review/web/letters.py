"""Dead letters: the record, its error; mend and replay it, replay it as it is, or drop it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from syncline.errors import InputError, SynclineError
from syncline.log import redacted
from syncline.review.dead_letters import replay_mended, told_of
from syncline.review.mask import Masked, column_masks_of, shown_letter
from syncline.review.web import render
from syncline.review.web.desk import Desk, Form, TheDesk, TheForm, TheUser, common
from syncline.store import DeadLetter

if TYPE_CHECKING:
    from syncline.sync import RunSummary

router = APIRouter()
_PAGE: Final = 100
_SHOWN: Final = 20


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
def letters(request: Request, desk: TheDesk, mapping: str = "", offset: int = 0) -> Response:
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
def letter(request: Request, desk: TheDesk, letter_id: int) -> Response:
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


@router.post("/dead-letters/replay")
def replay_some(request: Request, desk: TheDesk, user: TheUser, form: TheForm) -> Response:
    """Replay the chosen ones, or all of a mapping."""
    ids, mapping = _ids(form), form.one("mapping")
    chosen = desk.store.dead_letters(mapping, limit=1_000_000) if form.one("all") else []
    chosen = chosen or [desk.store.dead_letter(number) for number in ids]
    told = replay(desk, user.name, chosen)
    return _listed(request, desk, mapping, told)


@router.post("/dead-letters/drop")
def drop_some(request: Request, desk: TheDesk, user: TheUser, form: TheForm) -> Response:
    """Forget the chosen ones, once somebody has said so twice."""
    chosen = [desk.store.dead_letter(number) for number in _ids(form)]
    if chosen and not form.one("sure"):
        shown_ones = [seen(desk, one) for one in chosen[:_SHOWN]]
        return render.page(
            "letters_drop.html",
            **common(request, desk, letters=shown_ones, chosen=chosen, mapping=form.one("mapping")),
        )
    dropped = drop(desk, user.name, chosen)
    told = f"{dropped:,} forgotten. Their records stay out of the target until the source changes."
    return _listed(request, desk, form.one("mapping"), [told] if chosen else ["nothing was chosen"])


def _listed(request: Request, desk: Desk, mapping: str, told: list[str]) -> Response:
    return render.page(
        "letters.html",
        **common(
            request, desk, letters=found(desk, mapping or None, _PAGE, 0), names=desk.names,
            mapping=mapping, offset=0, more=False, page=_PAGE, told=told,
        ),
    )  # fmt: skip


def _ids(form: Form) -> list[int]:
    return [int(text) for text in dict.fromkeys(form.get("id", [])) if text.isdecimal()]


@router.post("/dead-letters/{letter_id:int}/mend")
def mend(request: Request, desk: TheDesk, user: TheUser, form: TheForm, letter_id: int) -> Response:
    """Replay one with the values that were changed in its form."""
    letter = desk.store.dead_letter(letter_id)
    masked = column_masks_of(desk.project)(letter.mapping)
    texts = changed(letter, masked, form)
    try:
        summary = mended(desk, user.name, letter, texts)
    except InputError as error:
        return _page(request, desk, letter, redacted(f"{error}. {error.hint}"), form)
    if any(one.id == letter_id for one in desk.store.dead_letters(letter.mapping, limit=1_000_000)):
        again = desk.store.dead_letter(letter_id)
        return _page(request, desk, again, "It failed again: see the error below.", form)
    _ = summary
    return RedirectResponse(f"/dead-letters?mapping={letter.mapping}", 303)


def changed(letter: DeadLetter, masked: Masked, form: Form) -> dict[str, str]:
    """The values of a form that are not as the record has them; of a masked one, any that is
    given.
    """
    texts: dict[str, str] = {}
    for name, value in letter.source.items():
        given = form.get(f"value.{name}")
        if given is None:
            continue
        text = given[-1].replace("\r\n", "\n")  # as browsers send a line's end
        before = "" if name in masked else render.typed(value).replace("\r\n", "\n")
        if text != before:
            texts[name] = text
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
        left = {one.id for one in desk.store.dead_letters(summary.mapping, limit=1_000_000)} & ids
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
