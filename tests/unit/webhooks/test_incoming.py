"""Webhooks that come in: what is let through, what is kept, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from standardwebhooks import Webhook

from syncline.errors import InputError
from syncline.project import Project
from syncline.review.web.access import Access, User
from syncline.review.web.app import make_app
from syncline.store import Store
from syncline.webhooks import signature
from syncline.webhooks.router import hooks_router
from syncline.webhooks.settings import incoming_secrets

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
ROTATED = "whsec_" + base64.b64encode(b"r" * 32).decode()
STRANGER = "whsec_" + base64.b64encode(b"x" * 32).decode()
BODY = json.dumps({"type": "customer.updated", "data": {"id": 7}})
MAPPING = """\
source: {connection: shop, table: customers}
target: {connection: app, table: users}
key: {id: id}
"""


class Client:
    """Requests to an app without a socket."""

    def __init__(self, app: Any) -> None:
        self.transport = httpx.ASGITransport(app)

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Send one request, and wait for its answer."""

        async def send() -> httpx.Response:
            base = "http://testserver"
            async with httpx.AsyncClient(transport=self.transport, base_url=base) as client:
                return await client.request(method, path, **given)

        return asyncio.run(send())

    def get(self, path: str, **given: Any) -> httpx.Response:
        """Send a GET."""
        return self.request("GET", path, **given)

    def post(self, path: str, **given: Any) -> httpx.Response:
        """Send a POST."""
        return self.request("POST", path, **given)


class Sender:
    """Somebody who sends webhooks to the app of a project."""

    def __init__(self, root: Path) -> None:
        self.project = Project(root)
        app = FastAPI()
        app.include_router(hooks_router(self.project, Store.open(self.project.store_url)))
        self.client = Client(app)

    def send(
        self,
        *,
        secret: str = SECRET,
        body: str = BODY,
        message_id: str = "msg_1",
        age: timedelta = timedelta(),
        mapping: str = "customers",
        **headers: str,
    ) -> int:
        """Send one; the status that comes back. `headers` replace those that are right."""
        at = datetime.now(UTC) - age
        signed = {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret).sign(message_id, at, BODY),
        }
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            f"/hooks/{mapping}", content=body, headers=signed | given
        ).status_code

    def kept(self) -> list[tuple[str, str, str]]:
        """What waits for a run."""
        with Store.open(self.project.store_url) as store:
            return [(one.mapping, one.message_id, one.kind) for one in store.inbox.waiting()]


@pytest.fixture
def sender(
    tmp_path: Path, new_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> Sender:
    """A project with one mapping, whose secret is in the environment."""
    new_store(tmp_path)
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "customers.yaml").write_text(MAPPING)
    (tmp_path / "connections.yaml").write_text(
        "connections: {shop: 'sqlite:///shop.db', app: 'sqlite:///app.db'}\n"
    )
    monkeypatch.setenv("SYNCLINE_WEBHOOK_SECRETS", SECRET)
    return Sender(tmp_path)


def test_a_signed_webhook_is_kept_and_waits_for_a_run(sender: Sender) -> None:
    """202, with the sender's name of the event."""
    assert sender.send() == 202
    assert sender.kept() == [("customers", "msg_1", "customer.updated")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"body": BODY.replace("7", "8")},
        {"body": BODY + " "},
        {"body": ""},
        {"webhook_id": "msg_2"},
        {"webhook_timestamp": str(int(time.time()) - 60)},
        {"webhook_signature": "v1,AAAA"},
        {"webhook_signature": "v1,not base64 at all"},
        {"webhook_signature": "v1a," + "A" * 64},
        {"webhook_signature": "nonsense"},
        {"webhook_signature": ""},
        {"webhook_timestamp": "yesterday"},
        {"webhook_timestamp": "inf"},
        {"webhook_id": "msg_1.1"},
        {"secret": STRANGER},
    ],
    ids=lambda wrong: next(iter(wrong)),  # no clock in a name: all workers must find the same tests
)
def test_f40_a_webhook_that_was_tampered_with_is_refused(
    sender: Sender, wrong: dict[str, Any]
) -> None:
    """Whatever of body, id, time or signature is not as it was signed: 401, and nothing is kept."""
    assert sender.send(**wrong) == 401
    assert sender.kept() == []


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_f40_a_webhook_without_a_header_is_refused(sender: Sender, missing: str) -> None:
    """All three headers of the standard are needed."""
    headers = signature.headers_of(SECRET, "msg_1", BODY)
    del headers[missing]
    assert sender.client.post("/hooks/customers", content=BODY, headers=headers).status_code == 401
    assert sender.kept() == []


