"""Rules: a decision remembered, with what it would settle before it is; and what if.

The same addresses serve programs and the app's own pages (`sent`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from syncline.cli.show import plain
from syncline.errors import InputError
from syncline.review import bulk
from syncline.review.mask import masks_of, shown
from syncline.review.web import render
from syncline.review.web.bodies import RemoveBody, RuleBody
from syncline.review.web.bulk import told_done
from syncline.review.web.desk import Desk, TheDesk, TheUser, common
from syncline.review.web.sent import Id, Json, as_json, two_ways, wants_page
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
"""Pages."""
api = APIRouter(prefix="/api", tags=["rules"])
BUILT_IN: Final = ("source", "target", "latest", "merge", "manual")


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


@router.get("/conflicts/{entry_id:int}/rule")
def from_decision(request: Request, desk: TheDesk, entry_id: Id) -> Response:
    """The rules that a decision could become."""
    entry = desk.store.conflict(entry_id)
    found = suggestions(desk, entry)
    return render.page("rule.html", **common(request, desk, entry=entry, found=found))


# --- the API ---------------------------------------------------------------------------------


@api.get("/rules/{mapping}")
def rules_of(desk: TheDesk, mapping: str) -> list[Json]:
    """The rules of a mapping, in order, each with its number."""
    desk.project.mapping(mapping)
    found = desk.project.rules(mapping)
    return [plain(rule.content | {"number": number}) for number, rule in enumerate(found, 1)]


@api.post(
    "/rules/{mapping}/preview",
    response_model=Json,
    **two_ways(RuleBody, page="how many it would settle, and the first of them"),
)
def rule_preview(
    request: Request, desk: TheDesk, user: TheUser, mapping: str, body: RuleBody
) -> Response | Json:
    """What the mapping's rules with this one at their end would settle of what waits; `more` is
    what it would add.
    """
    rule = body.rule
    check(desk, mapping, rule)
    there = list(desk.project.rules(mapping))
    found = settles(desk, mapping, [*there, rule], user=user.name)
    before = settles(desk, mapping, there, user=user.name).would if there else 0
    more = found.would - before
    if wants_page(request):
        context = common(request, desk, found=found, more=more, there=len(there))
        return render.page("_settles.html", **context)
    return as_json(found) | {"more": more}


@api.post(
    "/rules/{mapping}",
    response_model=Json,
    **two_ways(RuleBody, page="what it settled, or leads to the rules"),
)
def rule_add(
    request: Request, desk: TheDesk, user: TheUser, mapping: str, body: RuleBody
) -> Response | Json:
    """Remember a rule: from the next run on it settles what would else wait; with `apply` also what
    waits already.
    """
    rule = body.rule
    remember(desk, mapping, rule, user=user.name)
    if body.apply:
        done = told_done(request, desk, apply_rules(desk, mapping, user=user.name))
        return done if isinstance(done, Response) else {"text": rule.text, **done}
    return RedirectResponse("/rules", 303) if wants_page(request) else {"text": rule.text}


@api.post(
    "/rules/{mapping}/apply",
    response_model=Json,
    **two_ways(page="what was decided, and what not"),
)
def rules_apply(request: Request, desk: TheDesk, user: TheUser, mapping: str) -> Response | Json:
    """Decide what waits by the mapping's rules."""
    desk.project.mapping(mapping)
    return told_done(request, desk, apply_rules(desk, mapping, user=user.name))


@api.post(
    "/rules/{mapping}/remove",
    response_model=Json,
    **two_ways(RemoveBody, page="leads to the rules"),
)
def rule_remove(
    request: Request, desk: TheDesk, user: TheUser, mapping: str, body: RemoveBody
) -> Response | Json:
    """Forget a rule; what it settled stays as it is."""
    there = desk.project.rules(mapping)
    if body.text is not None and body.text not in {r.text for r in there[body.number - 1 :][:1]}:
        message = f"the rules of {mapping} have changed since they were shown"
        raise InputError(message, hint="look at them again")
    forgotten = forget(desk, mapping, body.number, user=user.name)
    return RedirectResponse("/rules", 303) if wants_page(request) else {"text": forgotten.text}


@api.get("/conflicts/{entry_id:int}/rules")
def suggested_rules(desk: TheDesk, entry_id: Id) -> list[Json]:
    """The rules that its decision could become."""
    found = suggestions(desk, desk.store.conflict(entry_id))
    return [plain(rule.content) for rule in found]


@api.get(
    "/conflicts/{entry_id:int}/as",
    response_model=list[Json],
    **two_ways(page="the same side by side"),
)
def other_strategies(request: Request, desk: TheDesk, entry_id: Id) -> Response | list[Json]:
    """What every strategy would have done with it."""
    entry = desk.store.conflict(entry_id)
    answers = [_answer(desk, entry, name) for name in strategies(desk)]
    if wants_page(request):
        return render.page("_as.html", **common(request, desk, answers=answers))
    return [as_json(one) for one in answers]


@api.get("/conflicts/{entry_id:int}/as/{strategy}")
def as_strategy(desk: TheDesk, entry_id: Id, strategy: str) -> Json:
    """What another strategy would have done with it; `asks` where it would ask a person too."""
    return as_json(what_if(desk, desk.store.conflict(entry_id), strategy))


def _answer(desk: Desk, entry: Entry, name: str) -> Answer:
    try:
        return what_if(desk, entry, name)
    except InputError as error:  # a file of the project that does not load
        return Answer(name, True, str(error), None, {})
