"""The control store: what must outlive a run and is not in the target."""

from syncline.store.conflicts import Filter, Line, Page, Sort, Tally
from syncline.store.drafts import Draft
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
    Side,
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
    "Draft",
    "Entry",
    "Event",
    "Filter",
    "History",
    "Line",
    "Page",
    "Run",
    "Side",
    "Sort",
    "State",
    "Store",
    "Take",
    "Tally",
    "Waiting",
]
