"""View: a conflict as a person sees it, source, baseline and target field by field.

Pure. What a mapping masks comes out hidden, so that no screen can forget to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, cast

from syncline.conflict import MISSING, Kind
from syncline.review.difference import Pieces, document, leaves, pieces
from syncline.review.links import conflict_link
from syncline.review.mask import HIDDEN, Masked, shown, shown_record, shown_text
from syncline.store.drafts import Draft
from syncline.store.model import Decision, Entry, History, Side

Moved = Literal["both", "source", "target", "neither"]
Known = Literal["values", "sides", "nothing"]
NOTHING_MASKED: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class PathView:
    """One place in a document that is not alike on both sides.

    A value is MISSING where that side has no such path, or the baseline is not known.
    """

    path: str
    source: Any
    baseline: Any
    target: Any
    moved: Moved
    contested: bool


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field of a conflict, side by side.

    A value is MISSING where that side is gone, or the baseline is known only as a fingerprint.
    `merges` is the side whose value stands without anybody being asked: it alone moved the field.
    `differs` is whether both sides have the field, and not alike.
    `source_pieces` and `target_pieces` are the texts with what differs marked (empty where the two
    are no texts, or alike); `paths` the places of a document that differ. `together` are the other
    fields of its group: all of it is taken from one side.
    """

    name: str
    type: str
    source: Any
    baseline: Any
    target: Any
    contested: bool
    moved: Moved
    masked: bool = False
    differs: bool = False
    source_pieces: Pieces = ()
    target_pieces: Pieces = ()
    paths: tuple[PathView, ...] = ()
    together: tuple[str, ...] = ()

    @property
    def merges(self) -> Side | None:
        """The side that wins by itself, of a field that is not contested."""
        if self.contested or self.moved not in ("source", "target"):
            return None
        return self.moved

    @property
    def alike(self) -> bool:
        """Whether there is nothing to look at: neither side moved it, and the two do not differ."""
        return not self.contested and self.moved == "neither" and not self.differs


@dataclass(frozen=True, slots=True)
class View:
    """A conflict as it is shown; `entry` has masked values hidden already.

    `known` says what the view can tell of the baseline: its `values` (the mapping keeps them), only
    which `sides` moved, or `nothing` (the two sides met for the first time, or the target refused).
    """

    entry: Entry
    fields: tuple[FieldView, ...]
    known: Known

    @property
    def content(self) -> dict[str, Any]:
        """As the HTTP API and `--json` give it: what is known of the baseline, and each field."""
        told = [asdict(one) | {"merges": one.merges, "alike": one.alike} for one in self.fields]
        return {"known": self.known, "fields": told}

    @property
    def main(self) -> tuple[FieldView, ...]:
        """The fields to look at: all, where none is apart from the others."""
        return tuple(one for one in self.fields if not one.alike) or self.fields

    @property
    def rest(self) -> tuple[FieldView, ...]:
        """The other fields."""
        return tuple(one for one in self.fields if one not in self.main)

    @property
    def only_sides(self) -> tuple[str, ...]:
        """Where baseline values are kept: the fields of which only the side that moved is known."""
        if self.known != "values":
            return ()
        return tuple(
            one.name for one in self.main if one.moved != "neither" and one.baseline is MISSING
        )


def view(entry: Entry, masked: Masked = NOTHING_MASKED) -> View:
    """The conflict side by side; values of `masked` fields are hidden."""
    return View(shown_entry(entry, masked), fields(entry, masked), _known(entry))


def _known(entry: Entry) -> Known:
    if any(entry.conflict.baseline_of(name) is not MISSING for name in entry.field_names):
        return "values"
    return "nothing" if entry.kind in (Kind.FIRST_CONTACT, Kind.REFUSED) else "sides"


def fields(entry: Entry, masked: Masked = NOTHING_MASKED) -> tuple[FieldView, ...]:
    """Every field of the record: the contested first, then what one side moved, then the rest."""
    views = [_field(entry, name, masked=name in masked) for name in entry.field_names]
    return tuple(sorted(views, key=_order))


def _order(one: FieldView) -> tuple[bool, bool, bool]:
    return not one.contested, one.moved == "neither", one.alike


