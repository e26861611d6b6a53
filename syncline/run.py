"""Run: what one execution of a mapping needs, opened and given back: endpoints, the bound mapping,
rules, the store.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from syncline import catalogue, drift, ledger
from syncline.baseline import Layout
from syncline.batch import Batch, Shape
from syncline.classify import Rules
from syncline.endpoints.base import Endpoint, Mask, Mode, Range, ReadSpec, TargetSpec
from syncline.errors import InputError, SynclineError
from syncline.gate import Gate, gate_to
from syncline.ledger import Document, layout_number
from syncline.look import Look, ahead_of_writes
from syncline.mapping.bound import BoundMapping
from syncline.mapping.compile import bind
from syncline.mapping.model import Mapping as MappingFile
from syncline.merging import merging, name_of
from syncline.progress import Progress
from syncline.read import UNSETTLED
from syncline.record import Type
from syncline.resolve import Policy
from syncline.rule import Rule
from syncline.settle import Terms
from syncline.strategy import load_strategy

if TYPE_CHECKING:
    from syncline.project import Project


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run a mapping.

    `mode` None is a delta, or a full sync where there is no checkpoint to start from. `window` goes
    with the mode `backfill`. `allow` names the guards that may be passed. `restart` begins an
    unfinished full sync again. `on_progress` is told after the commit of each batch, in the thread
    that runs; what it raises ends the run there. `cancelled` is asked between batches.
    `on_batch` is given each batch, once it is durable. `workers` (None: what the mapping says) are
    processes that share a full sync by key ranges; batches written there are not given here.
    """

    mode: Mode | None = None
    batch_size: int | None = None
    allow: frozenset[str] = frozenset()
    window: Range | None = None
    restart: bool = False
    workers: int | None = None
    trigger: str = "cli"
    on_progress: Callable[[Progress], None] | None = None
    cancelled: Callable[[], bool] | None = None
    on_batch: Callable[[Batch], None] | None = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did, as `run --json` prints it.

    `checkpoint` is the instant of the last sync, UTC, and `checkpoint_before` what that was as the
    run began. The positions are what a delta starts from, in the source's own words.
    """

    mapping: str
    run_id: str
    mode: str
    status: Literal["ok", "waiting", "cancelled"]
    guarantee: str
    read: int
    inserted: int
    updated: int
    deleted: int
    unchanged: int
    conflicts: int
    queued: int
    dead_letters: int
    seconds: float
    rows_per_second: int
    checkpoint: str | None
    warnings: tuple[str, ...] = ()
    """What the run can do nothing about: a horizon that stands still, clocks that are off."""
    checkpoint_before: str | None = None
    position: str | None = None
    position_before: str | None = None
    drift: tuple[str, ...] = ()
    """Columns that the mapping reads or writes and that changed since the last run."""

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON-ready values."""
        return asdict(self)


class Cancelled(SynclineError):
    """The run was asked to end; it did so between two batches, and the next run goes on from
    there.
    """


DELTA_ROWS: Final = 30_000
"""The most records in a batch of a delta whose target is looked at while it is written."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A mapping with both databases open.

    `read` and `spec` are the bound ones, made complete for the run; `evolved` are the source's
    columns that became fields by themselves.
    """

    project: Project
    mapping: MappingFile
    bound: BoundMapping
    source: Endpoint
    target: Endpoint
    read: ReadSpec
    spec: TargetSpec
    evolved: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The mapping's name."""
        return self.mapping.name

    @property
    def retry_seconds(self) -> float:
        """How long a lost connection is tried again: the longer of what the two say."""
        names = [self.mapping.source.connection, self.mapping.target.connection]
        return max(each.retry_seconds for each in self.project.connections.select(names))

    @property
    def gates(self) -> list[tuple[Gate, Callable[[], object]]]:
        """The gates to both databases, each with what asks whether it is there."""
        sides = (
            (self.mapping.source.connection, self.source),
            (self.mapping.target.connection, self.target),
        )
        return [(gate_to(f"{self.project.root}:{name}"), side.version) for name, side in sides]

    def bound_again(self) -> Opened:
        """The same, bound to what its databases are now. Raises MappingErrors."""
        source, target = self.source, self.target
        bound = bind(self.mapping, source=source, target=target, project=self.project)
        run = _complete(self.project, self.mapping, bound, source, target, self.read.batch_rows)
        return replace(run, evolved=self.evolved)

    def reads(self, mode: Mode) -> ReadSpec:
        """What a run of that mode reads.

        The sooner a delta has its first batch, the sooner the target works too.
        """
        if mode != "delta" or not self.target.reads_while_written:
            return self.read
        return replace(self.read, batch_rows=min(self.read.batch_rows, DELTA_ROWS))

    def looks(self, shape: Shape) -> Look | None:
        """What looks at the target ahead of its writes; None where that can't be."""
        return ahead_of_writes(self.target, self.spec, shape, UNSETTLED)

    @property
    def source_key(self) -> Mapping[str, Type]:
        """The source's key columns, in the order of the target's key."""
        return {column: self.read.columns[column] for column in self.bound.key.values()}

    @property
    def detects_by_clock(self) -> bool:
        """Whether `detect: timestamp` holds."""
        return self.bound.detect == "timestamp"

    @property
    def sees_gone(self) -> bool:
        """Whether a record that is gone from the source has any effect."""
        return self.mapping.deletes.mode != "ignore"


