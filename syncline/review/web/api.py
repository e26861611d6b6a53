"""The HTTP API: the same powers as the pages, for programs, by the same functions.

Its document is at /api/openapi.json, and as a page at /api/docs.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from syncline.cli.show import plain
from syncline.conflict import Kind
from syncline.errors import InputError
from syncline.review.mask import masks_of
from syncline.review.queue import Choice
from syncline.review.view import shown_history, view
from syncline.review.web import audit, decide, letters, overview, render, rules
from syncline.review.web.asked import PAGE, Asked, TheAsked
from syncline.review.web.conflicts import export_lines
from syncline.review.web.desk import Desk, TheDesk, TheUser, common
from syncline.rule import Rule, check_when
from syncline.store import Entry, Side, Take
from syncline.store.conflicts import Filter

router = APIRouter(prefix="/api")
_LARGEST: Final = 1_000
Limit = Annotated[int, Query(ge=1, le=_LARGEST)]
Json = dict[str, Any]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ChoiceBody(_Body):
    """A decision to be made."""

    take: Take = Field(description="The side that wins; `values` writes only what is named below.")
    sides: dict[str, Side] = Field({}, description="The side of single fields, before `take`.")
    values: dict[str, str | None] = Field(
        {}, description="Values of your own as text, before both; read as the field's type."
    )
    note: str = Field("", max_length=10_000, description="Why; kept in the history.")

    @property
    def choice(self) -> Choice:
        """As the queue's logic has it."""
        return Choice(self.take, dict(self.sides), dict(self.values), self.note)


class DecideBody(ChoiceBody):
    """A decision on one conflict, as it was seen."""

    version: int | None = Field(
        None, description="The `version` that was seen: refused with 409 if it has changed."
    )


class WhichBody(_Body):
    """Which open conflicts: by number, else by filter."""

    ids: list[int] | None = Field(None, max_length=100_000)
    mapping: str = ""
    field: str = ""
    kind: str = ""
    age: str = ""
    q: str = ""

    @property
    def filter(self) -> Filter:
        """As the store has it."""
        if self.ids is not None:
            return Filter(ids=self.ids)
        return Asked(self.mapping, self.field, self.kind, age=self.age, q=self.q).filter


class BulkPreviewBody(ChoiceBody):
    """One choice for many conflicts, to be looked at first."""

    which: WhichBody


class BulkDecideBody(ChoiceBody):
    """The same choice, for what a preview has looked at."""

    selection: str = Field(description="`selection` of the preview.")


class IdsBody(_Body):
    """Some conflicts or dead letters, by number."""

    ids: list[int] = Field(max_length=100_000)


class MendBody(_Body):
    """Values to put in the place of a dead letter's own, as text."""

    values: dict[str, str]


class RuleBody(_Body):
    """A decision to be remembered: it takes a side, or writes a value."""

    field: str | None = Field(None, description="The field; without it the whole record.")
    when: str = Field("always", description="A condition such as `source is empty`.")
    take: Side | None = None
    value: str | None = Field(None, description="What is written where no side is taken.")
    kind: Kind | None = None
    note: str = ""

    @property
    def rule(self) -> Rule:
        """As the engine has it. Raises InputError for what is none."""
        if self.field is None and self.take is None:
            message = "a rule for the whole record takes a side"
            raise InputError(message)
        try:
            check_when(self.when)
        except ValueError as error:
            raise InputError(str(error)) from error
        return Rule(self.field, self.when, self.take, self.value, self.kind, self.note)


def entry_of(desk: Desk, entry: Entry) -> Json:
    """A conflict as the API gives it: side by side, masked values hidden."""
    found = view(entry, masks_of(desk.project)(entry.mapping))
    shown = asdict(found.entry) | {"state": entry.state.value, "kind": entry.kind.value}
    answer: Json = plain(shown | found.content)
    for hidden in ("source_prints", "target_prints", "ledger_key"):
        answer.pop(hidden, None)
    return answer


@router.get("/mappings", tags=["mappings"])
def mappings(desk: TheDesk) -> list[Json]:
    """Every mapping: its last run, what it promises, what waits."""
    return [
        plain({name: value for name, value in asdict(card).items() if name != "plot"})
        for card in overview.cards(desk)
    ]


@router.get("/mappings/{name}/status", tags=["mappings"])
def status(desk: TheDesk, name: str) -> Json:
    """What `syncline status NAME --json` says: asks both databases."""
    desk.project.mapping(name)
    found = overview.live(desk, name)
    if found["report"] is None:
        return {"error": found["error"], "hint": found["hint"]}
    report: Json = plain(found["report"].as_dict())
    return report