def _field(entry: Entry, name: str, *, masked: bool) -> FieldView:
    source = (entry.source or {}).get(name, MISSING)
    target = (entry.target or {}).get(name, MISSING)
    baseline = entry.conflict.baseline_of(name)
    bare = FieldView(
        name=name,
        type=entry.types.get(name, ""),
        source=shown(source, masked),
        baseline=shown(baseline, masked),
        target=shown(target, masked),
        contested=name in entry.contested,
        moved=_moved(entry, name),
        masked=masked,
        differs=MISSING not in (source, target) and not _same(source, target),
        together=tuple(sorted(_group(entry, name) - {name})),
    )
    return bare if masked or not bare.differs else _compared(bare)


def _group(entry: Entry, name: str) -> frozenset[str]:
    return next((group for group in entry.together if name in group), frozenset[str]())


def _moved(entry: Entry, name: str) -> Moved:
    by_source, by_target = name in entry.source_moved, name in entry.target_moved
    if name in entry.contested or (by_source and by_target):
        return "both"
    if by_source or by_target:
        return "source" if by_source else "target"
    return "neither"


def _compared(bare: FieldView) -> FieldView:
    source, target = document(bare.source), document(bare.target)
    if source is not MISSING and target is not MISSING:
        paths = _paths(bare, source, target)
        return replace(bare, paths=paths, differs=bool(paths))
    if isinstance(bare.source, str) and isinstance(bare.target, str):
        on_source, on_target = pieces(bare.source, bare.target)
        return replace(bare, source_pieces=on_source, target_pieces=on_target)
    return bare


def _paths(bare: FieldView, source: Any, target: Any) -> tuple[PathView, ...]:
    base = document(bare.baseline)
    was = None if base is MISSING else leaves(base)
    on_source, on_target = leaves(source), leaves(target)
    found: list[PathView] = []
    for path in dict.fromkeys([*on_source, *on_target]):
        here, there = on_source.get(path, MISSING), on_target.get(path, MISSING)
        if _same(here, there):
            continue
        before = MISSING if was is None else was.get(path, MISSING)
        moved = bare.moved if was is None else _path_moved(here, there, before)
        contested = bare.contested and moved == "both"
        found.append(PathView(path, here, before, there, moved, contested))
    return tuple(sorted(found, key=lambda one: not one.contested))


def _path_moved(source: Any, target: Any, before: Any) -> Moved:
    if _same(source, before):
        return "target"
    return "source" if _same(target, before) else "both"


def _same(source: Any, target: Any) -> bool:
    both = type(source) is type(target)
    if both and isinstance(source, dict | list) and source:
        here, there = leaves(cast("Any", source)), leaves(target)
        return here.keys() == there.keys() and all(_same(here[at], there[at]) for at in here)
    # True equals 1 in Python, and not in a document.
    return (isinstance(source, bool) == isinstance(target, bool)) and source == target


def shown_entry(entry: Entry, masked: Masked) -> Entry:
    """The entry with masked values hidden, also in what its reason quotes."""
    records = (entry.source, entry.target, entry.baseline)
    return replace(
        entry,
        source=shown_record(entry.source, masked),
        target=shown_record(entry.target, masked),
        baseline=shown_record(entry.baseline, masked) or {},
        reason=shown_text(entry.reason, records, masked),
        decision=shown_decision(entry.decision, masked),
    )


def shown_decision(decision: Decision | None, masked: Masked) -> Decision | None:
    """The decision with masked values hidden."""
    if decision is None:
        return None
    return replace(decision, values=shown_record(decision.values, masked) or {})


def draft_content(draft: Draft, masked: Masked) -> dict[str, Any]:
    """A draft as the HTTP API and `--json` give it; what was typed into masked fields is hidden."""
    values = {name: shown(text, name in masked) for name, text in draft.texts.items()}
    told = asdict(draft) | {"values": values, "url": conflict_link(draft.conflict)}
    return {name: value for name, value in told.items() if name != "texts"}


def shown_history(events: Sequence[History], masked: Masked) -> list[History]:
    """The history of a conflict with masked values hidden."""
    return [
        replace(
            event,
            source=shown_record(event.source, masked),
            target=shown_record(event.target, masked),
            decision=shown_decision(event.decision, masked),
            note=shown_text(event.note, (event.source, event.target), masked),
        )
        for event in events
    ]


__all__ = [
    "HIDDEN",
    "FieldView",
    "Known",
    "Moved",
    "PathView",
    "View",
    "draft_content",
    "fields",
    "shown_decision",
    "shown_entry",
    "shown_history",
    "view",
]
