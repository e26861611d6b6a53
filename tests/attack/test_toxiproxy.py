"""Syncs through toxiproxy: lines that are slow, thin, chopped, cut, silent or gone for a while.

PostgreSQL to each kind of server, with the toxic before the source or before the target. Each test
first sees that the toxic did something.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import pytest
from structlog.testing import capture_logs

from syncline.errors import Unreachable
from syncline.testing.servers import Unavailable
from tests.attack.conftest import Make, in_step
from tests.attack.line import LEDGER, SOURCES, after, position, through
from tests.attack.toxiproxy import Gate, Toward, Toxiproxy
from tests.integration.project_bench import ProjectBench, Side, now, person

# The first test of a machine builds toxiproxy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Which = Literal["source", "target"]
Before = Callable[[Side], Gate]
PATIENT: dict[str, Any] = {"connect_timeout": 60, "statement_timeout": 120, "retry_seconds": 120}
"""For lines that are bad but pass what is said: a busy machine is no fault."""
GONE: dict[str, Any] = PATIENT | {"connect_timeout": 8}
"""MongoDB's driver looks for a server for so long before it tells of a lost one."""
HASTY: dict[str, Any] = GONE | {"retry_seconds": 1}
SILENT: dict[str, Any] = {"connect_timeout": 8, "statement_timeout": 8, "retry_seconds": 1}
TOWARD: dict[Which, Toward] = {"source": "client", "target": "server"}
"""Whither the records go on that side's line."""
COUNT = 200
MUCH = 20_000
WIDE = "w" * 1_000
BYTES = COUNT * len(WIDE)
"""What a line has carried, at the least, when COUNT records are over."""
everywhere = pytest.mark.parametrize(
    ("side", "target"),
    [
        ("source", "postgres"),
        ("target", "postgres"),
        ("target", "mariadb"),
        ("target", "mongo"),
    ],
)
BAD: dict[str, tuple[dict[str, int], float]] = {
    "latency": ({"latency": 15, "jitter": 5}, 0.5),
    "bandwidth": ({"rate": 350}, BYTES / 350_000 * 0.9),
    "slicer": ({"average_size": 500, "size_variation": 100, "delay": 1_500}, BYTES / 600 * 0.0015),
}
"""Toxics that break nothing, and how many seconds a run takes through them at the least: of the
latency some fifty answers of 10 ms or more; of the others what BYTES take. Without them it is 0.3 s
on a quiet machine.
"""
Said = list[MutableMapping[str, Any]]


@pytest.fixture(scope="module")
def toxiproxy() -> Iterator[Toxiproxy]:
    """One for the module; where it can't be had, its tests are skipped."""
    with tempfile.TemporaryDirectory(prefix="syncline-toxiproxy-") as root:
        try:
            server = Toxiproxy(Path(root))
        except Unavailable as refusal:
            pytest.skip(f"no toxiproxy: {refusal}")
        yield server
        server.stop()


@pytest.fixture
def before(toxiproxy: Toxiproxy) -> Iterator[Before]:
    """Puts a gate before the server of a side; the side's own hand goes past it."""
    gates: list[Gate] = []

    def put(side: Side) -> Gate:
        gates.append(toxiproxy.before(side.url))
        return gates[-1]

    yield put
    for gate in gates:
        gate.close()


def of(bench: ProjectBench, side: Which) -> Side:
    """That side."""
    return bench.source if side == "source" else bench.target


def on(side: Which, gate: Gate) -> dict[str, Any]:
    """The gate, as `through` takes it."""
    return {side: gate}


def grow(bench: ProjectBench, first: int, count: int = COUNT) -> None:
    """Put so many records of a kilobyte into the source, and edit some that were there."""
    keys = range(first, first + count)
    bench.source.put(*(person(key, name=f"{WIDE}{key}", updated_at=now()) for key in keys))
    for key in range(min(first, 3)):
        bench.source.edit(key, city=f"Town {first}", updated_at=now())


def lost(said: Said) -> int:
    """How often a run said that it had lost a connection, and tried again."""
    return sum(line["event"] == "lost; trying again" for line in said)


def exact(bench: ProjectBench) -> bool:
    """Whether the next run, by a good line, leaves an exact copy in which nothing is left to do."""
    through(bench, **PATIENT)
    bench.run()
    left = bench.run(mode="full")
    nothing = (left.inserted, left.updated, left.conflicts, left.dead_letters) == (0, 0, 0, 0)
    return nothing and in_step(bench)


@contextmanager
def healed_when(felt: Callable[[], bool], gate: Gate) -> Generator[None]:
    """Heal the gate once the fault was felt, while a run goes on; at its end in any case."""
    ended = threading.Event()

    def heal() -> None:
        while not (ended.wait(0.05) or felt()):
            pass
        gate.heal()

    healer = threading.Thread(target=heal)
    healer.start()
    try:
        yield
    finally:
        ended.set()
        healer.join()