@router.get("/conflicts", tags=["conflicts"])
def conflicts(desk: TheDesk, asked: TheAsked) -> Json:
    """A page of conflicts, without their records, and how many there are of what."""
    where = asked.filter
    page = desk.store.conflict_page(where, sort=asked.sort, limit=PAGE, offset=asked.offset)
    answer: Json = plain(
        {
            "total": page.total,
            "page": asked.page,
            "more": page.more,
            "tally": asdict(desk.store.conflict_tally(where)),
            "conflicts": [asdict(line) for line in page.lines],
        }
    )
    return answer


@router.get("/conflicts.csv", tags=["conflicts"], response_class=Response)
def export(desk: TheDesk, asked: TheAsked) -> Response:
    """All conflicts of a filter, a line a field that is not alike; safe for spreadsheets."""
    return StreamingResponse(export_lines(desk, asked), media_type="text/csv; charset=utf-8")


@router.get("/conflicts/{entry_id:int}", tags=["conflicts"])
def conflict(desk: TheDesk, entry_id: int) -> Json:
    """One conflict side by side, with its history."""
    entry = desk.store.conflict(entry_id)
    past = shown_history(desk.store.history(entry_id), masks_of(desk.project)(entry.mapping))
    return entry_of(desk, entry) | {"history": [_event(one) for one in past]}


def _event(event: Any) -> Json:
    answer: Json = plain(asdict(event) | {"event": event.event.value})
    if answer.get("decision"):
        for hidden in ("source_prints", "target_prints"):
            answer["decision"].pop(hidden, None)
    return answer


@router.post("/conflicts/{entry_id:int}/preview", tags=["conflicts"])
def preview(desk: TheDesk, user: TheUser, entry_id: int, body: ChoiceBody) -> Json:
    """What a decision would write; writes nothing."""
    entry = desk.store.conflict(entry_id)
    answer: Json = plain(asdict(decide.would(desk, entry, body.choice, user=user.name)))
    return answer


@router.post("/conflicts/{entry_id:int}/decide", tags=["conflicts"])
def decide_one(desk: TheDesk, user: TheUser, entry_id: int, body: DecideBody) -> Json:
    """Decide one; it is written soon after. 409 where it is not what was seen any more."""
    made = decide.decide(desk, entry_id, body.choice, user=user.name, version=body.version)
    return entry_of(desk, made)


@router.post("/conflicts/{entry_id:int}/undo", tags=["conflicts"])
def undo_one(desk: TheDesk, user: TheUser, entry_id: int) -> Json:
    """Take a decision back that is not written yet. 409 where there is none."""
    undone = desk.store.undo(entry_id, user=user.name)
    desk.feed.hurry()
    return entry_of(desk, undone)


@router.post("/conflicts/bulk/preview", tags=["conflicts"])
def bulk_preview(desk: TheDesk, user: TheUser, body: BulkPreviewBody) -> Json:
    """What one choice would write over many; its `selection` is what `bulk/decide` takes."""
    found = decide.preview_all(desk, body.which.filter, body.choice, user=user.name)
    answer: Json = plain(asdict(found))
    return answer


@router.post("/conflicts/bulk/decide", tags=["conflicts"])
def bulk_decide(desk: TheDesk, user: TheUser, body: BulkDecideBody) -> Json:
    """Decide what a preview has looked at. What has changed since is left, and told."""
    done = decide.decide_all(desk, body.selection, body.choice, user=user.name)
    answer: Json = plain({"count": done.count, **asdict(done)})
    return answer


@router.post("/conflicts/bulk/undo", tags=["conflicts"])
def bulk_undo(desk: TheDesk, user: TheUser, body: IdsBody) -> Json:
    """Take decisions back that are not written yet."""
    return {"undone": decide.undo(desk, body.ids, user=user.name)}


@router.get("/conflicts/{entry_id:int}/as/{strategy}", tags=["rules"])
def what_if(desk: TheDesk, entry_id: int, strategy: str) -> Json:
    """What another strategy would have done with it; `asks` where it would ask a person too."""
    answer: Json = plain(asdict(rules.what_if(desk, desk.store.conflict(entry_id), strategy)))
    return answer


@router.get("/conflicts/{entry_id:int}/rules", tags=["rules"])
def suggestions(desk: TheDesk, entry_id: int) -> list[Json]:
    """The rules that its decision could become."""
    found = rules.suggestions(desk, desk.store.conflict(entry_id))
    return [plain(rule.content) for rule in found]


