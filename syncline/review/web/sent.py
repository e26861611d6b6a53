"""Sent: what the API takes, in JSON or as a form; and whether it answers in JSON or with a page.

Pages change nothing by addresses of their own: their forms and scripts go to the same ones as
programs do. One address has two representations: a body is JSON, or a form that its model reads;
an answer is JSON, or, where a form was sent by a browser or htmx asks, a page or a part of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import parse_qs

from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from syncline.cli.show import plain
from syncline.errors import InputError, SynclineError
from syncline.log import redacted

Json = dict[str, Any]
SAFE: Final = frozenset({"GET", "HEAD"})
FORM: Final = "application/x-www-form-urlencoded"
LARGEST: Final = 2**63 - 1
"""The largest number that a control store takes."""
Id = Annotated[int, Path(ge=0, le=LARGEST)]
Before = Annotated[int | None, Query(ge=0, le=LARGEST, description="Those before this one.")]
Offset = Annotated[int, Query(ge=0, le=LARGEST, description="So many are passed over.")]
Number = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
_MOST_FIELDS: Final = 200_000
_DIGITS: Final = len(str(LARGEST))


class Failure(BaseModel):
    """An error, as the API tells it."""

    error: str = Field(description="What happened, and where.")
    hint: str = Field(description="What to do; may be empty.")


FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Failure, "description": told}
    for status, told in {
        400: "The server does not answer to that host, or what was sent is no JSON.",
        401: "You are not signed in.",
        403: "You may not, or the request came from another site.",
        404: "There is no such.",
        409: "It is not what you saw any more, or a run holds the lease.",
        411: "The request does not say how long it is.",
        413: "The request is too large.",
        422: "What you sent does not fit.",
        503: "A database is away.",
    }.items()
}
"""What any address may answer besides."""


class Form(dict[str, list[str]]):
    """The fields of a form, each with all its values."""

    @classmethod
    def read(cls, body: bytes) -> Self:
        """A form in the plain encoding: no page of ours sends files. Raises InputError for one that
        has too many fields.
        """
        text = body.decode("utf-8", "replace")
        try:
            return cls(parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
        except ValueError as error:
            message = f"the form has more than {_MOST_FIELDS:,} fields"
            raise InputError(message) from error

    def one(self, name: str, default: str = "") -> str:
        """The last value of a field."""
        return self.get(name, [default])[-1]

    def numbers(self, name: str) -> list[int]:
        """All values of a field that are numbers, each once."""
        texts = dict.fromkeys(self.get(name, []))
        return [int(text) for text in texts if text.isdecimal() and len(text) <= _DIGITS]

    def given(self, *names: str) -> dict[str, str]:
        """Those of these fields that are not empty."""
        return {name: self.one(name) for name in names if self.one(name)}


class Sent(BaseModel):
    """A body of the API: JSON, or a form."""

    model_config = ConfigDict(extra="forbid")
    form_fields: ClassVar[Mapping[str, str]] = {}
    """What its form has, by name, for the API's document."""

    _form: Form | None = PrivateAttr(None)

    @classmethod
    def of_form(cls, form: Form) -> dict[str, Any]:
        """The JSON that the form says. Raises InputError for one that says nothing."""
        raise NotImplementedError

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, given: Any, read: Callable[[Any], Self]) -> Self:
        if not isinstance(given, bytes):  # FastAPI leaves what is no JSON as it came
            return read(given)
        form = Form.read(given)
        made = read(cls.of_form(form))
        made.keep(form)
        return made

    def keep(self, form: Form) -> None:
        """Remember the form that this was."""
        self._form = form

    @property
    def form(self) -> Form | None:
        """The form as it was sent; None where it was JSON."""
        return self._form


def wants_page(request: Request) -> bool:
    """Whether the answer is a page or a part of one: a script of ours asks, or a browser sent a
    form. Who follows a link to the API gets JSON.
    """
    if request.headers.get("hx-request"):
        return True
    return request.method not in SAFE and "text/html" in request.headers.get("accept", "")


def part(request: Request) -> str:
    """The part of a page that is asked for, by its id; empty where it is none in particular."""
    return request.headers.get("hx-target", "")


def two_ways(body: type[Sent] | None = None, *, page: str = "") -> dict[str, Any]:
    """What a route says of its second representation in the API's document: the form of its body,
    and what `page` it answers with.
    """
    told: dict[str, Any] = {}
    if body is not None:
        fields = {
            name: {"type": "string", "description": s} for name, s in body.form_fields.items()
        }
        schema = {"type": "object", "properties": fields}
        told["openapi_extra"] = {"requestBody": {"content": {FORM: {"schema": schema}}}}
    if page:
        html = {"content": {"text/html": {"schema": {"type": "string"}}}}
        told["responses"] = {200: html | {"description": f"JSON; to a page of the app: {page}"}}
        if body is not None or "leads" in page:
            told["responses"][303] = {"description": "After a form: where its page goes on."}
    return told


def in_words(error: SynclineError) -> str:
    """An error in one sentence, for a page; no secret that is known is in it."""
    return redacted(f"{error}; {error.hint}" if error.hint else str(error))


def as_json(found: Any) -> Json:
    """A dataclass as the API gives it."""
    answer: Json = plain(asdict(found))
    return answer
