"""Rules: a decision remembered, with what it would settle before it is; and what if."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from syncline.errors import InputError
from syncline.review import bulk
from syncline.review.mask import masks_of, shown
from syncline.review.web import render
from syncline.review.web.desk import Desk, TheDesk, TheForm, TheUser, common
from syncline.review.whatif import (
    Answer,
    Settles,
    answer_as,
    by_rules,
    near_of,
    strategy_named,
    suggested,
    told_rule,
    would_settle,
)
from syncline.rule import Rule
from syncline.rulebook import add_rule, remove_rule, rules_path
from syncline.store import Entry

router = APIRouter()
BUILT_IN: Final = ("source", "target", "latest", "merge", "manual")


# --- what both doors use ---------------------------------------------------------------------


def suggestions(desk: Desk, entry: Entry) -> list[Rule]:
    """The rules that the decision on a conflict could become."""
    return suggested(entry, masks_of(desk.project)(entry.mapping))


def settles(desk: Desk, mapping: str, rules: list[Rule], *, user: str) -> Settles:
    """What rules would settle of what waits."""
    return would_settle(desk.store, mapping, rules, masks_of(desk.project), user=user)


def check(desk: Desk, mapping: str, rule: Rule) -> None:
    """Raises InputError for a rule that is about nothing of the mapping."""
    found = desk.project.mapping(mapping)
    if rule.field is not None and rule.field not in found.fields:
        message = f"{mapping} has no field {rule.field!r}"
        raise InputError(message, hint=f"it has {', '.join(found.fields)}")


def remember(desk: Desk, mapping: str, rule: Rule, *, user: str) -> None:
    """Write a rule into the mapping's rules file: from now on runs settle by it."""
    check(desk, mapping, rule)
    add_rule(rules_path(desk.project.root, mapping), rule)
    _told(desk, mapping, rule, "added", user)


def forget(desk: Desk, mapping: str, number: int, *, user: str) -> Rule:
    """Take a rule out of the file; what it settled stays as it is."""
    desk.project.mapping(mapping)
    rule = remove_rule(rules_path(desk.project.root, mapping), number)
    _told(desk, mapping, rule, "removed", user)
    return rule


def _told(
    desk: Desk, mapping: str, rule: Rule, what: Literal["added", "removed"], user: str
) -> None:
    desk.store.audit([told_rule(mapping, rule, what, user, masks_of(desk.project)(mapping))])
    desk.feed.hurry()


def apply_rules(desk: Desk, mapping: str, *, user: str) -> bulk.Decided:
    """Decide what waits by the rules of the mapping; it is written soon after."""
    rules = desk.project.rules(mapping)
    found = settles(desk, mapping, list(rules), user=user)
    done = bulk.decide(desk.store, found.preview.selection, by_rules(rules, user=user))
    if done.count:
        desk.writer.soon(mapping)
    desk.feed.hurry()
    return done


def what_if(desk: Desk, entry: Entry, name: str) -> Answer:
    """What a strategy would do with a conflict, as a person may see it. Raises InputError."""
    masked = masks_of(desk.project)(entry.mapping)
    near = near_of(desk.project, entry.mapping)
    found = answer_as(entry, name, strategy_named(desk.project, name), near)
    changes = {
        field: (shown(was, field in masked), shown(will, field in masked))
        for field, (was, will) in found.changes.items()
    }
    after = (
        None
        if found.after is None
        else {field: shown(value, field in masked) for field, value in found.after.items()}
    )
    return replace(found, changes=changes, after=after)


def strategies(desk: Desk) -> Iterator[str]:
    """The names of the built-in strategies and of the project's own."""
    yield from BUILT_IN
    if desk.project.resolvers_dir.is_dir():
        own = sorted(path.stem for path in desk.project.resolvers_dir.glob("[a-z]*.py"))
        yield from (name for name in own if name not in BUILT_IN)


