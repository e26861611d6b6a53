"""Results: what was measured, as it is saved, and the medians and ratios of it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.case import Case, Measured
from benchmarks.servers import Servers

PACKAGES: Final = (
    *("duckdb", "pyarrow", "adbc-driver-postgresql", "xxhash", "numpy"),
    *("psycopg", "pymongo", "pymysql", "sqlalchemy"),
)
Run = Mapping[str, Any]
"""One execution, as `saved` writes it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured of one case, as it is saved: nothing else is needed to show it."""

    content: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        case: Case,
        rows: int,
        measured: Mapping[str, Sequence[Measured]],
        traffic: Mapping[str, int],
    ) -> Result:
        """The executions of each contender, by name, in their order; and the bytes of each."""
        return cls(
            {
                "case": case.name,
                "what": case.what,
                "rows": rows,
                "per_record": case.per_record,
                "promises": {
                    one.name: {
                        "ratio": one.limit,
                        "past_start": one.past_start,
                        "peak_bytes": one.memory,
                    }
                    for one in case.contenders
                    if one.limit or one.memory
                },
                "traffic_bytes": dict(traffic),
                "contenders": {name: list(map(saved, runs)) for name, runs in measured.items()},
            }
        )

    @property
    def name(self) -> str:
        """The case."""
        return str(self.content["case"])

    @property
    def contenders(self) -> Mapping[str, Sequence[Run]]:
        """The executions of each, the first of them what the others are held against."""
        return self.content["contenders"]

    def median(self, contender: str, key: str = "wall_seconds") -> float | None:
        """The median of a contender's executions; None where none of them tells it."""
        known = [run[key] for run in self.contenders[contender] if run.get(key) is not None]
        return median(known) if known else None

    def ratio(self, contender: str, *, engine: bool = False) -> float:
        """The median of the ratios to the first contender, round by round.

        With `engine` by the seconds that the engine itself counted, so without its start.
        """
        first = next(iter(self.contenders.values()))
        pairs = zip(self.contenders[contender], first, strict=True)
        return median(
            self._time(run, engine=engine) / self._time(other, engine=False) for run, other in pairs
        )

    def _time(self, run: Run, *, engine: bool) -> float:
        seconds = (run["engine_seconds"] if engine else None) or run["wall_seconds"]
        return seconds / run["records"] if self.content["per_record"] else seconds

    def peak(self, contender: str) -> int:
        """The highest peak of resident memory, in bytes; 0 where it could not be told."""
        return max(run["peak_bytes"] or 0 for run in self.contenders[contender])

    def verdicts(self) -> list[str]:
        """What was promised of the contenders, and whether it was kept."""
        return [
            line
            for name, promise in self.content["promises"].items()
            for line in (*self._by_time(name, promise), *self._by_memory(name, promise))
        ]

    def _by_time(self, name: str, promise: Mapping[str, Any]) -> list[str]:
        if not (limit := promise["ratio"]):
            return []
        ratio, engine = self.ratio(name), self.ratio(name, engine=True)
        without = f" ({engine:.2f}x without the start of the process)" if engine != ratio else ""
        first = next(iter(self.contenders))
        promised, judged = (
            (f"at most {limit}x past the start", engine)
            if promise["past_start"]
            else (f"at most {limit}x", ratio)
        )
        return [f"{name}: {ratio:.2f}x of {first}{without}; {promised}: {_kept(judged <= limit)}"]

    def _by_memory(self, name: str, promise: Mapping[str, Any]) -> list[str]:
        if not (limit := promise["peak_bytes"]) or not (peak := self.peak(name)):
            return []
        return [f"{name}: peak {peak >> 20} MB; under {limit >> 20} MB: {_kept(peak < limit)}"]


def saved(run: Measured) -> dict[str, Any]:
    """One execution, as JSON-ready values."""
    return {
        "wall_seconds": round(run.sample.wall, 4),
        "engine_seconds": run.engine,
        "cpu_seconds": round(run.sample.cpu, 3),
        "server_cpu_seconds": run.sample.server_cpu,
        "others_cpu_seconds": run.sample.others_cpu,
        "peak_bytes": run.sample.peak,
        "records": run.records,
    }


def _kept(kept: bool) -> str:
    return "kept" if kept else "NOT KEPT"


def surroundings() -> dict[str, Any]:
    """Where the numbers are measured, and with what."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def save(
    results: Sequence[Result],
    skipped: Mapping[str, str],
    around: Mapping[str, Any],
    servers: Servers,
    directory: Path,
) -> Path:
    """Write every sample, and why cases were left out; the path."""
    directory.mkdir(parents=True, exist_ok=True)
    stamp = str(around["measured_at"]).replace(":", "").replace("+0000", "Z")
    path = directory / f"{stamp}.json"
    content = {
        **around,
        "load_at_end": [round(load, 2) for load in os.getloadavg()],
        "servers": servers.versions(),
        "skipped": dict(skipped),
        "cases": [result.content for result in results],
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path
