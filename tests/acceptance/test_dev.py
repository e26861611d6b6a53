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


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - on 127.0.0.1
            return answer.status == 200
    except urllib.error.HTTPError as error:
        return error.code == 401  # the review app asks who one is
    except OSError:
        return False


def test_make_dev_opens_all_of_it_and_ctrl_c_ends_all_of_it(tmp_path: Path) -> None:
    """Dagster and the review app answer; Ctrl-C leaves no process behind."""
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
        for port in ports.values():
            while not answers(f"http://127.0.0.1:{port}/"):
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < began + SECONDS, output.read_text()
                time.sleep(0.1)
        started = list(descendants(process.pid))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert not list(filter(alive, started))
    finally:
        send(signal.SIGKILL, [process.pid, *descendants(process.pid)] if alive(process.pid) else [])
    said = output.read_text()
    assert f"http://127.0.0.1:{ports['DAGSTER_PORT']}" in said
    assert f"http://127.0.0.1:{ports['REVIEW_PORT']}/login?token=" in said
