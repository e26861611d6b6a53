"""The control store opens from nothing, once, for many at the same time, and fails loudly."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, ExceptionContext, create_engine, event, text

import syncline
from syncline.errors import CredentialsRefused, InputError, RunFailed, SynclineError, Unreachable
from syncline.store import DeadLetter, Store, Waiting
from syncline.store.indexes import metadata
from syncline.store.migrate import HEAD, MIGRATIONS
from syncline.store.tables import VERSION_TABLE

HERE = os.environ | {"PYTHONPATH": str(Path(syncline.__file__).parents[1])}
LETTER = DeadLetter("customers", "1", {"id": 1}, "no such day", "map", "run-1")


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def test_head_is_the_newest_migration() -> None:
    """The fast path believes HEAD without asking Alembic, so it must be right."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_migrations_make_the_tables_that_the_code_uses(store: Store, store_url: str) -> None:
    """No column, type or index differs between the migrations and the declared tables."""
    engine = create_engine(sqlalchemy_url(store_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "version_table": VERSION_TABLE}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    assert store.runs() == []


def test_opening_again_asks_once_and_leaves_alembic_alone(store_url: str) -> None:
    """A store at head costs one query, without importing Alembic."""
    Store.open(store_url).close()
    program = (
        "import sys\n"
        "from sqlalchemy import event\n"
        "from sqlalchemy.engine import Engine\n"
        "from syncline.store import Store\n"
        "sent = []\n"
        "@event.listens_for(Engine, 'before_cursor_execute')\n"
        "def note(_conn, _cursor, statement, *_):\n"
        "    sent.append(statement)\n"
        "Store.open(sys.argv[1]).close()\n"
        "ours = [one for one in sent if 'version_num' in one or 'lock' in one]\n"
        "print(len(ours), 'alembic' in sys.modules)"
    )
    queries, alembic = subprocess.run(
        [sys.executable, "-c", program, store_url],
        env=HERE,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert (queries, alembic) == ("1", "False")


def test_many_processes_make_one_store(store_url: str) -> None:
    """Started together on an empty database, each finds the tables and stores its run."""
    program = (
        "import sys; from syncline.store import Store\n"
        "with Store.open(sys.argv[1]) as store: store.start_run('customers', 'full')"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, store_url], env=HERE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(5)
    ]
    assert [(one.communicate()[1], one.returncode) for one in started] == [("", 0)] * 5
    with Store.open(store_url) as store:
        assert len(store.runs("customers")) == 5


def test_a_store_made_while_it_is_looked_for_is_found(store_url: str) -> None:
    """Another process commits its tables just after ours saw that there were none."""
    others: list[str] = []

    def made_meanwhile(_context: ExceptionContext) -> None:
        if not others:
            others.append("begun")
            with Store.open(store_url) as other:
                others.append(other.start_run("customers", "full"))

    event.listen(Engine, "handle_error", made_meanwhile)
    try:
        with Store.open(store_url) as store:
            assert [run.run_id for run in store.runs()] == others[1:]
    finally:
        event.remove(Engine, "handle_error", made_meanwhile)
    assert len(others) == 2


def test_a_store_of_a_newer_version_is_refused(store_url: str) -> None:
    """Its tables could mean something else, so nothing is read or written."""
    Store.open(store_url).close()
    engine = create_engine(sqlalchemy_url(store_url))
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(InputError, match="version 9999") as caught:
        Store.open(store_url)
    assert "upgrade" in caught.value.hint


def test_the_directory_of_an_sqlite_store_is_made_private(tmp_path: Path) -> None:
    """Records are in it, so nobody else reads it."""
    Store.open(f"sqlite:///{tmp_path}/.syncline/store.db").close()
    assert (tmp_path / ".syncline").stat().st_mode & 0o077 == 0


def test_sqlite_survives_a_power_cut_and_readers_do_not_wait(tmp_path: Path) -> None:
    """WAL for readers beside a writer, full sync for durability."""
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store, store._engine.connect() as raw:
        assert raw.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert raw.exec_driver_sql("PRAGMA synchronous").scalar() == 2


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "mysql://root@localhost/x", "nonsense", ""]
)
def test_a_url_that_can_not_hold_a_store_is_refused(url: str) -> None:
    """Memory would forget, and other databases are not known; the forms are named."""
    with pytest.raises(InputError) as caught:
        Store.open(url)
    assert "sqlite:///" in caught.value.hint


