"""`make dev`: webserver, daemon and review app in one, which end together."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.acceptance.dagster_process import PROGRAMS, ROOT, alive, descendants, send
from tests.integration.dagster_bench import DagsterBench

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(300)]

SECONDS = 120
"""Ten on a quiet machine."""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def read(url: str, query: bytes | None) -> str:
    """What is there; nothing while nobody answers."""
    asked = urllib.request.Request(url, query, {"content-type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - on 127.0.0.1
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return f"refused: {error.code}"
    except OSError:
        return ""


def test_make_dev_opens_all_of_it_and_ctrl_c_ends_all_of_it(tmp_path: Path) -> None:
    """Dagster has the mappings, the review app answers; Ctrl-C leaves no process behind."""
    bench = DagsterBench(tmp_path / "project")
    bench.write("customers")
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", home)
    ports = {"DAGSTER_PORT": str(free_port()), "REVIEW_PORT": str(free_port())}
    environment = os.environ | ports | {
        "DAGSTER_HOME": str(home),
        "SYNCLINE_PROJECT": str(bench.root),
        "PYTHONPATH": str(ROOT),
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
    }  # fmt: skip
    output = tmp_path / "output"
    began = time.monotonic()
    with output.open("wb") as file:
        process = subprocess.Popen(
            [ROOT / "bin" / "dev"], env=environment, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        dagster, review = (f"http://127.0.0.1:{port}" for port in ports.values())
        query = b'{"query": "{ assetNodes { assetKey { path } } }"}'
        for url, body, there in (
            (f"{dagster}/graphql", query, "customers"),
            (review, None, "refused: 401"),  # it asks who one is
        ):
            while there not in read(url, body):
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < began + SECONDS, output.read_text()
                time.sleep(0.1)
        started = list(descendants(process.pid))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        # A killed process whose parent is gone is there until init has looked at it.
        until = time.monotonic() + 30
        while (left := list(filter(alive, started))) and time.monotonic() < until:
            time.sleep(0.1)
        assert not left, output.read_text()
    finally:
        send(signal.SIGKILL, [process.pid, *descendants(process.pid)] if alive(process.pid) else [])
    said = output.read_text()
    assert dagster in said
    assert f"{review}/login?token=" in said
