"""Shopify's toxiproxy: had on this machine, started, and put before a server.

It is, in this order: the program that `SYNCLINE_TEST_TOXIPROXY` names; `toxiproxy-server` on PATH;
or built by Go from the module proxy, once, into the cache. `Unavailable` tells why there is none.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx

from syncline.testing.servers import Unavailable
from syncline.testing.servers.process import Child, Launch, make_home

Toward = Literal["client", "server"]
Toxic = Literal["latency", "bandwidth", "slicer", "limit_data", "reset_peer", "timeout"]

_VERSION: Final = "v2.12.0"
_PACKAGE: Final = f"github.com/Shopify/toxiproxy/v2/cmd/server@{_VERSION}"
_MODULES: Final = "e72f5288fcd95c47bbce735dc5969ee108d4214b39111522309a62e7928dcf94"
"""SHA-256 of the modules, versions and `h1:` sums that the program is made of, as it tells them."""
_BUILT_WITHIN_S: Final = 400
_ANSWERS_WITHIN_S: Final = 60
_PORTS: Final = range(15_000, 32_000)
"""Below those that the system gives to outgoing connections: one that is free for a moment, while a
proxy is shut, is not taken by whoever connects to somewhere.
"""
_ATTEMPTS: Final = 20
_STREAM: Final[dict[Toward, str]] = {"client": "downstream", "server": "upstream"}


class Toxiproxy:
    """A toxiproxy of our own, which ends with this process. Raises Unavailable where there is none.

    `how` tells people where it came from.
    """

    def __init__(self, root: Path) -> None:
        self.program, self.how = _program()
        for _ in range(_ATTEMPTS):
            self._child, port = self._start(root)
            self._api = httpx.Client(
                base_url=f"http://127.0.0.1:{port}", timeout=_ANSWERS_WITHIN_S, trust_env=False
            )
            if self._answers():
                return
            self.stop()
        raise Unavailable(f"{self.program} does not answer")

    def before(self, url: str) -> Gate:
        """Put a proxy before the server of a URL."""
        parts = urlsplit(url)
        name = secrets.token_hex(6)
        server = f"{parts.hostname or '127.0.0.1'}:{parts.port}"
        for port in random.sample(_PORTS, _ATTEMPTS):
            wanted = {"name": name, "listen": f"127.0.0.1:{port}", "upstream": server}
            if self._api.post("/proxies", json=wanted).is_success:
                break
            self._api.delete(f"/proxies/{name}")
        else:
            raise Unavailable("toxiproxy found no free port")
        user, at, _ = parts.netloc.rpartition("@")
        through = parts._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()
        return Gate(through, name, self._api, self._child.launch.log)

    def stop(self) -> None:
        """End it; what goes through it is cut."""
        self._api.close()
        self._child.stop()

    def _start(self, root: Path) -> tuple[Child, int]:
        (port,) = random.sample(_PORTS, 1)
        launch = Launch(
            argv=(str(self.program), "-host", "127.0.0.1", "-port", str(port)),
            home=make_home(root, f"toxiproxy-{secrets.token_hex(4)}", None),
            url=f"http://127.0.0.1:{port}",
            user=None,
            stop_signal=signal.SIGTERM,
        )
        return Child.start(launch, root), port

    def _answers(self) -> bool:
        deadline = time.monotonic() + _ANSWERS_WITHIN_S
        while self._child.alive() and time.monotonic() < deadline:
            # It stays alive without its port, and another toxiproxy might answer there.
            if "Server finished with error" in self._child.launch.log.read_text():
                return False
            with suppress(httpx.TransportError):
                return self._api.get("/proxies").json() == {}
            time.sleep(0.05)
        return False


@dataclass(frozen=True)
class Gate:
    """A proxy of toxiproxy before one server; `url` is the same database through it."""

    url: str = field(repr=False)
    _name: str
    _api: httpx.Client = field(repr=False)
    _log: Path = field(repr=False)

    def poison(self, toxic: Toxic, toward: Toward, **attributes: int) -> None:
        """Add a toxic to what goes this way, on the connections there are and those to come.

        Its attributes have the units of toxiproxy: milliseconds, KB/s, bytes; `delay` of a slicer
        microseconds.
        """
        wanted = {"type": toxic, "stream": _STREAM[toward], "attributes": attributes}
        self._api.post(self._path("/toxics"), json=wanted).raise_for_status()

    def heal(self) -> None:
        """Take every toxic away, and let connections in."""
        for toxic in self._asked("/toxics"):
            self._api.delete(self._path(f"/toxics/{toxic['name']}")).raise_for_status()
        deadline = time.monotonic() + _ANSWERS_WITHIN_S
        while not self._asked("")["enabled"]:
            answer = self._api.patch(self._path(""), json={"enabled": True})
            if answer.is_error and time.monotonic() > deadline:  # somebody else has its port
                answer.raise_for_status()

    def shut(self) -> None:
        """Cut every connection there is, and refuse new ones."""
        self._api.patch(self._path(""), json={"enabled": False}).raise_for_status()

    @property
    def accepted(self) -> int:
        """How many connections were let in so far."""
        whole = self._log.read_text().rpartition("\n")[0].splitlines()  # it may be writing one more
        return sum(
            line["message"] == "Accepted client" and line["name"] == self._name
            for line in map(json.loads, whole)
            if "name" in line
        )

    def close(self) -> None:
        """Be gone, with every connection there is."""
        self._api.delete(self._path("")).raise_for_status()

    def _path(self, rest: str) -> str:
        return f"/proxies/{self._name}{rest}"

    def _asked(self, rest: str) -> Any:
        return self._api.get(self._path(rest)).raise_for_status().json()


def _program() -> tuple[Path, str]:
    """Where the program is, and where it came from."""
    named = os.environ.get("SYNCLINE_TEST_TOXIPROXY")
    if named:
        if shutil.which(named) is None:
            raise Unavailable(f"SYNCLINE_TEST_TOXIPROXY is set, but {named} can't be run")
        return Path(named).resolve(), "SYNCLINE_TEST_TOXIPROXY"
    found = shutil.which("toxiproxy-server")
    if found is not None:
        return Path(found), "toxiproxy-server on PATH"
    return _built(), f"built from {_PACKAGE}"


def _built() -> Path:
    """Where Go put it; it is built, and looked at, when there is none."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    cache = (Path(base) if base else Path.home() / ".cache") / "syncline"
    place = cache / f"toxiproxy-{_VERSION}-{_MODULES[:12]}"
    if place.exists():
        return place
    go = shutil.which("go")
    if go is None:
        raise Unavailable(
            "neither toxiproxy-server nor go is installed",
            hint="set SYNCLINE_TEST_TOXIPROXY, or install Go to have it built",
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        _go(go, work, "install", "-trimpath", _PACKAGE)
        program = Path(work) / "server"
        _check(_go(go, work, "version", "-m", str(program)))
        program.rename(place)  # in one step: two sessions may do this at once
    return place


def _go(go: str, work: str, *arguments: str) -> str:
    """What a command of Go said; its programs are put into `work`."""
    # Every sum is compared here, so that no checksum database has to be reached; and no other
    # toolchain is fetched, which could not be checked without one.
    told = {"GOBIN": work, "CGO_ENABLED": "0", "GOSUMDB": "off", "GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run(
            (go, *arguments),
            cwd=work,
            env=os.environ | told,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_BUILT_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"go {arguments[0]}: {error}") from error
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-5:])
        raise Unavailable(f"go {' '.join(arguments)} failed:\n{tail}")
    return done.stdout


def _check(told: str) -> None:
    """Refuse a program that is made of anything else than what was looked at."""
    lines = [line.split() for line in told.splitlines()]
    modules = "".join(f"{' '.join(line[1:])}\n" for line in lines if line[:1] in (["mod"], ["dep"]))
    digest = hashlib.sha256(modules.encode()).hexdigest()
    if digest != _MODULES:
        raise Unavailable(f"{_PACKAGE} was built from other modules than expected ({digest})")
