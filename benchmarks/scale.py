"""`python -m benchmarks.scale`: a full sync by more workers, measured here and simulated elsewhere.

Measured: the same full load by one worker, two, .., in turns; wall time, and the processor time of
all processes of syncline and of the database server, which is what counts on a machine that is not
quiet.

Simulated, from those parts: each worker reads, maps and writes batch after batch, and each step of
a batch takes its processor time on the machine that does it (the workers' own, the source's, the
target's), shared fairly by all that want it there, one core a step. What it leaves out: disks,
networks, locks, caches that grow cold. It tells which machine's cores are used up first, not how
fast yours are.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks import customers
from benchmarks.measure import Sample, await_idle
from benchmarks.servers import started
from benchmarks.stage import Stage

BATCHES: Final = 400
"""Batches of the simulated load: large enough that beginning and end do not count."""
BATCH: Final = 100_000
STEP: Final = 0.001
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parts:
    """Seconds of processor time that a batch takes, where."""

    source: float
    worker: float
    target: float


@dataclass(frozen=True, slots=True)
class Machines:
    """Cores of the machine(s) of the workers together, of the source and of the target."""

    workers: int
    source: int
    target: int


def simulated(workers: int, parts: Parts, machines: Machines) -> tuple[float, dict[str, float]]:
    """Records a second, and how busy each machine's cores are, from 0 to 1.

    Each worker has a batch in each of its three steps at most, as its threads do; time goes on in
    small steps, in which a machine's cores are shared fairly by the steps that are under way there.
    """
    places = (
        ("source", machines.source),
        ("worker", machines.workers),
        ("target", machines.target),
    )
    needs = [parts.source, parts.worker, parts.target]
    under_way = [[0.0, None, None] for _ in range(workers)]
    done, clock, used = 0, 0.0, [0.0, 0.0, 0.0]
    while done < BATCHES:
        for place, (_, cores) in enumerate(places):
            active = [slot for slot in under_way if slot[place] is not None]
            share = min(1.0, cores / len(active)) * STEP if active else 0.0
            for slot in active:
                left = max(0.0, needs[place] - (slot[place] or 0.0))
                slot[place] = (slot[place] or 0.0) + share
                used[place] += min(share, left)
        for slot in under_way:
            done += _moved(slot, needs)
        clock += STEP
    busy = {name: used[i] / clock / cores for i, (name, cores) in enumerate(places)}
    return done * BATCH / clock, busy


def _moved(slot: list[float | None], needs: list[float]) -> int:
    """Hand the batches on that are done with their step; 1 where one is done with the last."""
    done = 0
    if (slot[2] or 0.0) >= needs[2] and slot[2] is not None:
        slot[2], done = None, 1
    for place in (1, 0):
        finished = slot[place] is not None and (slot[place] or 0.0) >= needs[place]
        if finished and slot[place + 1] is None:
            slot[place], slot[place + 1] = None, 0.0
    if slot[0] is None:
        slot[0] = 0.0
    return done


def measure(stage: Stage, workers: list[int], repeat: int, patience: float) -> dict[int, Sample]:
    """The best of some rounds of a full load with ledger by so many workers each."""
    best: dict[int, Sample] = {}
    for _ in range(repeat):
        for count in workers:
            customers.create_target(stage, "ledgered")
            stage.servers.settle()
            await_idle(patience)
            sample, _ = stage.syncline("run", "ledgered", "--full", "--workers", str(count))
            customers.check(stage, "ledgered", ledger=stage.rows)
            if count not in best or sample.wall < best[count].wall:
                best[count] = sample
    return best


def parts_of(stage: Stage, one: Sample) -> Parts:
    """What a batch takes where: one worker's load less its start, and the source's read alone."""
    start, _ = stage.syncline("run", "ledgered")  # a delta of nothing
    alone = stage.query("COPY customers TO '/dev/null' (FORMAT binary)")
    batches = stage.rows / BATCH
    source = alone.server_cpu or 0.0
    target = (one.server_cpu or 0.0) - source
    return Parts(source / batches, (one.cpu - start.cpu) / batches, target / batches)


def main() -> None:
    """Measure, simulate, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--patience", type=float, default=0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/scale.json"))
    asked = parser.parse_args()
    console = Console(width=110)
    with started() as servers:
        stage = Stage(asked.rows, servers, servers.root / "projects" / "scale")
        stage.empty()
        customers.load(stage)
        customers.map_to(stage, "ledgered", "conflicts: {strategy: merge}")
        found = measure(stage, asked.workers, asked.repeat, asked.patience)
        parts = parts_of(stage, found[min(found)])
    shown = Table("workers", "wall s", "syncline cpu s", "server cpu s", "others cpu s")
    for count, sample in found.items():
        shown.add_row(*(f"{v:.2f}" for v in (count, sample.wall, sample.cpu)),
                      f"{sample.server_cpu or 0:.2f}", f"{sample.others_cpu or 0:.2f}")  # fmt: skip
    console.print(f"measured: {asked.rows:,} rows, load {os.getloadavg()[0]:.1f}")
    console.print(shown)
    console.print(f"a batch of {BATCH:,}: {parts}")
    rows = simulation(parts)
    console.print("simulated from these parts, not measured:")
    console.print(table_of(rows))
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    saved = {str(count): asdict(sample) for count, sample in found.items()}
    asked.output.write_text(
        json.dumps(
            {"rows": asked.rows, "measured": saved, "parts": asdict(parts), "simulated": rows}
        )
    )


def simulation(parts: Parts) -> list[Row]:
    """More and more workers, on machines of different sizes."""
    found: list[Row] = []
    for machines in (Machines(4, 4, 4), Machines(16, 4, 8), Machines(32, 8, 32)):
        for workers in (1, 2, 4, 8, 16, 32):
            rate, busy = simulated(workers, parts, machines)
            first = max(busy, key=lambda place: busy[place])
            found.append(
                {**asdict(machines), "count": workers, "rows_per_second": round(rate, -3)}
                | {
                    name: round(share, 2)
                    for name, share in ((f"busy_{k}", v) for k, v in busy.items())
                }
                | {"fullest": first}
            )
    return found


def table_of(rows: list[Row]) -> Table:
    """The simulation, for a person."""
    names = ("workers", "source", "target", "count", "rows_per_second",
             "busy_worker", "busy_source", "busy_target", "fullest")  # fmt: skip
    shown = Table("cores: workers", "source", "target", "workers", "rows/s", "busy: workers",
                  "source", "target", "fullest")  # fmt: skip
    for row in rows:
        shown.add_row(*(str(row[name]) for name in names))
    return shown


if __name__ == "__main__":
    main()
