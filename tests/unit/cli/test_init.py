"""`syncline init` makes a project that works as it is, and harms nothing that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncline.conflict import Ask, Conflict, Keep, Kind, Write
from syncline.mapping.load import parse_mapping
from syncline.project import Project
from syncline.strategy import load_strategy

FILES = {
    ".env.example",
    ".gitignore",
    "README.md",
    "connections.yaml",
    "hooks.py",
    "mappings/customers.yaml.example",
    "resolvers/longest.py",
}


@pytest.fixture
def made(cli: Any, tmp_path: Path) -> Path:
    """A project as `init` leaves it."""
    result = cli("init", tmp_path / "new" / "project")
    assert result.exit_code == 0, result.stderr
    return tmp_path / "new" / "project"


def test_a_new_project_has_its_files_and_passes_check(made: Path, cli: Any) -> None:
    """Also the hidden ones; nothing in it is loaded that would need a database."""
    assert {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()} == FILES
    result = cli("check", "--project", made)
    assert (result.exit_code, result.stdout) == (0, "there are no mappings yet\n")


def test_the_example_mapping_is_right(made: Path) -> None:
    """Copied to a `.yaml` it loads."""
    text = (made / "mappings" / "customers.yaml.example").read_text()
    mapping = parse_mapping(text, "customers")
    assert mapping.conflicts.strategy == "merge"


def test_the_example_strategy_answers(made: Path) -> None:
    """It is loaded by name, and each of its three answers can be had."""

    def conflict(source: str | None, target: str | None) -> Conflict:
        return Conflict(
            "customers", {"id": 1}, Kind.BOTH_CHANGED,
            None if source is None else {"notes": source},
            None if target is None else {"notes": target},
            contested=frozenset({"notes"}),
        )  # fmt: skip

    longest = load_strategy("longest", made / "resolvers")
    assert longest(conflict("longer", "short")) == Write({"notes": "longer"}, "the longer text")
    assert isinstance(longest(conflict("a", "bb")), Keep)
    assert isinstance(longest(conflict(None, "bb")), Ask)


def test_the_example_hook_answers(made: Path) -> None:
    """It takes a frame of Arrow types and gives a column as long."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"first_name": ["Ada", None], "last_name": ["Lovelace", "X"]}, dtype="string[pyarrow]"
    )
    result = Project(made).hooks.function("hooks.initials")(frame)
    assert result.isna().tolist() == [False, True]
    assert result[0] == "A. L."


def test_secrets_and_state_are_not_committed(made: Path) -> None:
    """`.env` and `.syncline/` are ignored by git."""
    ignored = (made / ".gitignore").read_text().split()
    assert {".env", ".syncline/"} <= set(ignored)


def test_the_next_command_can_be_pasted(cli: Any, tmp_path: Path) -> None:
    """Also where the directory has a space in its name."""
    made = tmp_path / "my shop"
    assert f"  cd '{made}'\n" in cli("init", made).stdout


def test_a_file_that_can_not_be_written_is_told_as_what_it_is(place: Any, cli: Any) -> None:
    """Its name and why, and not as a fault of syncline."""
    (place.root / "mappings").rename(place.root / "elsewhere")
    (place.root / "mappings").write_text("in the way")
    said = cli("map", "source.customers", "target.people", "--name", "people")
    assert said.exit_code == 1
    assert f"error: {place.root / 'mappings'}" in said.stderr
    assert "fault of syncline" not in said.stderr


def test_what_is_there_is_left_as_it_is(cli: Any, tmp_path: Path) -> None:
    """One file in the way, and none is written; files that are not in the way stay."""
    (tmp_path / "hooks.py").write_text("mine")
    result = cli("init", tmp_path)
    assert result.exit_code == 2
    assert "hooks.py is there already" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["hooks.py"]
    (tmp_path / "hooks.py").rename(tmp_path / "other.py")
    assert cli("init", tmp_path).exit_code == 0
    assert (tmp_path / "other.py").read_text() == "mine"


def test_a_place_that_can_not_be_written_is_told(cli: Any, tmp_path: Path) -> None:
    """A file where the directory should be: exit 2."""
    (tmp_path / "file").write_text("")
    result = cli("init", tmp_path / "file" / "project")
    assert result.exit_code == 2
    assert "Not a directory" in result.stderr


def test_map_writes_a_mapping_that_passes_check_and_runs(place: Any, cli: Any) -> None:
    """From the live tables to a sync, without an edit; nothing is overwritten."""
    place.source("CREATE TABLE orders (id INTEGER PRIMARY KEY, total NUMERIC(10,2), note TEXT)")
    place.source("INSERT INTO orders VALUES (1, 9.5, 'x')")
    printed = cli("map", "source.orders", "target.sales", "--stdout")
    assert printed.exit_code == 0, printed.stderr
    assert not (place.root / "mappings" / "orders.yaml").exists()
    assert cli("map", "source.orders", "target.sales").exit_code == 0
    assert (place.root / "mappings" / "orders.yaml").read_text() == printed.stdout
    assert cli("check", "orders").exit_code == 0
    assert cli("run", "orders").exit_code == 0
    assert place.target("SELECT count(*) FROM sales") == [(1,)]
    again = cli("map", "source.orders", "target.sales")
    assert again.exit_code == 2
    assert "there already" in again.stderr
    assert cli("map", "source.orders", "target.sales", "--name", "second").exit_code == 0
