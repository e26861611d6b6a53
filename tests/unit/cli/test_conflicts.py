"""`syncline conflicts` and `dead-letters`: a person decides, and the target follows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest


def lines(result: Any) -> list[dict[str, Any]]:
    """The objects on stdout: every line is one."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def waiting(cli: Any) -> dict[int, int]:
    """The id of the conflict of each customer."""
    return {
        entry["key"]["user_id"]: entry["id"] for entry in lines(cli("conflicts", "list", "--json"))
    }


def emails(place: Any) -> dict[int, str]:
    return dict(place.target("SELECT user_id, email FROM users WHERE user_id < 3"))


def test_manual_conflicts_wait_with_both_images(conflicted: Any, cli: Any) -> None:
    """The target stays as it is, and the queue has what a person needs."""
    entries = lines(cli("conflicts", "list", "customers", "--json"))
    assert len(entries) == 2
    entry = next(one for one in entries if one["key"] == {"user_id": 1})
    assert (entry["state"], entry["kind"], entry["contested"]) == (
        "open",
        "both_changed",
        ["email"],
    )
    assert (entry["source"]["email"], entry["target"]["email"]) == ("source1@x", "target1@x")
    assert emails(conflicted) == {1: "target1@x", 2: "target2@x"}


@pytest.mark.usefixtures("conflicted")
def test_the_list_and_one_conflict_are_shown_to_people(cli: Any) -> None:
    """Tables with the key, the field and both values."""
    shown = cli("conflicts", "list")
    assert shown.exit_code == 0
    assert "user_id=1" in shown.stdout
    one = cli("conflicts", "show", waiting(cli)[1])
    assert "source1@x" in one.stdout
    assert "target1@x" in one.stdout
    assert "opened" in one.stdout


@pytest.mark.usefixtures("conflicted")
def test_the_list_is_filtered(cli: Any) -> None:
    """By field, kind and state."""
    assert len(lines(cli("conflicts", "list", "--field", "email", "--json"))) == 2
    assert lines(cli("conflicts", "list", "--field", "name", "--json")) == []
    assert lines(cli("conflicts", "list", "--kind", "refused", "--json")) == []
    assert lines(cli("conflicts", "list", "--state", "applied", "--json")) == []
    assert len(lines(cli("conflicts", "list", "--state", "all", "--limit", "1", "--json"))) == 1
    assert cli("conflicts", "list", "--state", "applied").stdout == "no conflicts are applied\n"


@pytest.mark.parametrize(
    ("choice", "email"),
    [
        (("--take", "source"), "source1@x"),
        (("--take", "target"), "target1@x"),
        (("--take", "merge"), "source1@x"),
        (("--set", "email=both@x"), "both@x"),
        (("--take", "target", "--set", "email=own@x"), "own@x"),
    ],
)
def test_a_decision_is_written_at_once(
    conflicted: Any, cli: Any, choice: tuple[str, ...], email: str
) -> None:
    """The target has what was decided, the entry is applied, and the next run leaves it so."""
    entry_id = waiting(cli)[1]
    result = cli(
        "conflicts", "resolve", entry_id, *choice, "--note", "asked Bob", "--user", "ann", "--json"
    )
    assert result.exit_code == 0, result.stderr
    (entry,) = lines(result)
    assert entry["state"] == "applied"
    assert (entry["decision"]["user"], entry["decision"]["note"]) == ("ann", "asked Bob")
    assert emails(conflicted) == {1: email, 2: "target2@x"}
    (ran,) = lines(cli("run", "customers", "--json"))
    assert ran["updated"] == 0
    assert emails(conflicted)[1] == email
    assert list(waiting(cli)) == [2]


def test_several_conflicts_are_decided_at_once(conflicted: Any, cli: Any) -> None:
    """One command, one decision each."""
    ids = waiting(cli).values()
    assert cli("conflicts", "resolve", *ids, "--take", "source").exit_code == 0
    assert emails(conflicted) == {1: "source1@x", 2: "source2@x"}
    assert cli("conflicts", "list").stdout == "no conflicts are waiting\n"


def test_a_decision_on_what_has_moved_is_refused_and_shown_again(conflicted: Any, cli: Any) -> None:
    """The target was edited after the person looked: nothing is overwritten."""
    entry_id = waiting(cli)[1]
    conflicted.target("UPDATE users SET email = 'later@x' WHERE user_id = 1")
    result = cli("conflicts", "resolve", entry_id, "--take", "source")
    assert result.exit_code == 2, result.stderr
    assert "a side has moved since it was shown" in result.stderr
    assert "moved" in result.stdout
    assert emails(conflicted)[1] == "later@x"
    cli("run", "customers")
    (entry,) = [one for one in lines(cli("conflicts", "list", "--json")) if one["id"] == entry_id]
    assert (entry["state"], entry["target"]["email"]) == ("open", "later@x")


def test_where_a_run_holds_the_lease_the_next_run_writes(conflicted: Any, cli: Any) -> None:
    """The decision is kept and told; it can be taken back until it is written."""
    from syncline import ledger
    from syncline.project import Project
    from syncline.run import opened

    entry_id = waiting(cli)[1]
    with opened(Project.find(), "customers") as run, ledger.hold(run.target, run.spec):
        result = cli("conflicts", "resolve", entry_id, "--take", "source")
        assert result.exit_code == 0, result.stderr
        assert "the next run writes it" in result.stderr
        assert "not written yet" in result.stdout
        assert cli("run", "customers").exit_code == 4
        assert "open" in cli("conflicts", "resolve", entry_id, "--undo").stdout
        cli("conflicts", "resolve", entry_id, "--take", "source")
    assert emails(conflicted)[1] == "target1@x"
    assert cli("run", "customers").exit_code == 0
    assert emails(conflicted)[1] == "source1@x"


