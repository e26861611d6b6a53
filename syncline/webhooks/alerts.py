"""Alerts: what goes wrong, put into the outbox once, and sent from there until it is taken.

Nothing here is called by a run: a receiver that hangs holds up no sync.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

from tenacity import RetryCallState, Retrying, wait_random_exponential

from syncline.errors import SynclineError
from syncline.log import redacted
from syncline.review.links import conflicts_link
from syncline.store import Store
from syncline.store.keys import digest
from syncline.store.outbox import Message
from syncline.webhooks.address import address_of
from syncline.webhooks.post import DEADLINE, Response, post
from syncline.webhooks.settings import Receiver
from syncline.webhooks.signature import headers_of

Kind = Literal["run.failed", "mapping.late", "mapping.on-time", "test"]

ATTEMPTS: Final = 16
"""Then a message is given up: after about two days."""
_WAIT: Final = wait_random_exponential(multiplier=10, max=6 * 3600, min=5)
"""Full jitter, as `syncline.retry` has it: receivers that come back are not met by all at once."""
_LONGEST_ASKED: Final = 24 * 3600.0
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of sending what was due."""

    taken: int = 0
    failed: int = 0


def alert(
    store: Store,
    receiver: Receiver,
    kind: Kind,
    mapping: str,
    data: Mapping[str, Any],
    *,
    once: str,
) -> bool:
    """Put an alert into the outbox. `once` names what happened: told again, it is sent no second
    time, and False is returned. No secret that is known leaves in it. Where the review app's
    address is known it says where the mapping's conflicts are.
    """
    url = conflicts_link(mapping) if mapping else None
    more = {} if url is None else {"conflicts": url}
    message_id = f"msg_{digest(kind, mapping, once)}"
    told = {
        "type": kind,
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {"mapping": mapping, **_clean(data), **more},
    }
    body = json.dumps(told, separators=(",", ":"))
    return store.outbox.put(message_id, receiver.digest, kind, mapping, body)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {name: _clean(each) for name, each in cast("Mapping[str, Any]", value).items()}
    return value


def send_due(
    store: Store, receiver: Receiver, *, budget: float = 40.0, deadline: float = DEADLINE
) -> Sent:
    """Send what is due, one after the other, until nothing is or the budget (seconds) is spent.

    Several senders may do so at once. What can't be sent is tried again later, with the same id.
    """
    ends = time.monotonic() + budget
    taken = failed = 0
    while time.monotonic() + deadline <= ends or taken + failed == 0:
        # Twice the deadline: whoever dies in between leaves it to the next one.
        found = store.outbox.claim(receiver.digest, seconds=2 * deadline)
        if not found:
            break
        response = _attempt(receiver, found[0], deadline)
        _keep(store, found[0], response)
        taken, failed = taken + response.taken, failed + (not response.taken)
        if response.status == 0:  # nobody there: the others would only wait as long
            break
    return Sent(taken, failed)


def _attempt(receiver: Receiver, message: Message, deadline: float) -> Response:
    try:
        address = address_of(receiver)
    except SynclineError as error:
        return Response(0, str(error))
    return post(
        address,
        headers_of(receiver.secret, message.message_id, message.body),
        message.body,
        deadline,
    )


def _keep(store: Store, message: Message, response: Response) -> None:
    error = redacted(response.error)
    if response.taken:
        store.outbox.sent(message)
    elif response.status == _GONE:
        store.outbox.gone(message, error)
    else:
        store.outbox.failed(message, error, again_in=_again_in(message, response))


def _again_in(message: Message, response: Response) -> float | None:
    attempt = message.attempts + 1
    if attempt >= ATTEMPTS:
        return None
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempt
    asked = min(response.retry_after or 0.0, _LONGEST_ASKED)
    return max(float(_WAIT(state)), asked)
