"""`verify` says whether both sides are equal, by its words and its exit code; `repair` asks."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import syncline
from tests.unit.cli.conftest import MAPPING, Cli, Place, lines


@pytest.fixture
def synced(place: Place, cli: Cli) -> Place:
    """Five customers on both sides, the source always right."""
    place.write("customers", MAPPING.replace("manual", "source, detect: ledger"))
    ran = cli("run", "customers")
    assert ran.exit_code == 0, ran.stderr
    return place


@pytest.mark.usefixtures("synced")
def test_equal_sides_end_with_0(cli: Cli) -> None:
    """One sentence, no table."""
    result = cli("verify", "customers")
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert line.startswith("customers: equal: 5 read, 5 equal; each compared, ")


def test_sides_that_differ_end_with_5_and_show_where(synced: Place, cli: Cli) -> None:
    """The counts, the field, both values, and the command that mends it."""
    synced.target("UPDATE users SET email = 'by hand' WHERE user_id = 2")
    synced.target("DELETE FROM users WHERE user_id = 3")
    result = cli("verify", "--all")
    assert result.exit_code == 5
    assert "differs: 5 read, 3 equal, 1 missing, 1 different (email 1)" in result.stdout
    assert "c2@x" in result.stdout
    assert "by hand" in result.stdout
    assert "syncline repair customers" in result.stderr
    assert "by hand" not in cli("verify", "customers", "--limit", "0").stdout


def test_json_is_one_object_a_mapping(synced: Place, cli: Cli) -> None:
    """With every count, and the samples."""
    synced.target("UPDATE users SET email = 'by hand' WHERE user_id = 2")
    result = cli("verify", "customers", "--json")
    assert result.exit_code == 5
    (found,) = lines(result)
    assert list(found) == [
        "mapping", "run_id", "status", "read", "equal", "missing", "extra", "different", "fields",
        "late", "apart", "dead_letters", "outside", "by", "why", "travelled", "seconds",
        "rows_per_second", "checkpoint", "samples",
    ]  # fmt: skip
    assert (found["status"], found["different"], found["fields"]) == ("differs", 1, {"email": 1})
    assert found["samples"] == [
        {"key": {"user_id": 2}, "what": "different", "fields": {"email": ["c2@x", "by hand"]}}
    ]


def test_a_mapping_that_can_not_be_compared_does_not_stop_the_others(
    synced: Place, cli: Cli
) -> None:
    """The gravest exit code counts, the answers of the others are there."""
    synced.write("absent", MAPPING.replace("users", "nobody"))
    result = cli("verify", "--all", "--json")
    assert result.exit_code == 2
    assert "nobody is not there yet" in result.stderr
    assert [one["mapping"] for one in lines(result)] == ["customers"]


@pytest.mark.usefixtures("conflicted")
def test_what_waits_for_a_person_is_not_a_difference(cli: Cli) -> None:
    """It is counted apart, and the exit code is 0."""
    result = cli("verify", "customers", "--json")
    assert result.exit_code == 0, result.stdout
    (found,) = lines(result)
    assert (found["equal"], found["apart"]) == (3, {"waits": 2})


def damaged(place: Place) -> None:
    place.target("UPDATE users SET email = 'by hand' WHERE user_id = 2")


def test_repair_asks_first(synced: Place, cli: Cli) -> None:
    """Without a terminal and without --yes it writes nothing."""
    damaged(synced)
    result = cli("repair", "customers")
    assert result.exit_code == 2
    assert "Settle 1 record of customers" in result.stderr
    assert "--yes" in result.stderr
    assert synced.target("SELECT email FROM users WHERE user_id = 2") == [("by hand",)]


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, "c2@x"), ("n", 1, "by hand")])
def test_repair_does_as_it_is_told(answer: str, code: int, left: str, synced: Place) -> None:
    """At a terminal it asks; a no leaves all as it is."""
    damaged(synced)
    person, terminal = pty.openpty()
    os.write(person, f"{answer}\n".encode())
    ran = subprocess.run(
        [sys.executable, "-m", "syncline", "repair", "customers"],
        env=os.environ | {"PYTHONPATH": str(Path(syncline.__file__).parents[1])},
        stdin=terminal, capture_output=True, check=False, text=True, timeout=170,
    )  # fmt: skip
    os.close(person)
    os.close(terminal)
    assert ran.returncode == code, ran.stderr
    assert "Settle 1 record of customers on the target?" in ran.stderr
    assert synced.target("SELECT email FROM users WHERE user_id = 2") == [(left,)]


def test_repair_with_yes_mends_and_says_what_it_did(synced: Place, cli: Cli) -> None:
    """0, and a second one has nothing to do."""
    damaged(synced)
    result = cli("repair", "customers", "--yes")
    assert result.exit_code == 0, result.stderr
    assert "customers: 1 differed: 1 updated; they are equal now" in result.stdout
    assert synced.target("SELECT email FROM users WHERE user_id = 2") == [("c2@x",)]
    assert "nothing to repair" in cli("repair", "customers").stdout


def test_a_repair_that_leaves_something_ends_with_5(place: Place, cli: Cli) -> None:
    """A conflict that it found goes to a person."""
    cli("run", "customers")
    place.source("UPDATE customers SET email = 'lost' WHERE id = 2")
    damaged(place)
    place.source("UPDATE customers SET updated_at = '2025-01-01 00:00:00' WHERE id = 2")
    result = cli("repair", "customers", "--yes", "--json")
    assert result.exit_code == 5, result.stderr
    (found,) = lines(result)
    assert (found["status"], found["found"], found["left"]) == ("left", 1, {"waits": 1})
    assert place.target("SELECT email FROM users WHERE user_id = 2") == [("by hand",)]


@pytest.mark.usefixtures("place")
def test_an_unknown_mapping_is_named(cli: Cli) -> None:
    """Before anything is opened."""
    for words in (("verify", "nope"), ("repair", "nope"), ("verify",)):
        assert cli(*words).exit_code == 2