@everywhere
@pytest.mark.parametrize("toxic", BAD)
def test_f16_toxiproxy_a_line_that_is_late_thin_or_chopped_only_takes_longer(
    toxic: Any, side: Which, target: str, make: Make, before: Before
) -> None:
    """A full sync and a delta go through it, and no connection is given up."""
    bench = make("xmin", target, rest=LEDGER)
    gate = before(of(bench, side))
    through(bench, **PATIENT, **on(side, gate))
    attributes, least = BAD[toxic]
    gate.poison(toxic, TOWARD[side], **attributes)
    for first in (0, COUNT):
        grow(bench, first)
        began = time.monotonic()
        with capture_logs() as said:
            done = bench.run(batch_size=100)
        assert time.monotonic() - began >= least
        assert (done.inserted, done.conflicts, lost(said)) == (COUNT, 0, 0)
    assert gate.accepted > 0
    assert exact(bench)


@pytest.mark.parametrize(
    ("side", "target"), [("target", kind) for kind in ("postgres", "mariadb", "mongo")]
)
def test_f16_toxiproxy_connections_that_are_cut_in_the_middle_of_a_row(
    side: Which, target: str, make: Make, before: Before
) -> None:
    """Each connection ends when it has carried so much. A run takes as many as it needs, or, where
    it gets no further than the one before, ends: then the next one finishes it.
    """
    bench = make("xmin", target, rest=LEDGER)
    grow(bench, 0)
    gate = before(of(bench, side))
    through(bench, **HASTY, **on(side, gate))
    gate.poison("limit_data", TOWARD[side], bytes=90_000)
    with capture_logs() as said, suppress(Unreachable):
        bench.run(batch_size=20)
    assert lost(said) > 0
    assert gate.accepted > 1
    assert exact(bench)
    grow(bench, COUNT)
    through(bench, **HASTY, **on(side, gate))
    with capture_logs() as said, suppress(Unreachable):
        bench.run(batch_size=20)
    assert lost(said) > 0
    assert exact(bench)


@everywhere
@pytest.mark.parametrize("fault", ["reset_peer", "shut"])
def test_f15_f17_toxiproxy_a_line_that_is_gone_for_a_while(
    fault: str, side: Which, target: str, make: Make, before: Before
) -> None:
    """Connections are reset, or refused, from the middle of a full sync on: it outlives that. A
    delta that meets the same for longer than its patience ends, and the next run goes on. A source
    may have said all before the second batch lands: there both runs meet it at their start.
    """
    bench = make("xmin", target, rest=LEDGER)
    gate = before(of(bench, side))

    def strike() -> None:
        if fault == "shut":
            gate.shut()
        else:
            gate.poison("reset_peer", TOWARD[side], timeout=0)

    def gone(batches: int) -> None:
        through(bench, **HASTY, **on(side, gate))
        if side == "source":
            strike()
        middle = after(batches, strike) if side == "target" else None
        with pytest.raises(Unreachable):
            bench.run(batch_size=20, on_progress=middle)
        gate.heal()

    grow(bench, 0)
    if side == "source":
        gone(0)
    else:
        through(bench, **GONE, target=gate)
        with capture_logs() as said, healed_when(lambda: lost(said) > 0, gate):
            done = bench.run(batch_size=20, on_progress=after(2, strike))
        assert lost(said) > 0
        assert (done.inserted, done.conflicts) == (COUNT, 0)
    assert exact(bench)
    grow(bench, COUNT)
    start = position(bench)
    gone(1)
    assert position(bench) == start
    assert not in_step(bench)
    assert exact(bench)


@pytest.mark.parametrize("kind", ["postgres", "mariadb", "mongo"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_f16_toxiproxy_a_black_hole_in_the_middle_ends_within_the_deadlines(
    side: Which, kind: str, make: Make, before: Before
) -> None:
    """Nothing more comes through, what is said is acknowledged, and no connection breaks: the run
    ends, the checkpoint stays, and the next run goes on.
    """
    watermark, target = (SOURCES[kind], "postgres") if side == "source" else ("xmin", kind)
    bench = make(watermark, target, count=5, rest=LEDGER)
    bench.run()
    start = position(bench)
    # Of a source, more than all that waits on the way can hold.
    grow(bench, COUNT, MUCH if side == "source" else COUNT)
    gate = before(of(bench, side))
    through(bench, **SILENT, **on(side, gate))
    silent = threading.Event()

    def fall_silent() -> None:
        # A line on which much is under way can't be poisoned in that direction.
        gate.poison("timeout", "server" if side == "source" else "client", timeout=0)
        silent.set()

    # A machine too busy to say anything for so long ends a run as well: then once more.
    began = 0.0
    for _ in range(5):
        began = time.monotonic()
        with pytest.raises(Unreachable):
            bench.run(batch_size=500 if side == "source" else 20, on_progress=after(1, fall_silent))
        if silent.is_set():
            break
    assert silent.is_set()
    assert time.monotonic() - began > 2
    gate.heal()
    assert position(bench) == start
    assert exact(bench)
