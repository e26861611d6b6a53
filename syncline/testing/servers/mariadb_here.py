"""MariaDB as this machine has it installed, from Debian's `mariadb-server` or Homebrew."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from syncline.testing.servers.process import Launch, make_home, prepare, service_user
from syncline.testing.servers.server import Unavailable

HOW = "installed on this machine"

# Where Debian keeps servers, which a user's PATH leaves out.
_SERVER_PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")

_CARELESS = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-fast-shutdown=2",
)


def launch(root: Path, name: str, port: int, password: str, *, durable: bool) -> Launch:
    """Prepare a data directory at `root/name` (an existing one is kept) and say how to start it."""
    server, installer = _program("mariadbd"), _program("mariadb-install-db")
    user = service_user()
    home = make_home(root, name, user)
    data = home / "data"
    if not data.exists():
        unfinished = home / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        prepare(
            (
                *(installer, "--no-defaults", f"--datadir={unfinished}", "--skip-test-db"),
                "--auth-root-authentication-method=normal",
            ),
            cwd=home,
            user=user,
        )
        unfinished.rename(data)
    return Launch(
        argv=(
            # no-defaults: nothing from /etc; strict sql_mode is the built-in default then
            *(server, "--no-defaults", f"--datadir={data}", f"--port={port}"),
            *("--bind-address=127.0.0.1", "--skip-name-resolve"),
            *("--socket=mariadb.sock", "--pid-file=mariadb.pid"),  # relative to the data: short
            f"--tmpdir={home}",  # the one of our environment may be closed to it
            f"--init-file={_logins(home, password)}",
            *("--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"),
            "--max-allowed-packet=64M",
            *(() if durable else _CARELESS),
        ),
        home=home,
        url=f"mysql://syncline:{password}@127.0.0.1:{port}/mysql",
        user=user,
        stop_signal=signal.SIGTERM,
    )


def _logins(home: Path, password: str) -> Path:
    """Write the statements that leave one login, with a password, at every start."""
    statements = home / "logins.sql"
    statements.write_text(
        "CREATE OR REPLACE USER 'syncline'@'%' "
        f"IDENTIFIED BY '{password}';\n"
        "GRANT ALL PRIVILEGES ON *.* TO 'syncline'@'%' WITH GRANT OPTION;\n"
        # The installer leaves root without a password, and anyone here may connect.
        "DELETE FROM mysql.global_priv WHERE User NOT IN ('syncline', 'mariadb.sys');\n"
        "FLUSH PRIVILEGES;\n"
    )
    # Read by the service user out of a directory that only it may enter.
    statements.chmod(0o644)
    return statements


def _program(name: str) -> str:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SERVER_PLACES])
    found = shutil.which(name, path=path)
    if found is None:
        raise Unavailable(
            f"{name} is not installed", hint="apt-get install mariadb-server (no service needed)"
        )
    return found
