"""What the control store keeps: runs, conflicts and decisions, dead letters, the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from syncline.conflict import Conflict, Kind
from syncline.errors import InputError

Take = Literal["source", "target", "merge", "values"]
Side = Literal["source", "target"]
Stage = Literal["read", "map", "write"]


class State(StrEnum):
    """Where a conflict stands in the queue; of one mapping and ledger key at most one is live."""

    OPEN = "open"
    """Waits for a person. A run that meets the record again refreshes its images; it leaves by a
    decision, or by `superseded`."""
    DECIDED = "decided"
    """A person decided and the decision waits to be written; it is written at once, or by the next
    run where another holds the lease. `undo` takes it back to `open`; where a side moves first it
    becomes `stale`."""
    APPLIED = "applied"
    """The decision is in the target. Final; a later conflict of the same record is a new one."""
    STALE = "stale"
    """Source or target moved after the decision, so it was refused. Only a fresh look opens it
    again: the next run reads both sides and queues the record, which makes it `open` without a
    decision."""
    SUPERSEDED = "superseded"
    """The two sides came to agree without a decision, a rule settled the record, or it is gone.
    Final."""


LIVE = (State.OPEN, State.DECIDED, State.STALE)
"""The states in which a conflict still has a way to go."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A conflict to be queued.

    `ledger_key` is the source's key as the ledger writes it; the prints are fingerprint texts of
    the two sides as they were classified. `reason` says, to a person, why a strategy did not settle
    it.
    """

    mapping: str
    key: Mapping[str, Any]
    ledger_key: str
    conflict: Conflict
    source_prints: str
    target_prints: str
    run_id: str
    reason: str = ""
    types: Mapping[str, str] = field(default_factory=dict[str, str])
    """The type of each field, as mappings write it."""
    masked: frozenset[str] = frozenset()
    """The fields whose values no search may find."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided on one conflict.

    `take` names the side that wins; `merge` takes what one side alone moved as it comes; `values`
    takes only what `values` names. `sides` names the side of single fields, which goes before
    `take`; `values` are explicit values, which go before both. The prints are those of the images
    that the person saw: a decision on anything else is refused.
    """

    take: Take
    user: str
    at: datetime
    source_prints: str
    target_prints: str
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    note: str = ""
    sides: Mapping[str, Side] = field(default_factory=dict[str, Side])


@dataclass(frozen=True, slots=True)
class Entry:
    """One conflict of the queue. `run_id` is the run that last saw it; times are UTC.

    `version` grows with every change of it. `types` are those of its fields; it is empty where the
    entry is of a syncline that did not keep them.
    """

    id: int
    state: State
    mapping: str
    key: Mapping[str, Any]
    ledger_key: str
    kind: Kind
    source: Mapping[str, Any] | None
    target: Mapping[str, Any] | None
    baseline: Mapping[str, Any]
    contested: frozenset[str]
    source_moved: frozenset[str]
    target_moved: frozenset[str]
    clock_source: Any
    clock_target: Any
    clock_digits: int
    source_prints: str
    target_prints: str
    reason: str
    created_at: datetime
    updated_at: datetime
    decision: Decision | None
    run_id: str
    version: int = 1
    types: Mapping[str, str] = field(default_factory=dict[str, str])
    together: tuple[frozenset[str], ...] = ()
    """The groups of fields that move as one, as the mapping had them."""

    @property
    def field_names(self) -> tuple[str, ...]:
        """The fields that either side has."""
        sides: list[str] = [*(self.source or {}), *(self.target or {})]
        return tuple(dict.fromkeys(sides))

    def check_field(self, name: str) -> None:
        """Raises InputError where the entry has no such field."""
        if name not in self.field_names:
            message = f"conflict {self.id} has no field {name!r}"
            raise InputError(message, hint=f"it has {', '.join(self.field_names)}")

    @property
    def conflict(self) -> Conflict:
        """The conflict as a strategy was given it."""
        return Conflict(
            mapping=self.mapping, key=self.key, kind=self.kind, source=self.source,
            target=self.target, contested=self.contested, source_moved=self.source_moved,
            target_moved=self.target_moved, baseline=self.baseline,
            clock_source=self.clock_source, clock_target=self.clock_target,
            clock_digits=self.clock_digits, together=self.together,
        )  # fmt: skip


class Event(StrEnum):
    """What happened to a conflict, in its history."""

    OPENED = "opened"
    """A run queued it."""
    REFRESHED = "refreshed"
    """A run saw other images while it was open; the images kept are those from before."""
    DECIDED = "decided"
    """A person decided."""
    UNDONE = "undone"
    """The decision was taken back; it is kept here."""
    STALE = "stale"
    """A side moved after the decision; the decision and its images are kept here."""
    REOPENED = "reopened"
    """A run looked again at a stale conflict."""
    APPLIED = "applied"
    """The decision was written."""
    SUPERSEDED = "superseded"
    """The sides came to agree by themselves."""


@dataclass(frozen=True, slots=True)
class History:
    """One event of a conflict. Images and decision are those that the event replaced, else None."""

    at: datetime
    event: Event
    run_id: str
    by: str
    note: str
    source: Mapping[str, Any] | None = None
    target: Mapping[str, Any] | None = None
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be mapped or written, kept whole.

    `ledger_key` is None where the record's key itself could not be read; then its content
    identifies it. `source` is the record as it was read. `stage` is where it failed. The last four
    are set by the store.
    """

    mapping: str
    ledger_key: str | None
    source: Mapping[str, Any]
    error: str
    stage: Stage
    run_id: str
    field: str | None = None
    id: int = 0
    attempts: int = 1
    """How many runs have failed on it."""
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What was decided on one record, by which strategy or person, and the values that lost.

    `by` is `strategy NAME` or a user; `winner` is the side or the manner (`source`, `target`,
    `merge`, ..).
    """

    mapping: str
    key: Mapping[str, Any]
    run_id: str
    kind: str
    by: str
    winner: str
    loser: Mapping[str, Any]
    note: str = ""
    id: int = 0
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a mapping; `status` is `running` until it is finished, or
    found `interrupted` by the next.
    """

    run_id: str
    mapping: str
    mode: str
    trigger: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    summary: Mapping[str, Any]
    error: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What waits, of one mapping; `open_conflicts` counts stale ones too."""

    open_conflicts: int
    decided: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece `[start, end)` of a backfill; None is open."""

    start: str | None
    end: str | None
