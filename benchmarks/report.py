"""The report of a result: a table, for a terminal and for a page."""

from __future__ import annotations

from typing import Final

from rich.table import Table

from benchmarks.results import Result

COLUMNS: Final = (
    *("", "median s", "min", "max", "ratio", "engine s", "CPU s", "server", "others", "MB"),
)
PER_RECORD: Final = "µs/record"
TRAFFIC: Final = "MB sent"


def columns(result: Result) -> tuple[str, ...]:
    """The columns of a result's table."""
    return (
        *COLUMNS,
        *((PER_RECORD,) if result.content["per_record"] else ()),
        *((TRAFFIC,) if result.content["traffic_bytes"] else ()),
    )


def lines(result: Result) -> list[tuple[str, ...]]:
    """One line a contender, in the order of `columns`."""
    return [_line(result, contender) for contender in result.contenders]


def _line(result: Result, contender: str) -> tuple[str, ...]:
    runs = result.contenders[contender]
    walls = [run["wall_seconds"] for run in runs]
    shown = [
        contender,
        *map(_seconds, (result.median(contender), min(walls), max(walls))),
        f"{result.ratio(contender):.2f}",
        *(
            _seconds(result.median(contender, key))
            for key in (
                *("engine_seconds", "cpu_seconds", "server_cpu_seconds", "others_cpu_seconds"),
            )
        ),
        f"{peak >> 20}" if (peak := result.peak(contender)) else "",
    ]
    if result.content["per_record"]:
        shown.append(f"{(result.median(contender) or 0) / runs[0]['records'] * 1e6:.2f}")
    if traffic := result.content["traffic_bytes"]:
        shown.append(f"{traffic[contender] / 1e6:.2f}")
    return tuple(shown)


def _seconds(seconds: float | None) -> str:
    """Two digits of what takes long, and the milliseconds of what does not."""
    if seconds is None:
        return ""
    return f"{seconds:.2f}" if seconds >= 0.1 or seconds == 0 else f"{seconds:.3f}"


def table(result: Result) -> Table:
    """The table, for a terminal."""
    shown = Table(title=title(result), title_justify="left")
    for place, column in enumerate(columns(result)):
        shown.add_column(column, justify="right" if place else "left")
    for line in lines(result):
        shown.add_row(*line)
    return shown


def title(result: Result) -> str:
    """What was done, to how many rows."""
    return f"{result.name}: {result.content['what']} ({result.content['rows']:,} rows)"


def markdown(result: Result) -> str:
    """The table, for a page."""
    head = columns(result)
    rows = [head, ("---", *["---:"] * (len(head) - 1)), *lines(result)]
    cells = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)
