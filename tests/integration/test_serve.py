"""`syncline serve` as it is typed: the link it prints, what it refuses to open, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from syncline.cli.app import app
from tests.browser.review_bench import ReviewBench

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ReviewBench(tmp_path_factory.mktemp("serve") / "project", 0).root


@pytest.fixture
def server(place: Path) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, "-m", "syncline", "--project", str(place), "serve", "--port", "0"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield started
    started.kill()
    started.wait()


def test_the_link_that_is_printed_opens_the_app(server: subprocess.Popen[str]) -> None:
    """On loopback, and Ctrl-C ends it, also while a page listens."""
    assert server.stdout
    link = server.stdout.readline().strip()
    assert link.startswith("http://127.0.0.1:")
    with httpx.Client(follow_redirects=True, timeout=60) as client:
        page = _once_it_serves(client, link)
        assert page.status_code == 200
        assert "customers" in page.text
        with client.stream("GET", link.partition("/login")[0] + "/api/events") as events:
            assert next(events.iter_lines()).startswith("retry")
            server.send_signal(signal.SIGINT)
            assert server.wait(100) in {0, 130}
    assert server.stderr
    assert "Traceback" not in server.stderr.read()


def _once_it_serves(client: httpx.Client, link: str) -> httpx.Response:
    """It prints the link when the port is open, a moment before it serves."""
    ends = time.monotonic() + 60
    while True:
        try:
            return client.get(link)
        except httpx.TransportError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "192.0.2.1"], "would open the records to the network"),
        (["--trust-header", "X-User"], "lets nobody in"),
        (["--roles-header", "X-Roles"], "go with --trust-header"),
        (["--trust-header", "X-User", "--default-role", "viewer", "--proxy-from", "all"], "all"),
    ],
)
def test_what_would_stand_open_is_refused(place: Path, options: list[str], told: str) -> None:
    """Exit code 2 with the way that is safe, before anything listens."""
    result = CliRunner().invoke(app, ["--project", str(place), "serve", "--port", "0", *options])
    assert result.exit_code == 2
    assert told in result.stderr
    assert "hint: " in result.stderr


def test_a_short_token_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that could be guessed; the message does not repeat it."""
    monkeypatch.setenv("SYNCLINE_API_TOKEN", "too-short")
    result = CliRunner().invoke(app, ["--project", str(place), "serve", "--port", "0"])
    assert result.exit_code == 2
    assert "SYNCLINE_API_TOKEN" in result.stderr
    assert "too-short" not in result.stderr


def test_without_the_extra_the_line_that_installs_it_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever does not serve need not have it."""
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "fastapi" else found(name, *more),
    )
    result = CliRunner().invoke(app, ["--project", str(place), "serve"])
    assert result.exit_code == 2
    assert "pip install 'syncline[ui]'" in result.stderr


def test_a_port_that_is_taken_is_told(place: Path) -> None:
    """With the way to a free one."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["--project", str(place), "serve", "--port", port])
    assert result.exit_code == 2
    assert "--port 0" in result.stderr
