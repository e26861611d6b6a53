"""The long attack, `make soak MINUTES=10`: writers, runs that are killed, a network that breaks.

Each watermark gets an equal share of `SYNCLINE_SOAK_MINUTES` (one minute in all where it is not
set), and a target of another kind, so that every database is attacked as both. What it prints is
rows written, faults survived and rows lost; the judges are a comparison by the test, and
`verify`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import SystemRandom

import pytest
from sqlalchemy.exc import OperationalError

from syncline.verify import verify
from tests.attack.conftest import Make
from tests.attack.proxy import Proxy
from tests.attack.test_row_loss import MIRROR, WATERMARKS, Toll, crowd_of, toll_of
from tests.attack.writers import NaivePoller
from tests.integration.project_bench import ProjectBench, Side, person

MINUTES = float(os.environ.get("SYNCLINE_SOAK_MINUTES", "1"))
SHARE = MINUTES * 60 / len(WATERMARKS)
RUN = [sys.executable, "-m", "syncline", "--project", "{folder}", "run", "people", "--json"]
TARGETS = {
    "xmin": "postgres",
    "timestamp": "mariadb",
    "mariadb": "mongo",
    "sqlite": "postgres",
    "mongo": "sqlite",
    "stream": "postgres",
}
COMMITS = {"postgres": b"COMMIT\x00", "mariadb": b"\x03COMMIT"}
TERMINATE = {
    "postgres": "select pg_terminate_backend(pid) from pg_stat_activity where application_name ="
    " 'syncline' and datname = current_database() and pid <> pg_backend_pid()",
    "mariadb": "select id from information_schema.processlist where db = database() and id <>"
    " connection_id()",
}
LONGEST_PAUSE = 3.0
RESET, LOST_COMMIT, GONE = "connections reset", "COMMIT's answer lost", "server gone"
NEED_A_HIT = {RESET, LOST_COMMIT, GONE}
ALLOWED = 180.0
"""Seconds that one run may take before it counts as hung."""


class Attacker:
    """Runs syncline in processes of its own, and does them harm."""

    def __init__(self, bench: ProjectBench, proxies: list[Proxy], seed: int) -> None:
        self.bench, self.proxies = bench, proxies
        self.chance = random.Random(seed)  # noqa: S311 - what breaks when is no secret
        self.survived: Counter[str] = Counter()
        self.ended: Counter[int] = Counter()
        self.faults: list[Callable[[subprocess.Popen[bytes]], str]] = [self._kill, self._nothing]
        self.faults += [self._freeze]
        if proxies:
            self.faults += [self._reset, self._refuse, self._slow]
        if bench.target.kind in COMMITS:
            self.faults += [self._lost_commit, self._terminate]

    def once(self) -> None:
        """One run with one fault, at a random moment."""
        process = self._start()
        time.sleep(0.6 + self.chance.random() * 1.6)
        before = self._hits()
        running = process.poll() is None
        fault = self.chance.choice(self.faults)(process)
        self.ended[self._end(process)] += 1
        # A fault counts where it hit something: a run that was still going, a connection, a COMMIT.
        if running and (fault not in NEED_A_HIT or self._hits() > before):
            self.survived[fault] += 1
        for proxy in self.proxies:
            proxy.open, proxy.delay = True, 0.0
            proxy.disarm()

    def _hits(self) -> int:
        return sum(proxy.cuts + proxy.struck for proxy in self.proxies)

    def last(self) -> None:
        """Runs without faults, until one comes through: the first may find the lease still held."""
        until = time.monotonic() + ALLOWED
        while (code := self._end(self._start())) != 0:
            assert time.monotonic() < until, f"the last run ended with {code}"
            time.sleep(2)

    def _start(self) -> subprocess.Popen[bytes]:
        log = (self.bench.folder / "soak.log").open("ab")
        command = [part.format(folder=self.bench.folder) for part in RUN]
        with log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=Path.cwd())

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(ALLOWED)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            pytest.fail(f"a run hung for more than {ALLOWED:.0f} s")

    def _nothing(self, _: subprocess.Popen[bytes]) -> str:
        return "none"

    def _kill(self, process: subprocess.Popen[bytes]) -> str:
        process.send_signal(signal.SIGKILL)
        return "kill -9"

    def _reset(self, _: subprocess.Popen[bytes]) -> str:
        self.chance.choice(self.proxies).cut()
        return RESET

    def _lost_commit(self, _: subprocess.Popen[bytes]) -> str:
        fate = self.chance.choice(["answered", "in flight", "never"])
        self.proxies[-1].strike(COMMITS[self.bench.target.kind], fate)  # type: ignore[arg-type]
        return LOST_COMMIT

    def _freeze(self, process: subprocess.Popen[bytes]) -> str:
        process.send_signal(signal.SIGSTOP)
        time.sleep(self.chance.random() * LONGEST_PAUSE)
        process.send_signal(signal.SIGCONT)
        return "frozen"

    def _slow(self, _: subprocess.Popen[bytes]) -> str:
        self.chance.choice(self.proxies).delay = 0.05
        return "slow network"

    def _refuse(self, _: subprocess.Popen[bytes]) -> str:
        proxy = self.chance.choice(self.proxies)
        proxy.open = False
        proxy.cut()
        return GONE

    def _terminate(self, _: subprocess.Popen[bytes]) -> str:
        target = self.bench.target
        found = target.sql(TERMINATE[target.kind])
        for (number,) in found if target.kind == "mariadb" else ():
            with suppress(OperationalError):  # it has gone by itself
                target.sql(f"kill {int(number)}")
        return "sessions terminated"


def proxied(bench: ProjectBench, sides: list[Side]) -> list[Proxy]:
    """Put a proxy before each side, and have syncline go through them."""
    proxies = {side.url: Proxy(side.url) for side in sides}
    file = bench.folder / ".env"
    text = file.read_text()
    for url, proxy in proxies.items():
        text = text.replace(url, proxy.url)
    file.write_text(text)
    (bench.folder / "connections.yaml").write_text(
        "connections:\n"
        "  from_here: {url: '${FROM_URL}', connect_timeout: 3, statement_timeout: 15}\n"
        "  to_there: {url: '${TO_URL}', connect_timeout: 3, statement_timeout: 15}\n"
    )
    return list(proxies.values())


@pytest.mark.slow
@pytest.mark.timeout(SHARE + 3 * ALLOWED)
@pytest.mark.parametrize("watermark", WATERMARKS)
def test_soak(watermark: str, make: Make, request: pytest.FixtureRequest) -> None:
    """Nothing is lost, stale or left over when writers and faults have ended."""
    seed = SystemRandom().randrange(1 << 30)
    bench = make(watermark, TARGETS[watermark], rest=MIRROR + "conflicts: {strategy: merge}\n")
    bench.source.put(*(person(key) for key in range(20)))
    bench.run()
    # A file has no network.
    proxies = proxied(bench, [s for s in (bench.source, bench.target) if s.kind != "sqlite"])
    attacker = Attacker(bench, proxies, seed)
    crowd = crowd_of(bench, exact=watermark == "xmin", seed=seed)
    naive = NaivePoller(bench.source)
    crowd.start()
    until = time.monotonic() + SHARE
    while time.monotonic() < until:
        attacker.once()
        naive.poll()
    crowd.stop()
    attacker.last()
    toll = toll_of(bench, crowd.written, [], naive)
    report = verify(bench.project, bench.name)
    for proxy in proxies:
        proxy.close()
    _tell(request, watermark, toll, attacker, seed)
    assert (report.status, report.apart) == ("equal", {}), f"seed {seed}: {report.as_dict()}"
    assert (toll.lost, toll.stale, toll.extra) == ([], [], []), f"seed {seed}"
    assert set(attacker.ended) <= {0, 1, 4, -signal.SIGKILL}, attacker.ended


def _tell(
    request: pytest.FixtureRequest, watermark: str, toll: Toll, attacker: Attacker, seed: int
) -> None:
    plugins = request.config.pluginmanager
    reporter, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")
    assert reporter is not None
    assert capture is not None
    faults = {name: count for name, count in attacker.survived.items() if name != "none"}
    told = ", ".join(f"{count} {name}" for name, count in sorted(faults.items()))
    route = f"{watermark} > {TARGETS[watermark]}"
    line = (
        f"{route:19} rows written {toll.written}, faults survived {sum(faults.values())}"
        f" ({told}), rows lost {len(toll.lost)}, stale {len(toll.stale)},"
        f" left over {len(toll.extra)}; a naive poller lost {toll.naive_lost}; seed {seed}"
    )
    with capture.global_and_fixture_disabled():
        reporter.ensure_newline()
        reporter.write_line(line)
