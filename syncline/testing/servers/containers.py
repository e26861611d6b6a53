"""Servers in containers, where the package testcontainers is and a Docker engine answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from syncline.testing.servers import databases
from syncline.testing.servers.server import Server, Unavailable

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

    from syncline.testing.servers.local import Kind

_READY_WITHIN_S = 120.0
_PASSWORD = "syncline"  # noqa: S105 - of a container that lives for one test session


@dataclass(frozen=True)
class _Image:
    name: str
    port: int
    url: str
    environment: dict[str, str] = field(default_factory=dict[str, str])
    command: str = ""


_IMAGES: dict[Kind, _Image] = {
    "postgres": _Image(
        "postgres:18",
        5432,
        f"postgresql://syncline:{_PASSWORD}@{{host}}:{{port}}/postgres",
        {"POSTGRES_USER": "syncline", "POSTGRES_PASSWORD": _PASSWORD},
        "postgres -c max_prepared_transactions=10 -c fsync=off",
    ),
    "mariadb": _Image(
        "mariadb:11.8",
        3306,
        f"mysql://root:{_PASSWORD}@{{host}}:{{port}}/mysql",
        {"MARIADB_ROOT_PASSWORD": _PASSWORD},
    ),
    # A replica set of one: transactions and change streams need one.
    "mongo": _Image(
        "mongo:8.0",
        27017,
        "mongodb://{host}:{port}/test?directConnection=true",
        command="--replSet syncline --bind_ip_all",
    ),
}


def engine_missing() -> str:
    """Say why no container can be started here; empty if one can."""
    if find_spec("testcontainers") is None:
        return "the package testcontainers is not installed"
    import docker

    try:
        with closing(docker.from_env(timeout=5)) as client:
            client.ping()  # pyright: ignore[reportUnknownMemberType]
    except Exception as error:  # noqa: BLE001 - also what requests raises for a missing socket
        return f"no Docker engine answers ({type(error).__name__})"
    return ""


def start_container(kind: Kind) -> Server:
    """Start a new, empty server in a container that testcontainers removes when we end.

    Raises:
        Unavailable: there is no engine, the image cannot be had, or the server did not start.
    """
    if missing := engine_missing():
        raise Unavailable(missing)
    from testcontainers.core.container import DockerContainer

    image = _IMAGES[kind]
    container = DockerContainer(image.name).with_exposed_ports(image.port)
    container.with_envs(**image.environment)
    if image.command:
        container.with_command(image.command)
    try:
        container.start()
    except Exception as error:
        raise Unavailable(f"container {image.name}: {error}") from error
    try:
        url = image.url.format(
            host=container.get_container_host_ip(), port=container.get_exposed_port(image.port)
        )
        if kind == "mongo":
            _initiate(url)
        product, version = _wait_ready(url, image.name)
    except BaseException:
        container.stop()
        raise
    return Server(url, product, version, f"container {image.name}", None, _stopper(container))


def _stopper(container: DockerContainer) -> Callable[[], None]:
    def stop() -> None:
        container.stop()

    return stop


def _wait_ready(url: str, image: str) -> tuple[str, str]:
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            return databases.version(url)
        except Unavailable:
            raise
        except Exception as error:
            # The images start once without the network to set themselves up, then again.
            if time.monotonic() > deadline:
                raise Unavailable(f"container {image} did not answer: {error}") from error
        time.sleep(0.5)


def _initiate(url: str) -> None:
    """Make the one member the primary of its set."""
    import pymongo
    from pymongo.errors import PyMongoError

    deadline = time.monotonic() + _READY_WITHIN_S
    with pymongo.MongoClient[dict[str, object]](url, serverSelectionTimeoutMS=2000) as client:
        while True:
            try:
                client.admin.command("replSetInitiate", {})
                break
            except PyMongoError as error:
                if "already initialized" in str(error):
                    break
                if time.monotonic() > deadline:
                    raise Unavailable(f"the replica set did not start: {error}") from error
                time.sleep(0.5)
        while not client.admin.command("hello").get("isWritablePrimary"):
            time.sleep(0.2)