@contextmanager
def opened(
    project: Project, name: str, *, batch_size: int | None = None, create: bool = False
) -> Generator[Opened]:
    """Open a mapping's databases and bind it to them.

    With `create` a missing target table that the mapping asks for is made. Raises MappingErrors
    with all that does not fit, Unreachable, CredentialsRefused.
    """
    mapping = project.mapping(name)
    # Every variable that is missing is told at once, before a database is opened.
    project.connections.select([mapping.source.connection, mapping.target.connection])
    with ExitStack() as stack:
        source = stack.enter_context(project.using(mapping.source.connection))
        target = stack.enter_context(project.using(mapping.target.connection))
        bound = bind(mapping, source=source, target=target, project=project)
        policy_of(
            mapping, project.resolvers_dir
        )  # a strategy that is not there is found before the first write
        if create and bound.target_info is None:
            _create(target, bound)
            bound = bind(mapping, source=source, target=target, project=project)
        evolved = _evolved(mapping, bound, target) if create else []
        if evolved:
            mapping = mapping.with_columns(evolved)
            bound = bind(mapping, source=source, target=target, project=project)
        if create:
            catalogue.remember(project, bound)
        run = _complete(project, mapping, bound, source, target, batch_size)
        yield replace(run, evolved=tuple(evolved))


def _create(target: Endpoint, bound: BoundMapping) -> None:
    """Make the missing target table; a run that began with us may have made it first."""
    soft = dict([bound.soft_delete]) if bound.soft_delete else {}
    fields = {**bound.target.fields, **soft}
    try:
        target.create_table(bound.target.table, bound.target.key, fields)
    except SynclineError:
        if target.describe(bound.target.table) is None:
            raise


def _evolved(mapping: MappingFile, bound: BoundMapping, target: Endpoint) -> list[str]:
    """The source's columns that are fields because the mapping says `drift: evolve`; those that the
    target lacks are added to it.
    """
    if mapping.drift != "evolve" or bound.source_info.open_columns or bound.target_info is None:
        return []
    _, document = ledger.peek(target, bound.target)
    taken = {*bound.read.columns, *mapping.fields, *mapping.key}
    columns = drift.new_columns(bound.source_info, document, taken)
    for name in columns:
        if name not in bound.target_info.columns and not bound.target_info.open_columns:
            type_ = target.fits(bound.source_info.columns[name].type)
            target.add_column(bound.target.table, name, type_)
    return columns


def _complete(
    project: Project,
    mapping: MappingFile,
    bound: BoundMapping,
    source: Endpoint,
    target: Endpoint,
    batch_size: int | None,
) -> Opened:
    read = bound.read
    if batch_size or mapping.batch_size:
        read = replace(read, batch_rows=batch_size or mapping.batch_size or read.batch_rows)
    if mapping.deletes.mode != "ignore":
        read = replace(read, filters=())  # a record that left `where` is gone: it must be seen
    spec = bound.target
    if bound.soft_delete is not None:
        name, type_ = bound.soft_delete
        spec = replace(spec, fields={**spec.fields, name: type_})
    return Opened(project, mapping, bound, source, target, read, spec)


