"""Connections are named databases whose URLs come from the environment and are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.connections import (
    Connection,
    UnknownConnection,
    load_connections,
    open_endpoint,
    redact,
    secrets_of,
)
from syncline.errors import InputError, MappingErrors

CANARY = "s3cr3t/p@ss"
URL = "postgresql://ana:s3cr3t%2Fp%40ss@db.example.com:5432/crm"


def project(root: Path, text: str, dotenv: str = "") -> Path:
    (root / "connections.yaml").write_text(text, encoding="utf-8")
    if dotenv:
        (root / ".env").write_text(dotenv, encoding="utf-8")
    return root


def problems(root: Path, text: str, names: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(MappingErrors) as caught:
        load_connections(project(root, text), {"CRM_URL": URL, "BAD": "nonsense"}).select(names)
    assert caught.value.exit_code == 2
    return [str(problem).removeprefix(str(root)).lstrip("/") for problem in caught.value.problems]


def test_short_and_long_form(tmp_path: Path) -> None:
    """A URL alone, or with its settings; what is not said has a default."""
    text = (
        "connections:\n  crm: ${CRM_URL}\n"
        "  app: {url: '${CRM_URL}', tls: off, pool_size: 2, connect_timeout: 3}\n"
    )
    crm, app = load_connections(project(tmp_path, text), {"CRM_URL": URL}).select(["crm", "app"])
    assert (crm.url, crm.scheme, crm.tls) == (URL, "postgresql", "verify")
    assert (crm.connect_timeout, crm.statement_timeout, crm.pool_size) == (10, 300, 4)
    assert (app.tls, app.pool_size, app.connect_timeout) == ("off", 2, 3)


def test_a_url_may_be_put_together_from_variables(tmp_path: Path) -> None:
    """Host and database may be written; the password is a variable."""
    text = "connections: {crm: 'mysql://ana:${PW}@db/${NAME}'}"
    found = load_connections(project(tmp_path, text), {"PW": "x", "NAME": "shop"})["crm"]
    assert (found.url, found.scheme) == ("mysql://ana:x@db/shop", "mysql")


def test_the_environment_wins_over_dotenv(tmp_path: Path) -> None:
    """`.env` fills in what the environment lacks, and is not interpolated."""
    text = "connections: {a: '${A}', b: '${B}'}"
    root = project(tmp_path, text, "A=sqlite:////from/dotenv\nB='sqlite:////b$HOME'\n")
    found = load_connections(root, {"A": "sqlite:////from/environment"})
    assert found["a"].url == "sqlite:////from/environment"
    assert found["b"].url == "sqlite:////b$HOME"


def test_sqlite_files_may_be_written_out_and_are_found_from_the_project(tmp_path: Path) -> None:
    """They carry no secret; a relative path is relative to the project, not to where one stands."""
    text = "connections: {a: 'sqlite:///data/a.db', b: 'sqlite:////abs/b.db', c: 'memory://shop'}"
    found = load_connections(project(tmp_path, text), {})
    assert found["a"].url == f"sqlite:///{tmp_path}/data/a.db"
    assert found["b"].url == "sqlite:////abs/b.db"
    assert found["c"].scheme == "memory"


def test_missing_variables_are_told_all_at_once_with_their_lines(tmp_path: Path) -> None:
    """Only those of the connections that are asked for: others may belong to another machine."""
    text = "connections:\n  a: ${A_URL}\n  b:\n    url: ${B_URL}/${B_NAME}\n  c: ${C_URL}\n"
    found = problems(tmp_path, text, ("a", "b"))
    assert found == [
        "connections.yaml:2: neither the environment nor .env has A_URL (@ $.connections.a)",
        "connections.yaml:4: neither the environment nor .env has B_URL (@ $.connections.b.url)",
        "connections.yaml:4: neither the environment nor .env has B_NAME (@ $.connections.b.url)",
    ]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (f"'{URL}'", "a URL is not written here"),
        ("'postgresql://ana:pw@${HOST}/db'", "a password is not written here"),
        ("'$CRM_URL'", "a URL is not written here"),
        ("'${CRM_URL}$X'", "a variable is written ${NAME}"),
        ("{tls: off}", "`url` is missing"),
        ("{url: '${CRM_URL}', tls: maybe}", "verify, require, off"),
        ("{url: '${CRM_URL}', pool_size: 0}", "`pool_size` is a number from 1 on"),
        ("{url: '${CRM_URL}', connect_timeout: soon}", "`connect_timeout` is a number"),
        ("{url: '${CRM_URL}', pool: 3}", "unknown key `pool`"),
        ("5", "write a URL"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_without_showing_it(
    tmp_path: Path, entry: str, said: str
) -> None:
    """A literal secret is refused, and not repeated."""
    (problem,) = problems(tmp_path, f"connections: {{crm: {entry}}}")
    assert said in problem
    assert "s3cr3t" not in problem


def test_a_url_of_no_known_database_is_refused_unseen(tmp_path: Path) -> None:
    """Its scheme is not one of ours."""
    (problem,) = problems(tmp_path, "connections: {crm: '${BAD}'}", ("crm",))
    assert "begins with none of postgresql:" in problem
    assert "nonsense" not in problem


def test_an_unknown_connection_names_those_there_are(tmp_path: Path) -> None:
    """For the person who mistyped it."""
    with pytest.raises(UnknownConnection, match="no connection 'cmr'") as caught:
        load_connections(project(tmp_path, "connections: {crm: '${X}'}"), {})["cmr"]
    assert caught.value.hint == "it holds: crm"


def test_f39_a_secret_is_in_no_repr() -> None:
    """Neither the URL nor the password, in any spelling."""
    connection = Connection("crm", URL)
    for text in (repr(connection), str(connection), f"{connection}"):
        assert "s3cr3t" not in text


@pytest.mark.parametrize(
    "message",
    [
        f"could not connect to {URL}",
        f"password {CANARY} is wrong",
        "password s3cr3t%2Fp%40ss is wrong",
        "at postgresql://ana:s3cr3t%2Fp%40ss@other/db",
        f"two {URL} and {CANARY}",
    ],
)
def test_f39_messages_are_redacted(message: str) -> None:
    """The URL, and the password as written and as meant."""
    shown = Connection("crm", URL).redact(message)
    assert "s3cr3t" not in shown
    assert "***" in shown


def test_redaction_leaves_the_rest_readable() -> None:
    """A short password blanks out whole words only; files are no secret."""
    assert redact("no such table: banana", ("a",)) == "no such table: banana"
    assert redact("password a refused", ("a",)) == "password *** refused"
    assert secrets_of("sqlite:////tmp/x.db") == ()
    assert redact("dial mysql://u:other@h/d", ()) == "dial mysql://u:***@h/d"


def test_a_password_in_the_query_is_a_secret_too() -> None:
    """Drivers take it there as well."""
    assert "hunter2" in secrets_of("postgresql://h/d?user=x&password=hunter2")


def test_an_unnamed_memory_database_is_an_input_error() -> None:
    """The registry of `syncline.testing` names those that are open."""
    with pytest.raises(InputError):
        open_endpoint(Connection("x", "memory://nobody-made-this"))


def test_a_memory_url_opens_the_endpoint_of_that_name() -> None:
    """A project in a test may name a database that lives in the process."""
    from syncline.testing import MemoryEndpoint, name_it

    shop = MemoryEndpoint()
    name_it("shop", shop)
    assert open_endpoint(Connection("x", "memory://shop")) is shop