@pytest.mark.parametrize(
    "choice",
    [
        (),
        ("--take", "both"),
        ("--set", "email"),
        ("--set", "emial=x"),
        ("--set", "updated_at=yesterday"),
        ("--null", "emial"),
        ("--undo",),
        ("--undo", "--take", "source"),
    ],
)
@pytest.mark.usefixtures("conflicted")
def test_a_decision_that_makes_no_sense_is_refused(cli: Any, choice: tuple[str, ...]) -> None:
    """Exit 2, and the conflict waits as before."""
    entry_id = waiting(cli)[1]
    assert cli("conflicts", "resolve", entry_id, *choice).exit_code == 2
    (entry,) = [one for one in lines(cli("conflicts", "list", "--json")) if one["id"] == entry_id]
    assert entry["state"] == "open"


@pytest.mark.usefixtures("conflicted")
def test_strict_ends_with_5_where_something_waits(cli: Any) -> None:
    """The run itself is done; without `--strict` that is 0."""
    assert cli("run", "customers").exit_code == 0
    result = cli("run", "customers", "--strict")
    assert result.exit_code == 5
    assert "syncline conflicts list customers" in result.stderr
    cli("conflicts", "resolve", *waiting(cli).values(), "--take", "target")
    assert cli("run", "customers", "--strict").exit_code == 0


def test_a_dead_letter_is_shown_replayed_and_gone(place: Any, cli: Any) -> None:
    """What can't be mapped waits, whole; mended on the source it goes through."""
    place.source("UPDATE customers SET updated_at = 'never' WHERE id = 4")
    assert cli("run", "customers").exit_code == 0
    (letter,) = lines(cli("dead-letters", "list", "customers", "--json"))
    assert letter["source"]["id"] == 4
    assert "never" in letter["error"]
    assert "never" in cli("dead-letters", "show", letter["id"]).stdout
    assert str(letter["id"]) in cli("dead-letters", "list").stdout
    assert cli("run", "customers", "--strict").exit_code == 5
    failed = cli("dead-letters", "replay", letter["id"])
    assert failed.exit_code == 0
    assert "1 of 1 failed again" in failed.stderr
    place.source("UPDATE customers SET updated_at = '2026-01-03 00:00:00' WHERE id = 4")
    result = cli("dead-letters", "replay", "--mapping", "customers", "--json")
    assert result.exit_code == 0, result.stderr
    assert lines(result)[0]["inserted"] == 1
    assert cli("dead-letters", "list").stdout == "no dead letters\n"
    assert place.target("SELECT count(*) FROM users") == [(5,)]
    said = lines(cli("conflicts", "audit", "customers", "--text", "dead letter", "--json"))
    assert [one["winner"] for one in said] == ["replayed", "replayed"]


def test_a_dead_letter_is_mended_in_the_terminal(place: Any, cli: Any) -> None:
    """A value of one's own takes the place of the one that failed; the audit log says whose."""
    place.source("UPDATE customers SET updated_at = 'never' WHERE id = 4")
    cli("run", "customers")
    (letter,) = lines(cli("dead-letters", "list", "--json"))
    assert cli("dead-letters", "mend", letter["id"]).exit_code == 2
    wrong = cli("dead-letters", "mend", letter["id"], "--set", "id=9")
    assert (wrong.exit_code, "of the key" in wrong.stderr) == (2, True)
    mended = cli(
        "dead-letters", "mend", letter["id"], "--set", "updated_at=2026-01-03 00:00:00",
        "--user", "ann", "--json",
    )  # fmt: skip
    assert (mended.exit_code, lines(mended)[0]["inserted"]) == (0, 1), mended.stderr
    assert cli("dead-letters", "list").stdout == "no dead letters\n"
    (said,) = lines(cli("conflicts", "audit", "customers", "--text", "mended", "--json"))
    assert (said["by"], said["note"]) == ("ann", f"dead letter {letter['id']}: updated_at")


def test_dropping_dead_letters_asks(place: Any, cli: Any) -> None:
    """Without a terminal to ask at it needs `--yes`."""
    place.source("UPDATE customers SET updated_at = 'never' WHERE id = 4")
    cli("run", "customers")
    (letter,) = lines(cli("dead-letters", "list", "--json"))
    refused = cli("dead-letters", "drop", letter["id"])
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert len(lines(cli("dead-letters", "list", "--json"))) == 1
    dropped = cli("dead-letters", "drop", "--mapping", "customers", "--yes", "--json")
    assert lines(dropped) == [{"dropped": 1}]
    (said,) = lines(cli("conflicts", "audit", "--text", "dropped", "--json"))
    assert said["kind"] == "dead_letter"
    assert cli("dead-letters", "list").stdout == "no dead letters\n"


@pytest.mark.usefixtures("conflicted")
def test_times_in_json_are_iso_8601_utc(cli: Any) -> None:
    """Scripts parse them."""
    (entry, _) = lines(cli("conflicts", "list", "--json"))
    made = datetime.fromisoformat(entry["created_at"])
    assert made.utcoffset() == datetime.now(UTC).utcoffset()
