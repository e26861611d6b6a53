"""A project is found from where one stands, and holds together."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from syncline.errors import InputError, MappingErrors
from syncline.project import Project

MAPPING = """\
source: {connection: crm, table: customers}
target: {connection: app, table: users}
key: {id: id}
"""


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SYNCLINE_PROJECT", "SYNCLINE_STORE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / "mappings").mkdir(parents=True)
    text = "connections: {crm: 'sqlite:///crm.db', app: 'sqlite:///app.db'}\n"
    (root / "connections.yaml").write_text(text, encoding="utf-8")
    return root


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_project_is_found_by_walking_up(root: Path) -> None:
    """From any directory inside it."""
    deep = root / "mappings" / "more"
    deep.mkdir()
    assert Project.find(deep).root == root


def test_what_is_named_wins(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--project before SYNCLINE_PROJECT before where one stands."""
    other = tmp_path / "other"
    write(other, "connections.yaml", "connections: {}\n")
    monkeypatch.setenv("SYNCLINE_PROJECT", str(other))
    assert Project.find(root).root == other
    assert Project.find(other, explicit=root).root == root


def test_no_project_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, with `syncline init`."""
    with pytest.raises(InputError, match="no project here") as caught:
        Project.find(tmp_path)
    assert "syncline init" in caught.value.hint
    with pytest.raises(InputError, match="--project"):
        Project.find(explicit=tmp_path)
    monkeypatch.setenv("SYNCLINE_PROJECT", str(tmp_path))
    with pytest.raises(InputError, match="SYNCLINE_PROJECT"):
        Project.find()


def test_the_control_store_is_kept_for_its_owner_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite under .syncline by default; a team names its own."""
    assert Project(root).store_url == f"sqlite:///{root}/.syncline/store.db"
    assert stat.S_IMODE((root / ".syncline").stat().st_mode) == 0o700
    (root / ".env").write_text("SYNCLINE_STORE_URL=postgresql://of.env/store\n")
    assert Project(root).store_url == "postgresql://of.env/store"
    monkeypatch.setenv("SYNCLINE_STORE_URL", "postgresql://h/store")
    assert Project(root).store_url == "postgresql://h/store"


def test_a_mapping_is_found_by_name(root: Path) -> None:
    """A name that is none suggests the nearest."""
    write(root, "mappings/customers.yaml", MAPPING)
    assert Project(root).mapping("customers").name == "customers"
    with pytest.raises(InputError, match="no mapping 'custmers'") as caught:
        Project(root).mapping("custmers")
    assert caught.value.hint == "did you mean customers?"


def test_a_mapping_is_held_against_the_rest_of_the_project(root: Path) -> None:
    """Connections, strategies, functions and the mappings to run after must be there: all told
    together.
    """
    bad = MAPPING.replace("connection: app", "connection: ap") + (
        "fields: {a: {python: hooks.score}, b: b}\n"
        "conflicts: {strategy: mine, fields: {b: yours}}\n"
        "after: [regions]\n"
    )
    write(root, "mappings/customers.yaml", bad)
    with pytest.raises(MappingErrors) as caught:
        Project(root).mapping("customers")
    said = str(caught.value)
    assert "there is no connection `ap` in connections.yaml; did you mean `app`?" in said
    assert "no strategy 'mine'" in said
    assert "no strategy 'yours'" in said
    assert "there is no file" in said
    assert "there is no mapping `regions`" in said
    assert {problem.where.rpartition(":")[2] for problem in caught.value.problems} == {
        "2",
        "4",
        "5",
        "6",
    }


def test_one_bad_mapping_does_not_hide_the_others(root: Path) -> None:
    """All problems are collected beside all that is right."""
    write(root, "mappings/a.yaml", MAPPING)
    write(root, "mappings/b.yaml", MAPPING.replace("crm", "nope"))
    write(root, "mappings/c.yaml", "x: 1")
    mappings, problems = Project(root).mappings()
    assert [mapping.name for mapping in mappings] == ["a"]
    assert {Path(problem.where.rpartition(":")[0]).name for problem in problems} == {
        "b.yaml",
        "c.yaml",
    }


def test_a_strategy_of_the_project_is_known(root: Path) -> None:
    """A file of resolvers/ is a strategy by its name."""
    text = "from syncline.conflict import Ask\n\ndef resolve(conflict):\n    return Ask()\n"
    write(root, "resolvers/mine.py", text)
    write(root, "mappings/a.yaml", MAPPING + "conflicts: mine\n")
    assert Project(root).mapping("a").conflicts.strategy == "mine"


def test_hooks_are_loaded_by_path(root: Path) -> None:
    """`hooks.score` is `score` of hooks.py; it need not be importable."""
    write(root, "hooks.py", "def score(frame):\n    return frame\n\nnot_one = 5\n")
    write(root, "lib/money.py", "def net(frame):\n    return frame\n")
    hooks = Project(root).hooks
    assert hooks.function("hooks.score")(7) == 7
    assert hooks.function("lib.money.net")(8) == 8
    assert hooks.digest("hooks.score") != hooks.digest("lib.money.net")
    for dotted, said in (
        ("hooks.nope", "has no function 'nope'"),
        ("hooks.not_one", "has no function 'not_one'"),
        ("nope.f", "there is no file"),
    ):
        with pytest.raises(InputError, match=said):
            hooks.function(dotted)


def test_a_hook_that_cannot_be_loaded_is_an_input_error(root: Path) -> None:
    """With what it raised."""
    write(root, "hooks.py", "import nothing_of_that_name\n")
    with pytest.raises(InputError, match="can't be loaded: ModuleNotFoundError"):
        Project(root).hooks.function("hooks.score")


def test_hooks_stay_inside_the_project(root: Path, tmp_path: Path) -> None:
    """A link that leads outside is refused."""
    outside = tmp_path / "outside.py"
    outside.write_text("def f(frame):\n    return frame\n", encoding="utf-8")
    (root / "hooks.py").symlink_to(outside)
    with pytest.raises(InputError, match="outside the project"):
        Project(root).hooks.function("hooks.f")


def test_databases_are_kept_open_from_one_use_to_the_next(root: Path) -> None:
    """Within the block, and never lent to two at once."""
    with Project(root).keeping_open() as project:
        with project.using("crm") as first, project.using("crm") as other:
            assert first is not other
        with project.using("crm") as again:
            assert again in (first, other)
    with Project(root).using("crm") as alone:
        assert alone not in (first, other)


def test_a_database_that_a_run_failed_on_is_opened_anew(root: Path) -> None:
    """What is left of its connections is not for the next."""
    with Project(root).keeping_open() as project:
        with pytest.raises(InputError), project.using("crm") as first:
            raise InputError("the run failed")
        with project.using("crm") as again:
            assert again is not first
