"""Signatures of webhooks: whether one is right, and what one of ours carries.

By `standardwebhooks`: HMAC-SHA256 over id, time and body, compared in constant time, at most five
minutes old or ahead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

ID: Final = re.compile(r"^[A-Za-z0-9_:/+=-]{1,128}$")
"""A message's id. No dot: the signed text is `id.time.body`, and a dot could move its borders."""


class Refused(Exception):
    """A webhook that nobody with the secret sent, or not now. Its text is safe to answer with."""


def verified_id(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> str:
    """The id of a webhook that is signed by one of these secrets. Raises Refused."""
    from standardwebhooks import Webhook, WebhookVerificationError

    found = {name.lower(): value for name, value in headers.items()}
    message_id = found.get("webhook-id", "")
    reason = "no signature of a secret that is known here"
    if not ID.match(message_id):
        raise Refused("webhook-id is missing, or is no id")
    for secret in secrets:
        try:
            Webhook(secret).verify(body, found, json_parse=False)
        except WebhookVerificationError as error:
            if "timestamp" in str(error):
                reason = "webhook-timestamp is more than five minutes off"
        except ValueError:  # a signature that is no base64, a body that is no text
            continue
        else:
            return message_id
    raise Refused(reason)


def headers_of(secret: str, message_id: str, body: str) -> dict[str, str]:
    """What an attempt at sending carries: the message's id, the time now, and the signature."""
    from standardwebhooks import Webhook

    now = datetime.now(UTC)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body),
    }
