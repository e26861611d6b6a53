"""The audit log: what was settled, by which strategy or whom, and the values that lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from fastapi import APIRouter, Request, Response

from syncline.review.mask import masks_of, shown_record
from syncline.review.web import render
from syncline.review.web.desk import Desk, TheDesk, common
from syncline.review.web.render import one_line
from syncline.review.web.sent import Before
from syncline.store import AuditEntry

router = APIRouter()
_PAGE: Final = 100


def shown(desk: Desk, entries: Iterable[AuditEntry]) -> list[AuditEntry]:
    """The entries as a person may see them."""
    masked = masks_of(desk.project)
    return [
        replace(one, loser=shown_record(one.loser, masked(one.mapping)) or {}) for one in entries
    ]


def _has(entry: AuditEntry, text: str) -> bool:
    """Whether the text is in what is shown: the store also finds it in values that are masked."""
    words = [entry.by, entry.winner, entry.note, one_line(entry.key, 2000)]
    words += [f"{name} {one_line(value, 100_000)}" for name, value in entry.loser.items()]
    return text.casefold() in "\n".join(words).casefold()


def found(
    desk: Desk, mapping: str, q: str, limit: int, before: int | None
) -> tuple[list[AuditEntry], int | None]:
    """Entries as a person may see them, newest first, and from where on there are more."""
    entries = desk.store.audit_log(mapping or None, limit, q or None, before=before)
    seen = [one for one in shown(desk, entries) if not q or _has(one, q)]
    return seen, entries[-1].id if len(entries) == limit else None


@router.get("/audit")
def audit(
    request: Request, desk: TheDesk, mapping: str = "", q: str = "", before: Before = None
) -> Response:
    """The log, newest first."""
    entries, older = found(desk, mapping, q, _PAGE, before)
    return render.page(
        "audit.html",
        **common(
            request, desk, audit=entries, names=desk.names, mapping=mapping, q=q, older=older
        ),
    )  # fmt: skip
