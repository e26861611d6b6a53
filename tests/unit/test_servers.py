"""The servers that tests and the demo stand on: started, shared, found again and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pymongo
import pymysql
import pytest

from syncline.testing import servers
from syncline.testing.servers import Server, Unavailable, local
from syncline.testing.servers.server import credentials

TESTS = Path(__file__).parents[1]
KINDS = ["postgres", "mariadb", "mongo"]


@pytest.fixture
def root() -> Iterator[Path]:
    """A place that servers can reach; those that were left there are ended."""
    with tempfile.TemporaryDirectory(prefix="syncline-tests-") as directory:
        place = Path(directory)
        place.chmod(0o755)
        root = place / "servers"
        root.mkdir()
        yield root
        servers.stop(root, remove=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_tells_its_version_and_where_it_came_from(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """A report can name each server, its version and how it was had."""
    server: Server = request.getfixturevalue(f"{kind}_server")
    assert server.version[0].isdigit()
    assert server.how
    assert str(server).startswith(server.product)


def test_the_text_of_a_server_does_not_hold_its_password(postgres_server: Server) -> None:
    """A server may be printed and logged."""
    password = credentials(postgres_server.url)[3]
    assert password
    assert password not in f"{postgres_server} {postgres_server!r}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_database_is_empty_and_apart(kind: str, new_database: Callable[[str], str]) -> None:
    """Two tests that write at the same time do not meet."""
    written, other = new_database(kind), new_database(kind)
    _write(written)
    assert _count_tables(written) == 1
    assert _count_tables(other) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_database_takes_the_place_of_one_of_its_name(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """A run that was killed leaves nothing that the next one would meet."""
    server: Server = request.getfixturevalue(f"{kind}_server")
    _write(server.fresh_database("test_again"))
    assert _count_tables(server.fresh_database("test_again")) == 0
    server.drop_database("test_again")
    server.drop_database("test_again")


def test_a_database_is_dropped_under_an_open_transaction(
    postgres_server: Server, mariadb_server: Server
) -> None:
    """A connection that a test forgot does not hold up the end of the test."""
    url = postgres_server.fresh_database("test_open")
    with contextlib.closing(psycopg.connect(url)) as session:
        session.execute("CREATE TABLE held (id int)")
        postgres_server.drop_database("test_open")
    url = mariadb_server.fresh_database("test_open")
    _write(url)
    session = _mysql(url)
    session.begin()
    session.cursor().execute("SELECT * FROM written FOR UPDATE")
    mariadb_server.drop_database("test_open")
    with contextlib.suppress(pymysql.Error):
        session.close()


@pytest.mark.parametrize("name", ["", "A", "a-b", 'a"b', "1a", "a" * 64])
def test_a_name_that_would_need_quoting_is_refused(postgres_server: Server, name: str) -> None:
    """A database name goes into statements as it stands."""
    with pytest.raises(ValueError, match="is not of the form"):
        postgres_server.fresh_database(name)


def test_mariadb_is_strict_and_has_one_login(mariadb_server: Server) -> None:
    """Tests meet the strictness of a new installation, and nobody gets in without the password."""
    if mariadb_server.pid is None:
        pytest.skip("not our own MariaDB")
    with contextlib.closing(_mysql(mariadb_server.url)) as session, session.cursor() as cursor:
        cursor.execute("SELECT @@sql_mode, @@character_set_server")
        mode, charset = cursor.fetchone() or ("", "")
    assert "STRICT_TRANS_TABLES" in mode
    assert charset == "utf8mb4"
    host, port, _, _ = credentials(mariadb_server.url)
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        pymysql.connect(host=host, port=port, user="root")


def test_postgres_allows_two_phase_commits_and_asks_for_a_password(
    postgres_server: Server,
) -> None:
    """Watermarks are tested with prepared transactions, which PostgreSQL has off by default."""
    if postgres_server.pid is None:
        pytest.skip("not our own PostgreSQL")
    with psycopg.connect(postgres_server.url) as session:
        row = session.execute("SELECT current_setting('max_prepared_transactions')::int").fetchone()
    assert row is not None
    assert row[0] >= 10
    host, port, user, _ = credentials(postgres_server.url)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host=host, port=port, user=user, dbname="postgres")


def test_a_url_in_the_environment_is_used_as_it_is(
    postgres_server: Server, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    """A server that the user names is used, and left running at the end."""
    monkeypatch.setenv("SYNCLINE_TEST_POSTGRES_URL", postgres_server.url)
    with servers.postgres(root) as named:
        assert (named.url, named.how) == (postgres_server.url, "SYNCLINE_TEST_POSTGRES_URL")
        assert named.pid is None
    psycopg.connect(postgres_server.url).close()


def test_a_url_that_does_not_answer_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    """Tests never run against another server than the one the user named."""
    monkeypatch.setenv("SYNCLINE_TEST_POSTGRES_URL", "postgresql://x:y@127.0.0.1:1/z")
    with pytest.raises(Unavailable, match="SYNCLINE_TEST_POSTGRES_URL is set"):
        servers.postgres(root)


def test_a_port_taken_in_between_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, root: Path, postgres_server: Server
) -> None:
    """A port found free may be gone when the server asks for it."""
    free_port, asked = local.free_port, list[int]()
    with socket.create_server(("127.0.0.1", 0)) as taken:

        def first_the_taken_one() -> int:
            asked.append(free_port() if asked else taken.getsockname()[1])
            return asked[-1]

        monkeypatch.setattr(local, "free_port", first_the_taken_one)
        with local.start_child("postgres", root) as server:
            assert len(asked) > 1
            assert credentials(server.url)[1] == asked[-1]
            assert server.version == postgres_server.version
    assert list(root.iterdir()) == []


def test_a_server_that_cannot_start_says_why(
    monkeypatch: pytest.MonkeyPatch, root: Path, postgres_server: Server
) -> None:
    """The reason stands in the server's own words, out of its log."""
    del postgres_server  # where there is none this is skipped
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(local, "free_port", lambda: taken.getsockname()[1])
        with pytest.raises(Unavailable, match="Address already in use"):
            local.start_child("postgres", root)
    assert list(root.iterdir()) == []


