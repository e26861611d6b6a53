"""`syncline run`, `plan`, `status` and `check`: what people script against."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from syncline.cli.command import gravest
from syncline.cli.run import RUN_KEYS


def lines(result: Any) -> list[dict[str, Any]]:
    """The objects on stdout: every line is one."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_run_prints_one_object_a_mapping_with_the_agreed_keys(place: Any, cli: Any) -> None:
    """Scripts read stdout line by line; nothing but the answer is on it."""
    place.write("again")
    result = cli("run", "customers", "again", "--json")
    assert result.exit_code == 0, result.stderr
    first, second = lines(result)
    assert tuple(first) == RUN_KEYS
    assert (first["mapping"], second["mapping"]) == ("customers", "again")
    assert (first["mode"], first["status"], first["read"], first["inserted"]) == (
        "full",
        "ok",
        5,
        5,
    )
    assert (second["inserted"], second["unchanged"]) == (0, 5)


def test_the_agreed_keys_are_those_of_the_contract() -> None:
    """They may grow, and none may go or be renamed."""
    assert " ".join(RUN_KEYS) == (
        "mapping run_id mode status guarantee read inserted updated deleted unchanged conflicts "
        "queued dead_letters seconds rows_per_second checkpoint warnings"
    )


@pytest.mark.usefixtures("place")
def test_logs_go_to_stderr_with_run_and_mapping_on_each_line(cli: Any) -> None:
    """JSON where stderr is no terminal."""
    result = cli("run", "customers", "--json", "--debug")
    told = [json.loads(line) for line in result.stderr.splitlines()]
    assert told
    run_id = lines(result)[0]["run_id"]
    assert {(line["run_id"], line["mapping"]) for line in told} == {(run_id, "customers")}


@pytest.mark.usefixtures("place")
def test_a_second_run_writes_nothing_and_says_so(cli: Any) -> None:
    """It reads by the checkpoint."""
    cli("run", "customers")
    result = cli("run", "customers")
    assert result.exit_code == 0
    assert "customers: delta" in result.stdout
    assert "nothing written" in result.stdout


def test_plan_writes_nothing(place: Any, cli: Any) -> None:
    """It says what a run would do, and the target stays as it is."""
    result = cli("plan", "--json")
    assert result.exit_code == 0, result.stderr
    (report,) = lines(result)
    assert report["counts"]["insert"] == 5
    assert place.target("SELECT name FROM sqlite_master") == []
    assert "5 insert" in cli("plan", "customers").stdout


def test_plan_follows_one_record(place: Any, cli: Any) -> None:
    """Every step from the source to the decision."""
    cli("run", "customers")
    place.source("UPDATE customers SET email = 'NEW@X' WHERE id = 3")
    (report,) = lines(cli("plan", "customers", "--key", "3", "--json"))
    steps = [step["step"] for step in report["steps"]]
    assert steps == ["read", "map", "target", "baseline", "classify", "resolve"]
    assert cli("plan", "customers", "--key", "nonsense").exit_code == 2


def test_plan_of_a_key_needs_one_mapping(place: Any, cli: Any) -> None:
    """A key is of one mapping."""
    place.write("again")
    assert cli("plan", "--key", "1").exit_code == 2


@pytest.mark.usefixtures("place")
def test_status_shows_where_a_mapping_stands(cli: Any) -> None:
    """Never synced, then synced: the same keys, other values."""
    (before,) = lines(cli("status", "--json"))
    assert before["checkpoint"] is None
    cli("run", "customers")
    (after,) = lines(cli("status", "customers", "--json"))
    assert after["synced_at"] is not None
    assert after["lag_seconds"] >= 0
    assert set(before) == set(after)
    assert "customers" in cli("status").stdout


def test_check_finds_every_problem_at_once(place: Any, cli: Any) -> None:
    """All files, each problem with file and line; exit 2, and nothing is written."""
    place.write("broken", "source: {connection: nowhere, table: t}\nfields: {a: 1}\ntypo: x\n")
    place.write(
        "unknown_column",
        "source: {connection: source, table: customers}\n"
        "target: {connection: target, table: users, create: true}\n"
        "key: {user_id: id}\n"
        "fields: {email: emial}\n",
    )
    result = cli("check", "--json")
    assert result.exit_code == 2
    problems = lines(result)
    files = {Path(problem["file"]).name for problem in problems}
    assert files == {"broken.yaml", "unknown_column.yaml"}
    assert all(problem["line"] > 0 and problem["message"] for problem in problems)
    assert sum(problem["file"].endswith("broken.yaml") for problem in problems) >= 3
    assert place.target("SELECT name FROM sqlite_master") == []


