"""`syncline serve`: the review app and its HTTP API, closed by default."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from syncline.cli.command import note, the_project
from syncline.errors import InputError

if TYPE_CHECKING:
    import socket

    from syncline.review.web.access import Access, Network, Proxy, Role

TOKEN_VARIABLE: Final = "SYNCLINE_API_TOKEN"  # noqa: S105 - a name
_SHORTEST_TOKEN: Final = 32
_INSTALL: Final = "pip install 'syncline[ui]'"


def serve(
    *,
    host: Annotated[str, typer.Option(help="Where to listen; a name or address.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8484,
    write_after: Annotated[
        float, typer.Option(min=0, help="Seconds in which a decision can be undone.")
    ] = 10.0,
    trust_header: Annotated[
        str | None,
        typer.Option(metavar="HEADER", help="A proxy in front tells the user by this header."),
    ] = None,
    roles_header: Annotated[
        str | None, typer.Option(metavar="HEADER", help="It tells the user's roles by this one.")
    ] = None,
    reviewer_role: Annotated[
        str, typer.Option(metavar="ROLE", help="The role that may decide.")
    ] = "reviewer",
    viewer_role: Annotated[
        str, typer.Option(metavar="ROLE", help="The role that may look.")
    ] = "viewer",
    default_role: Annotated[
        Literal["none", "viewer", "reviewer"],
        typer.Option(help="What users are whose roles name neither."),
    ] = "none",
    proxy_from: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="Whence the proxy connects; loopback if not given."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name that this server is reached by, from outside."),
    ] = None,
) -> None:
    """Serve the review app and its HTTP API.

    Only this machine reaches it, by a link that works once. For a team put a proxy in front that
    signs people in, and name its headers.
    """
    _needs_extra()
    import uvicorn

    from syncline.review.web.access import Access, User
    from syncline.review.web.app import make_app

    project = the_project()
    proxy = _proxy(
        trust_header, roles_header, reviewer_role, viewer_role, default_role, proxy_from or []
    )
    _closed(host, proxy)
    with _listening(host, port) as listener:
        port = listener.getsockname()[1]
        access = Access(User(getpass.getuser(), "reviewer"), port, proxy, _api_token())
        hosts = {"127.0.0.1", "localhost", "::1", *(allow_host or ())}
        app = make_app(project, access, hosts=hosts, write_after=write_after)
        _say(host, port, access)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # a link's token stands in its address
            proxy_headers=False,  # who asks is told by our own rules
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        uvicorn.Server(config).run(sockets=[listener])


def _needs_extra() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("fastapi", "jinja2", "uvicorn") if find_spec(name) is None]
    if missing:
        message = f"syncline serve needs {', '.join(missing)}, which are not installed"
        raise InputError(message, hint=_INSTALL)


def _proxy(
    user_header: str | None,
    roles_header: str | None,
    reviewers: str,
    viewers: str,
    default: Role | Literal["none"],
    networks: list[str],
) -> Proxy | None:
    from syncline.review.web.access import LOOPBACK, Proxy

    if user_header is None:
        if roles_header or networks:
            message = "--roles-header and --proxy-from go with --trust-header"
            raise InputError(message, hint="--trust-header X-Forwarded-User")
        return None
    if roles_header is None and default == "none":
        message = "--trust-header alone lets nobody in: no header tells what a user may do"
        raise InputError(
            message, hint="--roles-header X-Forwarded-Groups, or --default-role viewer"
        )
    known = tuple(map(_network, networks)) or LOOPBACK
    role: Any = None if default == "none" else default
    return Proxy(user_header, roles_header, reviewers, viewers, role, known)


def _network(text: str) -> Network:
    import ipaddress

    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        message = f"--proxy-from {text}: {error}"
        raise InputError(message, hint="--proxy-from 10.0.0.0/8") from error


def _closed(host: str, proxy: Proxy | None) -> None:
    """A link that works once is no protection in a network: it travels unencrypted."""
    loopback = host == "localhost" or _is_loopback(host)
    if not loopback and proxy is None:
        message = f"--host {host} would open the records to the network"
        raise InputError(
            message, hint="put a proxy in front that signs people in, and add --trust-header"
        )


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _api_token() -> str | None:
    from syncline import log

    token = os.environ.get(TOKEN_VARIABLE) or None
    if token is not None and len(token) < _SHORTEST_TOKEN:
        message = f"{TOKEN_VARIABLE} is shorter than {_SHORTEST_TOKEN} characters"
        raise InputError(
            message, hint="python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    log.hide([token] if token else [])
    return token


def _listening(host: str, port: int) -> socket.socket:
    import socket

    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)  # whoever opens the link at once waits a moment, and is not refused
    except OSError as error:
        message = f"can't listen on {host}:{port}: {error.strerror or error}"
        raise InputError(message, hint="syncline serve --port 0 takes a free one") from error
    return listener


def _say(host: str, port: int, access: Access) -> None:
    shown = f"[{host}]" if ":" in host else host
    if access.proxy is None:
        typer.echo(f"http://{shown}:{port}/login?token={access.new_link()}")
        note("this link works once; Ctrl-C ends the server")
    else:
        typer.echo(f"http://{shown}:{port}/")
        note(f"users come by the header {access.proxy.user_header}; Ctrl-C ends the server")
