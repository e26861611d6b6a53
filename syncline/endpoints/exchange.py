"""Exchange: what crosses the border between engine and endpoint: frozen values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from syncline.record import Misfit, Type

Mode = Literal["full", "delta", "backfill"]
DeltaBy = Literal["xmin", "stream", "timestamp", "none"]
Level = Literal["exact", "bounded", "none"]
Mask = npt.NDArray[np.bool_]

TEXT: Final = Type("text")

ROW: Final = "__row"
"""The int32 column by which fetched rows say which of the asked keys they answer."""

# --- what a table is ---


@dataclass(frozen=True, slots=True)
class Column:
    """One column (or document path) of a table, in canonical and in native type."""

    name: str
    type: Type
    nullable: bool = True
    has_default: bool = False
    generated: bool = False
    """Computed by the database: it can't be written."""

    native: str = ""
    """The type as the database spells it, for messages and for `map`."""

    opaque: bool = False
    """The database's type has no canonical form (range, point, ..): read as its text."""

    no_key: bool = False
    """No record can be asked for by a value of the database's type."""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of a table that point at another table of the same database."""

    columns: tuple[str, ...]
    table: str
    referred: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table, view or collection as its catalogue describes it now."""

    name: str
    columns: Mapping[str, Column]
    primary_key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    """Every set of NOT NULL columns that is guaranteed unique, the primary key included."""

    foreign_keys: tuple[ForeignKey, ...] = ()
    is_view: bool = False
    rewrites: bool = False
    """Triggers, rules or a column's own type may change what is written: read back before COMMIT.

    Generated columns don't: nobody writes them, and they change no other column."""

    hides_rows: bool = False
    """Row security holds for our role: a record that is absent may be hidden, not gone."""

    open_columns: bool = False
    """Documents: columns are what a sample showed; a path not listed may still be read and
    written."""

    identity: Mapping[str, str] = field(default_factory=dict[str, str])
    """What must not change behind a checkpoint: system id, database OID, relation and partition
    OIDs, timeline, ..."""

    row_estimate: int | None = None


# --- reading ---


@dataclass(frozen=True, slots=True)
class Guarantee:
    """What a delta of this source promises, in a word and a sentence shown to the user.

    Never stronger than true.
    """

    level: Level
    why: str
    tells_gone: bool = False
    """Whether a delta also tells which records are gone (`SourceBatch.gone`); else keys are
    compared."""


@dataclass(frozen=True, slots=True)
class Holder:
    """An open transaction of the source that keeps the horizon from moving.

    `since` is when it began, UTC, by the source's clock; None where the role may not see that, and
    it was there at the last checkpoint. `ends_by` is the statement that ends it.
    """

    who: str
    since: datetime | None
    ends_by: str


@dataclass(frozen=True, slots=True)
class Pulse:
    """The source's clock, UTC, and who holds its horizon back, if anyone does."""

    clock: datetime
    holder: Holder | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """`[start, end)` of a backfill, in the text forms that the user gave; compared in the database.

    `by` is `key` (first key column) or `cursor`. Instants are UTC. None is open.
    """

    by: Literal["key", "cursor"]
    start: str | None
    end: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One conjunct of `where` that the source may apply itself: `column op value` with a number,
    never a text.

    Applying it is an optimisation; the engine applies the whole `where` again.
    """

    column: str
    op: Literal["=", "<>", "<", "<=", ">", ">="]
    value: int


@dataclass(frozen=True, slots=True)
class ReadSpec:
    """What to read of a source table: `columns` (the key and the cursor included) as the given
    types.
    """

    table: str
    key: tuple[str, ...]
    columns: Mapping[str, Type]
    by: DeltaBy = "none"
    cursor: str | None = None
    batch_rows: int = 60_000
    batch_bytes: int = 16 << 20
    filters: tuple[Comparison, ...] = ()
    """Applied only in mode `full` and `backfill`; a delta must see the rows that left the
    filter."""


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """Some records of a read, in the order of the read.

    `position` is opaque text: a later read of the same mode with `after=position` goes on just past
    this batch. `gone` are source keys that were there once and of which a read in this delta's
    snapshot, or a newer one, found no record; `records` may then be empty.
    """

    records: pa.Table
    misfits: tuple[Misfit, ...]
    position: str
    gone: pa.Table | None = None


# --- writing ---


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """What a mapping writes: its key and its other fields, as target types.

    `ledger` says whether a baseline is kept; `ledger_key` is `bigint` where the source key is one
    whole number, else `text`. `mapping` names the ledger and the state row.
    """

    mapping: str
    table: str
    key: Mapping[str, Type]
    fields: Mapping[str, Type]
    ledger: bool = False
    ledger_key: Type = TEXT
    read_back: bool = False
    """The target rewrites values: `insert` and `update` must be followed by a fetch before
    COMMIT."""

    store_nulls: bool = True
    """Documents: NULL is stored as null; else the path is absent.

    The other of the two is then a Misfit on fetch.
    """


@dataclass(frozen=True, slots=True)
class Fetched:
    """Target records answering a set of keys.

    `rows` has `__row` (int32 index into the asked keys), the key, the fields, and `__version` (any
    type, may be missing): the endpoint's own proof of which state of the row was seen, handed back
    in `update` and `delete`. `misfits` index into `rows`, not into the keys.
    """

    rows: pa.Table
    misfits: tuple[Misfit, ...] = ()


Refusal = Literal["value", "constraint"]


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that the target would not take: `value` (it never will: a dead letter) or
    `constraint` (unique, foreign key, check: parked and tried again).

    `row` indexes the rows of the call.
    """

    row: int
    kind: Refusal
    message: str


@dataclass(frozen=True, slots=True)
class Written:
    """What became of each row of one insert, update or delete.

    `landed[i]` is True where row i was written. A row neither landed nor refused had moved since it
    was fetched (or, for an insert, its key is taken): fetch and classify it again.
    """

    landed: Mask
    refused: tuple[Refused, ...] = ()


LEDGER_SCHEMA = (
    ("k", "the source's native key: bigint, or text (`ledger.encode_key`)"),
    (
        "s",
        "binary: 8 bytes a field, the source's fingerprints when last settled, in layout order",
    ),
    ("t", "binary or null: the same for the target; null where it equals s"),
    ("held", "binary or null: one byte a field, 1 where a decision holds source and target apart"),
    ("gone", "int16: bit 1 the source is gone, bit 2 the target is gone"),
    ("hold", "int16: 0 none, 1 waits for a person, 2 a dead letter, 3 refused by a constraint"),
    ("layout", "int32: which field list (in the state document) s, t and held follow"),
    ("epoch", "int64: the lease epoch at whose horizon the source was read"),
)
"""Columns of a ledger, the same for every mapping and database."""


def state_key(mapping: str, shard: int | None) -> str:
    """What a state row is kept under: a shard's row stands beside its mapping's.

    No mapping has a slash in its name, which is the stem of a file.
    """
    return mapping if shard is None else f"{mapping}/{shard}"


@dataclass(frozen=True, slots=True)
class StateRow:
    """A mapping's row in `syncline_state`: the lease, and one JSON document (checkpoint, layouts,
    identities, ...).

    `now` is the target's clock when the row was read; `lease_until` is on the same clock.
    """

    epoch: int
    holder: str
    lease_until: datetime | None
    document: str
    now: datetime