# --- the pages -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """The rules of a mapping, or why they can't be read."""

    mapping: str
    rules: tuple[Rule, ...]
    problem: str = ""


@router.get("/rules")
def rules(request: Request, desk: TheDesk) -> Response:
    """Every mapping's rules."""
    known = [one for name in desk.names if (one := _known(desk, name)).rules or one.problem]
    return render.page("rules.html", **common(request, desk, known=known))


def _known(desk: Desk, name: str) -> Known:
    try:
        return Known(name, desk.project.rules(name))
    except InputError as error:
        return Known(name, (), str(error))


@router.post("/rules/remove")
def rules_remove(desk: TheDesk, user: TheUser, form: TheForm) -> Response:
    """Take one out of its file."""
    mapping, number = form.one("mapping"), form.number("number") or 0
    found = _known(desk, mapping).rules
    if not 1 <= number <= len(found) or found[number - 1].text != form.one("text"):
        message = f"the rules of {mapping} have changed since they were shown"
        raise InputError(message, hint="look again at /rules")
    forget(desk, mapping, number, user=user.name)
    return RedirectResponse("/rules", 303)


@router.get("/conflicts/{entry_id:int}/rule")
def from_decision(request: Request, desk: TheDesk, entry_id: int) -> Response:
    """The rules that a decision could become."""
    entry = desk.store.conflict(entry_id)
    found = suggestions(desk, entry)
    return render.page("rule.html", **common(request, desk, entry=entry, found=found))


@router.get("/conflicts/{entry_id:int}/rule/{index:int}")
def what_it_settles(
    request: Request, desk: TheDesk, user: TheUser, entry_id: int, index: int
) -> Response:
    """What one of them would settle, with those that are there."""
    entry = desk.store.conflict(entry_id)
    rule = _suggestion(desk, entry, index)
    there = list(desk.project.rules(entry.mapping))
    found = settles(desk, entry.mapping, [*there, rule], user=user.name)
    before = settles(desk, entry.mapping, there, user=user.name).would if there else 0
    context = common(request, desk, entry=entry, found=found, more=found.would - before)
    return render.page("_settles.html", **context, there=len(there))


def _suggestion(desk: Desk, entry: Entry, index: int) -> Rule:
    found = suggestions(desk, entry)
    if not 0 <= index < len(found):
        message = f"there is no rule {index} for conflict {entry.id}"
        raise InputError(message, hint="look at it again")
    return found[index]


@router.post("/conflicts/{entry_id:int}/rule")
def remember_one(
    request: Request, desk: TheDesk, user: TheUser, form: TheForm, entry_id: int
) -> Response:
    """Remember one, and settle by it what waits where that is wanted."""
    entry = desk.store.conflict(entry_id)
    rule = _suggestion(desk, entry, form.number("index") or 0)
    if rule.text != form.one("text"):
        message = "the decision has changed since its rules were shown"
        raise InputError(message, hint="look at it again")
    rule = replace(rule, note=form.one("note").strip())
    remember(desk, entry.mapping, rule, user=user.name)
    if not form.one("apply"):
        return RedirectResponse("/rules", 303)
    done = apply_rules(desk, entry.mapping, user=user.name)
    ids = [number for numbers in done.by_mapping.values() for number in numbers]
    taken = bulk.selection_of(dict.fromkeys(ids, 0))
    return render.page("bulk_done.html", **common(request, desk, done=done, taken=taken))


@router.get("/conflicts/{entry_id:int}/as")
def other_strategies(request: Request, desk: TheDesk, entry_id: int) -> Response:
    """What every strategy would have done with a conflict."""
    entry = desk.store.conflict(entry_id)
    answers = [_answer(desk, entry, name) for name in strategies(desk)]
    return render.page("_as.html", **common(request, desk, answers=answers))


def _answer(desk: Desk, entry: Entry, name: str) -> Answer:
    try:
        return what_if(desk, entry, name)
    except InputError as error:  # a file of the project that does not load
        return Answer(name, True, str(error), None, {})
