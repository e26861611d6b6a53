"""The forms a field may take: an expression, a column, a constant, a lookup, a function of the
project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from syncline.mapping.scalars import Dotted, TypeName

Scalar = str | int | float | bool | None
Truncate = Literal["ms", "s", "day"]
_NUMBER: Final = re.compile(r"^[-+]?[0-9][0-9_.eE+-]*$")
_DATE: Final = re.compile(r"^\d{4}-\d{1,2}-\d{1,2}([T ].*)?$")


class Strict(BaseModel):
    """Base of every part of a mapping: unknown keys are refused, values never change."""

    # A part is built once, with the whole of the mapping, and not by itself as well.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class OrText:
    """Lets the published schema offer a short form in text beside the long one."""

    def __init__(self, **schema: Any) -> None:
        self.schema: dict[str, Any] = {"type": "string", **schema}

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [self.schema, handler(core)]}


class Form(Strict):
    """What every form of a field may add."""

    type: TypeName | None = Field(
        None, description="The type of the value; else what the target's column or the value says."
    )
    default: Scalar = Field(None, description="The value where the result is NULL.")
    truncate: Truncate | None = Field(
        None, description="Cut a time on purpose to milliseconds, seconds or days."
    )
    keep: Literal["values"] | None = Field(
        None, description="Keep the baseline's value too, not its fingerprint alone."
    )
    merge: Literal["union", "add", "max"] | None = Field(
        None, description="How the value is merged where both sides moved it."
    )
    mask: bool = Field(False, description="Hide the value from people in the review app.")


class SqlForm(Form):
    """An expression over the source's columns."""

    sql: str = Field(description="An SQL expression (DuckDB's dialect), row by row.")


class FromForm(Form):
    """A source column as it is, or through a map of values."""

    from_: str = Field(alias="from", description="A source column, or a path in its documents.")
    values: dict[str, Scalar] | None = Field(
        None, description="What each value of the column becomes; the keys take its type."
    )
    else_: Scalar = Field(
        None, alias="else", description="What any other value becomes; without it: a dead letter."
    )

    @property
    def has_else(self) -> bool:
        """Whether `else` was written, be it null."""
        return "else_" in self.model_fields_set


class ValueForm(Form):
    """A constant."""

    value: Scalar | list[Any] | dict[str, Any] = Field(description="The same for every record.")


class LookupForm(Form):
    """A column of another table, found by key."""

    lookup: str = Field(description="One of the mapping's `lookups`.")
    match: str | list[str] = Field(description="The source column(s) that hold the lookup's key.")
    take: str = Field(description="The column to take from the lookup's table.")

    @property
    def columns(self) -> tuple[str, ...]:
        """The source columns that hold the key, in its order."""
        return (self.match,) if isinstance(self.match, str) else tuple(self.match)


class PythonForm(Form):
    """A function of the project that gets a pandas DataFrame and gives a Series of its length."""

    python: Dotted = Field(description="The function, such as `hooks.score`.")
    takes: list[str] | None = Field(
        None, description="The source columns it gets; without it: all of them."
    )


FORMS: Final[Mapping[str, type[Form]]] = {
    "sql": SqlForm,
    "from": FromForm,
    "value": ValueForm,
    "lookup": LookupForm,
    "python": PythonForm,
}
TAG_PREFIX: Final = "form:"
"""Marks, in pydantic's locations, the parts that are not keys of the file."""


def _expand(value: Any) -> Any:
    """The long form of a field. Raises ValueError for what is neither an expression nor one
    form.
    """
    if isinstance(value, Form):
        return value
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("an empty expression")
        if _NUMBER.match(value) or _DATE.match(value):
            raise ValueError(
                f"`{value}` is a constant, not an expression: write {{value: {value}}}"
            )
        return {"sql": value}
    if isinstance(value, Mapping):
        return _one_form(cast("Mapping[str, Any]", value))
    if isinstance(value, list):
        raise ValueError("a list is not a field: write an expression, or {value: [..]}")
    text = {None: "null", True: "true", False: "false"}.get(value, str(value))
    raise ValueError(f"`{text}` is a constant, not an expression: write {{value: {text}}}")


def _one_form(value: Mapping[str, Any]) -> Mapping[str, Any]:
    found = [name for name in FORMS if name in value]
    if len(found) != 1:
        names = ", ".join(f"`{name}`" for name in FORMS)
        has = f"it has {' and '.join(f'`{name}`' for name in found)}" if found else "it has none"
        raise ValueError(f"a field takes exactly one of {names}; {has}")
    return value


def _form_of(value: Any) -> str:
    names = (n for n, form in FORMS.items() if isinstance(value, form) or n in value)
    return TAG_PREFIX + next(names)


Rule = Annotated[
    Annotated[SqlForm, Tag("form:sql")]
    | Annotated[FromForm, Tag("form:from")]
    | Annotated[ValueForm, Tag("form:value")]
    | Annotated[LookupForm, Tag("form:lookup")]
    | Annotated[PythonForm, Tag("form:python")],
    Discriminator(_form_of),
    BeforeValidator(_expand),
    OrText(description="An SQL expression over the source's columns."),
]
"""A field, in any of its forms; text is the short form of `{sql: text}`."""
