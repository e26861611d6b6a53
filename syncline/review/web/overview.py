"""The overview: where every mapping stands, from the store at once and from both databases soon."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from syncline.errors import SynclineError
from syncline.log import redacted
from syncline.review.web import render
from syncline.review.web.desk import Desk, TheDesk, common
from syncline.review.web.plot import Bar, bars
from syncline.store import Counts, Run
from syncline.store.pulse import Pulse

router = APIRouter()
_BARS: Final = 40
_SYNCS: Final = frozenset({"full", "delta"})


@dataclass(frozen=True, slots=True)
class Card:
    """A mapping on the overview, as far as the control store knows it."""

    name: str
    counts: Counts
    broken: str = ""
    source: str = ""
    target: str = ""
    strategy: str = ""
    deletes: str = ""
    last: Run | None = None
    synced_at: datetime | str | None = None
    guarantee: str = ""
    plot: str = ""
    plotted: str = ""
    error: str = ""


@router.get("/")
def overview(request: Request, desk: TheDesk) -> Response:
    """Every mapping."""
    return render.page("overview.html", **common(request, desk, cards=cards(desk)))


def cards(desk: Desk) -> list[Card]:
    """The mappings by name, those that do not load among them."""
    return [_card(desk, name) for name in desk.names]


def _card(desk: Desk, name: str) -> Card:
    counts = desk.store.counts(name)
    try:
        mapping = desk.project.mapping(name)
    except SynclineError as error:
        return Card(name, counts, broken=redacted(str(error)))
    runs = desk.store.runs(name, limit=_BARS)
    syncs = [run for run in runs if run.mode in _SYNCS]
    good = next((run for run in syncs if run.status in {"ok", "waiting"}), None)
    wrote = desk.writer.last.get(name)
    source, target = mapping.source, mapping.target
    return Card(
        name,
        counts,
        source=f"{source.connection}.{source.name}",
        target=f"{target.connection}.{target.name}",
        strategy=mapping.conflicts.strategy,
        deletes=mapping.deletes.mode,
        last=runs[0] if runs else None,
        synced_at=(good.summary.get("checkpoint") or good.finished_at) if good else None,
        guarantee=str(good.summary.get("guarantee", "")) if good else "",
        plot=throughput(syncs, name) if syncs else "",
        plotted=_plotted(syncs),
        error=f"decisions wait to be written: {wrote.error}"
        if wrote and wrote.error and counts.decided
        else "",
    )


def throughput(runs: list[Run], name: str, what: str = "records per second", *of: str) -> Markup:
    """A bar a run, the newest on the right; `runs` are newest first. `of` are the numbers of a
    run's summary that add up to a bar.
    """
    values: list[Bar] = []
    for run in reversed(runs):
        count = sum(int(run.summary.get(part) or 0) for part in of or ("rows_per_second",))
        title = f"{run.started_at:%Y-%m-%d %H:%M} UTC, {run.mode}, {run.status}: {count:,}"
        kind = "bad" if run.status in {"failed", "interrupted"} else "ok"
        values.append(Bar(float(count), title, kind))
    return bars(values, name=f"{what} of the last {len(values)} runs of {name}", room=_BARS)


def _plotted(runs: list[Run]) -> str:
    if not runs:
        return ""
    rate = runs[0].summary.get("rows_per_second")
    last = "the only run" if len(runs) == 1 else f"last {len(runs)} runs; the newest"
    return f"records per second, {last} {rate or 0:,}"


_KEPT: Final = 15.0
"""Seconds for which an answer of the databases is shown to others who ask, if nothing moved."""
_answers: dict[tuple[int, str], tuple[float, Pulse, dict[str, Any]]] = {}
_one_at_a_time = threading.Lock()


def live(desk: Desk, name: str) -> dict[str, Any]:
    """`syncline status` of a mapping, or why it could not be had. One look at a time: ten cards
    must not open twenty databases at once.
    """
    from syncline.status import status

    known = (id(desk), name)
    with _one_at_a_time:
        pulse = desk.store.pulse()
        at, before, answer = _answers.get(known, (0.0, None, dict[str, Any]()))
        if before == pulse and time.monotonic() - at < _KEPT:
            return answer
        try:
            answer = {"report": status(desk.project, name), "error": "", "hint": ""}
        except SynclineError as error:
            answer = {"report": None, "error": redacted(str(error)), "hint": redacted(error.hint)}
        _answers[known] = (time.monotonic(), pulse, answer)
        return answer
