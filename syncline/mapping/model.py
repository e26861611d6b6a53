"""A mapping as a frozen value: what one YAML file of `mappings/` says, validated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from syncline.errors import Problem
from syncline.mapping.backfill import Backfill
from syncline.mapping.document import Document, path_text
from syncline.mapping.forms import FromForm, OrText, Rule, Strict
from syncline.mapping.running import Checks
from syncline.mapping.scalars import (
    Duration,
    GroupName,
    Limit,
    Owner,
    Percent,
    Schedule,
    Share,
    StrategyName,
    TagValue,
    TypeName,
)
from syncline.merging import Manner, name_of

Detect = Literal["ledger", "timestamp", "none"]
FirstContact = Literal["strategy", "source", "target", "queue"]


class _Place(Strict):
    connection: str = Field(min_length=1, description="A name of `connections.yaml`.")
    table: str | None = Field(None, min_length=1, description="A table, or `schema.table`.")
    collection: str | None = Field(None, min_length=1, description="A collection of documents.")

    @model_validator(mode="after")
    def _one_name(self) -> _Place:
        if (self.table is None) == (self.collection is None):
            raise ValueError("write either `table` or `collection`")
        return self

    @property
    def name(self) -> str:
        """The table or collection."""
        return self.table or self.collection or ""


class SourcePlace(_Place):
    """Where records come from."""

    types: dict[str, TypeName] = Field(
        default_factory=dict[str, TypeName],
        description="The types to read columns or paths as, where the catalogue is wrong.",
    )


class TargetPlace(_Place):
    """Where records go."""

    create: bool = Field(False, description="Create the table where it is missing.")
    nulls: Literal["store", "omit"] = Field(
        "store", description="Documents: store NULL as null, or leave the path out."
    )

    @property
    def may_create(self) -> bool:
        """Whether a missing table is made: on request, and always for a collection."""
        return self.create or self.collection is not None


class Lookup(Strict):
    """A table read whole, to look values up in by its key."""

    connection: str = Field(min_length=1, description="A name of `connections.yaml`.")
    table: str = Field(min_length=1, description="A table or collection.")
    key: str | list[str] = Field(description="The column(s) a record is found by; unique.")

    @property
    def columns(self) -> tuple[str, ...]:
        """The key's columns."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)


class Delta(Strict):
    """How a delta tells what changed."""

    by: Literal["xmin", "stream", "timestamp", "none"] | None = Field(
        None, description="The default is the best the source can do."
    )
    cursor: str | None = Field(None, description="The source column that grows with each change.")

    @model_validator(mode="after")
    def _cursor_for_timestamp(self) -> Delta:
        if self.by == "timestamp" and not self.cursor:
            raise ValueError("`by: timestamp` needs `cursor`, the column to go by")
        return self


class Deletes(Strict):
    """What becomes of a target record whose source record is gone."""

    mode: Literal["ignore", "mirror", "soft"] = Field("ignore", description="soft: mark it.")
    column: str | None = Field(None, description="soft: the target column that marks it.")
    guard: Percent = Field(
        default_factory=lambda: Share(0.05),
        description="The share of records whose delete stops the run (exit 3).",
        json_schema_extra={"default": "5%"},
    )
    reconcile: Literal["always", "full"] = Field(
        "always", description="Look for gone records in every run, or in full runs only."
    )

    @model_validator(mode="after")
    def _column_for_soft(self) -> Deletes:
        if (self.mode == "soft") != (self.column is not None):
            raise ValueError("`column` goes with `mode: soft`, and `mode: soft` needs it")
        return self


class Conflicts(Strict):
    """What happens where source and target both changed."""

    strategy: StrategyName = Field("source", description="Built in, or a file of `resolvers/`.")
    detect: Detect | None = Field(None, description="How an edit of the target is noticed.")
    clock: str | None = Field(None, description="The field that says when a record was edited.")
    fields: dict[str, StrategyName] = Field(
        default_factory=dict[str, StrategyName], description="Fields with a strategy of their own."
    )
    together: list[list[str]] = Field(
        default_factory=list[list[str]], description="Groups of fields that move as one."
    )
    near: Duration | None = Field(
        None, description="latest: clocks no further apart are a question for a person: 2s."
    )
    first_contact: FirstContact = Field(
        "strategy", description="Who wins where both sides hold a record and nothing is known."
    )
    guard: Percent = Field(
        default_factory=lambda: Share(0.20),
        description="The share of conflicts that stops the run (exit 3).",
        json_schema_extra={"default": "20%"},
    )

    @property
    def strategies(self) -> tuple[str, ...]:
        """Every strategy named, the record's own first, each once."""
        return tuple(dict.fromkeys((self.strategy, *self.fields.values())))


class DeadLetters(Strict):
    """When too many records can't be mapped or written."""

    limit: Limit = Field(1000, description="Past so many records, or such a share, the run fails.")


