"""State: what a mapping's row in the target says: checkpoint, unfinished full sync, layouts.

It is one JSON document, written in the transaction of the rows that it speaks of. The shards of a
full sync have rows of their own beside it, each with a document of the same form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final

from syncline.baseline import Layout
from syncline.endpoints.base import Column, StateRow, Target, TargetSpec
from syncline.errors import InputError

NOT_NULL: Final = " not null"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the next delta starts (`position`, opaque to all but the source) and when the last sync
    ended (UTC).
    """

    position: str
    synced_at: str
    run_id: str
    guarantee: str = ""
    reconciled: bool = False
    """Whether the records that were gone from the source by then were settled, too."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A full sync that has begun, of the compiled mapping `digest`: how far it is, and the horizon
    of its first attempt, which it keeps.

    Where it is divided, the mapping's row says into how many `shards`, and each shard's row how far
    that one is: `after`, `until` which position it goes, and whether it is `done`.
    """

    horizon: str
    digest: str
    after: str | None = None
    started_empty: bool = False
    read: int = 0
    shards: int = 0
    until: str | None = None
    done: bool = False
    started: str = ""
    """When the lease was taken, on the target's clock, of the run that divided it or goes on."""


@dataclass(slots=True)
class Document:
    """What a state row says.

    `commit` marks the last transaction, so that one whose COMMIT answer was lost can be told from
    one that failed. `shards` rows stand beside a mapping's own, whose epochs a new lease has to
    raise. `tally` counts what the present run has done in a shard.
    """

    checkpoint: Checkpoint | None = None
    unfinished: Unfinished | None = None
    layouts: list[Layout] = field(default_factory=list[Layout])
    digest: str = ""
    key_digest: str = ""
    columns: dict[str, str] = field(default_factory=dict[str, str])
    identity: dict[str, str] = field(default_factory=dict[str, str])
    target_columns: dict[str, str] = field(default_factory=dict[str, str])
    evolved: list[str] = field(default_factory=list[str])
    commit: str = ""
    shards: int = 0
    tally: dict[str, int] = field(default_factory=dict[str, int])
    lookups: dict[str, str] = field(default_factory=dict[str, str])
    """What each lookup held, as a digest, when the last full sync began: all records were mapped
    with it since, or the next sync is full."""
    unledgered: bool = False
    """Whether the last run kept no ledger, so that nothing tells what both sides then held."""

    def put_back(self, before: Document) -> None:
        """Undo what a transaction that did not land said of the sync.

        Its layouts may stay: they only give numbers to field lists.
        """
        self.checkpoint, self.unfinished = before.checkpoint, before.unfinished
        self.digest, self.key_digest = before.digest, before.key_digest
        self.columns, self.identity = before.columns, before.identity
        self.target_columns, self.evolved = before.target_columns, before.evolved
        self.unledgered = before.unledgered
        self.shards, self.tally, self.lookups = before.shards, before.tally, before.lookups

    def dump(self) -> str:
        """The document as JSON text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def load(cls, text: str) -> Document:
        """The document of that JSON text; the empty text is a new mapping.

        Raises InputError for what a newer syncline wrote: to write it back without what is not
        understood would lose it.
        """
        if not text:
            return cls()
        raw: dict[str, Any] = _understood(cls, json.loads(text))
        checkpoint, unfinished = raw["checkpoint"], raw["unfinished"]
        return cls(
            checkpoint=Checkpoint(**_understood(Checkpoint, checkpoint)) if checkpoint else None,
            unfinished=Unfinished(**_understood(Unfinished, unfinished)) if unfinished else None,
            layouts=[tuple((n, d, t) for n, d, t in layout) for layout in raw["layouts"]],
            digest=raw["digest"],
            key_digest=raw["key_digest"],
            columns=raw["columns"],
            identity=raw["identity"],
            target_columns=raw.get("target_columns", {}),
            evolved=raw.get("evolved", []),
            commit=raw["commit"],
            shards=raw.get("shards", 0),
            tally=raw.get("tally", {}),
            lookups=raw.get("lookups", {}),
            unledgered=raw.get("unledgered", False),
        )


def _understood(
    kind: type[Document | Checkpoint | Unfinished], raw: dict[str, Any]
) -> dict[str, Any]:
    more = raw.keys() - {one.name for one in fields(kind)}
    if more:
        raise InputError(
            f"the mapping's state in the target is of a newer syncline: {', '.join(sorted(more))}",
            hint="upgrade syncline: pip install --upgrade syncline",
        )
    return raw


def utc_now() -> str:
    """The present instant, ISO, UTC, to the second; for people, never for a watermark."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def peek(target: Target, spec: TargetSpec) -> tuple[StateRow | None, Document]:
    """The state of a mapping without taking anything."""
    with target.begin(spec, write=False) as tx:
        row = tx.state()
    return row, Document.load(row.document if row else "")


def layout_number(document: Document, layout: Layout) -> int:
    """The number of this layout in the document, added to it where it is new."""
    if layout not in document.layouts:
        document.layouts.append(layout)
    return document.layouts.index(layout)


def columns_seen(columns: Mapping[str, Column]) -> dict[str, str]:
    """The native types of the columns of a table, as remembered between runs; `not null` stands
    behind the type of one that can't be NULL.
    """
    return {name: c.native + ("" if c.nullable else NOT_NULL) for name, c in columns.items()}
