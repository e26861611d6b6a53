"""Webhooks that go out: where they may go, and what is done when they are not taken."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from syncline.errors import InputError
from syncline.project import Project
from syncline.store import Store
from syncline.store.outbox import Message, Sending
from syncline.webhooks import address
from syncline.webhooks.alerts import ATTEMPTS, alert, send_due
from syncline.webhooks.settings import Receiver, receiver_of

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


class Hook(ThreadingHTTPServer):
    """A receiver on 127.0.0.1: answers with `status` and `headers`, and keeps what it got."""

    daemon_threads = True

    def __init__(self) -> None:
        self.status, self.headers = 204, dict[str, str]()
        self.hang = 0.0
        self.got: list[tuple[dict[str, str], str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/alerts?token=hidden"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        hook = self.server
        assert isinstance(hook, Hook)
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        hook.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        end = time.monotonic() + hook.hang
        while time.monotonic() < end:  # a byte now and then, so that no read runs into a timeout
            self.wfile.write(b"H")
            self.wfile.flush()
            time.sleep(0.05)
        self.send_response(hook.status)
        for name, value in hook.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - its base's name


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def store(tmp_path: Path, new_store: Callable[[Path], str]) -> Iterator[Store]:
    with Store.open(new_store(tmp_path)) as opened:
        yield opened


def receiver(url: str, *allow: str) -> Receiver:
    """A receiver, with the hosts that it may be on though they are inside."""
    return Receiver(url, SECRET, frozenset(allow))


def told(store: Store, to: Receiver, once: str = "run-1") -> bool:
    return alert(store, to, "run.failed", "customers", {"error": "no route"}, once=once)


def only(store: Store) -> Message:
    (message,) = store.outbox.listed()
    return message


def due_now(store: Store, message: Message, later: timedelta = timedelta()) -> None:
    """Let it be due at once, as if its time had come; or so much later."""
    from sqlalchemy import update

    from syncline.store.database import writing
    from syncline.store.tables import outbox

    with writing(store._engine) as connection:  # pyright: ignore[reportPrivateUsage]
        connection.execute(
            update(outbox)
            .where(outbox.c.id == message.id)
            .values(next_at=datetime.now(UTC) + later)
        )


def test_an_alert_is_signed_and_sent_once(store: Store, hook: Hook) -> None:
    """The receiver can verify it, sees what happened, and gets it no second time."""
    to = receiver(hook.url, "127.0.0.1")
    assert told(store, to)
    assert not told(store, to)
    assert send_due(store, to).taken == 1
    assert send_due(store, to).taken == 0
    ((headers, body),) = hook.got
    assert Webhook(SECRET).verify(body, headers)["type"] == "run.failed"
    assert json.loads(body)["data"] == {"mapping": "customers", "error": "no route"}
    assert only(store).state is Sending.SENT


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://localhost/x",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://[64:ff9b::7f00:1]/x",
        "http://[2002:7f00:1::]/x",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/x",
        "http://10.1.2.3/x",
        "http://172.16.0.1/x",
        "http://192.168.1.1/x",
        "http://[fd00::1]/x",
        "http://0.0.0.0/x",
        "http://100.64.0.1/x",
        "http://224.0.0.1/x",
        "http://2130706433/x",
        "http://0x7f.1/x",
    ],
)
def test_f41_an_address_inside_is_refused(store: Store, url: str) -> None:
    """Loopback, link-local, private and the like, however written: no connection is made."""
    with pytest.raises((address.AddressRefused, address.Unreachable)):
        address.address_of(receiver(url))
    to = receiver(url)
    told(store, to)
    assert send_due(store, to).failed == 1
    assert only(store).state is Sending.WAITING


def test_f41_what_is_refused_was_not_called(store: Store, hook: Hook) -> None:
    """The receiver on loopback gets nothing, and the error says what would allow it."""
    to = receiver(hook.url)
    told(store, to)
    send_due(store, to)
    assert hook.got == []
    assert "127.0.0.1" in only(store).error
    assert "token=hidden" not in only(store).error


def test_f41_an_address_inside_is_called_where_it_is_allowed(
    store: Store, hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its network, from the environment."""
    (tmp_path / "connections.yaml").write_text("connections: {}\n")
    monkeypatch.setenv("SYNCLINE_ALERT_URL", hook.url)
    monkeypatch.setenv("SYNCLINE_ALERT_SECRET", SECRET)
    monkeypatch.setenv("SYNCLINE_ALERT_ALLOW", "hooks.lan 127.0.0.0/8")
    to = receiver_of(Project(tmp_path))
    assert to is not None
    assert hook.url not in repr(to)
    told(store, to)
    assert send_due(store, to).taken == 1