def layout_of(bound: BoundMapping) -> Layout:
    """The bound mapping's field list, as the ledger remembers it."""
    return tuple((field.name, field.digest, str(field.type)) for field in bound.fields)


def policy_of(
    mapping: MappingFile, resolvers: Path | None, remembered: tuple[Rule, ...] = ()
) -> Policy:
    """The mapping's strategies, loaded, and the rules that go with them.

    Raises InputError where one is not there.
    """
    rules = mapping.conflicts
    contact = {"strategy": None, "queue": "manual"}.get(rules.first_contact, rules.first_contact)
    return Policy(
        strategy=load_strategy(rules.strategy, resolvers),
        name=rules.strategy,
        fields={
            **{name: (own, load_strategy(own, resolvers)) for name, own in rules.fields.items()},
            **{name: (name_of(how), merging(how)) for name, how in mapping.merges.items()},
        },
        near=rules.near,
        first_contact=(contact, load_strategy(contact, resolvers)) if contact else None,
        rules=remembered,
        together=tuple(map(frozenset, rules.together)),
    )


def shape_of(run: Opened, document: Document) -> Shape:
    """The shape of the run's batches; a layout that is new is added to the document."""
    fields = {field.name: field.type for field in run.bound.fields}
    number = layout_number(document, layout_of(run.bound))
    clock = run.mapping.conflicts.clock
    return Shape(
        mapping=run.name,
        key=run.spec.key,
        fields=fields,
        ledger=run.spec.ledger,
        layouts=document.layouts,
        layout=number,
        clock=list(fields).index(clock) if clock in fields else None,
        soft=run.bound.soft_delete[0] if run.bound.soft_delete else None,
        nullable=frozenset(_nullable(run.bound, fields)),
        keeps=run.mapping.keeps,
    )


def _nullable(bound: BoundMapping, fields: Mapping[str, Type]) -> Iterator[str]:
    if bound.target_info is None:
        return iter(())
    known = bound.target_info.columns
    return (name for name in fields if name in known and known[name].nullable)


def terms_of(
    run: Opened,
    document: Document,
    *,
    run_id: str,
    epoch: int,
    waiting: frozenset[str] = frozenset(),
) -> Terms:
    """The terms on which this run settles records; `waiting` as in `Terms`."""
    rules = run.mapping.conflicts
    names = [field.name for field in run.bound.fields]
    strategies = [run.mapping.strategy_of(name) for name in names]
    last = document.checkpoint.synced_at if document.checkpoint else None
    return Terms(
        shape=shape_of(run, document),
        rules=Rules(
            clocks=np.array([name == rules.clock for name in names], np.bool_),
            restores=np.array([name == "source" for name in strategies], np.bool_),
            restores_records=rules.strategy == "source",
            groups=[[names.index(name) for name in group] for group in rules.together],
            adds=_adds(run, names),
        ),
        policy=policy_of(run.mapping, run.project.resolvers_dir, run.project.rules(run.name)),
        run_id=run_id,
        epoch=epoch,
        read_back=run.spec.read_back,
        by_clock=run.detects_by_clock,
        last_sync=datetime.fromisoformat(last) if last else None,
        copies=_copies(run),
        waiting=waiting,
        masked=run.mapping.masked,
        exclusive=run.mapping.exclusive,
    )


def _adds(run: Opened, names: Sequence[str]) -> Mask | None:
    """Where fields add up what both sides added. Raises InputError where the target has no
    transactions: a record could be written and not its baseline, and then be added to twice.
    """
    adds = np.array([run.mapping.merges.get(name) == "add" for name in names], np.bool_)
    if not adds.any():
        return None
    with run.target.begin(run.spec, write=False) as tx:
        if not tx.atomic:
            raise InputError(
                f"{run.name}: `merge: add` needs a target with transactions",
                hint="a MongoDB replica set has them; or take `merge: max`",
            )
    return adds


def _copies(run: Opened) -> bool:
    rules = run.mapping.conflicts
    contact = rules.first_contact in {"strategy", "source"}
    return run.bound.detect == "none" and set(rules.strategies) == {"source"} and contact