def test_f40_a_body_that_is_no_text_is_refused(sender: Sender) -> None:
    """Bytes that are no UTF-8 can't have been signed so: refused, not an error of the server."""
    headers = signature.headers_of(SECRET, "msg_1", BODY)
    answer = sender.client.post("/hooks/customers", content=b"\xff\xfe", headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize("age", [timedelta(minutes=6), timedelta(minutes=-6), timedelta(days=400)])
def test_f40_a_webhook_too_old_or_too_new_is_refused(sender: Sender, age: timedelta) -> None:
    """More than five minutes off the clock, though the signature is right."""
    assert sender.send(age=age) == 401
    assert sender.kept() == []


def test_f40_a_webhook_that_comes_again_starts_nothing(sender: Sender) -> None:
    """A replay within the window, and a sender's second attempt, are the same: 200, no effect."""
    assert sender.send() == 202
    assert sender.send() == 200
    assert sender.send(age=timedelta(minutes=2)) == 200
    assert len(sender.kept()) == 1
    with Store.open(sender.project.store_url) as store:
        store.inbox.answered("customers", store.inbox.waiting()[0].id, "run-1")
    assert sender.send() == 200  # also once a run has answered it
    assert sender.kept() == []


def test_f40_a_rotated_key_is_accepted_as_long_as_it_is_named(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While two are named either will do; once the first is gone it no longer does."""
    monkeypatch.setenv("SYNCLINE_WEBHOOK_SECRETS", f"{SECRET} {ROTATED}")
    assert sender.send(message_id="a") == 202
    assert sender.send(message_id="b", secret=ROTATED) == 202
    at = datetime.now(UTC)
    both = " ".join(Webhook(key).sign("c", at, BODY) for key in (STRANGER, ROTATED))
    stamp = str(int(at.timestamp()))
    assert sender.send(message_id="c", webhook_signature=both, webhook_timestamp=stamp) == 202
    monkeypatch.setenv("SYNCLINE_WEBHOOK_SECRETS", ROTATED)
    assert sender.send(message_id="d") == 401
    assert sender.send(message_id="e", secret=ROTATED) == 202


def test_a_secret_of_one_mapping_counts_for_it_alone(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the common secret can't start the mapping that has its own."""
    monkeypatch.setenv("SYNCLINE_WEBHOOK_SECRETS_CUSTOMERS", ROTATED)
    assert sender.send() == 401
    assert sender.send(secret=ROTATED) == 202


def test_which_mappings_there_are_is_told_only_to_who_signed(sender: Sender) -> None:
    """Without the secret an unknown mapping looks like a known one."""
    assert sender.send(mapping="nothing", secret=STRANGER) == 401
    assert sender.send(mapping="nothing") == 404
    assert sender.send(mapping="..%2Fcustomers") == 404


def test_without_a_secret_none_is_taken(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret is no open door."""
    monkeypatch.delenv("SYNCLINE_WEBHOOK_SECRETS")
    assert sender.send() == 404


def test_the_review_app_opens_this_door_and_no_other(sender: Sender) -> None:
    """Behind its gate the signature is enough; a forged host and every page beside are refused."""
    access = Access(User("ann", "reviewer"), 8484, None, None)
    sender.client = Client(make_app(sender.project, access, hosts=["testserver"]))
    assert sender.send() == 202
    assert sender.send(secret=STRANGER) == 401
    assert sender.send(host="evil.example") == 400
    assert sender.send(mapping="..%2Fconflicts") == 403
    assert sender.client.get("/hooks/customers").status_code == 401
    ours = {"origin": "http://testserver"}
    for path in ("/conflicts", "/hooks/customers/more", "/hooks/"):
        assert sender.client.post(path, headers=ours).status_code == 401


def test_a_long_body_is_refused(sender: Sender) -> None:
    """A webhook only says that something moved."""
    assert sender.send(body="x" * 300_000) == 413


@pytest.mark.parametrize("secret", ["c2hvcnQ=", "whsec_c2hvcnQ=", "not base64!"])
def test_a_weak_secret_is_refused_and_not_shown(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """Too short, or no base64 at all: the error names the variable and how to make a right one."""
    monkeypatch.setenv("SYNCLINE_WEBHOOK_SECRETS", f"{SECRET} {secret}")
    with pytest.raises(InputError, match="SYNCLINE_WEBHOOK_SECRETS") as raised:
        incoming_secrets(sender.project, "customers")
    assert "openssl rand" in raised.value.hint
    assert secret.rstrip("!") not in f"{raised.value} {raised.value.hint}"
    assert sender.send() == 500


def test_secrets_may_stand_in_the_projects_env_file(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the URLs of connections do."""
    monkeypatch.delenv("SYNCLINE_WEBHOOK_SECRETS")
    (sender.project.root / ".env").write_text(f"SYNCLINE_WEBHOOK_SECRETS={ROTATED}\n")
    assert sender.send(secret=ROTATED) == 202
