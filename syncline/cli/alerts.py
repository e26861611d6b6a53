"""`syncline alerts`: what was to be told, whether it was taken, and what is tried again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from syncline.cli.command import JsonOption, the_project
from syncline.errors import InputError

if TYPE_CHECKING:
    from syncline.project import Project
    from syncline.store.outbox import Message
    from syncline.webhooks.settings import Receiver


def alerts_list(
    *,
    limit: Annotated[int, typer.Option(min=1, help="So many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List alerts: waiting, sent, gone or given-up."""
    from syncline.store import Store

    with Store.open(the_project().store_url) as store:
        messages = list(store.outbox.listed(limit))
    for message in messages:
        typer.echo(json.dumps(_row(message)) if as_json else _line(message))
    if not messages and not as_json:
        typer.echo("nothing was to be told")


def alerts_test(*, as_json: JsonOption = False) -> None:
    """Send a test alert now, to SYNCLINE_ALERT_URL. Exit 1 where it is not taken."""
    from datetime import UTC, datetime

    from syncline.store import Store
    from syncline.webhooks.alerts import alert, send_due

    project = the_project()
    receiver = _receiver(project)
    now = datetime.now(UTC).isoformat()
    with Store.open(project.store_url) as store:
        alert(store, receiver, "test", "", {"text": "a test by syncline alerts test"}, once=now)
        send_due(store, receiver)
        message = next(each for each in store.outbox.listed() if each.kind == "test")
    typer.echo(json.dumps(_row(message)) if as_json else _line(message))
    if message.state.value != "sent":
        raise typer.Exit(1)


def alerts_resume() -> None:
    """Try again what was given up, or held back after a 410."""
    from syncline.store import Store

    project = the_project()
    receiver = _receiver(project)
    with Store.open(project.store_url) as store:
        typer.echo(f"{store.outbox.resume(receiver.digest):,} alerts are due again")


def alerts_send() -> None:
    """Send what is due, where no Dagster does it. Exit 1 where something was not taken."""
    from syncline.store import Store
    from syncline.webhooks.alerts import send_due

    project = the_project()
    receiver = _receiver(project)
    with Store.open(project.store_url) as store:
        sent = send_due(store, receiver)
    typer.echo(f"{sent.taken:,} taken, {sent.failed:,} not")
    if sent.failed:
        raise typer.Exit(1)


def _receiver(project: Project) -> Receiver:
    from syncline.webhooks.settings import ALERT_SECRET, ALERT_URL, receiver_of

    receiver = receiver_of(project)
    if receiver is None:
        hint = f"set {ALERT_URL} and {ALERT_SECRET}: docs/how-to/webhooks.md"
        raise InputError("there is nobody to tell", hint=hint)
    return receiver


def _row(message: Message) -> dict[str, object]:
    return {
        "id": message.message_id,
        "kind": message.kind,
        "mapping": message.mapping,
        "state": message.state.value,
        "attempts": message.attempts,
        "next_at": message.next_at.isoformat() if message.state.value == "waiting" else None,
        "created_at": message.created_at.isoformat(),
        "error": message.error,
    }


def _line(message: Message) -> str:
    about = f" {message.mapping}" if message.mapping else ""
    said = f": {message.error}" if message.error else ""
    tried = f", {message.attempts} attempts" if message.attempts > 1 else ""
    at = f"{message.created_at:%Y-%m-%d %H:%M:%S}"
    return f"{at} {message.kind}{about} {message.state.value}{tried}{said}"
