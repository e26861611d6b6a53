"""Checkpoint: show it, set it, or take it back, by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from syncline import ledger
from syncline.errors import InputError
from syncline.ledger import Checkpoint, Document
from syncline.run import opened
from syncline.store.store import Store

if TYPE_CHECKING:
    from syncline.project import Project


def show(project: Project, name: str) -> dict[str, Any]:
    """The checkpoint and the unfinished full sync of a mapping, JSON-ready."""
    with opened(project, name) as run:
        row, document = ledger.peek(run.target, run.spec)
    point, unfinished = document.checkpoint, document.unfinished
    return {
        "mapping": name,
        "position": _shown(point.position) if point else None,
        "synced_at": point.synced_at if point else None,
        "run_id": point.run_id if point else None,
        "guarantee": point.guarantee if point else None,
        "unfinished_full": {"after": unfinished.after, "read": unfinished.read}
        if unfinished
        else None,
        "epoch": row.epoch if row else None,
    }


def _shown(position: str) -> Any:
    try:
        return json.loads(position)
    except json.JSONDecodeError:
        return position


def set(project: Project, name: str, position: str) -> dict[str, Any]:  # noqa: A001 (the CLI's word)
    """Put the checkpoint at a position, as `show` prints it.

    The next delta starts there: what lies between is skipped,
    or read again.
    """
    try:
        json.loads(position)
    except json.JSONDecodeError as error:
        raise InputError(
            f"the position is not JSON: {error}", hint=f"syncline checkpoint show {name}"
        ) from error
    with opened(project, name) as run:
        run.target.prepare(run.spec)
        with ledger.hold(run.target, run.spec) as lease, lease.transaction() as tx:
            last = lease.document.checkpoint
            when = last.synced_at if last else datetime.now(UTC).isoformat()
            lease.document.checkpoint = Checkpoint(
                position, when, "set by hand", last.guarantee if last else ""
            )
            lease.document.digest = lease.document.digest or run.bound.digest
            lease.document.key_digest = lease.document.key_digest or run.bound.key_digest
            lease.commit(tx)
    return show(project, name)


def rewind(project: Project, name: str, to: datetime | None = None) -> dict[str, Any]:
    """Take the checkpoint back, so that the next run reads again.

    With `to` (UTC) it goes back to where the last run that began at or before that instant left it.
    Without, the checkpoint and all baselines are forgotten: the next run is a full sync whose every
    record is a first contact. Raises InputError where no run is old enough.
    """
    earlier = _position_at(project, name, to) if to is not None else None
    with opened(project, name) as run:
        run.target.prepare(run.spec)
        with ledger.hold(run.target, run.spec) as lease:
            with lease.transaction() as tx:
                if earlier is None:
                    lease.document = Document()
                else:
                    lease.document.checkpoint = earlier
                lease.document.unfinished = None
                lease.commit(tx)
            if earlier is None:
                run.target.drop_ledger(run.spec)
    return show(project, name)


def _position_at(project: Project, name: str, to: datetime) -> Checkpoint:
    with Store.open(project.store_url) as store:
        for past in store.runs(name, limit=10_000):
            synced, position = past.summary.get("checkpoint"), past.summary.get("position")
            if synced and position and datetime.fromisoformat(synced) <= to:
                return Checkpoint(position, synced, past.run_id, past.summary.get("guarantee", ""))
    raise InputError(
        f"no run of {name} had its checkpoint at or before {to.isoformat()}",
        hint=f"to begin anew: syncline checkpoint rewind {name}",
    )
