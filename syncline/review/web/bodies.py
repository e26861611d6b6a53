"""Bodies: what the API's changes take, in JSON and as the app's forms say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, get_args

from pydantic import Field

from syncline.conflict import Kind
from syncline.errors import InputError
from syncline.review.queue import Choice
from syncline.review.web.asked import Asked
from syncline.review.web.sent import LARGEST, Form, Number, Sent
from syncline.rule import Rule, check_when
from syncline.store import Side, Take
from syncline.store.conflicts import Filter

TAKES: Final[tuple[Take, ...]] = get_args(Take)
_CHOICE: Final = {
    "take": "The side that wins.",
    "side.FIELD": "`source` or `target`; `edit` takes `text.FIELD`, `null` is NULL.",
    "text.FIELD": "A value of your own.",
    "note": "Why.",
}
_WHICH: Final = ("mapping", "field", "kind", "age", "q")


class PreviewBody(Sent):
    """A choice to look at."""

    form_fields: ClassVar[Mapping[str, str]] = _CHOICE
    take: Take | None = Field(
        None,
        description="The side that wins; `values` writes only what is named below. Without it each "
        "way to decide is answered.",
    )
    sides: dict[str, Side] = Field({}, description="The side of single fields, before `take`.")
    values: dict[str, str | None] = Field(
        {}, description="Values of your own as text, before both; read as the field's type."
    )
    note: str = Field("", max_length=10_000, description="Why; kept in the history.")

    @classmethod
    def of_form(cls, form: Form) -> dict[str, Any]:
        """`side.FIELD` and `text.FIELD`, as the page of a conflict has them."""
        return form.given("take") | _chosen(form) | {"note": form.one("note").strip()}

    def choice(self, take: Take) -> Choice:
        """As the queue's logic has it, with this side as the one that wins."""
        return Choice(take, dict(self.sides), dict(self.values), self.note)


def _chosen(form: Form) -> dict[str, Any]:
    sides: dict[str, str] = {}
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
                message = f"{field}: there is no side {other[:20]!r}"
                raise InputError(message)
    return {"sides": sides, "values": texts}


class ChoiceBody(PreviewBody):
    """A decision to be made."""

    take: Take = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        description="The side that wins; `values` writes only what is named below."
    )

    @property
    def chosen(self) -> Choice:
        """As the queue's logic has it."""
        return self.choice(self.take)


class DecideBody(ChoiceBody):
    """A decision on one conflict, as it was seen."""

    form_fields: ClassVar[Mapping[str, str]] = _CHOICE | {"version": "The version that was seen."}
    version: int | None = Field(
        None,
        ge=0,
        le=LARGEST,
        description="The `version` that was seen: refused with 409 if it has changed.",
    )

    @classmethod
    def of_form(cls, form: Form) -> dict[str, Any]:
        """With the version that the page showed."""
        return super().of_form(form) | form.given("version")


class WhichBody(Sent):
    """Which open conflicts: by number, else by filter."""

    ids: list[Number] | None = Field(None, max_length=100_000)
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

    form_fields: ClassVar[Mapping[str, str]] = {
        "take": "The side that wins.",
        "note": "Why.",
        "scope": "`filter` for all that match; else those of `id`.",
        "id": "A conflict; may be repeated.",
        **dict.fromkeys(_WHICH, "As in a list's address."),
    }
    which: WhichBody

    @classmethod
    def of_form(cls, form: Form) -> dict[str, Any]:
        """The selection of a list, or its filter."""
        by_filter = form.one("scope") == "filter"
        which = form.given(*_WHICH) if by_filter else {"ids": form.numbers("id")}
        return super().of_form(form) | {"which": which}


class BulkDecideBody(ChoiceBody):
    """The same choice, for what a preview has looked at."""

    form_fields: ClassVar[Mapping[str, str]] = {
        "take": "The side that wins.", "note": "Why.", "selection": "That of the preview.",
    }  # fmt: skip
    selection: str = Field(description="`selection` of the preview.")

    @classmethod
    def of_form(cls, form: Form) -> dict[str, Any]:
        """With the selection that the preview's page holds."""
        return super().of_form(form) | {"selection": form.one("selection")}


class UndoBody(Sent):
    """Some conflicts, by number or as a `selection`."""

    form_fields: ClassVar[Mapping[str, str]] = {"selection": "Of a bulk decision."}
    ids: list[Number] | None = Field(None, max_length=100_000)
    selection: str = ""

    @classmethod
    def of_form(cls, form: Form) -> dict[str, Any]:
        """What a bulk decision has decided."""
        return {"selection": form.one("selection")}

    @property
    def numbers(self) -> list[int]:
        """The conflicts. Raises InputError for a text that is no selection."""
        from syncline.review.bulk import seen_in

        return list(seen_in(self.selection)) if self.ids is None else self.ids


class LettersBody(Sent):
    """Some dead letters, by number; or all of a mapping."""

    form_fields: ClassVar[Mapping[str, str]] = {
        "id": "A dead letter; may be repeated.",
        "all": "All of `mapping`.",
        "mapping": "The mapping that the list shows.",
    }
    ids: list[Number] = Field([], max_length=100_000)
    mapping: str | None = Field(None, description="All of this mapping, in the place of `ids`.")

    @classmethod
    def of_form(cls, form: Form) -> dict[str, Any]:
        """Those that are ticked, or all of the mapping that is shown."""
        return form.given("mapping") if form.one("all") else {"ids": form.numbers("id")}


class MendBody(Sent):
    """Values to put in the place of a dead letter's own, as text."""

    form_fields: ClassVar[Mapping[str, str]] = {
        "value.COLUMN": "As the record has it where it is not to be mended; of a masked one empty."
    }
    values: dict[str, str]

    @classmethod
    def of_form(cls, form: Form) -> dict[str, Any]:
        """Every column that the page shows; which of them were changed the record tells."""
        parts = {name.partition("."): texts[-1] for name, texts in form.items()}
        # As browsers send a line's end.
        return {
            "values": {n: t.replace("\r\n", "\n") for (p, _, n), t in parts.items() if p == "value"}
        }


class RuleBody(Sent):
    """A decision to be remembered: it takes a side, or writes a value."""

    form_fields: ClassVar[Mapping[str, str]] = {
        "field": "The field.", "when": "The condition.", "take": "The side that wins.",
        "value": "What is written where no side is taken.", "kind": "For this collision only.",
        "note": "Why.", "apply": "Settle what waits by the rules, too.",
    }  # fmt: skip
    field: str | None = Field(None, description="The field; without it the whole record.")
    when: str = Field("always", description="A condition such as `source is empty`.")
    take: Side | None = None
    value: str | None = Field(None, description="What is written where no side is taken.")
    kind: Kind | None = None
    note: str = ""
    apply: bool = Field(False, description="Decide what waits by the mapping's rules, too.")

    @classmethod
    def of_form(cls, form: Form) -> dict[str, Any]:
        """A suggestion of the page, which has no `value` where it is NULL."""
        given = form.given("field", "when", "take", "kind", "apply")
        value = {"value": form.one("value")} if "value" in form else {}
        return given | value | {"note": form.one("note").strip()}

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


class RemoveBody(Sent):
    """A rule to be forgotten."""

    form_fields: ClassVar[Mapping[str, str]] = {"number": "As listed.", "text": "As listed."}
    number: int = Field(description="Its number, as the list gives it.")
    text: str | None = Field(
        None, description="Its `text`: refused where the rule of that number is another by now."
    )

    @classmethod
    def of_form(cls, form: Form) -> dict[str, Any]:
        """As the page of rules has it."""
        return form.given("number", "text")
