"""The component `SyncMapping`: found by `dg`, scaffolded by it, and as thin as it says."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import pytest
from dagster.components.core.package_entry import get_package_objects_in_module
from dagster.components.testing.utils import create_defs_folder_sandbox

from syncline.dagster import SyncMapping, build_definitions
from syncline.errors import InputError
from tests.integration.dagster_bench import CUSTOMERS, DagsterBench

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _without_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pool is registered with an instance of whoever runs the tests."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


def keys(definitions: dg.Definitions) -> set[str]:
    return {spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()}


def test_dg_finds_the_component() -> None:
    """The module that the package names to Dagster's registry has it."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    module = importlib.import_module(groups["dagster_dg_cli.registry_modules"]["syncline"])
    assert dict(get_package_objects_in_module(module)) == {"SyncMapping": SyncMapping}


def test_a_project_that_is_there_becomes_definitions(tmp_path: Path) -> None:
    """The same as `build_definitions` gives, all of it or the mappings that are named."""
    bench = DagsterBench(tmp_path / "project")
    bench.write("customers")
    bench.write("orders", CUSTOMERS.replace("users", "orders"))
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.scaffold_component(
            component_cls=SyncMapping, scaffold_params={"project": str(bench.root)}
        )
        with sandbox.load_component_and_build_defs(defs_path=path) as (component, definitions):
            assert isinstance(component, SyncMapping)
            assert keys(definitions) == keys(build_definitions(bench.root))
            dg.Definitions.validate_loadable(definitions)
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.scaffold_component(
            component_cls=SyncMapping,
            scaffold_params={"project": str(bench.root), "mappings": ["orders"]},
        )
        with sandbox.load_component_and_build_defs(defs_path=path) as (_, definitions):
            assert keys(definitions) == {"orders", "shop/customers"}


def test_a_scaffold_without_a_project_makes_one_to_begin_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside `defs.yaml`, as `syncline init` does; a mapping put there is an asset."""
    monkeypatch.setenv("SOURCE_URL", "sqlite:///shop.db")
    monkeypatch.setenv("TARGET_URL", "sqlite:///app.db")
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.scaffold_component(component_cls=SyncMapping)
        assert (path / "connections.yaml").is_file()
        with sandbox.load_component_and_build_defs(defs_path=path) as (_, definitions):
            assert keys(definitions) == set()
        example = (path / "mappings" / "customers.yaml.example").read_text()
        (path / "mappings" / "customers.yaml").write_text(example)
        with sandbox.load_component_and_build_defs(defs_path=path) as (_, definitions):
            assert (
                dg.AssetKey("customers") in definitions.resolve_asset_graph().get_all_asset_keys()
            )


def dg_of(project: Path, *words: str) -> str:
    """What `dg` prints in a project of Dagster's."""
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT}:{project / 'src'}",
        "SOURCE_URL": "sqlite:///shop.db",
        "TARGET_URL": "sqlite:///app.db",
    }
    ended = subprocess.run(
        [Path(sys.executable).parent / "dg", *words],
        cwd=project, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_dg_scaffolds_mappings_in_a_project_of_dagsters(tmp_path: Path) -> None:
    """`dg scaffold defs` in a project as Dagster makes one: a new project of mappings beside its
    `defs.yaml`, and one that is there already; `dg list defs` has the mappings of both.
    """
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\n'
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "shop"\n'
    )
    defs = tmp_path / "src" / "shop" / "defs"
    defs.mkdir(parents=True)
    (defs.parent / "__init__.py").touch()
    (defs.parent / "definitions.py").write_text(
        "from pathlib import Path\nfrom dagster import definitions, load_from_defs_folder\n\n"
        "@definitions\ndef defs():\n"
        "    return load_from_defs_folder(path_within_project=Path(__file__).parent)\n"
    )
    component = "syncline.dagster.SyncMapping"
    dg_of(tmp_path, "scaffold", "defs", component, "people")
    example = defs / "people" / "mappings" / "customers.yaml.example"
    example.rename(example.with_name("customers.yaml"))
    bench = DagsterBench(tmp_path / "there")
    bench.write("orders", CUSTOMERS.replace("users", "orders"))
    bench.write("others", CUSTOMERS.replace("users", "others"))
    dg_of(
        tmp_path, "scaffold", "defs", component, "orders",
        "--project", str(bench.root), "--mappings", "orders",
    )  # fmt: skip
    found = json.loads(dg_of(tmp_path, "list", "defs", "--json"))["assets"]
    assert {each["asset_key"] for each in found if each["is_executable"]} == {"customers", "orders"}


def test_a_mapping_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By name, with those that are."""
    bench = DagsterBench(tmp_path / "project")
    bench.write("customers")
    with pytest.raises(InputError, match="there is no mapping 'custmers'") as caught:
        build_definitions(bench.root, only=["custmers"])
    assert "customers" in caught.value.hint
