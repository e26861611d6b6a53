"""The report: medians and ratios as a table for people, and every sample as JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.table import Table

from benchmarks.cases import Case, Contender, Measured

PACKAGES: Final = (
    *("duckdb", "pyarrow", "adbc-driver-postgresql", "polars", "polars-hash", "numpy"),
)
COLUMNS: Final = (
    "",
    "median s",
    "min",
    "max",
    "ratio",
    "engine s",
    "CPU s",
    "server",
    "others",
    "MB",
)


@dataclass
class Result:
    """What was measured of one case: the executions of each contender, by name, in their order."""

    case: Case
    measured: dict[str, list[Measured]] = field(default_factory=dict[str, list[Measured]])

    def lines(self) -> list[tuple[str, ...]]:
        """One line a contender, in the order of COLUMNS."""
        return [self._line(contender) for contender in self.case.contenders]

    def _line(self, contender: Contender) -> tuple[str, ...]:
        runs = self.measured[contender.name]
        walls = [run.sample.wall for run in runs]
        engine = [run.engine for run in runs if run.engine is not None]
        server = [run.sample.server_cpu for run in runs if run.sample.server_cpu is not None]
        others = [run.sample.others_cpu for run in runs if run.sample.others_cpu is not None]
        return (
            contender.name,
            *(f"{seconds:.2f}" for seconds in (median(walls), min(walls), max(walls))),
            f"{self.ratio(contender):.2f}",
            f"{median(engine):.2f}" if engine else "",
            f"{median(run.sample.cpu for run in runs):.2f}",
            f"{median(server):.2f}" if server else "",
            f"{median(others):.2f}" if others else "",
            f"{peak >> 20}" if (peak := self.peak(contender)) else "",
        )

    def ratio(self, contender: Contender, *, engine: bool = False) -> float:
        """The median of the ratios to the first contender, round by round.

        With `engine` by the seconds that the engine itself counted, so without its start.
        """
        first = self.measured[self.case.contenders[0].name]
        pairs = zip(self.measured[contender.name], first, strict=True)
        return median(
            ((run.engine if engine else None) or run.sample.wall) / other.sample.wall
            for run, other in pairs
        )

    def peak(self, contender: Contender) -> int:
        """The highest peak of resident memory, in bytes; 0 where it could not be told."""
        return max(run.sample.peak or 0 for run in self.measured[contender.name])

    def verdicts(self) -> list[str]:
        """What was promised of the contenders, and whether it was kept."""
        said: list[str] = []
        for contender in self.case.contenders:
            if contender.limit is not None:
                ratio = self.ratio(contender)
                first = self.case.contenders[0].name
                kept = _kept(ratio <= contender.limit)
                engine = self.ratio(contender, engine=True)
                said.append(
                    f"{contender.name}: {ratio:.2f}x of {first} "
                    f"({engine:.2f}x without the start of the process); "
                    f"promised at most {contender.limit}x: {kept}"
                )
            if contender.memory is not None:
                peak = self.peak(contender)
                kept = _kept(peak < contender.memory)
                said.append(
                    f"{contender.name}: peak {peak >> 20} MB; "
                    f"promised under {contender.memory >> 20} MB: {kept}"
                )
        return said

    def table(self) -> Table:
        """The table, for a terminal."""
        table = Table(title=f"{self.case.name}: {self.case.what}", title_justify="left")
        for place, column in enumerate(COLUMNS):
            table.add_column(column, justify="right" if place else "left")
        for line in self.lines():
            table.add_row(*line)
        return table

    def markdown(self) -> str:
        """The table, for a page."""
        rows = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *self.lines()]
        cells = ([cell.replace("|", "\\|") for cell in row] for row in rows)
        return "\n".join("| " + " | ".join(row) + " |" for row in cells)

    def as_dict(self) -> dict[str, Any]:
        """Every sample, as JSON-ready values."""
        return {
            "case": self.case.name,
            "what": self.case.what,
            "contenders": {
                name: [
                    {
                        "wall_seconds": round(run.sample.wall, 4),
                        "engine_seconds": run.engine,
                        "cpu_seconds": round(run.sample.cpu, 3),
                        "server_cpu_seconds": run.sample.server_cpu,
                        "others_cpu_seconds": run.sample.others_cpu,
                        "peak_bytes": run.sample.peak,
                    }
                    for run in runs
                ]
                for name, runs in self.measured.items()
            },
        }


def _kept(kept: bool) -> str:
    return "kept" if kept else "NOT KEPT"


def surroundings(postgres: str, rows: int) -> dict[str, Any]:
    """Where and of what the numbers are."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": rows,
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "postgresql": postgres,
        **{name: version(name) for name in PACKAGES},
    }


def save(results: list[Result], around: dict[str, Any], directory: Path) -> Path:
    """Write every sample, and beside it the tables for a page; the path of the samples."""
    directory.mkdir(exist_ok=True)
    stamp = str(around["measured_at"]).replace(":", "").replace("+0000", "Z")
    path = directory / f"{stamp}.json"
    content = {**around, "cases": [result.as_dict() for result in results]}
    path.write_text(json.dumps(content, indent=2) + "\n")
    pages = [f"### {one.case.name}: {one.case.what}\n\n{one.markdown()}\n" for one in results]
    path.with_suffix(".md").write_text("\n".join(pages))
    return path