def _long(key: str) -> BeforeValidator:
    """The long form of what may be written as a single word."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


class Mapping(Strict):
    """One mapping. `name` is the stem of its file; `where` tells the line of any part of it."""

    description: str = Field("", description="What this mapping is for.")
    source: SourcePlace
    target: TargetPlace
    key: dict[str, str] = Field(
        min_length=1, description="What identifies a record: target field: source column."
    )
    where: str | None = Field(
        None, description="An SQL condition; a record that stops to satisfy it is gone."
    )
    fields: dict[str, Rule] = Field(
        default_factory=dict[str, Rule], description="target field: what it holds."
    )
    lookups: dict[str, Lookup] = Field(
        default_factory=dict[str, Lookup], description="Tables to look values up in."
    )
    delta: Delta = Field(default_factory=lambda: Delta.model_validate({}))
    deletes: Annotated[Deletes, _long("mode"), OrText(enum=["ignore", "mirror"])] = Field(
        default_factory=lambda: Deletes.model_validate({})
    )
    exclusive: bool = Field(
        False, description="Nobody but this mapping writes the target table, which is all its own."
    )
    conflicts: Annotated[Conflicts, _long("strategy"), OrText(pattern="^[a-z_]+$")] = Field(
        default_factory=lambda: Conflicts.model_validate({})
    )
    schedule: Schedule | None = Field(None, description="Cron: five fields, UTC.")
    after: list[str] = Field(
        default_factory=list[str], description="Mappings that run before this one."
    )
    group: GroupName | None = Field(None, description="The group in Dagster's asset graph.")
    owners: list[Owner] = Field(default_factory=list[Owner], description="Who answers for it.")
    tags: dict[str, TagValue] = Field(default_factory=dict[str, TagValue])
    batch_size: int = Field(60_000, ge=1, le=1_000_000, description="Records in a batch.")
    workers: int = Field(
        1, ge=1, le=64, description="Processes that a full sync is shared out to, by key ranges."
    )
    dead_letters: DeadLetters = Field(default_factory=lambda: DeadLetters.model_validate({}))
    drift: Literal["ignore", "warn", "stop", "evolve"] = Field(
        "stop", description="What is done where the columns of a table change between two runs."
    )
    max_lag: Duration | None = Field(None, description="How old the target may get: 15m.")
    checks: Checks = Field(
        default_factory=lambda: Checks.model_validate({}),
        description="What is checked in Dagster, and what of it blocks.",
    )

    backfill: Backfill | None = Field(
        None, description="What a backfill is cut into, on the command line and in Dagster."
    )

    _name: str = PrivateAttr("")
    _document: Document = PrivateAttr(default_factory=lambda: Document("mapping", None))
    _path: Path | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _knows_its_own(self) -> Mapping:
        if self.deletes.mode != "ignore" and self.detect != "ledger" and not self.exclusive:
            raise ValueError(
                f"`deletes: {self.deletes.mode}` without a ledger can't tell our own records "
                "from others of the target: write `exclusive: true`, or `detect: ledger`"
            )
        return self

    @property
    def name(self) -> str:
        """The stem of the mapping's file."""
        return self._name

    @property
    def path(self) -> Path | None:
        """The mapping's file; None where it was read from text."""
        return self._path

    @property
    def detect(self) -> Detect:
        """How edits of the target are noticed: as written, else by what strategies and deletes
        need.
        """
        if self.conflicts.detect is not None:
            return self.conflicts.detect
        settles = any(name != "source" for name in self.conflicts.strategies)
        settles = settles or any(rule.merge or rule.keep for rule in self.fields.values())
        removes = self.deletes.mode != "ignore" and not self.exclusive
        return "ledger" if settles or removes else "none"

    @property
    def keeps(self) -> frozenset[str]:
        """The fields whose baseline values are kept."""
        return frozenset(name for name, rule in self.fields.items() if rule.keep)

    @property
    def merges(self) -> dict[str, Manner]:
        """How fields are merged that both sides moved, where the mapping says."""
        return {name: rule.merge for name, rule in self.fields.items() if rule.merge}

    @property
    def masked(self) -> frozenset[str]:
        """The fields whose values are hidden from people."""
        return frozenset(name for name, rule in self.fields.items() if rule.mask)

    def strategy_of(self, field: str) -> str:
        """The strategy that settles this field."""
        rule = self.fields.get(field)
        if rule is not None and rule.merge is not None:
            return name_of(rule.merge)
        return self.conflicts.fields.get(field, self.conflicts.strategy)

    def where_is(self, *path: str | int) -> str:
        """`file:line` of a part of the mapping."""
        return self._document.where(path)

    def problem(self, path: Sequence[str | int], message: str) -> Problem:
        """A problem that stands at this part of the mapping."""
        return Problem(self.where_is(*path), path_text(path), message)

    @classmethod
    def from_document(cls, document: Document, name: str, path: Path | None) -> Mapping:
        """Validate a document. Raises pydantic.ValidationError; `load` turns that into
        MappingErrors.
        """
        mapping = cls.model_validate(document.data)
        return mapping._placed(document, name, path)  # noqa: SLF001 - its own class

    def _placed(self, document: Document, name: str, path: Path | None) -> Mapping:
        self._name, self._document, self._path = name, document, path
        return self

    def with_columns(self, columns: Iterable[str]) -> Mapping:
        """The same with these source columns as fields of their own names."""
        fields = {
            **self.fields,
            **{name: FromForm.model_validate({"from": name}) for name in columns},
        }
        changed = self.model_copy(update={"fields": fields})
        return changed._placed(self._document, self._name, self._path)  # noqa: SLF001 - its own class

    def __str__(self) -> str:
        return self._name
