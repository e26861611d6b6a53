"""Address: where a URL leads, looked up once, and refused where it leads inside.

Who may name the URL of an alert could otherwise have this machine call its neighbours: services on
loopback, a cloud's metadata on 169.254.169.254 (OWASP, "Server Side Request Forgery Prevention").
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from syncline.errors import InputError, Unreachable
from syncline.webhooks.settings import ALERT_ALLOW, Receiver

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_PORTS: Final = {"http": 80, "https": 443}


class AddressRefused(InputError):
    """The URL of the alerts leads to an address inside, which nobody allowed."""


@dataclass(frozen=True, slots=True)
class Address:
    """One address to connect to: the name was looked up, and is not looked up again."""

    host: str
    ip: str
    port: int
    tls: bool
    target: str
    """Path and query, as the request names them."""


def address_of(receiver: Receiver) -> Address:
    """Look the receiver up. Raises AddressRefused, and Unreachable where it has no address.

    Every address that the name has must be right, not only the one that is taken.
    """
    parts = urlsplit(receiver.url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or _PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"{host} has no address: {error.strerror}") from None
    ips = list(dict.fromkeys(str(each[4][0]) for each in found))
    for ip in ips:
        if not _allowed(receiver, host, ipaddress.ip_address(ip.partition("%")[0])):
            raise AddressRefused(
                f"{host} leads to {ip}, which is not an address of the public internet",
                hint=f"if that is right: {ALERT_ALLOW}={host}",
            )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(host, ips[0], port, parts.scheme == "https", target)


def _allowed(receiver: Receiver, host: str, ip: IpAddress) -> bool:
    if host.lower() in receiver.hosts:
        return True
    ip = _inner(ip)
    if any(ip in network for network in receiver.networks if network.version == ip.version):
        return True
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _inner(ip: IpAddress) -> IpAddress:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    teredo = ip.teredo[1] if ip.teredo else None
    return ip.ipv4_mapped or ip.sixtofour or teredo or ip