@router.get("/rules/{mapping}", tags=["rules"])
def rules_of(desk: TheDesk, mapping: str) -> list[Json]:
    """The rules of a mapping, in order, each with its number."""
    desk.project.mapping(mapping)
    found = desk.project.rules(mapping)
    return [plain(rule.content | {"number": number}) for number, rule in enumerate(found, 1)]


@router.post("/rules/{mapping}/preview", tags=["rules"])
def rule_preview(desk: TheDesk, user: TheUser, mapping: str, body: RuleBody) -> Json:
    """What the mapping's rules with this one at their end would settle of what waits."""
    rule = body.rule
    rules.check(desk, mapping, rule)
    there = [*desk.project.rules(mapping), rule]
    answer: Json = plain(asdict(rules.settles(desk, mapping, there, user=user.name)))
    return answer


@router.post("/rules/{mapping}", tags=["rules"])
def rule_add(desk: TheDesk, user: TheUser, mapping: str, body: RuleBody) -> Json:
    """Remember a rule: from the next run on it settles what would else wait."""
    rule = body.rule
    rules.remember(desk, mapping, rule, user=user.name)
    return {"text": rule.text}


@router.post("/rules/{mapping}/apply", tags=["rules"])
def rules_apply(desk: TheDesk, user: TheUser, mapping: str) -> Json:
    """Decide what waits by the mapping's rules."""
    desk.project.mapping(mapping)
    done = rules.apply_rules(desk, mapping, user=user.name)
    answer: Json = plain({"count": done.count, **asdict(done)})
    return answer


@router.delete("/rules/{mapping}/{number}", tags=["rules"])
def rule_remove(desk: TheDesk, user: TheUser, mapping: str, number: int) -> Json:
    """Forget a rule; what it settled stays as it is."""
    return {"text": rules.forget(desk, mapping, number, user=user.name).text}


@router.get("/dead-letters", tags=["dead letters"])
def dead_letters(
    desk: TheDesk, mapping: str = "", limit: Limit = 100, offset: Annotated[int, Query(ge=0)] = 0
) -> list[Json]:
    """Dead letters, newest first."""
    found = letters.found(desk, mapping or None, limit, offset)
    return [plain(asdict(letter)) for letter in found]


@router.get("/dead-letters/{letter_id:int}", tags=["dead letters"])
def dead_letter(desk: TheDesk, letter_id: int) -> Json:
    """One dead letter: the record as it was read, and why it failed."""
    letter = desk.store.dead_letter(letter_id)
    answer: Json = plain(asdict(letters.seen(desk, letter)))
    return answer


@router.post("/dead-letters/replay", tags=["dead letters"])
def replay(desk: TheDesk, user: TheUser, body: IdsBody) -> Json:
    """Read their sources again and sync them."""
    chosen = [desk.store.dead_letter(number) for number in body.ids]
    return {"told": letters.replay(desk, user.name, chosen)}


@router.post("/dead-letters/drop", tags=["dead letters"])
def drop(desk: TheDesk, user: TheUser, body: IdsBody) -> Json:
    """Forget them: their records stay out of the target until their source changes."""
    chosen = [desk.store.dead_letter(number) for number in body.ids]
    return {"dropped": letters.drop(desk, user.name, chosen)}


@router.post("/dead-letters/{letter_id:int}/mend", tags=["dead letters"])
def mend(desk: TheDesk, user: TheUser, letter_id: int, body: MendBody) -> Json:
    """Replay one with some values of its record mended."""
    if not body.values:
        message = "there is no value to mend"
        raise InputError(message, hint="to replay it as it is: /api/dead-letters/replay")
    letter = desk.store.dead_letter(letter_id)
    answer: Json = plain(letters.mended(desk, user.name, letter, body.values).as_dict())
    return answer


@router.get("/runs", tags=["runs"])
def runs(desk: TheDesk, mapping: str = "", limit: Limit = 50, before: str = "") -> list[Json]:
    """Runs, newest first; `before` is the id of one: those that began earlier."""
    found = desk.store.runs(mapping or None, limit=limit, before=before or None)
    return [plain(asdict(run)) for run in found]


@router.get("/audit", tags=["audit"])
def audit_log(
    desk: TheDesk, mapping: str = "", q: str = "", limit: Limit = 100, before: int | None = None
) -> list[Json]:
    """What was settled, by which strategy or whom, and the values that lost; newest first."""
    return [plain(asdict(one)) for one in audit.found(desk, mapping, q, limit, before)[0]]


@router.get("/docs", include_in_schema=False)
def docs(request: Request, desk: TheDesk) -> Response:
    """The API's document as a page of our own: the usual ones load scripts from elsewhere."""
    document = request.app.openapi()
    return render.page("api.html", **common(request, desk, document=document))