def test_check_looks_at_the_live_databases(place: Any, cli: Any) -> None:
    """A key that is not unique is found there; `--offline` reads files only."""
    place.write(
        "customers",
        "source: {connection: source, table: customers}\n"
        "target: {connection: target, table: users, create: true}\n"
        "key: {name: name}\nfields: {email: email}\n",
    )
    place.source("UPDATE customers SET name = 'same'")
    result = cli("check")
    assert result.exit_code == 2
    assert "name is not a key of customers" in result.stderr
    assert cli("check", "--offline").exit_code == 0


def test_check_does_not_call_right_what_it_could_not_look_at(place: Any, cli: Any) -> None:
    """Which connection failed, once for all its mappings; the others are checked."""
    (place.root / "far.db").write_text("no database, but long enough to be one" * 4)
    file = place.root / "connections.yaml"
    file.write_text(file.read_text().replace("}", ", far: 'sqlite:///far.db'}"))
    rest = "target: {connection: target, table: t, create: true}\nkey: {id: id}\nfields: {a: a}\n"
    for name in ("one", "two"):
        place.write(name, "source: {connection: far, table: t}\n" + rest)
    result = cli("check")
    assert (result.exit_code, result.stdout) == (2, "1 mapping is right\n")
    assert result.stderr.count("connection far: file is not a database") == 1
    assert "not checked against their databases: 2" in result.stderr
    assert cli("check", "one").stdout == ""


def test_a_slip_in_the_file_is_told_with_what_was_meant(place: Any, cli: Any) -> None:
    """A key that is no pair, a colon that is no key, a strategy misspelt, a variable unset."""
    head = "source: {connection: source, table: customers}\n"
    head += "target: {connection: target, table: users, create: true}\n"
    place.write("a", head + "key: id\nfields: {email: email}\n")
    place.write("b", head + "key: {id: id}\nfields:\n  email: coalesce(email, 'a: b')\n")
    place.write("c", head + "key: {id: id}\nfields: {email: email}\nconflicts: merg\n")
    said = cli("check", "--offline").stderr
    assert "a.yaml:3: write {TARGET_FIELD: SOURCE_COLUMN}, as {id: id} (@ $.key)" in said
    assert "b.yaml:5: not valid YAML: a text with `: ` in it stands in quotes" in said
    assert "c.yaml:5: no strategy 'merg': did you mean merge?" in said


