"""Receive: a webhook that names a mapping is verified and kept; the sensor of Dagster runs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from syncline.errors import InputError
from syncline.project import Project
from syncline.store import Store
from syncline.webhooks.settings import IN_SECRETS, incoming_secrets
from syncline.webhooks.signature import Refused, verified_id

LARGEST_BODY: Final = 256 * 1024
"""Bytes of a body: it only says that something moved."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender is told: an HTTP status, and why."""

    status: int
    detail: str


def receive(
    project: Project, store: Store, mapping: str, headers: Mapping[str, str], body: bytes
) -> Answer:
    """Take in one webhook.

    202 it is kept, and a run will answer it; 200 it is known already (a sender that missed our
    answer), and starts nothing; 401 not verified; 404 no such mapping, told only to who signed, or
    no secret is set; 413 too long. Raises what the store raises: then nothing was kept, and the
    sender tries again.
    """
    if len(body) > LARGEST_BODY:
        return Answer(413, f"a body has at most {LARGEST_BODY:,} bytes")
    secrets = incoming_secrets(project, mapping)
    if not secrets:
        return Answer(404, f"no webhooks are taken in: {IN_SECRETS} is not set")
    try:
        message_id = verified_id(headers, body, secrets)
    except Refused as error:
        return Answer(401, str(error))
    try:
        project.mapping(mapping)
    except InputError:
        return Answer(404, f"there is no mapping {mapping!r} that loads")
    new = store.inbox.put(mapping, message_id, _kind(body))
    return Answer(202, f"a run of {mapping} follows") if new else Answer(200, "known already")


def _kind(body: bytes) -> str:
    """What the sender calls the event, where the body says so as the standard advises."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        return ""
    kind: Any = cast("dict[str, Any]", found).get("type") if isinstance(found, dict) else None
    return kind[:200] if isinstance(kind, str) else ""