def test_a_server_that_does_not_answer_may_pass() -> None:
    """Nobody listens there: exit 1, and the password is not shown."""
    with pytest.raises(Unreachable) as caught:
        Store.open("postgresql://someone:canary-secret@127.0.0.1:1/nothing")
    assert "canary" not in str(caught.value) + caught.value.hint


@pytest.mark.postgres
def test_a_database_that_is_not_there_is_the_users_mistake(postgres_url: str) -> None:
    """The server answers and has no such database: exit 2."""
    with pytest.raises(InputError, match="does not exist"):
        Store.open(postgres_url + "_missing")


@pytest.mark.postgres
def test_a_role_without_rights_is_refused(postgres_url: str) -> None:
    """The login works and may not make tables: exit 2, with what the server said."""
    role = "reader_" + os.urandom(4).hex()
    engine = create_engine(sqlalchemy_url(postgres_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as admin:
        admin.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'canary-secret'")
        try:
            netloc = urlsplit(postgres_url).netloc.rpartition("@")[2]
            limited = urlsplit(postgres_url)._replace(netloc=f"{role}:canary-secret@{netloc}")
            with pytest.raises(CredentialsRefused, match="permission denied") as caught:
                Store.open(limited.geturl())
            assert "canary" not in str(caught.value)
        finally:
            admin.exec_driver_sql(f"DROP ROLE {role}")
    engine.dispose()


def test_a_full_disk_is_loud_and_stores_nothing(
    tmp_path: Path, waiting: Callable[..., Waiting]
) -> None:
    """The caller is told before its COMMIT; what was there before still is."""
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        store.put_dead_letters([LETTER])
        pages = sqlite3.connect(tmp_path / "store.db").execute("PRAGMA page_count").fetchone()[0]
        event.listen(
            store._engine,
            "checkout",
            lambda raw, *_: raw.execute(f"PRAGMA max_page_count = {pages + 2}"),
        )
        with pytest.raises(RunFailed, match="full"):
            store.queue([waiting(n) for n in range(1_000)])
        assert store.conflicts() == []
        assert len(store.dead_letters()) == 1


def test_a_store_that_another_holds_for_too_long_may_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that never ends: exit 1 after the wait, not for ever."""
    monkeypatch.setattr("syncline.store.database._WAIT_SECONDS", 0.2)
    url = f"sqlite:///{tmp_path}/store.db"
    with Store.open(url) as store:
        holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="locked"):
            store.put_dead_letters([LETTER])
        assert time.monotonic() - begun < 25  # without the patch it waits for 30 s
        assert store.dead_letters() == []  # reading goes on beside a writer
        holder.execute("ROLLBACK")
        store.put_dead_letters([LETTER])


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    """Something else lies at that path: it is not touched."""
    path = tmp_path / "store.db"
    path.write_text("not a database, but longer than one hundred bytes" * 10)
    before = path.read_bytes()
    with pytest.raises(SynclineError):
        Store.open(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_store_that_may_not_be_written_is_loud(tmp_path: Path) -> None:
    """A read-only store stops the caller."""
    url = f"sqlite:///{tmp_path}/store.db"
    Store.open(url).close()
    with Store.open(url) as store:
        event.listen(
            store._engine, "checkout", lambda raw, *_: raw.execute("PRAGMA query_only = ON")
        )
        with pytest.raises(RunFailed, match="readonly"):
            store.start_run("customers", "full")