def resolver(*answers: str) -> tuple[Callable[..., Any], list[str]]:
    """A name server that gives another answer each time; and what it was asked."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        ip = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))]

    return getaddrinfo, asked


def test_f41_a_name_is_looked_up_once_and_what_was_checked_is_called(
    store: Store, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: a public answer first, loopback next. The second look never happens."""
    public = "93.184.216.34"
    getaddrinfo, asked = resolver(public, "127.0.0.1")
    connected: list[tuple[str, int]] = []

    def create_connection(to: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        connected.append(to)
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", create_connection)
    to = receiver(f"http://rebound.example:{hook.server_port}/")
    told(store, to)
    assert send_due(store, to).failed == 1
    assert connected == [(public, hook.server_port)]
    assert asked == ["rebound.example"]
    assert hook.got == []


def test_f41_a_name_that_also_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One public address among several does not make the others right."""
    both = [(2, 1, 6, "", (ip, 80)) for ip in ("93.184.216.34", "10.0.0.1")]

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return both

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(address.AddressRefused, match=r"10\.0\.0\.1"):
        address.address_of(receiver("http://two.example/"))


def test_f41_a_redirect_is_not_followed(store: Store, hook: Hook) -> None:
    """It would lead past what was checked: the message waits, and the error says so."""
    inside = Hook()
    hook.status, hook.headers = 307, {"location": inside.url}
    to = receiver(hook.url, "127.0.0.1")
    told(store, to)
    send_due(store, to)
    assert inside.got == []
    assert only(store).state is Sending.WAITING
    assert "redirects are not followed" in only(store).error
    inside.shutdown()
    inside.server_close()


@pytest.mark.parametrize("status", [500, 502, 400, 404])
def test_f42_a_receiver_that_fails_is_tried_again_later_with_the_same_id(
    store: Store, hook: Hook, status: int
) -> None:
    """Not at once; with the body and id of the first attempt, and the time of the second."""
    hook.status = status
    to = receiver(hook.url, "127.0.0.1")
    told(store, to)
    before = datetime.now(UTC)
    assert send_due(store, to).failed == 1
    waits = only(store)
    assert (waits.state, waits.attempts) == (Sending.WAITING, 1)
    assert waits.next_at >= before + timedelta(seconds=5)
    due_now(store, waits, timedelta(minutes=1))
    assert send_due(store, to) == type(send_due(store, to))()  # it is not due
    hook.status = 200
    due_now(store, waits)
    assert send_due(store, to).taken == 1
    (first, second) = hook.got
    assert first[0]["webhook-id"] == second[0]["webhook-id"]
    assert first[1] == second[1]


def test_f42_waits_grow_and_differ(store: Store, hook: Hook) -> None:
    """Back-off with jitter; after the last attempt it is given up, until somebody resumes it."""
    hook.status = 500
    to = receiver(hook.url, "127.0.0.1")
    told(store, to)
    waits: list[float] = []
    for _ in range(ATTEMPTS):
        due_now(store, only(store))
        before = datetime.now(UTC)
        send_due(store, to)
        waits.append((only(store).next_at - before).total_seconds())
    assert only(store).state is Sending.GIVEN_UP
    assert len(hook.got) == ATTEMPTS
    assert len({round(wait) for wait in waits}) > ATTEMPTS / 3
    assert max(waits[8:-1]) > max(waits[:3])
    assert store.outbox.resume(to.digest) == 1
    assert only(store).state is Sending.WAITING


@pytest.mark.parametrize("form", ["number", "date"])
def test_f42_a_receiver_that_asks_for_time_gets_it(store: Store, hook: Hook, form: str) -> None:
    """429 with Retry-After, as seconds or as a date: no attempt before that."""
    at = datetime.now(UTC) + timedelta(hours=2)
    hook.status = 429
    hook.headers = {"retry-after": "7200" if form == "number" else format_datetime(at, usegmt=True)}
    to = receiver(hook.url, "127.0.0.1")
    told(store, to)
    send_due(store, to)
    assert only(store).next_at >= at - timedelta(seconds=5)


def test_f42_a_receiver_that_is_gone_gets_no_more(store: Store, hook: Hook) -> None:
    """410 stops all that waits for it and all that comes, until somebody resumes it."""
    to = receiver(hook.url, "127.0.0.1")
    told(store, to, "run-1")
    told(store, to, "run-2")
    hook.status = 410
    send_due(store, to)
    told(store, to, "run-3")
    hook.status = 204
    send_due(store, to)
    assert len(hook.got) == 1
    assert {message.state for message in store.outbox.listed()} == {Sending.GONE}
    other = receiver(hook.url + "&other=1", "127.0.0.1")
    told(store, other, "run-1")
    assert send_due(store, other).taken == 1
    assert store.outbox.resume(to.digest) == 3
    assert send_due(store, to).taken == 3


@pytest.mark.parametrize("drip", [True, False])
def test_f42_a_receiver_that_hangs_is_left_at_the_deadline(
    store: Store, hook: Hook, drip: bool
) -> None:
    """One that never answers, and one that sends a byte now and then: both end, and wait."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hook.hang = 150
        url = hook.url if drip else f"http://127.0.0.1:{silent.getsockname()[1]}/"
        to = receiver(url, "127.0.0.1")
        told(store, to)
        began = time.monotonic()
        assert send_due(store, to, deadline=0.5).failed == 1
        assert time.monotonic() - began < 100
        assert only(store).state is Sending.WAITING
        assert "no answer" in only(store).error


def test_two_senders_do_not_send_the_same_message(store: Store, hook: Hook) -> None:
    """What one has taken is not due for the other."""
    to = receiver(hook.url, "127.0.0.1")
    told(store, to)
    assert len(store.outbox.claim(to.digest, seconds=60)) == 1
    assert store.outbox.claim(to.digest, seconds=60) == []
    assert send_due(store, to).taken == 0


@pytest.mark.parametrize(
    ("url", "secret", "told_of"),
    [
        ("ftp://x.example/", SECRET, "SYNCLINE_ALERT_URL"),
        ("https://user:pw@x.example/", SECRET, "SYNCLINE_ALERT_URL"),
        ("https://x.example/", "", "SYNCLINE_ALERT_SECRET"),
        ("https://x.example/", "c2hvcnQ=", "SYNCLINE_ALERT_SECRET"),
    ],
)
def test_settings_that_are_wrong_are_named_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, secret: str, told_of: str
) -> None:
    """The variable is in the error, its value is not."""
    (tmp_path / "connections.yaml").write_text("connections: {}\n")
    monkeypatch.setenv("SYNCLINE_ALERT_URL", url)
    monkeypatch.setenv("SYNCLINE_ALERT_SECRET", secret)
    with pytest.raises(InputError, match=told_of) as raised:
        receiver_of(Project(tmp_path))
    assert url not in f"{raised.value} {raised.value.hint}"


def test_f39_a_secret_in_an_alert_is_not_sent(store: Store, hook: Hook) -> None:
    """What an error says of a URL leaves without its password."""
    to = receiver(hook.url, "127.0.0.1")
    alert(store, to, "run.failed", "c", {"error": "postgresql://u:canary@h/d is down"}, once="1")
    send_due(store, to)
    assert "canary" not in hook.got[0][1]


def test_an_alert_leads_to_the_conflicts_of_its_mapping(
    store: Store, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the address of the review app is known, and not else."""
    told(store, receiver(hook.url))
    assert "conflicts" not in json.loads(only(store).body)["data"]
    monkeypatch.setenv("SYNCLINE_REVIEW_URL", "https://review.example.org")
    told(store, receiver(hook.url), once="run-2")
    urls = [json.loads(one.body)["data"].get("conflicts") for one in store.outbox.listed()]
    assert "https://review.example.org/conflicts?mapping=customers" in urls
