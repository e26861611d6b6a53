"""Runs: their history, plots and logs."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response

from syncline.log import kept, redacted
from syncline.review.web import audit, render
from syncline.review.web.desk import TheDesk, common
from syncline.review.web.overview import throughput
from syncline.store import Run

router = APIRouter()
_PAGE: Final = 50


def took(run: Run) -> float | None:
    """Seconds from beginning to end."""
    if run.finished_at is None:
        return None
    return (run.finished_at - run.started_at).total_seconds()


@router.get("/runs")
def runs(request: Request, desk: TheDesk, mapping: str = "", before: str = "") -> Response:
    """The history, newest first, of one mapping or all."""
    found = desk.store.runs(mapping or None, limit=_PAGE, before=before or None)
    return render.page(
        "runs.html",
        **common(
            request, desk, runs=found, names=desk.names, mapping=mapping, took=took,
            older=found[-1].run_id if len(found) == _PAGE else "",
            speed=throughput(found, mapping),
            written=throughput(
                found, mapping, "records written", "inserted", "updated", "deleted"
            ),
        ),
    )  # fmt: skip


@router.get("/runs/{run_id}")
def run(request: Request, desk: TheDesk, run_id: str) -> Response:
    """One run: its numbers, what it settled, its log."""
    found = desk.store.run(run_id)
    lines = kept(desk.project.log_dir, run_id)
    return render.page(
        "run.html",
        **common(
            request, desk, run=found, error=redacted(found.error), log=redacted(lines),
            audit=audit.shown(desk, desk.store.audit_log(run_id=run_id, limit=100)),
        ),
    )  # fmt: skip
