"""Show: the demo's headings and tables, on a terminal or as a picture of one."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from syncline.sync import RunSummary

WIDTH: Final = 100
STRATEGIES: Final = ("source", "target", "latest", "merge", "manual")
_STYLES: Final = {"source": "cyan", "target": "magenta", "waits": "bold yellow"}
_JSON: Final = JSONHighlighter()
_FONTS: Final = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Settled:
    """One collision, and what became of it by each strategy: `source`, `target` or `waits`."""

    kind: str
    key: str
    field: str
    source: str
    target: str
    results: Mapping[str, str]


class Screen:
    """Where the demo is told; it keeps what it showed if a picture is wanted."""

    def __init__(self, *, picture: bool = False) -> None:
        self.console = Console(
            width=WIDTH if picture else None, record=picture, highlight=False,
            force_terminal=True if picture else None,
        )  # fmt: skip
        if not self.console.is_terminal:
            self.console.width = WIDTH
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self._began

    def heading(self, text: str) -> None:
        """Begin a section."""
        self.console.print()
        self.console.rule(
            f"[bold]{text}[/] [dim]{self.seconds:.0f} s[/]", align="left", style="blue"
        )

    def say(self, text: str) -> None:
        """A sentence; it may hold Rich's markup."""
        self.console.print(text)

    @contextmanager
    def timed(self, text: str) -> Generator[None]:
        """Do something that takes a moment, and say how long it took."""
        began = time.monotonic()
        # A picture would keep every turn of the spinner.
        with nullcontext() if self.console.record else self.console.status(f"{text} .."):
            yield
        self.console.print(f"{text} [dim]{time.monotonic() - began:.1f} s[/]")

    def runs(self, summaries: Iterable[RunSummary], targets: Mapping[str, str]) -> None:
        """What each of these runs did."""
        table = _table("mapping", "into")
        counts = ("read", "inserted", "updated", "deleted", "conflicts")
        for name in (*counts, "s", "rows/s"):
            table.add_column(name, justify="right")
        for one in summaries:
            found = one.as_dict()
            table.add_row(
                one.mapping,
                targets[one.mapping],
                *(_count(found[name], "yellow" if name == "conflicts" else "") for name in counts),
                f"{one.seconds:.1f}",
                f"{one.rows_per_second:,}" if one.read else "",
            )
        self.console.print(table)

    def records(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Some records; a value is shown as it is, and NULL as such."""
        table = _table(*columns)
        for row in rows:
            table.add_row(*map(_cell, row))
        self.console.print(table)

    def document(self, record: Mapping[str, Any]) -> None:
        """A record of a document database."""
        for name, value in record.items():
            self.console.print(_JSON(f"  {json.dumps(name)}: {json.dumps(value, default=str)}"))

    def collisions(self, collisions: Iterable[Settled]) -> None:
        """What each strategy made of the same collisions."""
        table = _table("collision", "key", "field", "source has", "target had")
        for name in STRATEGIES:
            table.add_column(name)
        for one in collisions:
            results = (_result(one.results[name]) for name in STRATEGIES)
            table.add_row(
                one.kind, one.key, one.field,
                Text(one.source, "cyan"), Text(one.target, "magenta"), *results,
            )  # fmt: skip
        self.console.print("whose side stands, by the strategy of the mapping:")
        self.console.print(table)

    def commands(self, commands: Mapping[str, str]) -> None:
        """What can be typed next."""
        table = _table("", "")
        table.show_header = False
        for command, what in commands.items():
            table.add_row(f"[bold green]{command}[/]", what)
        self.console.print(table)

    def save(self, picture: Path) -> None:
        """Write all that was shown as an SVG that needs nothing from the network."""
        picture.parent.mkdir(parents=True, exist_ok=True)
        svg = self.console.export_svg(title="make demo")
        picture.write_text(_FONTS.sub("", svg))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column)
    return table


def _cell(value: Any) -> Text:
    if value is None:
        return Text("NULL", "dim")
    return Text(f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value))


def _result(result: str) -> Text:
    return Text(result, _STYLES.get(result, ""))


def _count(number: int, style: str) -> Text:
    return Text(f"{number:,}", style) if number else Text("0", "dim")
