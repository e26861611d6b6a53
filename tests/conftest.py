"""Real databases for every test that asks for one; each server is started once, when first needed.

`SYNCLINE_REQUIRE=postgres,mariadb,mongo,chromium` makes a missing one a failure where it is
otherwise a skip, and fails a whole run (not one with `--partial`) in which no test used one it
names. `SYNCLINE_EXPLORE=1` has Hypothesis draw other examples each time.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import HealthCheck, settings

from syncline.testing import servers
from syncline.testing.servers import Kind, Server, Unavailable, mongo_java

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# How long an example takes says how busy the machine is, and nothing of the code. Which examples
# are drawn follows from the test, so that nobody is refused for what somebody else brought in.
settings.register_profile(
    "patient",
    parent=settings(),
    deadline=None,
    derandomize="SYNCLINE_EXPLORE" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")

LONG_S = 900
"""For slow tests that say nothing else: an order of magnitude more than any takes here alone."""

KINDS: tuple[Kind, ...] = get_args(Kind)
BROWSER = "chromium"
"""May be required too."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

TERMINAL = (
    *("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    *("JUPYTER_COLUMNS", "JUPYTER_LINES"),
)
"""What the terminal of whoever runs the tests wants; nothing that they start is shown there."""

LOOPBACK = "127.0.0.1,localhost"

NewDatabase = Callable[[str], str]
"""Gives the URL of a new, empty database of a kind: postgres, mariadb, sqlite, mongo, or a MongoDB
that has change streams."""
REPLICA_SET = "replica-set"
"""A MongoDB that is one, or poses as one."""


class Servers:
    """The servers of this session: those that were asked for, and why others could not be had."""

    def __init__(self, required: frozenset[str]) -> None:
        self.required = required
        self.had: dict[Kind, Server | Unavailable] = {}
        self.told: dict[str, list[str]] = {}
        self._root: Path | None = None

    def get(self, kind: Kind) -> Server:
        """Give the server of `kind`; where there is none, skip the test, or fail it if required."""
        if kind not in self.had:
            self.had[kind] = self._start(kind)
        match self.had[kind]:
            case Server() as server:
                return server
            case refusal if kind in self.required:
                pytest.fail(f"SYNCLINE_REQUIRE names {kind}, but: {refusal}", pytrace=False)
            case refusal:
                pytest.skip(f"no {kind}: {refusal}")

    def replica_set(self) -> Server:
        """Give a MongoDB server with change streams; where there is none, skip the test."""
        try:
            return mongo_java.replica_set(self.get("mongo"))
        except Unavailable as refusal:
            pytest.skip(f"no change streams: {refusal}")

    def tell(self, told: dict[str, list[str]]) -> None:
        """Take in what a session says it had: for each kind the server, or why there was none."""
        for kind, said in told.items():
            self.told.setdefault(kind, []).extend(said)

    def say(self) -> dict[str, list[str]]:
        """What this session had, in words."""
        return {
            kind: [str(server) if isinstance(server, Server) else f"none: {server}"]
            for kind, server in self.had.items()
        }

    def unused(self) -> list[str]:
        """Name the required servers that no test used."""
        used = {
            kind
            for kind, said in self.told.items()
            if any(not line.startswith("none: ") for line in said)
        }
        return sorted(self.required - used)

    def stop(self) -> None:
        """End those that we started."""
        for server in self.had.values():
            if isinstance(server, Server):
                server.stop()
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    def _start(self, kind: Kind) -> Server | Unavailable:
        if self._root is None:
            # Not pytest's own directory: a server's unprivileged user could not reach into that.
            self._root = Path(tempfile.mkdtemp(prefix="syncline-tests-"))
            self._root.chmod(0o755)
        try:
            return servers.start(kind, self._root)
        except Unavailable as refusal:
            return refusal


SERVERS = pytest.StashKey[Servers]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--partial",
        action="store_true",
        help="do not fail when no test used a server that SYNCLINE_REQUIRE names",
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what runs in its background with SIGINT ignored, and children inherit that:
    # tests of interrupts would then interrupt nobody.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in TERMINAL:
        os.environ.pop(name, None)
    for name in ("no_proxy", "NO_PROXY"):  # what is asked here is of this machine
        given = os.environ.get(name)
        os.environ[name] = f"{given},{LOOPBACK}" if given else LOOPBACK
    named = os.environ.get("SYNCLINE_REQUIRE", "").replace(",", " ").split()
    known = {*KINDS, BROWSER}
    if unknown := sorted(set(named) - known):
        raise pytest.UsageError(f"SYNCLINE_REQUIRE: unknown {', '.join(unknown)}; known: {known}")
    config.stash[SERVERS] = Servers(frozenset(named))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the servers it uses, by its fixtures or its parameters; slow ones have
    more time.
    """
    for item in items:
        is_slow = any(item.get_closest_marker(name) for name in ("slow", "acceptance"))
        if is_slow and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_S))
        fixtures = set(getattr(item, "fixturenames", ()))
        parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
        for kind in KINDS:
            if {f"{kind}_server", f"{kind}_url"} & fixtures or kind in map(str, parameters):
                item.add_marker(kind)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    held = session.config.stash[SERVERS]
    held.tell(held.say())
    held.stop()
    # Under pytest-xdist every worker is a session of its own, with its own servers.
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["servers"] = held.told
    elif _must_have_used_all(session.config) and held.unused() and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take in what a worker had."""
    node.config.stash[SERVERS].tell(getattr(node, "workeroutput", {}).get("servers", {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    held = config.stash[SERVERS]
    if held.told:
        terminalreporter.section("servers")
    for kind, said in held.told.items():
        for line in said:
            terminalreporter.write_line(f"{kind:9}{line}")
    if _must_have_used_all(config):
        for kind in held.unused():
            terminalreporter.write_line(
                f"FAILED: SYNCLINE_REQUIRE names {kind}, and no test used it", red=True
            )


def _must_have_used_all(config: pytest.Config) -> bool:
    return not (config.getoption("--partial") or config.getoption("--collect-only"))


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Server:
    """The PostgreSQL server of this session."""
    return request.config.stash[SERVERS].get("postgres")


@pytest.fixture(scope="session")
def mariadb_server(request: pytest.FixtureRequest) -> Server:
    """The MariaDB server of this session."""
    return request.config.stash[SERVERS].get("mariadb")


@pytest.fixture(scope="session")
def mongo_server(request: pytest.FixtureRequest) -> Server:
    """The MongoDB server of this session."""
    return request.config.stash[SERVERS].get("mongo")


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """One Chromium for the module: SYNCLINE_CHROMIUM, else what is installed.

    Not for the session: Playwright keeps an event loop running in this thread, and who wants one of
    their own in a later module (Dagster's GraphQL) would be refused.
    """
    held = request.config.stash[SERVERS]
    named = os.environ.get("SYNCLINE_CHROMIUM")
    path = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        reason = f"no Chromium: none of {', '.join(BROWSERS)} is installed"
        held.tell({BROWSER: [f"none: {reason}"]})
        if BROWSER in held.required:
            pytest.fail(f"SYNCLINE_REQUIRE names {BROWSER}, but: {reason}", pytrace=False)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright  # few sessions need it

    with sync_playwright() as playwright:
        # Root, as in a container, can't have Chromium's sandbox.
        started = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"], timeout=180_000
        )
        held.tell({BROWSER: [f"Chromium {started.version}"]})
        yield started
        started.close()


@pytest.fixture
def new_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NewDatabase]:
    """Makes empty databases, as many as a test wants, that go when the test ends."""
    yield from _databases(request.config.stash[SERVERS], tmp_path_factory)


@pytest.fixture(scope="module")
def new_module_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NewDatabase]:
    """Makes empty databases that go when the last test of the module ends."""
    yield from _databases(request.config.stash[SERVERS], tmp_path_factory)


@pytest.fixture
def postgres_url(new_database: NewDatabase) -> str:
    """A new, empty PostgreSQL database."""
    return new_database("postgres")


@pytest.fixture
def mariadb_url(new_database: NewDatabase) -> str:
    """A new, empty MariaDB database."""
    return new_database("mariadb")


@pytest.fixture
def mongo_url(new_database: NewDatabase) -> str:
    """A new, empty MongoDB database."""
    return new_database("mongo")


@pytest.fixture
def sqlite_url(new_database: NewDatabase) -> str:
    """A SQLite file that does not exist yet, in a directory of its own."""
    return new_database("sqlite")


def _databases(held: Servers, directories: pytest.TempPathFactory) -> Iterator[NewDatabase]:
    made: list[tuple[Server, str]] = []

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{directories.mktemp('sqlite') / 'database.sqlite'}"
        if kind == REPLICA_SET:
            server = held.replica_set()
        else:
            server = held.get(next(each for each in KINDS if each == kind))
        name = f"test_{secrets.token_hex(6)}"
        made.append((server, name))
        return server.fresh_database(name)

    yield make
    for server, name in made:
        server.drop_database(name)
