"""`syncline --help` is quick, and every command stands in the reference."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import syncline
from syncline.cli.app import app

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def commands(at: Any = None, name: str = "syncline") -> Iterator[tuple[str, Any]]:
    """Every command by the words a person types, groups left out."""
    at = at or get_command(app)
    inner = getattr(at, "commands", None)
    if inner is None:
        yield name, at
        return
    for word, command in inner.items():
        yield from commands(command, f"{name} {word}")


HERE = os.environ | {"PYTHONPATH": str(Path(syncline.__file__).parents[1])}
COMMANDS = dict(commands())
ALL_TAKE = {"--project", "--debug", "--log", "--help"}


def section(name: str) -> str:
    """What the reference says of a command."""
    found = re.search(
        rf"^### `{re.escape(name)}\b[^`]*`$(.*?)(?=^##|\Z)",
        REFERENCE.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert found, f"docs/reference/cli.md has no section ### `{name} ..`"
    return found[1]


def test_the_commands_are_those_that_were_promised() -> None:
    """People script against these names."""
    assert list(COMMANDS) == [
        "syncline demo",
        "syncline init",
        "syncline map",
        "syncline check",
        "syncline plan",
        "syncline run",
        "syncline backfill",
        "syncline verify",
        "syncline repair",
        "syncline status",
        "syncline serve",
        "syncline runs list",
        "syncline runs show",
        "syncline conflicts list",
        "syncline conflicts show",
        "syncline conflicts resolve",
        "syncline conflicts undo",
        "syncline conflicts drafts",
        "syncline conflicts export",
        "syncline conflicts audit",
        "syncline conflicts rules list",
        "syncline conflicts rules suggest",
        "syncline conflicts rules add",
        "syncline conflicts rules apply",
        "syncline conflicts rules remove",
        "syncline dead-letters list",
        "syncline dead-letters show",
        "syncline dead-letters replay",
        "syncline dead-letters mend",
        "syncline dead-letters drop",
        "syncline checkpoint show",
        "syncline checkpoint set",
        "syncline checkpoint rewind",
        "syncline alerts list",
        "syncline alerts test",
        "syncline alerts send",
        "syncline alerts resume",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    """The reference has a section a command, and names each of its options."""
    text = section(name)
    for parameter in COMMANDS[name].params:
        options = set(parameter.opts) - ALL_TAKE
        if parameter.param_type_name == "option" and options:
            assert any(f"`{option}" in text for option in options), options


def test_the_reference_has_no_command_that_is_gone() -> None:
    """A renamed command is renamed there too."""
    told: list[str] = re.findall(r"^### `(syncline [^`]+)`$", REFERENCE.read_text(), re.MULTILINE)
    gone = [each for each in told if not any(each.startswith(name) for name in COMMANDS)]
    assert gone == []
    assert len(told) == len(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name: str) -> None:
    """One line that `--help` of its group shows whole."""
    first = COMMANDS[name].get_short_help_str(80)
    assert first
    assert not first.endswith("..")
    assert COMMANDS[name].help


def test_help_takes_under_300_milliseconds_of_a_processor() -> None:
    """In a process of its own, the best of five: what else the machine does is not counted. On a
    slow machine it may take 25 times of what Python itself does; measured are 8 times.
    """

    def took(*words: str, says: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        shown = subprocess.run(
            [sys.executable, *words], env=HERE, capture_output=True, check=True, text=True
        )
        assert says in shown.stdout
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        return now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime

    bare = min(took("-c", "print('here')", says="here") for _ in range(5))
    helped = min(took("-m", "syncline", "--help", says="Usage: syncline") for _ in range(5))
    assert helped < max(0.3, 25 * bare)


def test_help_imports_nothing_heavy() -> None:
    """What a command needs is imported when it runs."""
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from syncline.cli.app import app\n"
        "assert CliRunner().invoke(app, ['run', '--help']).exit_code == 0\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], env=HERE, capture_output=True, check=True, text=True
    )
    heavy = {"sqlalchemy", "alembic", "pyarrow", "numpy", "duckdb", "polars", "pandas", "pymongo"}
    heavy |= {"psycopg", "structlog", "rich", "ruamel", "dagster", "tenacity"}
    assert heavy & set(shown.stdout.split()) == set()


def test_the_version_is_told(cli: Any) -> None:
    """`--version`, without a project."""
    result = cli("--version")
    assert (result.exit_code, result.stdout) == (0, f"syncline {syncline.__version__}\n")


def test_python_m_and_the_command_are_one() -> None:
    """A wrong command ends the process with 2, as the installed command does."""
    ran = subprocess.run(
        [sys.executable, "-m", "syncline", "nonsense"],
        env=HERE,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "No such command 'nonsense'" in ran.stderr


def test_a_closed_pipe_is_no_traceback() -> None:
    """`syncline .. | head` ends quietly."""
    ran = subprocess.Popen(
        [sys.executable, "-m", "syncline", "run", "--help"],
        env=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert ran.stdout is not None
    assert ran.stderr is not None
    ran.stdout.close()
    with ran.stderr:
        assert "Traceback" not in ran.stderr.read()
    ran.wait()
