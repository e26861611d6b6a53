"""Bad input: each a clear error before the first write, with exit code 2."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import NewDatabase
from tests.integration.project_bench import Side, person

GOOD = """\
source: {connection: here, table: people}
target: {connection: there, table: copy, create: true}
key: {id: id}
fields:
  name: name
  born: born
delta: {cursor: updated_at}
"""


def syncline(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """The exit code and what stderr says of one command, as a script would run it."""
    done = subprocess.run(
        [sys.executable, "-m", "syncline", "--project", str(folder), *words],
        env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def project(folder: Path, source_url: str, target_url: str, mapping: str = GOOD) -> Path:
    (folder / "mappings").mkdir()
    (folder / "mappings" / "people.yaml").write_text(mapping)
    (folder / "connections.yaml").write_text("connections: {here: '${HERE}', there: '${THERE}'}\n")
    (folder / ".env").write_text(f"HERE={source_url}\nTHERE={target_url}\n")
    return folder


BAD = {
    "an unknown column": (("name: name", "name: nome"), ["people.yaml:5", "nome", "name"]),
    "an unknown function": (("name: name", "name: shout(name)"), ["people.yaml:5", "shout"]),
    "a key that is not unique": (
        ("{id: id}", "{id: city}"), ["people.yaml:3", "more than once", "Rome"],
    ),
    "a type that can't hold its value": (
        ("born: born", "born: {from: born, type: bool}"), ["people.yaml:6", "bool"],
    ),
    "a typo in a key of the YAML": (("fields:", "feilds:"), ["people.yaml:4", "feilds", "fields"]),
    "YAML that is none": (("{id: id}", "{id: id"), ["people.yaml", "not valid YAML"]),
    "a key that stands twice": (("  born: born", "  name: city"), ["people.yaml:6", "name"]),
    "a table that is not there": (
        ("table: people", "table: peeple"), ["people.yaml:1", "peeple; did you mean"],
    ),
    "a cursor that is not there": (("updated_at", "changed_at"), ["people.yaml:7", "changed_at"]),
    "a connection that is not there": (("connection: here", "connection: hear"), ["hear", "here"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
def test_a_wrong_mapping_is_told_with_its_place_before_anything_is_written(
    kind: str, name: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """File, line and what is wrong; exit code 2; no table of ours on the target."""
    (good, bad), said = BAD[name]
    source = Side(kind, new_database(kind), "people")
    source.create()
    source.put(person(1), person(2), person(4))
    target_url = new_database("sqlite")
    folder = project(tmp_path, source.url, target_url, GOOD.replace(good, bad, 1))
    code, errors = syncline(folder, "run", "people")
    assert code == 2, errors
    for word in said:
        assert word in errors
    assert not Path(target_url.removeprefix("sqlite:///")).exists()
    source.close()


@pytest.mark.parametrize("kind", ["money", "int[]"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_key_that_records_can_not_be_asked_for_by_is_refused(
    kind: str, side: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """By `check`, on either side: a full sync would land, and nothing after it."""
    urls = {"source": new_database("postgres"), "target": new_database("postgres")}
    for name, table in (("source", "people"), ("target", "copy")):
        one = Side("postgres", urls[name], table)
        type_ = kind if name == side else "text"
        one.sql(f"create table {table} (id {type_} primary key, name text)")
        one.close()
    mapping = GOOD.replace("  born: born\n", "").replace("delta: {cursor: updated_at}\n", "")
    code, errors = syncline(project(tmp_path, *urls.values(), mapping), "check")
    assert code == 2, errors
    assert "no key can be of that type" in errors
    assert "people.yaml:3" in errors


def test_all_that_is_wrong_is_told_at_once(new_database: NewDatabase, tmp_path: Path) -> None:
    """Three mistakes, three lines, one run."""
    source = Side("sqlite", new_database("sqlite"), "people")
    source.create()
    mapping = GOOD.replace("name: name", "name: nome").replace("born: born", "born: bron")
    mapping = mapping.replace("updated_at", "changed_at")
    code, errors = syncline(project(tmp_path, source.url, new_database("sqlite"), mapping), "check")
    assert code == 2
    assert all(f"people.yaml:{line}" in errors for line in (5, 6, 7))


def test_a_missing_variable_is_named_with_its_place(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Both of two that are missing, at once."""
    folder = project(tmp_path, new_database("sqlite"), new_database("sqlite"))
    (folder / ".env").unlink()
    code, errors = syncline(folder, "run", "people")
    assert code == 2
    assert "HERE" in errors
    assert "THERE" in errors
    assert "connections.yaml:1" in errors


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_refused_login_is_told_without_the_password(
    kind: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Which connection, and that the login was refused; exit code 2; the password nowhere."""
    url = new_database(kind)
    wrong = re.sub(r"//[^@]*@", "//nobody_here:canary-4711@", url)
    code, errors = syncline(project(tmp_path, wrong, new_database("sqlite")), "run", "people")
    assert code == 2, errors
    assert "canary-4711" not in errors
    assert "connection here: " in errors
