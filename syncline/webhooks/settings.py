"""Settings of webhooks: addresses and secrets, from the environment or the project's `.env`."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from syncline.connections import environment_of, secrets_of
from syncline.errors import InputError
from syncline.log import hide
from syncline.project import Project
from syncline.store.keys import digest

IN_SECRETS: Final = "SYNCLINE_WEBHOOK_SECRETS"
"""Who may start runs: one secret, or several apart by spaces while they are rotated. With
`_MAPPING` after it, it counts for that mapping alone, and the common one does not."""
ALERT_URL: Final = "SYNCLINE_ALERT_URL"
ALERT_SECRET: Final = "SYNCLINE_ALERT_SECRET"  # noqa: S105 - a variable's name
ALERT_ALLOW: Final = "SYNCLINE_ALERT_ALLOW"
"""Hosts and networks inside that alerts may go to: `hooks.lan 10.1.0.0/16 127.0.0.1`."""

_PREFIX: Final = "whsec_"
_SHORTEST: Final = 24
"""Bytes of a secret: Standard Webhooks 1.0 asks for 24 to 64."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where alerts go. The URL is a secret too: many carry a token in their path."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @property
    def digest(self) -> str:
        """What the outbox knows it by."""
        return digest("receiver", self.url)

    @property
    def shown(self) -> str:
        """Its host, for people."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}"


def incoming_secrets(project: Project, mapping: str) -> tuple[str, ...]:
    """The secrets that a webhook of this mapping may be signed with; none means none is taken.

    Raises InputError for one that is no secret.
    """
    environment = environment_of(project.root)
    own = f"{IN_SECRETS}_{mapping.upper()}"
    name = own if environment.get(own) else IN_SECRETS
    secrets = tuple((environment.get(name) or "").split())
    for secret in secrets:
        _check(secret, name)
    hide(secrets)
    return secrets


def receiver_of(project: Project) -> Receiver | None:
    """Where the project's alerts go; None where the environment names none. Raises InputError."""
    return _receiver(environment_of(project.root))


def _receiver(environment: Mapping[str, str]) -> Receiver | None:
    url = environment.get(ALERT_URL)
    if not url:
        return None
    hide([url, *secrets_of(url)])
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise InputError(
            f"{ALERT_URL} is no address for alerts",
            hint="https://HOST/PATH, without a login: messages are signed",
        )
    secret = environment.get(ALERT_SECRET, "")
    if not secret:
        raise InputError(
            f"{ALERT_URL} is set and {ALERT_SECRET} is not", hint=f"{_HOW}, and tell the receiver"
        )
    _check(secret, ALERT_SECRET)
    hide([secret])
    hosts, networks = _allowed(environment.get(ALERT_ALLOW, ""))
    return Receiver(url, secret, hosts, networks)


_HOW: Final = 'make one: echo "whsec_$(openssl rand -base64 32)"'


def _check(secret: str, name: str) -> None:
    try:
        text = secret.removeprefix(_PREFIX).rstrip("=")
        found = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise InputError(f"{name} holds what is not base64", hint=_HOW) from None
    if len(found) < _SHORTEST:
        message = f"{name} holds a secret of {len(found)} bytes: it takes {_SHORTEST}"
        raise InputError(message, hint=_HOW)


def _allowed(text: str) -> tuple[frozenset[str], tuple[Network, ...]]:
    hosts: list[str] = []
    networks: list[Network] = []
    for word in text.split():
        try:
            networks.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            hosts.append(word.lower())
    return frozenset(hosts), tuple(networks)
