"""mongo-java-server, a stand-in for MongoDB in memory, fetched by Maven and run by Java.

It lacks collation, validators and more; see `docs/decisions.md` for what it proves. Beside the
standalone server that it is, the same process serves one that poses as a replica set.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import tempfile
from pathlib import Path

from syncline.testing.servers import databases
from syncline.testing.servers.process import Launch, make_home, prepare
from syncline.testing.servers.server import Server, Unavailable

HOW = "mongo-java-server 1.47.0, a stand-in in memory"

_HERE = Path(__file__).parent
_SOURCES = ("pom.xml", "Launcher.java", "ChangeLog.java", "Transaction.java")
_DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"


def launch(root: Path, name: str, port: int, password: str, *, durable: bool) -> Launch:
    """Fetch what is needed, once on this machine, and say how to start it.

    It keeps nothing on disk and knows no login: `password` and `durable` have no effect.
    """
    del password, durable
    java = _program("java")
    classes = _classes()
    return Launch(
        argv=(
            *(java, "-Xmx1g", "-cp", os.pathsep.join([f"{classes}", f"{classes}/*"])),
            *("Launcher", str(port)),
        ),
        home=make_home(root, name, None),
        url=f"mongodb://127.0.0.1:{port}/test",
        user=None,  # Java has nothing against root, and need not leave the user's cache
        stop_signal=signal.SIGTERM,
    )


def replica_set(server: Server) -> Server:
    """Give a MongoDB server that has change streams: this one, or the stand-in's other one.

    Raises:
        Unavailable: this one is a standalone server.
    """
    hello = databases.command(server.url, "isMaster")
    if hello.get("setName") or hello.get("msg") == "isdbgrid":
        return server
    if server.how != HOW:
        raise Unavailable(f"{server} is no replica set")
    port = int(databases.command(server.url, "replicaSetPort")["port"])
    url = f"mongodb://127.0.0.1:{port}/test?directConnection=true"
    how = f"{HOW}, posing as a replica set"
    return Server(url, server.product, server.version, how, server.pid)


def _classes() -> Path:
    """Give the directory with the jars and the compiled launcher; make it when there is none."""
    sources = [_HERE / name for name in _SOURCES]
    digest = hashlib.blake2b(b"".join(file.read_bytes() for file in sources), digest_size=6)
    place = _cache() / f"mongo-java-server-{digest.hexdigest()}"
    if place.exists():
        return place
    maven, compiler = _program("mvn"), _program("javac")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as work:
        unfinished = Path(work) / "classes"
        prepare(
            (
                *(maven, "--batch-mode", "--quiet", "--strict-checksums"),
                *("--file", str(sources[0]), f"{_DEPENDENCY_PLUGIN}:copy-dependencies"),
                f"-DoutputDirectory={unfinished}",
            ),
            cwd=Path(work),
            user=None,
        )
        prepare(
            (compiler, "-cp", f"{unfinished}/*", "-d", str(unfinished), *map(str, sources[1:])),
            cwd=Path(work),
            user=None,
        )
        # In one step: two sessions may do this at once, and either result will do.
        try:
            unfinished.rename(place)
        except OSError:
            if not place.exists():
                raise
    return place


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "syncline"


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Unavailable(
            f"{name} is not installed", hint="apt-get install maven default-jdk-headless"
        )
    return found
