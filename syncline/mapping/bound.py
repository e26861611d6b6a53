"""A bound mapping: a mapping that was held against both live databases and found right."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from syncline.endpoints.base import Comparison, ReadSpec, Source, TableInfo, TargetSpec
from syncline.mapping.columns import Columns
from syncline.mapping.expression import parse_expression
from syncline.mapping.forms import LookupForm
from syncline.mapping.lookups import BoundLookup
from syncline.mapping.model import Detect, Mapping
from syncline.mapping.raw import Raw
from syncline.mapping.select import Column
from syncline.record import Type

if TYPE_CHECKING:
    from syncline.mapping.mapper import Mapper


@dataclass(frozen=True)
class BoundField:
    """A field that is not part of the key. `digest` changes if and only if what the field computes
    does.
    """

    name: str
    type: Type
    digest: str


@dataclass(frozen=True)
class LookupUses:
    """How fields use lookups.

    `taken` are the columns taken of each, `joins` the joins in SQL, each once, `matched` the source
    columns by which they match.
    """

    taken: Map[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    joins: tuple[str, ...] = ()
    matched: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Program:
    """What a mapper runs: the compiled columns (the key's first), the condition, the lookups and
    the hooks.
    """

    columns: tuple[Column, ...]
    where: Raw | None
    source: Columns
    lookups: Map[str, BoundLookup] = field(default_factory=dict[str, BoundLookup])
    uses: LookupUses = LookupUses()
    hooks: Map[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])
    open_source: Callable[[str], Source] | None = None
    """Opens the source of a lookup's connection."""


@dataclass(frozen=True)
class BoundMapping:
    """A mapping bound to its databases: what to read, what to write, and how one becomes the other.

    `key` is target field: source column. `fields` are the others, in the order of the file.
    `digest` covers the key, the fields, `where` and the lookups; `key_digest` the key alone.
    `target_info` is None where the table is yet to be created. `soft_delete` is the target column
    that marks a gone record, with its type.
    """

    mapping: Mapping
    read: ReadSpec
    target: TargetSpec
    key: Map[str, str]
    fields: tuple[BoundField, ...]
    digest: str
    key_digest: str
    source_info: TableInfo
    target_info: TableInfo | None
    program: Program = field(repr=False)
    soft_delete: tuple[str, Type] | None = None

    @property
    def detect(self) -> Detect:
        """How edits of the target are noticed, now that the target is known."""
        return detect_of(self.mapping, self.target_info)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its user should know though nothing is wrong."""
        return (*self._rewriting(), *self._hiding())

    def _rewriting(self) -> Iterator[str]:
        if self.target_info is None or not self.target_info.rewrites or self.target.ledger:
            return
        yield (
            f"{self.target.table} rewrites what is written to it (a trigger, a rule, or a column's "
            f"type), and `detect: {self.detect}` keeps no ledger: each run that reads such a "
            "record writes it again; `detect: ledger` remembers what the target made of it"
        )

    def _hiding(self) -> Iterator[str]:
        if self.mapping.deletes.mode != "ignore" and self.source_info.hides_rows:
            yield (
                f"row security holds for our role on {self.read.table}: a record that is absent may"
                " be hidden, so nothing is taken for deleted; a role with BYPASSRLS sees all"
            )

    def mapper(self) -> Mapper:
        """A mapper, which reads the lookups now. Close it, or use it as a context manager.

        Raises Unreachable where a lookup's database can't be reached, RunFailed where a lookup
        can't be trusted.
        """
        from syncline.mapping.mapper import Mapper

        return Mapper(self)


def detect_of(mapping: Mapping, target: TableInfo | None) -> Detect:
    """How edits of the target are noticed: as written; else by what strategies and deletes need.

    A target that rewrites values needs the ledger too: nothing else remembers what it made of them.
    """
    rewritten = mapping.conflicts.detect is None and target is not None and target.rewrites
    return "ledger" if rewritten else mapping.detect


def digest_of(*parts: str) -> str:
    """Sixteen hex digits that stand for these texts in this order."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def read_spec(mapping: Mapping, info: TableInfo, program: Program) -> ReadSpec:
    """What to read of the source: the key, the cursor, and the columns that anything refers to."""
    source = program.source
    cursor = source.resolve(mapping.delta.cursor) if mapping.delta.cursor else None
    key = [column.raw.column for column in program.columns[: len(mapping.key)]]
    key_columns = tuple(dict.fromkeys(name for name in key if name is not None))
    used = {name for column in program.columns for name in column.raw.uses}
    used |= program.where.uses if program.where else frozenset()
    used |= {cursor} if cursor else set()
    ordered = dict.fromkeys([*key_columns, *(name for name in source.types if name in used)])
    return ReadSpec(
        table=info.name,
        key=key_columns,
        columns={name: source.types[name] for name in ordered},
        by=mapping.delta.by or "none",
        cursor=cursor,
        batch_rows=mapping.batch_size,
        filters=_filters(mapping, source),
    )


def target_spec(mapping: Mapping, info: TableInfo | None, program: Program) -> TargetSpec:
    """What to write of the target, and whether a ledger is kept."""
    key, fields = program.columns[: len(mapping.key)], program.columns[len(mapping.key) :]
    types = {column.raw.column: column.raw.type for column in key}
    (first, *others) = types.values()
    single = not others and first is not None and first.is_integer
    return TargetSpec(
        mapping=mapping.name,
        table=info.name if info else mapping.target.name,
        key={column.name: column.type for column in key},
        fields={column.name: column.type for column in fields},
        ledger=detect_of(mapping, info) == "ledger",
        ledger_key=Type("bigint") if single else Type("text"),
        read_back=info.rewrites if info else False,
        store_nulls=mapping.target.nulls == "store",
    )


def uses_of(mapping: Mapping, source: Columns, lookups: Map[str, BoundLookup]) -> LookupUses:
    """How the fields of a mapping use its lookups, all of which were found."""
    taken: dict[str, dict[str, None]] = {name: {} for name in lookups}
    joins: dict[str, None] = {}
    matched: set[str] = set()
    for rule in mapping.fields.values():
        if isinstance(rule, LookupForm):
            lookup = lookups[rule.lookup]
            by = tuple(source.resolve(name) for name in rule.columns)
            taken[rule.lookup][lookup.columns.resolve(rule.take)] = None
            joins[lookup.join(by, source)] = None
            matched.update(by)
    columns = {name: tuple(found) for name, found in taken.items()}
    return LookupUses(columns, tuple(joins), frozenset(matched))


def _filters(mapping: Mapping, columns: Columns) -> tuple[Comparison, ...]:
    """The conjuncts of `where` that compare a column of whole numbers with one."""
    found: list[Comparison] = []
    for conjunct in parse_expression(mapping.where).conjuncts() if mapping.where else ():
        comparison = conjunct.comparison()
        if comparison is None:
            continue
        name, operator, value = comparison
        column = columns.resolve(name)
        if columns.types[column].is_integer:
            found.append(Comparison(column, operator, value))
    return tuple(found)
