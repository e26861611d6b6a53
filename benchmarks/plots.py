"""Plots of results: bars of median seconds, as SVG that a page can show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from benchmarks.report import title
from benchmarks.results import Result

WIDTH: Final = 820
LABELS: Final = 300
BAR: Final = 18
GAP: Final = 5
HEAD: Final = 30
OURS: Final = "#1f6f8b"
OTHERS: Final = "#b9c2c9"
INK: Final = "#1d2429"
_NUMBERS: Final = 60


def bars(results: Sequence[Result]) -> str:
    """One group of bars a result, each on a scale of its own."""
    drawn: list[str] = []
    y = 0
    for result in results:
        drawn += _group(result, y)
        y += _height(result)
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + GAP}" '
                'font-family="sans-serif" font-size="12" role="img">'
            ),
            f"<title>{escape('; '.join(title(result) for result in results))}</title>",
            f'<rect width="{WIDTH}" height="{y + GAP}" fill="#ffffff"/>',
            *drawn,
            "</svg>",
            "",
        ]
    )


def _height(result: Result) -> int:
    return HEAD + len(result.contenders) * (BAR + GAP) + GAP


def _group(result: Result, top: int) -> Iterator[str]:
    values = {name: _value(result, name) for name in result.contenders}
    longest = max(values.values())
    unit = "µs a record" if result.content["per_record"] else "s"
    yield f'<text x="{GAP}" y="{top + 20}" font-weight="bold" fill="{INK}">{_head(result)}</text>'
    for place, (name, value) in enumerate(values.items()):
        y = top + HEAD + place * (BAR + GAP)
        length = max(1.0, (WIDTH - LABELS - _NUMBERS - 40) * value / longest)
        colour = OURS if "syncline" in name else OTHERS
        text = y + BAR - 5
        end = f'x="{LABELS - 8}" y="{text}" text-anchor="end"'
        yield f'<text {end} fill="{INK}">{escape(name)}</text>'
        yield f'<rect x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>'
        shown = f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
        yield f'<text x="{LABELS + length + 6:.1f}" y="{text}" fill="{INK}">{shown} {unit}</text>'


def _head(result: Result) -> str:
    return escape(title(result))


def _value(result: Result, name: str) -> float:
    seconds = result.median(name) or 0.0
    records = result.contenders[name][0]["records"]
    return seconds / records * 1e6 if result.content["per_record"] else seconds
