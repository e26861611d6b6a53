"""Plots, drawn here as SVG: no script, no style attribute, and a name that is read aloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

_HEIGHT = 100.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its height, what it says when pointed at, and its class in the style sheet."""

    value: float
    title: str
    kind: str = "ok"


def bars(values: Sequence[Bar], *, name: str, room: int = 40) -> Markup:
    """A bar chart, the newest on the right; `room` is for how many bars there is space."""
    shown = list(values)[-room:]
    most = max((bar.value for bar in shown), default=0) or 1
    first = room - len(shown)
    drawn = Markup("").join(
        Markup(
            '<rect class="bar {}" x="{}" y="{:.1f}" width="8" height="{:.1f}"><title>{}</title>'
            "</rect>"
        ).format(bar.kind, (first + at) * 10 + 1, _HEIGHT - height, height, bar.title)
        for at, bar in enumerate(shown)
        for height in [max(bar.value / most * (_HEIGHT - 4), 1.5)]
    )
    return Markup(
        '<svg class="plot" viewBox="0 0 {} {:.0f}" preserveAspectRatio="none" role="img" '
        'aria-label="{}"><line class="ground" x1="0" x2="{}" y1="99" y2="99"/>{}</svg>'
    ).format(room * 10, _HEIGHT, name, room * 10, drawn)
