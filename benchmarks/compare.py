"""`python -m benchmarks.compare`: what it takes to find what is gone, and what differs.

By checksums that the databases compute, and with all keys, or all records, read here. The bytes are
those of both databases' connections, counted by a relay in a second round, which is not timed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import sqlalchemy as sa

from syncline import gone, ledger, sides
from syncline.baseline import SOURCE_GONE, encode_key
from syncline.digests import Here, held
from syncline.project import Project
from syncline.run import Opened, opened, shape_of
from syncline.sync import run
from syncline.testing import servers
from syncline.verify import verify

KINDS: Final = ("postgres", "mariadb")
DRIVERS: Final = {"postgres": "postgresql+psycopg", "mariadb": "mysql+pymysql"}
SERIES: Final = {
    "postgres": "SELECT g, g, 'row ' || g FROM generate_series(1, {rows}) AS g",
    "mariadb": "SELECT seq, seq, CONCAT('row ', seq) FROM seq_1_to_{rows}",
}
MAPPING: Final = """
source: {connection: here, table: people}
target: {connection: there, table: people_copy, create: true}
key: {id: id}
fields: {number: number, words: words}
delta: {by: none}
conflicts: {strategy: source, detect: ledger}
deletes: {mode: mirror, guard: 100%}
"""
_PIECE: Final = 1 << 16


class Relay:
    """Stands before a server, and counts what passes."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        user, at, _ = parts.netloc.rpartition("@")
        netloc = f"{user}{at}127.0.0.1:{self._listener.getsockname()[1]}"
        self.url, self.bytes = parts._replace(netloc=netloc).geturl(), 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(self._server)
            for pair in itertools.permutations((client, server)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while piece := source.recv(_PIECE):
                self.bytes += len(piece)
                target.sendall(piece)
        except OSError:
            pass
        finally:
            source.close()
            target.close()


def all_keys(opened_: Opened) -> int:
    """The number of keys that the source lacks, told by all keys of both sides."""

    def theirs() -> Iterator[Any]:
        for keys in opened_.source.keys(opened_.read):
            yield sides.one_column(encode_key(keys, opened_.source_key))

    def ours() -> Iterator[Any]:
        for rows in tx.ledger_scan():
            here = (rows["gone"].to_numpy() & SOURCE_GONE) == 0
            yield sides.one_column(rows.filter(here.tolist())["k"].combine_chunks())

    with (
        opened_.target.begin(opened_.spec, write=False) as tx,
        held(Here(theirs), Here(ours), whole=True, estimate=None) as both,
    ):
        return sum(len(keys) for keys in both.missing_at_source())


def by_checksums(opened_: Opened) -> int:
    """The same by checksums, and proven by a probe."""
    _, document = ledger.peek(opened_.target, opened_.spec)
    return gone.find(opened_, shape_of(opened_, document)).count


@contextmanager
def staged(kinds: tuple[str, str], rows: int) -> Iterator[tuple[Project, list[Relay], sa.Engine]]:
    """A synced project, relays to both its databases, and the source for an edit by hand."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="syncline-bench-")))
        root.chmod(0o755)
        known = {kind: stack.enter_context(servers.start(kind, root)) for kind in set(kinds)}  # type: ignore[arg-type]
        urls = [known[kind].fresh_database(f"side_{place}") for place, kind in enumerate(kinds)]
        engine = sa.create_engine(f"{DRIVERS[kinds[0]]}:{urls[0].split(':', 1)[1]}")
        with engine.begin() as hand:
            hand.exec_driver_sql(
                "CREATE TABLE people (id bigint PRIMARY KEY, number int, words text)"
            )
            hand.exec_driver_sql("INSERT INTO people " + SERIES[kinds[0]].format(rows=rows))
        folder = root / "project"
        (folder / "mappings").mkdir(parents=True)
        (folder / "mappings" / "people.yaml").write_text(MAPPING)
        text = "connections:\n  here: '${HERE}'\n  there: '${THERE}'\n"
        (folder / "connections.yaml").write_text(text)
        os.environ.update(HERE=urls[0], THERE=urls[1])
        project = Project.find(explicit=folder)
        run(project, "people")
        yield project, [Relay(url) for url in urls], engine
        engine.dispose()


def measure(
    what: str, work: Callable[[Project], int], project: Project, relays: list[Relay]
) -> None:
    """Time it, then count its bytes."""
    began = time.perf_counter()
    found = work(project)
    took = time.perf_counter() - began
    direct = {name: os.environ[name] for name in ("HERE", "THERE")}
    os.environ.update(zip(direct, (relay.url for relay in relays), strict=True))
    before = sum(relay.bytes for relay in relays)
    work(Project.find(explicit=project.root))
    passed = sum(relay.bytes for relay in relays) - before
    os.environ.update(direct)
    print(f"{what:34} {took:7.2f} s {passed / 1e6:8.2f} MB   found {found:,}", flush=True)


def main() -> int:
    """Measure with nothing deleted, and with a hundredth."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--source", choices=KINDS, default="postgres")
    parser.add_argument("--target", choices=KINDS, default="postgres")
    asked = parser.parse_args()

    def looking(look: Callable[[Opened], int]) -> Callable[[Project], int]:
        def work(project: Project) -> int:
            with opened(project, "people") as opened_:
                return look(opened_)

        return work

    def verifying(*, each: bool) -> Callable[[Project], int]:
        return lambda project: verify(project, "people", pause=0, each=each).differences

    with staged((asked.source, asked.target), asked.rows) as (project, relays, engine):
        print(
            f"{asked.source} to {asked.target}, {asked.rows:,} rows, load {os.getloadavg()[0]:.1f}"
        )
        for share in ("0 %", "1 %"):
            if share == "1 %":
                with engine.begin() as hand:  # spread over the table
                    hand.exec_driver_sql("DELETE FROM people WHERE number * 7919 % 100 = 7")
            measure(f"{share} gone, all keys", looking(all_keys), project, relays)
            measure(f"{share} gone, checksums", looking(by_checksums), project, relays)
            measure(f"{share} verify, each record", verifying(each=True), project, relays)
            measure(f"{share} verify, checksums", verifying(each=False), project, relays)
    return 0


if __name__ == "__main__":
    sys.exit(main())
