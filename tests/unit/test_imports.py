"""Dependencies point inwards: what each part of the tree may import, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SYNCLINE = ROOT / "syncline"
DAGSTER = SYNCLINE / "dagster"


def imported(source: str) -> Iterator[str]:
    """The full name of everything that a module imports, at its top or anywhere inside."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            first = node.args[0] if node.args else None
            if name in {"import_module", "__import__"} and isinstance(first, ast.Constant):
                yield str(first.value)


def importers(directory: Path, package: str) -> list[str]:
    """The modules below a directory that import a package, relative to the repository."""
    return [
        str(path.relative_to(ROOT))
        for path in sorted(directory.rglob("*.py"))
        if any(
            name == package or name.startswith(f"{package}.")
            for name in imported(path.read_text(encoding="utf-8"))
        )
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import dagster",
        "import dagster as dg",
        "import dagster._core.x",
        "from dagster import asset",
        "def late():\n    from dagster.components import Component",
        "import importlib\nimportlib.import_module('dagster')",
    ],
)
def test_every_way_to_import_is_seen(source: str) -> None:
    """An import is found at the top, inside a function, of a part, and by name."""
    assert any(name.partition(".")[0] == "dagster" for name in imported(source))


def test_only_syncline_dagster_imports_dagster() -> None:
    """Whoever does not use Dagster need not have it: nothing else of the package imports it."""
    found = importers(SYNCLINE, "dagster")
    assert [path for path in found if not (ROOT / path).is_relative_to(DAGSTER)] == []
    assert found, "syncline/dagster imports dagster; the search has gone blind"


def test_the_engine_does_not_import_its_dagster_package() -> None:
    """syncline.dagster stands on the engine, never the other way round."""
    found = importers(SYNCLINE, "syncline.dagster")
    assert [path for path in found if not (ROOT / path).is_relative_to(DAGSTER)] == []


@pytest.mark.parametrize("package", ["pipelines", "resolvers"])
def test_nothing_in_syncline_imports_what_belongs_to_a_project(package: str) -> None:
    """pipelines/ and resolvers/ are the user's: the engine only loads strategies, by path."""
    assert importers(SYNCLINE, package) == []


def test_dagster_is_imported_nowhere_else() -> None:
    """Beside syncline/dagster only pipelines/ may import dagster."""
    elsewhere = [ROOT / name for name in ("resolvers", "mappings", "benchmarks", "examples")]
    assert [
        path for each in elsewhere if each.is_dir() for path in importers(each, "dagster")
    ] == []