def test_a_server_ends_with_the_process_that_started_it(
    root: Path, postgres_server: Server, mariadb_server: Server
) -> None:
    """A test session that is killed leaves no server and no data behind."""
    del postgres_server, mariadb_server  # where there are none this is skipped
    script = """
        import sys, time, pathlib
        from syncline.testing.servers import local
        root = pathlib.Path(sys.argv[1])
        print(*(local.start_child(kind, root).pid for kind in ("postgres", "mariadb")), flush=True)
        time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(root)], stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout is not None
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        assert len(pids) == 2
        starter.kill()
    _eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    _eventually(lambda: not [*root.iterdir()])


@pytest.mark.usefixtures("server_of_kind")
@pytest.mark.parametrize("kind", KINDS)
def test_a_detached_server_is_found_again(kind: servers.Kind, root: Path) -> None:
    """Starting what runs gives the same server; stopping what is stopped is harmless."""
    first = servers.start_detached(kind, root)
    again = servers.start_detached(kind, root)
    assert (again.pid, again.url) == (first.pid, first.url)
    assert servers.stop(root) == [kind]
    assert servers.stop(root) == []


@pytest.mark.usefixtures("server_of_kind")
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
@pytest.mark.parametrize("ending", [None, signal.SIGKILL])
def test_a_detached_server_keeps_its_data_and_its_url(
    kind: servers.Kind, ending: signal.Signals | None, root: Path
) -> None:
    """A demo goes on after a reboot: the `.env` that was written for it stays right."""
    first = servers.start_detached(kind, root)
    url = first.fresh_database("kept")
    _write(url)
    if ending is None:
        first.stop()
    else:
        assert first.pid is not None
        os.kill(first.pid, ending)
    second = servers.start_detached(kind, root)
    assert second.pid != first.pid
    assert second.url == first.url
    assert _count_tables(url) == 1


def test_removing_leaves_nothing(root: Path, postgres_server: Server) -> None:
    """What the demo made can be removed, wherever it lay."""
    del postgres_server
    servers.start_detached("postgres", root)
    place = _home(root)
    assert place.exists()
    servers.stop(root, remove=True)
    assert not root.exists()
    assert not place.exists()


def test_a_place_that_an_unprivileged_user_cannot_reach_is_stood_in_for(
    tmp_path: Path, postgres_server: Server
) -> None:
    """A project in the home of root works, and the rights of that home stay as they are."""
    del postgres_server
    if os.geteuid() != 0:
        pytest.skip("only root starts servers as another user")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    root = closed / "servers"
    server = servers.start_detached("postgres", root)
    try:
        _write(server.fresh_database("somewhere"))
        place = _home(root)
        assert closed not in place.parents
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        servers.stop(root, remove=True)
    assert not place.exists()
    assert not root.exists()


@pytest.mark.parametrize(
    ("required", "code", "told"),
    [
        ("", 0, "1 skipped"),
        ("mariadb", 1, "SYNCLINE_REQUIRE names mariadb, but:"),
        ("mongo", 1, "SYNCLINE_REQUIRE names mongo, and no test used it"),
        ("oracle", 4, "unknown oracle"),
    ],
)
def test_a_required_server_is_never_skipped(
    tmp_path: Path, required: str, code: int, told: str
) -> None:
    """A required server fails the tests that lack it, and a run in which no test used it."""
    (tmp_path / "test_one.py").write_text("def test_one(mariadb_url): pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-c", "/dev/null", str(tmp_path)],
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}",
            "SYNCLINE_REQUIRE": required,
            "SYNCLINE_TEST_MARIADB_URL": "mysql://x:y@127.0.0.1:1/z",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    assert told in done.stdout + done.stderr


@pytest.fixture
def server_of_kind(request: pytest.FixtureRequest) -> None:
    """Skip a test of `kind` where this machine has none."""
    request.getfixturevalue(f"{request.node.callspec.params['kind']}_server")


def _home(root: Path) -> Path:
    import json

    return Path(json.loads((root / "postgres.json").read_text())["home"])


def _eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _mysql(url: str) -> pymysql.Connection:
    host, port, user, password = credentials(url)
    database = url.rpartition("/")[2]
    return pymysql.connect(
        host=host, port=port, user=user, password=password, database=database, autocommit=True
    )


def _write(url: str) -> None:
    """Make one table or collection, called `written`, with one row."""
    if url.startswith("mongodb"):
        with pymongo.MongoClient(url) as client:
            client.get_default_database().written.insert_one({"_id": 1})
    elif url.startswith("postgresql"):
        with psycopg.connect(url) as session:
            session.execute("CREATE TABLE written AS SELECT 1 AS id")
    else:
        with contextlib.closing(_mysql(url)) as session, session.cursor() as cursor:
            cursor.execute("CREATE TABLE written AS SELECT 1 AS id")


def _count_tables(url: str) -> int:
    if url.startswith("mongodb"):
        with pymongo.MongoClient(url) as client:
            return len(client.get_default_database().list_collection_names())
    statement = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'written'"
    if url.startswith("postgresql"):
        with psycopg.connect(url) as session:
            row = session.execute(statement).fetchone()
    else:
        with contextlib.closing(_mysql(url)) as session, session.cursor() as cursor:
            cursor.execute(f"{statement} AND table_schema = database()")
            row = cursor.fetchone()
    assert row is not None
    return int(row[0])