@pytest.mark.usefixtures("place")
def test_check_that_finds_nothing_says_so(cli: Any) -> None:
    """Exit 0."""
    result = cli("check")
    assert (result.exit_code, result.stdout) == (0, "1 mapping is right\n"), result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "nothing"),
        ("run", "customers", "--all"),
        ("run", "--batch-size", "0", "customers"),
        ("run", "--allow", "everything", "customers"),
        ("run", "customers", "--nonsense"),
        ("nonsense",),
        ("checkpoint", "rewind", "customers", "--to", "yesterday", "--yes"),
        ("checkpoint", "set", "customers", "not json", "--yes"),
        ("backfill", "customers"),
        ("backfill", "customers", "--by", "key", "--from", "1", "--chunk", "2"),
        ("conflicts", "show", "1"),
        ("conflicts", "list", "nothing"),
        ("dead-letters", "show", "1"),
        ("dead-letters", "replay"),
        ("dead-letters", "drop", "1", "--mapping", "customers"),
        ("map", "nowhere.customers", "target.users"),
        ("map", "source", "target.users"),
        ("map", "source.nothing", "target.users"),
    ],
)
def test_wrong_input_ends_with_2(place: Any, cli: Any, arguments: tuple[str, ...]) -> None:
    """Usage, unknown names, ids and values: told on stderr, without a traceback."""
    result = cli(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "rror: " in result.stderr
    assert "Traceback" not in result.stderr
    assert place.target("SELECT name FROM sqlite_master") == []


@pytest.mark.usefixtures("place")
def test_an_error_says_what_to_do_next(cli: Any) -> None:
    """The hint follows the error, each on its own line."""
    told = cli("run", "custmers").stderr.splitlines()
    assert told[-2].startswith("error: there is no mapping 'custmers'")
    assert told[-1] == "hint: did you mean customers?"


def test_without_a_project_the_way_to_one_is_told(cli: Any) -> None:
    """Outside of any project: exit 2."""
    result = cli("status")
    assert result.exit_code == 2
    assert "syncline init DIR" in result.stderr


def test_the_project_is_found_by_option_variable_or_upwards(
    place: Any, cli: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The option before or after the command, else SYNCLINE_PROJECT, else the directories above."""
    monkeypatch.chdir(place.root / "mappings")
    assert cli("check", "--offline").exit_code == 0
    monkeypatch.chdir(tmp_path)
    assert cli("check", "--offline").exit_code == 2
    assert cli("check", "--offline", "--project", place.root).exit_code == 0
    assert cli("--project", place.root, "check", "--offline").exit_code == 0
    monkeypatch.setenv("SYNCLINE_PROJECT", str(place.root))
    assert cli("check", "--offline").exit_code == 0
    assert cli("check", "--offline", "--project", tmp_path).exit_code == 2


def test_an_unreachable_database_ends_with_1(
    place: Any, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may pass; the password is nowhere, not with `--debug` either."""
    (place.root / "connections.yaml").write_text(
        "connections: {source: 'sqlite:///source.db', target: '${TARGET}'}\n"
    )
    monkeypatch.setenv("TARGET", "postgresql://me:canary-secret@127.0.0.1:1/nothing")
    result = cli("run", "customers", "--json", "--debug")
    assert result.exit_code == 1, result.stderr
    (told,) = lines(result)
    assert (told["mapping"], told["status"], told["exit_code"]) == ("customers", "failed", 1)
    assert set(RUN_KEYS) <= set(told)
    assert "Traceback" in result.stderr
    assert "canary" not in result.output


def test_a_missing_variable_is_named(place: Any, cli: Any) -> None:
    """Exit 2 with file, line and the variable."""
    (place.root / "connections.yaml").write_text(
        "connections:\n  source: sqlite:///source.db\n  target: ${NOT_THERE}\n"
    )
    result = cli("run", "customers")
    assert result.exit_code == 2
    assert "NOT_THERE" in result.stderr
    assert "connections.yaml:3" in result.stderr


def test_one_mapping_that_fails_does_not_keep_others_from_running(place: Any, cli: Any) -> None:
    """Each mapping is told, and the exit code is that of the one that failed."""
    place.write(
        "missing_table",
        "source: {connection: source, table: nothing}\n"
        "target: {connection: target, table: other, create: true}\n"
        "key: {id: id}\nfields: {email: email}\n",
    )
    result = cli("run", "missing_table", "customers", "--json")
    assert result.exit_code == 2
    assert [(one["mapping"], one["status"]) for one in lines(result)] == [
        ("missing_table", "failed"),
        ("customers", "ok"),
    ]


def test_mappings_run_after_those_they_name(place: Any, cli: Any) -> None:
    """`after:` orders a run of several, however they are named."""
    text = (place.root / "mappings" / "customers.yaml").read_text()
    place.write("first", text)
    place.write("customers", text + "after: [first]\n")
    ran = lines(cli("run", "--all", "--json"))
    assert [one["mapping"] for one in ran] == ["first", "customers"]


def test_the_gravest_exit_code_of_several_wins() -> None:
    """2, then 1, 3, 4, 5; 0 only where nothing is wrong."""
    order = [2, 1, 3, 4, 5, 0]
    for codes in itertools.permutations(order, 3):
        assert gravest(codes) == min(codes, key=order.index)
    assert gravest([]) == 0


def test_an_emptied_source_is_stopped_by_the_guard(place: Any, cli: Any) -> None:
    """Exit 3 with the command that allows it; with it the run goes on."""
    mirror = (place.root / "mappings" / "customers.yaml").read_text() + "deletes: mirror\n"
    place.write("customers", mirror)
    assert cli("run", "customers").exit_code == 0
    place.source("DELETE FROM customers")
    result = cli("run", "customers", "--full")
    assert result.exit_code == 3, result.output
    assert "--allow empty-source" in result.stderr
    assert place.target("SELECT count(*) FROM users") == [(5,)]
    allowed = cli("run", "customers", "--full", "--allow", "empty-source", "--allow", "deletes")
    assert allowed.exit_code == 0, allowed.stderr
    assert place.target("SELECT count(*) FROM users") == [(0,)]


@pytest.mark.usefixtures("place")
def test_checkpoint_is_shown_set_and_rewound(cli: Any) -> None:
    """A position that was shown can be set again; a rewind without an instant begins anew."""
    cli("run", "customers")
    (shown,) = lines(cli("checkpoint", "show", "customers", "--json"))
    assert shown["synced_at"] is not None
    position = json.dumps(shown["position"])
    assert cli("checkpoint", "set", "customers", position).exit_code == 2  # nobody to ask
    assert cli("checkpoint", "set", "customers", position, "--yes").exit_code == 0
    (again,) = lines(cli("checkpoint", "show", "customers", "--json"))
    assert again["position"] == shown["position"]
    assert cli("checkpoint", "rewind", "customers").exit_code == 2
    assert cli("checkpoint", "rewind", "customers", "--yes").exit_code == 0
    assert "no checkpoint" in cli("checkpoint", "show", "customers").stdout
    (ran,) = lines(cli("run", "customers", "--json"))
    assert (ran["mode"], ran["unchanged"]) == ("full", 5)
