"""`make dev`: webserver, daemon and review app in one, which end together."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from syncline.testing.servers.process import free_port
from tests.acceptance.dagster_process import PROGRAMS, ROOT, alive, descendants, send
from tests.integration.dagster_bench import DagsterBench

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(600)]

SECONDS = 120
"""Under ten on a quiet machine."""


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
    ports = {name: str(free_port()) for name in ("DAGSTER_PORT", "REVIEW_PORT")}
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
        assert process.wait(120) == 130
        # A killed process whose parent is gone is there until init has looked at it.
        until = time.monotonic() + 60
        while (left := list(filter(alive, started))) and time.monotonic() < until:
            time.sleep(0.1)
        assert not left, output.read_text()
    finally:
        send(signal.SIGKILL, [process.pid, *descendants(process.pid)] if alive(process.pid) else [])
    said = output.read_text()
    assert dagster in said
    assert f"{review}/login?token=" in said


@pytest.mark.parametrize(
    ("locations", "served"),
    [
        (["python_module: {module_name: one.two, location_name: a, working_directory: .}"], 1),
        (["python_file: {relative_path: defs.py, location_name: a}"] * 2, 2),
        (["python_module: one.two"], 0),  # without a name
        (["grpc_server: {port: 4000}", "python_file: {relative_path: b.py, location_name: b}"], 0),
        (["python_file: {relative_path: b.py, location_name: b, executable_path: /bin/py}"], 0),
    ],
)
def test_the_programs_share_the_code_servers_of_a_workspace_that_can_be_served(
    tmp_path: Path, locations: list[str], served: int
) -> None:
    """One for each location; where that can't be, the programs are left to load it themselves."""
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text("load_from:\n" + "".join(f"  - {one}\n" for one in locations))
    folder = tmp_path / "served"
    folder.mkdir()
    command = [PROGRAMS / "python", ROOT / "bin" / "code-servers", workspace, folder]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == served
    assert (folder / "workspace.yaml").exists() == bool(served)
    for number, line in enumerate(lines):
        words = shlex.split(line)
        assert words[words.index("--socket") + 1] == str(folder / f"code{number}")
        assert str(folder / f"code{number}") in (folder / "workspace.yaml").read_text()
        assert not [word for word in words if word in {".", "defs.py"}]  # they are of its folder
