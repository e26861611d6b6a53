"""The control store: what must outlive a run and is not in the target."""

from syncline.store.model import (
    LIVE,
    AuditEntry,
    Chunk,
    Counts,
    DeadLetter,
    Decision,
    Entry,
    Event,
    History,
    Run,
    State,
    Take,
    Waiting,
)
from syncline.store.store import Store

__all__ = [
    "LIVE",
    "AuditEntry",
    "Chunk",
    "Counts",
    "DeadLetter",
    "Decision",
    "Entry",
    "Event",
    "History",
    "Run",
    "State",
    "Store",
    "Take",
    "Waiting",
]
