"""The wheel, as its user gets it: built here, installed where nothing of the checkout is."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    out = tmp_path_factory.mktemp("wheel")
    _run(
        *(sys.executable, "-m", "uv", "build", "--wheel", "--no-build-isolation"),
        *("--quiet", "--out-dir", str(out), str(CHECKOUT)),
        cwd=CHECKOUT,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an empty environment, outside the checkout, with the wheel installed.

    Its dependencies have the versions of `requirements/runtime.txt`.
    """
    place = tmp_path_factory.mktemp("installed")
    environment = place / "environment"
    uv = (sys.executable, "-m", "uv")
    _run(*uv, "venv", "--quiet", "--python", sys.executable, str(environment), cwd=place)
    python = ("--python", str(environment / "bin" / "python"))
    requirements = CHECKOUT / "requirements" / "runtime.txt"
    _run(*uv, "pip", "install", "--quiet", *python, "--require-hashes", "-r", str(requirements),
         cwd=place)  # fmt: skip
    _run(*uv, "pip", "install", "--quiet", *python, "--no-deps", str(wheel), cwd=place)
    return environment / "bin"


def test_the_wheel_holds_the_engine_and_nothing_else(wheel: Path) -> None:
    """Tests, benchmarks and this project's own mappings stay in the checkout."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == {"syncline", "syncline-0.1.0.dist-info"}
    assert "syncline/py.typed" in names
    assert "syncline/review/web/templates/base.html" in names
    assert "syncline/review/web/static/vendor/htmx.min.js" in names
    assert "syncline/testing/servers/Launcher.java" in names
    assert "syncline-0.1.0.dist-info/licenses/LICENSE" in names


def test_the_wheel_holds_each_built_in_strategy(wheel: Path) -> None:
    """A strategy that a mapping names is found without the checkout."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    strategies = [file.name for file in (CHECKOUT / "resolvers").glob("*.py")]
    assert strategies
    assert {f"syncline/_resolvers/{name}" for name in strategies} <= names


def test_the_command_of_the_wheel_answers(installed: Path, tmp_path: Path) -> None:
    """`syncline --help` works where there is nothing but the wheel."""
    assert "Usage" in _run(str(installed / "syncline"), "--help", cwd=tmp_path)


def test_the_installed_package_is_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    """What these tests run is the wheel, not the source beside them."""
    told = _run(
        *(str(installed / "python"), "-c", "import syncline; print(syncline.__file__)"),
        cwd=tmp_path,
    )
    assert Path(told.strip()).is_relative_to(installed.parent)


STRATEGIES = ("source", "target", "latest", "merge", "manual")
RESULT = dict.fromkeys(("target", "manual"), "from target") | dict.fromkeys(
    ("source", "latest", "merge"), "from source"
)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_wheel_makes_a_project_and_settles_conflicts(
    strategy: str, installed: Path, tmp_path: Path
) -> None:
    """`init`, a mapping, a full run, edits on both sides, a delta: with each strategy."""
    syncline = str(installed / "syncline")
    _run(syncline, "init", "shop", cwd=tmp_path)
    shop = tmp_path / "shop"
    (shop / ".env").write_text(
        f"SOURCE_URL=sqlite:///{tmp_path}/source.db\nTARGET_URL=sqlite:///{tmp_path}/target.db\n"
    )
    (shop / "mappings" / "people.yaml").write_text(
        "source: {connection: source, table: people}\n"
        "target: {connection: target, table: people, create: true}\n"
        "key: {id: id}\n"
        "fields: {name: name, at: at}\n"
        "delta: {cursor: at}\n"
        f"conflicts: {{strategy: {strategy}, clock: at, detect: ledger}}\n"
    )
    with closing(sqlite3.connect(tmp_path / "source.db")) as source, source:
        source.execute("create table people (id integer primary key, name text, at timestamptz)")
        source.execute("insert into people values (1, 'Ann', '2024-01-01 00:00:00+00:00')")
    _run(syncline, "run", "people", cwd=shop)
    with closing(sqlite3.connect(tmp_path / "source.db")) as source, source:
        source.execute("update people set name = 'from source', at = '2024-01-03 00:00:00+00:00'")
    with closing(sqlite3.connect(tmp_path / "target.db")) as target, target:
        target.execute("update people set name = 'from target', at = '2024-01-02 00:00:00+00:00'")
    summary = json.loads(_run(syncline, "run", "people", "--json", cwd=shop))
    assert (summary["conflicts"], summary["queued"]) == (1, int(strategy == "manual"))
    with closing(sqlite3.connect(tmp_path / "target.db")) as target:
        assert target.execute("select name from people").fetchall() == [(RESULT[strategy],)]


def _run(*argv: str, cwd: Path) -> str:
    """Run a program outside the checkout's environment; give its output."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"VIRTUAL_ENV", "PYTHONPATH"} and not name.startswith("SYNCLINE_")
    }
    done = subprocess.run(
        argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}\n{done.stderr}"
    return done.stdout
